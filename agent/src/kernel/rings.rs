//! The two ring buffers: many small records of life and death, and the bulk data that goes with them.

use std::os::fd::{AsFd, BorrowedFd};

use aya::maps::{MapData, RingBuf};

use super::{KernelError, sys};

/// One ring buffer and how full it is.
pub struct Ring {
    name: &'static str,
    size_bytes: u32,
    ring: RingBuf<MapData>,
}

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
        Ok(Self { name, size_bytes, ring })
    }

    /// A view for other threads.
    pub fn gauge(&self) -> Result<RingGauge, KernelError> {
        let positions = sys::RingPositions::map(&self.ring).map_err(|source| KernelError::System {
            action: format!("map the ring {}", self.name),
            source,
        })?;
        Ok(RingGauge { name: self.name, size_bytes: self.size_bytes, positions })
    }

    /// Gives the next record to `read` and frees its place. `None` if there is none.
    pub fn next<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.ring.next().map(|record| read(&record))
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}
