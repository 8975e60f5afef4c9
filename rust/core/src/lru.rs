//! A map bounded in bytes and in entries, of which the least recently used entries are evicted first.

use std::collections::HashMap;
use std::sync::Arc;

/// Slots by number. A slot is handed out empty, filled by whoever got it first, and weighed after that; only weighed
/// slots are evicted, so that one that is being filled is filled once.
#[derive(Debug)]
pub(crate) struct LruByBytes<T> {
    entries: HashMap<usize, Slot<T>>,
    clock: u64,
    bytes: usize,
    max_bytes: usize,
    max_entries: usize,
}

#[derive(Debug)]
struct Slot<T> {
    slot: Arc<T>,
    used: u64,
    /// The bytes it takes, and the stage of filling at which they were counted; stage 0 is an empty slot.
    weight: (usize, u32),
}

impl<T: Default> LruByBytes<T> {
    pub(crate) fn new(max_bytes: usize, max_entries: usize) -> Self {
        Self { entries: HashMap::new(), clock: 0, bytes: 0, max_bytes, max_entries }
    }

    /// The slot of this number, which is the most recently used one from now on.
    pub(crate) fn slot(&mut self, number: usize) -> Arc<T> {
        self.clock += 1;
        let new = || Slot { slot: Arc::default(), used: 0, weight: (0, 0) };
        let entry = self.entries.entry(number).or_insert_with(new);
        entry.used = self.clock;
        Arc::clone(&entry.slot)
    }

    /// The slot of this number, if it has one; this is no use of it.
    pub(crate) fn peek(&self, number: usize) -> Option<Arc<T>> {
        self.entries.get(&number).map(|entry| Arc::clone(&entry.slot))
    }

    /// Counts the bytes of a slot, unless they were counted at this stage or a later one, and evicts what is over the
    /// limits. One slot always stays.
    pub(crate) fn weigh(&mut self, number: usize, stage: u32, bytes: impl FnOnce() -> usize) {
        let Some(entry) = self.entries.get_mut(&number).filter(|entry| entry.weight.1 < stage) else { return };
        let before = std::mem::replace(&mut entry.weight, (bytes(), stage)).0;
        self.bytes = self.bytes - before + entry.weight.0;
        while (self.bytes > self.max_bytes || self.entries.len() > self.max_entries) && self.entries.len() > 1 {
            let filled = self.entries.iter().filter(|(_, entry)| entry.weight.1 > 0);
            let Some(oldest) = filled.min_by_key(|(_, entry)| entry.used).map(|(&oldest, _)| oldest) else { break };
            self.bytes -= self.entries.remove(&oldest).map_or(0, |entry| entry.weight.0);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::OnceLock;

    use super::*;

    #[test]
    fn the_most_recently_used_stay_and_each_counts_once_for_all_that_was_read_of_it() {
        let mut lru: LruByBytes<OnceLock<usize>> = LruByBytes::new(100, usize::MAX);
        let mut first = None;
        for number in 0..10 {
            let slot = lru.slot(number);
            slot.set(number).unwrap();
            lru.weigh(number, 1, || 10);
            lru.weigh(number, 1, || panic!("counted"));
            first.get_or_insert(slot);
        }
        assert_eq!((lru.entries.len(), lru.bytes), (10, 100));
        assert!(Arc::ptr_eq(&lru.slot(0), &first.unwrap()), "used again");
        lru.weigh(9, 2, || 25);
        assert_eq!((lru.entries.len(), lru.bytes), (8, 95), "1 and 2 made room");
        assert!(lru.slot(0).get().is_some());
        assert!(lru.peek(1).is_none());
        assert!(lru.slot(1).get().is_none(), "to be filled again");
        lru.weigh(0, 2, || 1000);
        assert_eq!(lru.entries.len(), 1, "one that is being filled is kept: {:?}", lru.entries.keys());
    }

    #[test]
    fn entries_are_bounded_too() {
        let mut lru: LruByBytes<()> = LruByBytes::new(usize::MAX, 3);
        for number in 0..10 {
            lru.slot(number);
            lru.weigh(number, 1, || 1);
        }
        let mut left: Vec<usize> = lru.entries.keys().copied().collect();
        left.sort_unstable();
        assert_eq!((left, lru.bytes), (vec![7, 8, 9], 3));
    }
}
