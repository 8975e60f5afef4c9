//! Splits: consecutive row groups of one file, the unit that `shuffle=True` permutes, or cuts and permutes.

use crate::{Error, Result};

/// What closes a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SplitLimits {
    /// Uncompressed bytes, all columns.
    pub bytes: u64,
    /// Rows, where asked for.
    pub rows: Option<u64>,
    /// Whether a split holds at most 1/64 of all rows, so that there is something to permute.
    pub shuffle: bool,
}

/// All row groups of a plan, packed into splits; the same for every epoch.
///
/// Row groups are numbered through all files. Memory: 8 bytes a row group and 4 a split. Where only some rows pass,
/// splits are packed from all rows, so that they are the same under every filter; all else counts passing rows.
#[derive(Debug, Clone)]
pub struct Splits {
    /// The first row group of every split, and the end of the last.
    first_group: Vec<u32>,
    /// The passing rows before every row group, and all of them at the end.
    group_start: Vec<u64>,
}

/// With shuffle on, a split holds at most one part in this many of all rows.
const SHUFFLED_PARTS: u64 = 64;

impl Splits {
    /// Packs row groups into splits.
    ///
    /// `passing` is how many of the rows of every row group stand on the line. `rows` and `bytes` are those of every
    /// row group, `file_ends` the number of row groups up to each file's end. A split closes before the row group that
    /// would take it over a limit; a larger row group is a split alone. Row groups without rows belong to the split
    /// before them and close nothing.
    ///
    /// # Errors
    /// More than 2³² - 1 row groups, or more than 2⁶³ rows.
    pub fn pack(rows: &[u64], passing: &[u64], bytes: &[u64], file_ends: &[u32], limits: SplitLimits) -> Result<Self> {
        if u32::try_from(rows.len()).is_err() {
            return Err(Error::Argument(format!("{} row groups are more than 2**32 - 1", rows.len())));
        }
        if passing.len() != rows.len() || passing.iter().zip(rows).any(|(passing, rows)| passing > rows) {
            return Err(Error::internal("more rows pass than there are"));
        }
        let total = rows
            .iter()
            .try_fold(0_u64, |sum, &count| sum.checked_add(count).filter(|&sum| sum <= i64::MAX as u64))
            .ok_or_else(|| Error::Argument("the files hold more than 2**63 rows".into()))?;
        let mut group_start = Vec::with_capacity(rows.len() + 1);
        let mut before = 0;
        group_start.push(before);
        for &count in passing {
            before += count;
            group_start.push(before);
        }
        let row_limit = limits.rows.unwrap_or(u64::MAX);
        let too_long = |length: u64| {
            length > row_limit
                || (limits.shuffle && u128::from(length) * u128::from(SHUFFLED_PARTS) > u128::from(total))
        };

        let mut first_group = Vec::new();
        let mut begin = 0;
        for &file_end in file_ends {
            let end = file_end as usize;
            let mut open: Option<(u64, u64)> = None;
            for group in begin..end.min(rows.len()) {
                if rows[group] == 0 {
                    continue;
                }
                let grown = open.map(|(length, size)| (length + rows[group], size.saturating_add(bytes[group])));
                open = match grown {
                    Some((length, size)) if !too_long(length) && size <= limits.bytes => Some((length, size)),
                    _ => {
                        first_group.push(group as u32);
                        Some((rows[group], bytes[group]))
                    }
                };
            }
            begin = end;
        }
        first_group.push(rows.len() as u32);
        first_group.shrink_to_fit();
        Ok(Self { first_group, group_start })
    }

    /// How many splits.
    pub fn len(&self) -> usize {
        self.first_group.len() - 1
    }

    /// Whether there is none, because there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All rows that pass.
    pub fn num_rows(&self) -> u64 {
        self.group_start.last().copied().unwrap_or(0)
    }

    /// The row groups that have passing rows.
    pub(crate) fn groups_with_rows(&self) -> u64 {
        self.group_start.windows(2).filter(|ends| ends[0] < ends[1]).count() as u64
    }

    /// The passing rows before every row group, and all of them at the end.
    pub(crate) fn into_group_starts(self) -> Vec<u64> {
        self.group_start
    }

    /// The passing rows of a split, numbered through all files in their order.
    pub(crate) fn rows(&self, split: u32) -> std::ops::Range<u64> {
        let groups = self.groups(split);
        self.group_start[groups.start as usize]..self.group_start[groups.end as usize]
    }

    /// The row groups of a split; those at its end may have no rows and be another file's.
    pub fn groups(&self, split: u32) -> std::ops::Range<u32> {
        self.first_group[split as usize]..self.first_group[split as usize + 1]
    }

    /// The first of all passing rows that a row group holds.
    pub(crate) fn group_start(&self, group: u32) -> u64 {
        self.group_start[group as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pack(rows: &[u64], file_ends: &[u32], limits: SplitLimits) -> Vec<Vec<u64>> {
        let bytes: Vec<u64> = rows.iter().map(|r| r * 10).collect();
        let splits = Splits::pack(rows, rows, &bytes, file_ends, limits).unwrap();
        (0..splits.len() as u32)
            .map(|s| splits.groups(s).map(|g| rows[g as usize]).filter(|&r| r > 0).collect())
            .collect()
    }

    const OPEN: SplitLimits = SplitLimits { bytes: u64::MAX, rows: None, shuffle: false };

    #[test]
    fn a_split_closes_before_it_would_pass_a_limit() {
        assert_eq!(pack(&[5, 5, 5], &[3], OPEN), [vec![5, 5, 5]]);
        assert_eq!(pack(&[5, 5, 5], &[1, 3], OPEN), [vec![5], vec![5, 5]]);
        assert_eq!(pack(&[5, 5, 5], &[3], SplitLimits { bytes: 100, ..OPEN }), [vec![5, 5], vec![5]]);
        assert_eq!(pack(&[5, 5, 5], &[3], SplitLimits { rows: Some(9), ..OPEN }), [vec![5], vec![5], vec![5]]);
        assert_eq!(pack(&[20, 1, 1], &[3], SplitLimits { rows: Some(9), ..OPEN }), [vec![20], vec![1, 1]]);
        assert_eq!(pack(&[0, 5, 0, 0, 5, 0], &[3, 6], OPEN), [vec![5], vec![5]]);
        assert!(pack(&[0, 0], &[1, 2], OPEN).is_empty());
    }

    #[test]
    fn with_shuffle_on_a_split_is_at_most_a_64th_of_all_rows() {
        let rows = vec![1_u64; 640];
        let splits = pack(&rows, &[640], SplitLimits { shuffle: true, ..OPEN });
        assert_eq!(splits.len(), 64);
        assert!(splits.iter().all(|split| split.len() == 10));
    }

    proptest! {
        #[test]
        fn every_row_group_is_in_one_split_of_its_file(
            rows in proptest::collection::vec(0_u64..50, 0..60),
            cuts in proptest::collection::vec(0_usize..60, 0..6),
            limit in 1_u64..120,
            shuffle: bool,
        ) {
            let mut ends: Vec<u32> = cuts.iter().map(|&c| c.min(rows.len()) as u32).collect();
            ends.push(rows.len() as u32);
            ends.sort_unstable();
            let splits = pack(&rows, &ends, SplitLimits { rows: Some(limit), shuffle, ..OPEN });
            prop_assert_eq!(splits.concat(), rows.iter().copied().filter(|&r| r > 0).collect::<Vec<_>>());
            for split in &splits {
                prop_assert!(split.len() == 1 || split.iter().sum::<u64>() <= limit);
            }
        }
    }
}
