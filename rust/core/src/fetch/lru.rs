//! Which objects are open: those used last, as long as their footers take no more than so many bytes.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::OnceCell;

/// What is open, by the file's number.
#[derive(Debug)]
pub(super) struct LruByBytes<T> {
    files: HashMap<usize, Entry<T>>,
    clock: u64,
    bytes: usize,
    most: usize,
}

#[derive(Debug)]
struct Entry<T> {
    file: Arc<OnceCell<T>>,
    used: u64,
    /// What it takes, and how far it was read when that was found; 0 before it was open.
    weight: (usize, u32),
}

impl<T> LruByBytes<T> {
    pub(super) fn new(most: usize) -> Self {
        Self { files: HashMap::new(), clock: 0, bytes: 0, most }
    }

    /// Where a file stands once it is open. It was used now.
    pub(super) fn place(&mut self, index: usize) -> Arc<OnceCell<T>> {
        self.clock += 1;
        let new = || Entry { file: Arc::default(), used: 0, weight: (0, 0) };
        let entry = self.files.entry(index).or_insert_with(new);
        entry.used = self.clock;
        Arc::clone(&entry.file)
    }

    /// Counts what a file takes, which is asked for where it was read further than when it was counted last; lets go of
    /// those used longest ago.
    pub(super) fn weigh(&mut self, index: usize, depth: u32, bytes: impl FnOnce() -> usize) {
        let Some(entry) = self.files.get_mut(&index).filter(|entry| entry.weight.1 < depth) else { return };
        let before = std::mem::replace(&mut entry.weight, (bytes(), depth)).0;
        self.bytes = self.bytes - before + entry.weight.0;
        while self.bytes > self.most && self.files.len() > 1 {
            let open = self.files.iter().filter(|(_, entry)| entry.weight.1 > 0);
            let Some(oldest) = open.min_by_key(|(_, entry)| entry.used).map(|(&oldest, _)| oldest) else { break };
            self.bytes -= self.files.remove(&oldest).map_or(0, |entry| entry.weight.0);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn those_used_last_stay_and_each_counts_once_for_all_that_was_read_of_it() {
        let mut open = LruByBytes::new(100);
        let mut first = None;
        for index in 0..10 {
            let place = open.place(index);
            place.set(index).unwrap();
            open.weigh(index, 1, || 10);
            open.weigh(index, 1, || panic!("counted"));
            first.get_or_insert(place);
        }
        assert_eq!((open.files.len(), open.bytes), (10, 100));
        assert!(Arc::ptr_eq(&open.place(0), &first.unwrap()), "used again");
        open.weigh(9, 2, || 25);
        assert_eq!((open.files.len(), open.bytes), (8, 95), "1 and 2 made room");
        assert!(open.place(0).get().is_some());
        assert!(open.place(1).get().is_none(), "to be opened again");
        open.weigh(0, 2, || 1000);
        assert_eq!(open.files.len(), 1, "one that is being opened is kept: {:?}", open.files.keys());
    }
}
