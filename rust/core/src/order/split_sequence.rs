//! The splits of one epoch in their permuted order, one after the other.

use std::ops::Range;
use std::sync::Arc;

use super::{Key, Splits, permutation};
use crate::{Error, Result};

/// Some rows in a row of one row group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSlice {
    /// The row group, numbered through all files.
    pub group: u32,
    /// Rows of that row group, numbered among those that pass.
    pub rows: Range<u64>,
}

/// The splits in an epoch's order; a place is a number in 0 … N-1.
#[derive(Debug, Clone)]
pub struct SplitSequence {
    splits: Arc<Splits>,
    /// The split at each turn.
    turns: Vec<u32>,
    /// The place where each turn begins, and N.
    starts: Vec<u64>,
}

impl SplitSequence {
    /// Lays the splits out in the files' order, or, under a key, in the order of its permutation.
    ///
    /// # Errors
    /// More than 2³² - 1 splits.
    pub fn new(splits: Arc<Splits>, key: Option<Key>) -> Result<Self> {
        let count = u32::try_from(splits.len())
            .map_err(|_| Error::Argument(format!("{} splits are more than 2**32 - 1", splits.len())))?;
        let turns = match key {
            Some(key) => permutation(key, count),
            None => (0..count).collect(),
        };
        let mut starts = Vec::with_capacity(turns.len() + 1);
        let mut place = 0;
        starts.push(0);
        for &split in &turns {
            let rows = splits.rows(split);
            place += rows.end - rows.start;
            starts.push(place);
        }
        Ok(Self { splits, turns, starts })
    }

    /// All rows.
    pub fn len(&self) -> u64 {
        self.splits.num_rows()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row at a place: its row group and its number in there. The place must be below [`len`](Self::len).
    pub fn row(&self, place: u64) -> (u32, u64) {
        let turn = self.turn_of(place);
        let split = self.turns[turn];
        let row = self.splits.rows(split).start + (place - self.starts[turn]);
        let group = self.splits.group_of(row, self.splits.groups(split));
        (group, row - self.splits.group_start(group))
    }

    /// The last turn that begins at or before the place: turns without rows share their start with the next one.
    ///
    /// Looked for from where it would be if all splits were of one size, and again from what stands there, then in
    /// steps that double: each look far away is a miss of the cache. The first one goes to one of few places, which
    /// stay in it.
    fn turn_of(&self, place: u64) -> usize {
        let turns = self.turns.len();
        let each = self.len() as f64 / turns as f64;
        let mut guess = 0;
        for apart in [1024, 1] {
            let away = (place as f64 - self.starts[guess] as f64) / each;
            guess = ((guess as f64 + away) as usize).min(turns - 1); // below 0 is 0
            guess -= guess % apart;
        }
        // From here on: starts[low] ≤ place < starts[high].
        let (mut low, mut high, mut step) = (0, turns, 1);
        if self.starts[guess] <= place {
            low = guess;
            while low + step < turns && self.starts[low + step] <= place {
                low += step;
                step *= 2;
            }
            high = high.min(low + step);
        } else {
            high = guess;
            while step < high && self.starts[high - step] > place {
                high -= step;
                step *= 2;
            }
            low = low.max(high.saturating_sub(step));
        }
        low + self.starts[low..high].partition_point(|&start| start <= place) - 1
    }

    /// The row-group slices at these places, in order: O(log n) for the first, O(1) for each one after it.
    pub fn slices(&self, places: Range<u64>) -> Vec<GroupSlice> {
        let mut found: Vec<GroupSlice> = Vec::new();
        let Range { mut start, end } = places;
        if start >= end {
            return found;
        }
        let mut turn = self.turn_of(start);
        while start < end {
            let split = self.turns[turn];
            let until = end.min(self.starts[turn + 1]);
            let mut row = self.splits.rows(split).start + (start - self.starts[turn]);
            let stop = row + (until - start);
            let groups = self.splits.groups(split);
            let mut group = self.splits.group_of(row, groups);
            while row < stop {
                let group_end = self.splits.group_start(group + 1);
                let piece_end = stop.min(group_end);
                if piece_end > row {
                    let base = self.splits.group_start(group);
                    found.push(GroupSlice { group, rows: row - base..piece_end - base });
                    row = piece_end;
                }
                group += 1;
            }
            start = until;
            turn += 1;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::{SplitLimits, key};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slices_and_rows_agree_and_cover_everything(
            rows in proptest::collection::vec((0_u64..9, 0_u64..9), 0..40),
            limit in 1_u64..20,
            seed: Option<u64>,
            cut in 0.0..1.0_f64,
        ) {
            let all: Vec<u64> = rows.iter().map(|&(rows, _)| rows).collect();
            let bytes = vec![1; rows.len()];
            let rows: Vec<u64> = rows.into_iter().map(|(rows, passing)| passing.min(rows)).collect();
            let limits = SplitLimits { bytes: u64::MAX, rows: Some(limit), shuffle: false };
            let splits = Arc::new(Splits::pack(&all, &rows, &bytes, &[rows.len() as u32], limits).unwrap());
            let split_sequence = SplitSequence::new(splits, seed.map(|s| key("splits", &[s]))).unwrap();
            let middle = (split_sequence.len() as f64 * cut) as u64;
            let mut slices = split_sequence.slices(0..middle);
            slices.extend(split_sequence.slices(middle..split_sequence.len()));
            let listed: Vec<(u32, u64)> =
                slices.iter().flat_map(|s| s.rows.clone().map(|row| (s.group, row))).collect();
            let found: Vec<(u32, u64)> = (0..split_sequence.len()).map(|place| split_sequence.row(place)).collect();
            prop_assert_eq!(&listed, &found);
            let mut sorted = listed;
            sorted.sort_unstable();
            let all: Vec<(u32, u64)> = rows.iter().enumerate()
                .flat_map(|(g, &n)| (0..n).map(move |row| (g as u32, row))).collect();
            prop_assert_eq!(sorted, all);
        }
    }
}
