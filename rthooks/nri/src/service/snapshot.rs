//! What exists already, collected from the parts in which runtimes send it.

use crate::api::{Container, PodSandbox, SynchronizeRequest};
use crate::plugin::Result;
use crate::ttrpc::{Code, Status};

/// Most bytes of all parts together; some tens of thousands of containers.
const MAX_BYTES: usize = 256 << 20;

/// The parts so far.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) pods: Vec<PodSandbox>,
    pub(super) containers: Vec<Container>,
    bytes: usize,
}

impl Snapshot {
    /// Adds one part, which took `bytes` on the wire. On failure all parts are forgotten.
    pub(super) fn add(&mut self, part: SynchronizeRequest, bytes: usize) -> Result<()> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > MAX_BYTES {
            *self = Self::default();
            let text = format!("pods and containers take more than {MAX_BYTES} bytes");
            return Err(Status::new(Code::RESOURCE_EXHAUSTED, text));
        }
        self.pods.extend(part.pods);
        self.containers.extend(part.containers);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(id: &str) -> SynchronizeRequest {
        let container = Container { id: id.to_owned(), ..Container::default() };
        SynchronizeRequest { pods: Vec::new(), containers: vec![container], more: true }
    }

    #[test]
    fn parts_add_up_in_order() {
        let mut snapshot = Snapshot::default();
        snapshot.add(part("a"), 1 << 20).expect("fits");
        snapshot.add(part("b"), 255 << 20).expect("just fits");
        assert_eq!(snapshot.containers.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn too_many_parts_are_refused_and_forgotten() {
        let mut snapshot = Snapshot::default();
        snapshot.add(part("a"), MAX_BYTES).expect("just fits");
        let status = snapshot.add(part("b"), 1).expect_err("one byte too many");
        assert_eq!(status.code, Code::RESOURCE_EXHAUSTED);
        assert!(snapshot.containers.is_empty());
    }
}
