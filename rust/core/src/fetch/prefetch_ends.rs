//! Where the prefetched rows of each row group end, so that the rows after them are known to continue a read.

use std::collections::HashMap;
use std::ops::Range;

/// For row groups that were prefetched in part, the ends of the rows that were.
#[derive(Default)]
pub(super) struct PrefetchEnds {
    ends: HashMap<usize, Vec<u64>>,
}

impl PrefetchEnds {
    /// Notes rows of a row group of `all` rows; whether they continue no rows noted before. A read is continued once.
    pub(super) fn is_new(&mut self, group: usize, rows: &Range<u64>, all: u64) -> bool {
        let ends = self.ends.entry(group).or_default();
        let before = ends.iter().position(|&end| end == rows.start && rows.start > 0);
        if let Some(at) = before {
            ends.swap_remove(at);
        }
        if rows.end < all {
            ends.push(rows.end);
        }
        if ends.is_empty() {
            self.ends.remove(&group);
        }
        before.is_none()
    }

    /// Forgets that rows were noted up to here: those after them begin a read.
    pub(super) fn forget(&mut self, group: usize, end: u64) {
        if let Some(ends) = self.ends.get_mut(&group) {
            ends.retain(|&noted| noted != end);
            if ends.is_empty() {
                self.ends.remove(&group);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_continue_where_others_ended_and_are_new_elsewhere() {
        let mut ends = PrefetchEnds::default();
        let mut is_new = |group, rows| ends.is_new(group, &rows, 100);
        assert!(is_new(0, 0..40));
        assert!(!is_new(0, 40..60));
        assert!(is_new(0, 50..70), "another shard, from the middle on");
        assert!(is_new(1, 60..80));
        assert!(!is_new(0, 60..100));
        assert!(!is_new(0, 70..100));
        assert!(is_new(0, 0..100), "again from its start");
        assert!(is_new(0, 40..60), "what it continued was read to its end");
        assert_eq!(ends.ends.len(), 2);
    }

    #[test]
    fn rows_behind_a_closed_read_are_new() {
        let mut ends = PrefetchEnds::default();
        assert!(ends.is_new(0, &(0..40), 100));
        ends.forget(0, 30);
        ends.forget(1, 40);
        assert!(!ends.is_new(0, &(40..60), 100));
        ends.forget(0, 60);
        assert!(ends.ends.is_empty());
        assert!(ends.is_new(0, &(60..100), 100));
    }
}
