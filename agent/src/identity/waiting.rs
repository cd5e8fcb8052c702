//! Events that wait until it is known whose their process is: a short while, off the path of all others.
//!
//! The order of one container's events stays as it is; those of other containers pass by.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::ContainerNumber;

/// Most events that wait, of all containers together. Beyond, the container that has waited longest is let go.
const EVENTS_MAX: usize = 16384;

/// Items of containers of which nobody has told yet.
#[derive(Debug)]
pub struct Waiting<T> {
    queues: HashMap<ContainerNumber, Vec<T>>,
    /// By the beginning of their wait.
    order: VecDeque<(Instant, ContainerNumber)>,
    count: usize,
    limit: Duration,
}

impl<T> Waiting<T> {
    /// Lets items wait at most for `limit`; not at all if it is zero.
    pub fn new(limit: Duration) -> Self {
        Self { queues: HashMap::new(), order: VecDeque::new(), count: 0, limit }
    }

    /// Whether waiting is of any use.
    pub fn is_enabled(&self) -> bool {
        !self.limit.is_zero()
    }

    /// Whether items of this container wait.
    pub fn holds(&self, container: ContainerNumber) -> bool {
        self.queues.contains_key(&container)
    }

    /// Containers whose items wait.
    pub fn containers(&self) -> Vec<ContainerNumber> {
        self.order.iter().map(|(_, container)| *container).collect()
    }

    /// Items that wait.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds an item. Whether it is the first of its container.
    pub fn park(&mut self, container: ContainerNumber, item: T, now: Instant) -> bool {
        self.count += 1;
        let queue = self.queues.entry(container).or_default();
        queue.push(item);
        if queue.len() == 1 {
            self.order.push_back((now, container));
            return true;
        }
        false
    }

    /// Takes out all items of one container, in order.
    pub fn take(&mut self, container: ContainerNumber) -> Vec<T> {
        let items = self.queues.remove(&container).unwrap_or_default();
        if !items.is_empty() {
            self.order.retain(|(_, other)| *other != container);
            self.count -= items.len();
        }
        items
    }

    /// The next container that has waited long enough.
    pub fn overdue(&self, now: Instant) -> Option<ContainerNumber> {
        let (since, container) = self.order.front()?;
        let late = now.saturating_duration_since(*since) >= self.limit;
        (late || self.count > EVENTS_MAX).then_some(*container)
    }

    /// When the next container will have waited long enough.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.order.front().map(|(since, _)| *since + self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ContainerNumber = ContainerNumber(1);
    const B: ContainerNumber = ContainerNumber(2);

    #[test]
    fn items_of_one_container_keep_their_order_and_others_pass() {
        let mut waiting = Waiting::new(Duration::from_secs(1));
        let now = Instant::now();
        assert!(waiting.park(A, 1, now));
        assert!(waiting.park(B, 10, now));
        assert!(!waiting.park(A, 2, now));
        assert_eq!(waiting.take(A), [1, 2]);
        assert!(!waiting.holds(A) && waiting.holds(B) && waiting.len() == 1);
        assert!(waiting.take(A).is_empty());
    }

    #[test]
    fn what_has_waited_long_enough_is_let_go_oldest_first() {
        let mut waiting = Waiting::new(Duration::from_secs(1));
        let now = Instant::now();
        waiting.park(A, 1, now);
        waiting.park(B, 2, now + Duration::from_millis(500));
        assert_eq!(waiting.overdue(now + Duration::from_millis(999)), None);
        assert_eq!(waiting.next_deadline(), Some(now + Duration::from_secs(1)));
        assert_eq!(waiting.overdue(now + Duration::from_secs(1)), Some(A));
        waiting.take(A);
        assert_eq!(waiting.overdue(now + Duration::from_secs(1)), None);
    }

    #[test]
    fn more_than_the_room_is_let_go_at_once() {
        let mut waiting = Waiting::new(Duration::from_secs(1));
        let now = Instant::now();
        (0..=EVENTS_MAX).for_each(|item| _ = waiting.park(A, item, now));
        assert_eq!(waiting.overdue(now), Some(A));
    }
}
