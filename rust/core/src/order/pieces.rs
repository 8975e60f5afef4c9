//! Pieces: splits, the long ones cut, in file order; and strata, consecutive pieces with nearly equal rows each.

use std::ops::Range;

use super::{Splits, mul_div};
use crate::{Error, Result};

/// The pieces of all splits that have rows, and the strata that they are shared out to; the same for every epoch.
///
/// Only passing rows count. They are numbered through all files, so that a piece, and a stratum, is a range of them.
/// Memory: 12 bytes a piece and 8 a row group.
#[derive(Debug, Clone)]
pub struct Pieces {
    /// The first row of every piece, and all rows at the end.
    starts: Vec<u64>,
    /// The row group that holds each piece's first row, and the number of row groups at the end.
    first_group: Vec<u32>,
    /// The first piece of every stratum, and the number of pieces at the end.
    strata: Vec<u32>,
    /// The passing rows before every row group, and all of them at the end.
    group_start: Vec<u64>,
}

impl Pieces {
    /// Cuts splits for `strata` strata of a data set with at least as many rows, and shares the pieces out.
    ///
    /// A split with more rows than a stratum should have is cut into equal pieces that have not. A stratum begins at
    /// the border of pieces that is nearest to its equal share; one without rows is left out.
    ///
    /// # Errors
    /// More than 2³² - 1 pieces.
    pub fn cut(splits: Splits, strata: u64) -> Result<Self> {
        let all = splits.num_rows();
        let (mut starts, mut first_group) =
            (Vec::with_capacity(splits.len() + 1), Vec::with_capacity(splits.len() + 1));
        for split in 0..splits.len() as u32 {
            let Range { start, end } = splits.rows(split);
            let rows = end - start;
            if rows == 0 {
                continue;
            }
            let count = (u128::from(rows) * u128::from(strata)).div_ceil(u128::from(all)) as u64;
            let mut group = splits.groups(split).start;
            for number in 0..count {
                let row = start + mul_div(number, rows, count);
                while splits.group_start(group + 1) <= row {
                    group += 1;
                }
                starts.push(row);
                first_group.push(group);
            }
        }
        let count = u32::try_from(starts.len())
            .map_err(|_| Error::Argument(format!("{} splits are more than 2**32 - 1", starts.len())))?;
        starts.push(all);
        starts.shrink_to_fit();
        let group_start = splits.into_group_starts();
        first_group.push((group_start.len() - 1) as u32);
        first_group.shrink_to_fit();
        let mut borders: Vec<u32> =
            (1..strata).map(|stratum| nearest(&starts, mul_div(stratum, all, strata)) as u32).collect();
        borders.insert(0, 0);
        borders.push(count);
        borders.dedup();
        Ok(Self { starts, first_group, strata: borders, group_start })
    }

    /// How many pieces.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there is none, because no row passes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All rows.
    pub fn num_rows(&self) -> u64 {
        self.starts[self.len()]
    }

    /// How many strata have rows.
    pub fn num_strata(&self) -> usize {
        self.strata.len() - 1
    }

    /// G: the row groups that have rows.
    pub fn groups_with_rows(&self) -> u64 {
        (0..self.group_start.len() - 1).filter(|&group| self.has_rows(group)).count() as u64
    }

    /// The rows of a stratum.
    pub(crate) fn stratum(&self, stratum: usize) -> Range<u64> {
        let pieces = self.pieces_of(stratum);
        self.starts[pieces.start as usize]..self.starts[pieces.end as usize]
    }

    /// The pieces of a stratum.
    pub(crate) fn pieces_of(&self, stratum: usize) -> Range<u32> {
        self.strata[stratum]..self.strata[stratum + 1]
    }

    /// The row groups that a stratum has rows of; some between them may have none.
    pub(crate) fn groups_of_stratum(&self, stratum: usize) -> Range<u32> {
        let Range { start, end } = self.pieces_of(stratum);
        self.first_group[start as usize]..self.end_group(end as usize)
    }

    /// The end of the row groups that the pieces before `piece`, which is not the first, have rows of.
    fn end_group(&self, piece: usize) -> u32 {
        let group = self.first_group[piece];
        // A piece that begins inside of a row group shares it with the piece before.
        let shared = self.group_start[group as usize] < self.starts[piece];
        group + u32::from(shared && piece < self.len())
    }

    /// Whether a row group has rows.
    pub(crate) fn has_rows(&self, group: usize) -> bool {
        self.group_start[group] < self.group_start[group + 1]
    }

    /// The rows of a piece.
    pub(crate) fn rows(&self, piece: u32) -> Range<u64> {
        self.starts[piece as usize]..self.starts[piece as usize + 1]
    }

    /// The first row of a row group, counted as all others.
    pub(crate) fn group_start(&self, group: u32) -> u64 {
        self.group_start[group as usize]
    }

    /// The row group that holds this row of a piece.
    pub(crate) fn group_of(&self, row: u64, piece: u32) -> u32 {
        let first = self.first_group[piece as usize];
        let end = self.end_group(piece as usize + 1);
        let starts = &self.group_start[first as usize..end as usize];
        first + (starts.partition_point(|&start| start <= row) as u32).saturating_sub(1)
    }
}

/// The index of the value nearest to `target` in an ascending list that is not empty; of two, the lower one.
fn nearest(values: &[u64], target: u64) -> usize {
    let above = values.partition_point(|&value| value < target).min(values.len() - 1);
    match above.checked_sub(1) {
        Some(below) if target.abs_diff(values[below]) <= values[above].abs_diff(target) => below,
        _ => above,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::SplitLimits;
    use proptest::prelude::*;

    fn cut(rows: &[u64], strata: u64) -> Pieces {
        let file_ends: Vec<u32> = (1..=rows.len() as u32).collect();
        let limits = SplitLimits { bytes: u64::MAX, rows: None, shuffle: false };
        Pieces::cut(Splits::pack(rows, rows, rows, &file_ends, limits).unwrap(), strata).unwrap()
    }

    fn strata(pieces: &Pieces) -> Vec<Range<u64>> {
        (0..pieces.num_strata()).map(|stratum| pieces.stratum(stratum)).collect()
    }

    #[test]
    fn a_stratum_begins_at_the_nearest_border_of_pieces() {
        assert_eq!(strata(&cut(&[10, 10, 10, 10], 2)), [0..20, 20..40]);
        assert_eq!(strata(&cut(&[9, 9, 9, 9], 3)), [0..9, 9..27, 27..36], "targets 12 and 24");
        assert_eq!(strata(&cut(&[100], 4)), [0..25, 25..50, 50..75, 75..100]);
        assert_eq!(strata(&cut(&[90, 5, 5], 2)), [0..45, 45..100], "of 45 and 90");
        assert_eq!(strata(&cut(&[4, 0, 4], 2)), [0..4, 4..8]);
        assert_eq!(strata(&cut(&[1, 2, 1], 2)), [0..1, 1..4], "of two as near, the lower");
        assert!(strata(&cut(&[0, 0], 1)).is_empty());
    }

    proptest! {
        #[test]
        fn pieces_are_no_longer_than_a_stratum_should_be(
            rows in proptest::collection::vec(prop_oneof![0_u64..9, 0_u64..9000], 1..30), strata in 1_u64..40,
        ) {
            let all: u64 = rows.iter().sum();
            let pieces = cut(&rows, strata.min(all.max(1)));
            let wanted = all.div_ceil(strata.min(all.max(1)));
            let mut row = 0;
            for piece in 0..pieces.len() as u32 {
                let of_piece = pieces.rows(piece);
                prop_assert_eq!(of_piece.start, row);
                prop_assert!(!of_piece.is_empty() && of_piece.end - of_piece.start <= wanted);
                for row in [of_piece.start, of_piece.end - 1] {
                    let group = pieces.group_of(row, piece);
                    prop_assert!(pieces.group_start(group) <= row && row < pieces.group_start(group + 1));
                }
                row = of_piece.end;
            }
            prop_assert_eq!(row, all);
            let mut row = 0;
            for stratum in 0..pieces.num_strata() {
                let of_stratum = pieces.stratum(stratum);
                prop_assert_eq!(of_stratum.start, row);
                prop_assert!(!of_stratum.is_empty() && of_stratum.end - of_stratum.start <= 2 * wanted);
                let groups = pieces.groups_of_stratum(stratum);
                prop_assert!(pieces.group_start(groups.start) <= row && of_stratum.end <= pieces.group_start(groups.end));
                row = of_stratum.end;
            }
            prop_assert_eq!(row, all);
        }
    }
}
