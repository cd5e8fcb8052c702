//! The two ring buffers: many small records of life and death, and the bulk data that goes with them.

use std::os::fd::{AsFd, BorrowedFd};

use aya::maps::{MapData, RingBuf};

use super::{KernelError, sys};

/// One ring buffer and how full it is.
pub struct Ring {
    name: &'static str,
    size_bytes: u32,
    ring: RingBuf<MapData>,
    positions: sys::RingPositions,
}

/// A place in a ring. Places are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position(usize);

/// Tells how full a ring is, from any thread.
#[derive(Debug)]
pub struct RingGauge {
    /// The map's name.
    pub name: &'static str,
    /// Its size.
    pub size_bytes: u32,
    positions: sys::RingPositions,
}

impl RingGauge {
    /// Bytes written and not yet read, headers included.
    pub fn used_bytes(&self) -> u64 {
        self.positions.used() as u64
    }
}

impl Ring {
    pub(super) fn new(
        ebpf: &mut aya::Ebpf,
        name: &'static str,
        size_bytes: u32,
    ) -> Result<Self, KernelError> {
        let error = |message: String| KernelError::Map { map: name, message };
        let map = ebpf.take_map(name).ok_or_else(|| {
            error("is not in the BPF object; agent and object are of different builds".to_owned())
        })?;
        let ring = RingBuf::try_from(map).map_err(|e| error(e.to_string()))?;
        let positions = positions_of(&ring, name)?;
        Ok(Self { name, size_bytes, ring, positions })
    }

    /// A view for other threads.
    pub fn gauge(&self) -> Result<RingGauge, KernelError> {
        let positions = positions_of(&self.ring, self.name)?;
        Ok(RingGauge { name: self.name, size_bytes: self.size_bytes, positions })
    }

    /// Behind all records that CPUs have begun to write.
    pub fn end(&self) -> Position {
        Position(self.positions.produced())
    }

    /// Behind the records that have been read. If there is no next one although this is not the [`end`](Self::end), the
    /// next one is unfinished, and hides those behind it.
    pub fn position(&self) -> Position {
        Position(self.positions.consumed())
    }

    /// Gives the next record to `read` and frees its place. `None` if there is none.
    pub fn next<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.ring.next().map(|record| read(&record))
    }
}

impl Position {
    /// Whether this is as far as `other`, or further. They must not be half the address space apart.
    pub fn has_reached(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() >= 0
    }
}

fn positions_of(ring: &RingBuf<MapData>, name: &str) -> Result<sys::RingPositions, KernelError> {
    sys::RingPositions::map(ring)
        .map_err(|source| KernelError::System { action: format!("map the ring {name}"), source })
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}
