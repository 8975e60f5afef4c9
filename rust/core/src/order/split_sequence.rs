//! The pieces of one epoch in their permuted order, stratum by stratum.

use std::ops::Range;
use std::sync::Arc;

use super::{Pieces, key, permutation};

/// Some rows in a row of one row group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSlice {
    /// The row group, numbered through all files.
    pub group: u32,
    /// Rows of that row group, numbered among those that pass.
    pub rows: Range<u64>,
}

/// The pieces of all strata in an epoch's order; a place is a number in 0 … N-1.
///
/// A stratum's places are the numbers of its rows in the files' order: only inside of it are pieces permuted.
#[derive(Debug, Clone)]
pub struct SplitSequence {
    pieces: Arc<Pieces>,
    /// The piece at each turn.
    turns: Vec<u32>,
    /// The place where each turn begins, and N.
    starts: Vec<u64>,
}

impl SplitSequence {
    /// Lays the pieces out in the files' order, or, for a seed and an epoch, those of each stratum permuted.
    pub fn new(pieces: Arc<Pieces>, shuffled: Option<(u64, u64)>) -> Self {
        let mut turns: Vec<u32> = Vec::with_capacity(pieces.len());
        for stratum in 0..pieces.num_strata() {
            let Range { start, end } = pieces.pieces_of(stratum);
            match shuffled {
                None => turns.extend(start..end),
                Some((seed, epoch)) => {
                    let key = key("splits", &[seed, epoch, stratum as u64]);
                    turns.extend(permutation(key, end - start).into_iter().map(|piece| start + piece));
                }
            }
        }
        let mut starts = Vec::with_capacity(turns.len() + 1);
        let mut place = 0;
        starts.push(0);
        for &piece in &turns {
            let rows = pieces.rows(piece);
            place += rows.end - rows.start;
            starts.push(place);
        }
        Self { pieces, turns, starts }
    }

    /// The pieces and their strata.
    pub(crate) fn pieces(&self) -> &Pieces {
        &self.pieces
    }

    /// All rows.
    pub fn len(&self) -> u64 {
        self.pieces.num_rows()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row at a place: its row group and its number in there. The place must be below [`len`](Self::len).
    pub fn row(&self, place: u64) -> (u32, u64) {
        let turn = self.turn_of(place);
        let piece = self.turns[turn];
        let row = self.pieces.rows(piece).start + (place - self.starts[turn]);
        let group = self.pieces.group_of(row, piece);
        (group, row - self.pieces.group_start(group))
    }

    /// The turn that the place is in.
    ///
    /// Looked for from where it would be if all pieces were of one size, and again from what stands there, then in
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
            let piece = self.turns[turn];
            let until = end.min(self.starts[turn + 1]);
            let mut row = self.pieces.rows(piece).start + (start - self.starts[turn]);
            let stop = row + (until - start);
            let mut group = self.pieces.group_of(row, piece);
            while row < stop {
                let group_end = self.pieces.group_start(group + 1);
                let slice_end = stop.min(group_end);
                if slice_end > row {
                    let base = self.pieces.group_start(group);
                    found.push(GroupSlice { group, rows: row - base..slice_end - base });
                    row = slice_end;
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
    use crate::order::{SplitLimits, Splits};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slices_and_rows_agree_and_cover_everything(
            rows in proptest::collection::vec((0_u64..9, 0_u64..9), 0..40),
            limit in 1_u64..20,
            strata in 1_u64..9,
            shuffled: Option<(u64, u64)>,
            cut in 0.0..1.0_f64,
        ) {
            let all: Vec<u64> = rows.iter().map(|&(rows, _)| rows).collect();
            let bytes = vec![1; rows.len()];
            let rows: Vec<u64> = rows.into_iter().map(|(rows, passing)| passing.min(rows)).collect();
            let limits = SplitLimits { bytes: u64::MAX, rows: Some(limit), shuffle: false };
            let splits = Splits::pack(&all, &rows, &bytes, &[rows.len() as u32], limits).unwrap();
            let strata = strata.min(splits.num_rows().max(1));
            let split_sequence = SplitSequence::new(Arc::new(Pieces::cut(splits, strata).unwrap()), shuffled);
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
