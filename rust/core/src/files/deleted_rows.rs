//! The rows of a table's files that the table has deleted: one bitmap of positions a file.
//!
//! Every kind of delete comes to such a set when a table is planned, and stays in the plan. From then on deleted rows are
//! off the line like rows that do not pass a filter: how many of a row group are left is arithmetic, and no delete file is
//! opened again.

use std::collections::BTreeMap;

use roaring::RoaringTreemap;
use xxhash_rust::xxh3::Xxh3;

use super::plan::Plan;
use super::wire::{Decoder, put, put_bytes};
use crate::order::RowSet;
use crate::{Error, Result};

/// The deleted rows of a plan's files, and what is left of each row group.
#[derive(Debug, Clone, PartialEq)]
pub struct DeletedRows {
    /// Of each file (by its index) that has any: the positions in the file.
    files: BTreeMap<u32, RoaringTreemap>,
    /// Each row group's rows that are not deleted.
    live: Vec<u64>,
    count: u64,
    digest: u128,
}

impl DeletedRows {
    /// The rows at these positions of a plan's files, given by index.
    fn new(plan: &Plan, deleted: impl IntoIterator<Item = (usize, RoaringTreemap)>) -> Result<Self> {
        let mut files = BTreeMap::new();
        let mut live = plan.group_rows().to_vec();
        let mut count = 0;
        for (index, positions) in deleted {
            if index >= plan.num_files() {
                return Err(Error::Argument(format!("rows deleted of file {index} of {}", plan.num_files())));
            }
            let file = plan.file(index);
            let Some(last) = positions.max() else { continue };
            if last >= file.rows {
                return Err(Error::corrupt(
                    plan.path(index),
                    format!(
                        "its row {last} is deleted, and it has {} rows: the delete is of another file, or the file was \
                         written over; restore the table",
                        file.rows
                    ),
                ));
            }
            let mut start = 0;
            for group in file.groups {
                let end = start + plan.group_rows()[group];
                live[group] -= count_in(&positions, start, end);
                start = end;
            }
            count += positions.len();
            if files.insert(index as u32, positions).is_some() {
                return Err(Error::Argument(format!("rows of {} are deleted twice", plan.path(index))));
            }
        }
        let digest = digest(plan, &files);
        Ok(Self { files, live, count, digest })
    }

    /// How many rows are deleted, over all files.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// XXH3-128 over every file that has deleted rows, in order: its name (its length first), how many rows are deleted,
    /// and their positions, eight little-endian bytes each.
    pub fn digest(&self) -> u128 {
        self.digest
    }

    /// The positions of a file's deleted rows, ascending.
    pub fn positions(&self, file: usize) -> impl Iterator<Item = u64> {
        self.files.get(&(file as u32)).into_iter().flatten()
    }

    /// The deleted rows of some files, which then have the indices 0, 1, 2 …
    pub(super) fn of_files(&self, files: &[usize]) -> Vec<(usize, RoaringTreemap)> {
        let of = |(at, file): (usize, &usize)| Some((at, self.files.get(&(*file as u32))?.clone()));
        files.iter().enumerate().filter_map(of).collect()
    }

    /// The rows of a row group that are not deleted; None where that is all. `first`: the row group's first row in its
    /// file, which has `rows` rows.
    pub(crate) fn live_rows(&self, file: usize, first: u64, rows: u64) -> Option<RowSet> {
        let positions = self.files.get(&(file as u32))?;
        let mut words = vec![u64::MAX; rows.div_ceil(64) as usize];
        let mut deleted = positions.iter();
        deleted.advance_to(first);
        for row in deleted.map_while(|position| position.checked_sub(first).filter(|&row| row < rows)) {
            words[(row / 64) as usize] &= !(1 << (row % 64));
        }
        Some(RowSet::from_words(rows, words)).filter(|set| set.len() < rows)
    }

    /// As bytes: the number of files, and of each its index and positions (a portable 64-bit roaring bitmap).
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, self.files.len() as u64);
        for (&file, positions) in &self.files {
            put(&mut out, u64::from(file));
            let mut bytes = Vec::with_capacity(positions.serialized_size());
            // Writing to memory does not fail; were it cut short, the checksum of the plan would hold and the reader fail.
            let _ = positions.serialize_into(&mut bytes);
            put_bytes(&mut out, &bytes);
        }
        out
    }
}

/// What [`DeletedRows::to_bytes`] wrote.
pub(super) fn read(body: &mut Decoder<'_>) -> Option<Vec<(usize, RoaringTreemap)>> {
    // A file takes three bytes at least.
    let files = body.count(3)?;
    (0..files)
        .map(|_| {
            let file = usize::try_from(body.number()?).ok()?;
            let mut bytes = body.bytes()?;
            let positions = RoaringTreemap::deserialize_from(&mut bytes).ok()?;
            bytes.is_empty().then_some((file, positions))
        })
        .collect()
}

/// How many positions lie in `start..end`.
fn count_in(positions: &RoaringTreemap, start: u64, end: u64) -> u64 {
    let below = |bound: u64| bound.checked_sub(1).map_or(0, |last| positions.rank(last));
    below(end) - below(start)
}

fn digest(plan: &Plan, files: &BTreeMap<u32, RoaringTreemap>) -> u128 {
    let mut hasher = Xxh3::new();
    for (&file, positions) in files {
        let name = plan.name(file as usize).as_bytes();
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name);
        hasher.update(&positions.len().to_le_bytes());
        for position in positions {
            hasher.update(&position.to_le_bytes());
        }
    }
    hasher.digest128()
}

impl Plan {
    /// The same plan, without these rows of its files (given by index, ascending or not).
    ///
    /// # Errors
    /// A position that a file does not have, a file twice, or a plan whose passing rows were counted before.
    pub fn with_deleted(&self, deleted: impl IntoIterator<Item = (usize, RoaringTreemap)>) -> Result<Self> {
        if self.passing().is_some() {
            return Err(Error::internal("rows are deleted before those that pass are counted"));
        }
        let deleted = DeletedRows::new(self, deleted)?;
        let mut plan = self.clone();
        plan.deleted = (deleted.count > 0).then(|| std::sync::Arc::new(deleted));
        Ok(plan)
    }

    /// The same, by positions in each file, in any order.
    ///
    /// # Errors
    /// As [`Self::with_deleted`]; or a negative position.
    pub fn with_deleted_at(&self, deleted: Vec<(usize, Vec<i64>)>) -> Result<Self> {
        let set = |(file, rows): (usize, Vec<i64>)| {
            if let Some(row) = rows.iter().find(|&&row| row < 0) {
                return Err(Error::Argument(format!("row {row} of file {file} is deleted, and rows count from 0")));
            }
            let ascending = rows.is_sorted();
            let mut rows: Vec<u64> = rows.into_iter().map(i64::unsigned_abs).collect();
            if !ascending {
                rows.sort_unstable();
            }
            rows.dedup();
            let set = RoaringTreemap::from_sorted_iter(rows);
            Ok((file, set.map_err(|_| Error::internal("sorted rows are not ascending"))?))
        };
        self.with_deleted(deleted.into_iter().map(set).collect::<Result<Vec<_>>>()?)
    }

    /// The rows that the table has deleted; None where it has deleted none.
    pub fn deleted(&self) -> Option<&DeletedRows> {
        self.deleted.as_deref()
    }

    /// Whether rows of the files are off the line.
    pub fn selects_rows(&self) -> bool {
        self.passing().is_some() || self.deleted().is_some()
    }

    /// Each row group's rows that are not deleted.
    pub fn live_rows(&self) -> &[u64] {
        self.deleted().map_or(self.group_rows(), |deleted| &deleted.live)
    }

    /// The rows of a row group (counted over all files) that are not deleted; None where that is all.
    pub(crate) fn live_set(&self, group: usize) -> Option<RowSet> {
        let deleted = self.deleted()?;
        let file = self.file_of_group(group);
        if self.live_rows()[group] == self.group_rows()[group] {
            return None;
        }
        let first = self.group_rows()[self.groups(file).start..group].iter().sum();
        deleted.live_rows(file, first, self.group_rows()[group])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    use super::*;
    use crate::files::plan::tests::plan as plan_with;

    fn plan_of(groups: &[Vec<u64>]) -> Plan {
        let names: Vec<String> = (0..groups.len()).map(|file| file.to_string()).collect();
        let files: Vec<(&str, &[u64])> =
            names.iter().map(String::as_str).zip(groups.iter().map(Vec::as_slice)).collect();
        plan_with(&files)
    }

    proptest! {
        #[test]
        fn what_is_left_is_what_a_set_says(
            groups in prop::collection::vec(prop::collection::vec(0_u64..300, 1..4), 1..4),
            seeds in prop::collection::vec(any::<u64>(), 0..200),
        ) {
            let plan = plan_of(&groups);
            let mut model: Vec<BTreeSet<u64>> = vec![BTreeSet::new(); groups.len()];
            for seed in seeds {
                let file = (seed % groups.len() as u64) as usize;
                let rows: u64 = groups[file].iter().sum();
                if rows > 0 {
                    model[file].insert(seed / 7 % rows);
                }
            }
            let deleted = || model.iter().enumerate().map(|(file, rows)| (file, rows.iter().copied().collect()));
            let with = plan.with_deleted(deleted()).unwrap();
            prop_assert_eq!(with.deleted().map_or(0, DeletedRows::count), model.iter().map(|m| m.len() as u64).sum::<u64>());
            for (file, rows) in model.iter().enumerate() {
                let mut first = 0;
                for group in with.groups(file) {
                    let count = with.group_rows()[group];
                    let wanted: Vec<u64> = (0..count).filter(|row| !rows.contains(&(first + row))).collect();
                    prop_assert_eq!(with.live_rows()[group], wanted.len() as u64);
                    prop_assert_eq!(with.line_rows()[group], wanted.len() as u64);
                    let set = with.live_set(group).unwrap_or_else(|| RowSet::all(count));
                    let found: Vec<u64> = (0..set.len()).map(|index| set.row(index)).collect();
                    prop_assert_eq!(found, wanted);
                    first += count;
                }
            }
            let again = Plan::from_bytes(&with.to_bytes()).unwrap();
            prop_assert_eq!(&again, &with);
            prop_assert_eq!(again.deleted().map(DeletedRows::digest), with.deleted().map(DeletedRows::digest));
            let odd: Vec<usize> = (0..groups.len()).filter(|file| file % 2 == 1).collect();
            let some = with.select(&odd).unwrap();
            for (at, &file) in odd.iter().enumerate() {
                let of = |plan: &Plan, file| plan.deleted().map_or(Vec::new(), |deleted| deleted.positions(file).collect::<Vec<_>>());
                prop_assert_eq!(of(&some, at), of(&with, file));
            }
        }
    }

    #[test]
    fn positions_that_a_file_does_not_have_are_refused() {
        let plan = plan_of(&[vec![3, 2], vec![4]]);
        let rows = |positions: &[u64]| positions.iter().copied().collect::<RoaringTreemap>();
        assert!(plan.with_deleted([(0, rows(&[4]))]).is_ok());
        let error = plan.with_deleted([(0, rows(&[5]))]).unwrap_err().to_string();
        assert!(error.contains("row 5") && error.contains("5 rows"), "{error}");
        assert!(plan.with_deleted([(2, rows(&[0]))]).is_err());
        assert!(plan.with_deleted([(1, rows(&[0])), (1, rows(&[1]))]).is_err());
        assert!(plan.with_deleted([(1, rows(&[]))]).unwrap().deleted().is_none());
        assert!(plan.with_deleted_at(vec![(0, vec![1, -1])]).unwrap_err().to_string().contains("row -1 of file 0"));
        let mixed = plan.with_deleted_at(vec![(0, vec![4, 1, 4])]).unwrap();
        assert_eq!(mixed, plan.with_deleted([(0, rows(&[1, 4]))]).unwrap());
    }
}
