//! A list of intervals of the line, with coordinates of its own: 0 … len-1, through the intervals in their order.

use std::ops::Range;

/// Disjoint, ascending, non-empty intervals of the line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Intervals {
    ranges: Vec<Range<u64>>,
    /// The coordinate at which each interval ends.
    ends: Vec<u64>,
}

impl Intervals {
    /// The whole line of n positions.
    pub fn whole(n: u64) -> Self {
        let mut whole = Self::default();
        whole.push(0..n);
        whole
    }

    /// Joins intervals, in any order, into a list; they must not overlap.
    pub fn collect(mut ranges: Vec<Range<u64>>) -> Self {
        ranges.sort_unstable_by_key(|range| range.start);
        let mut list = Self::default();
        for range in ranges {
            list.push(range);
        }
        list
    }

    /// Adds an interval that begins at or after the end of the last; neighbours become one.
    fn push(&mut self, range: Range<u64>) {
        if range.start >= range.end {
            return;
        }
        let end = self.len() + (range.end - range.start);
        match (self.ranges.last_mut(), self.ends.last_mut()) {
            (Some(last), Some(last_end)) if last.end == range.start => {
                last.end = range.end;
                *last_end = end;
            }
            _ => {
                self.ranges.push(range);
                self.ends.push(end);
            }
        }
    }

    /// How many positions.
    pub fn len(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Whether there is no position.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The intervals.
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// Whether every position of a range is in the list.
    pub fn holds(&self, range: &Range<u64>) -> bool {
        let index = self.ranges.partition_point(|known| known.end <= range.start);
        range.is_empty()
            || self.ranges.get(index).is_some_and(|known| known.start <= range.start && range.end <= known.end)
    }

    /// The positions at these coordinates.
    pub fn slice(&self, coordinates: Range<u64>) -> Vec<Range<u64>> {
        let Range { mut start, end } = coordinates;
        let mut found = Vec::new();
        let mut index = self.ends.partition_point(|&stop| stop <= start);
        while start < end && index < self.ranges.len() {
            let until = end.min(self.ends[index]);
            let from_end = self.ends[index] - start;
            let first = self.ranges[index].end - from_end;
            found.push(first..first + (until - start));
            start = until;
            index += 1;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn neighbours_become_one() {
        let list = Intervals::collect(vec![5..7, 0..2, 2..3, 9..9]);
        assert_eq!(list.ranges(), [0..3, 5..7]);
        assert_eq!(list.len(), 5);
        assert!(Intervals::whole(0).is_empty());
    }

    proptest! {
        #[test]
        fn a_slice_is_what_counting_gives(gaps in proptest::collection::vec((0_u64..5, 1_u64..6), 0..10), a in 0_u64..60, b in 0_u64..60) {
            let mut ranges = Vec::new();
            let mut at = 0;
            for (gap, length) in gaps {
                ranges.push(at + gap..at + gap + length);
                at += gap + length;
            }
            let list = Intervals::collect(ranges.clone());
            let all: Vec<u64> = ranges.into_iter().flatten().collect();
            prop_assert_eq!(list.len(), all.len() as u64);
            prop_assert_eq!(list.holds(&(a..b)), (a..b).all(|position| all.contains(&position)));
            let (from, to) = (a.min(b).min(list.len()), a.max(b).min(list.len()));
            let found: Vec<u64> = list.slice(from..to).into_iter().flatten().collect();
            prop_assert_eq!(&found[..], &all[from as usize..to as usize]);
        }
    }
}
