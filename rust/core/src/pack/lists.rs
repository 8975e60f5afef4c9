//! The lists of a row group, and the other columns of their rows, read on block by block.

use std::ops::Range;
use std::sync::Arc;

use super::list_block::{ListBlock, integers};
use crate::decode::{DecompressPool, GroupColumn, Pack, PackColumns, SourceColumn, SourceReader};
use crate::fetch::Files;
use crate::order::RowSet;
use crate::select::Selections;
use crate::{Error, Result};

/// What lists are read from.
#[derive(Clone, Copy)]
pub(crate) struct ListSource<'a> {
    pub(crate) files: &'a Files,
    /// None where all rows pass.
    pub(crate) selections: Option<&'a Selections>,
    pub(crate) columns: PackColumns<'a>,
    pub(crate) pool: Option<&'a Arc<DecompressPool>>,
}

/// A row group's lists, from a row on. Rows are counted among those that pass. It reads blocks, or lengths only.
pub(super) struct ListReader {
    pub(super) group: usize,
    pub(super) row: u64,
    rows: u64,
    /// Of each column; none before the first reading.
    readers: Vec<SourceReader>,
}

/// Where a row is, for messages.
pub(super) struct RowPlace<'a> {
    path: &'a str,
    first_row: u64,
    set: Option<&'a RowSet>,
}

impl RowPlace<'_> {
    /// The error of a column in a row, counted among those of its row group that pass. `wrong`: of the row's number.
    pub(super) fn wrong(&self, column: &SourceColumn, row: u64, wrong: impl FnOnce(u64) -> String) -> Error {
        let row = self.first_row + self.set.map_or(row, |set| set.row(row));
        let detail = format!("column {:?} {}", column.name, wrong(row));
        Error::Data { path: self.path.to_owned(), detail }
    }
}

impl ListReader {
    pub(super) fn new(files: &Files, group: usize, row: u64) -> Self {
        let rows = files.plan().selected_rows().get(group).copied().unwrap_or(0);
        Self { group, row, rows, readers: Vec::new() }
    }

    /// How many rows are left.
    pub(super) fn left(&self) -> u64 {
        self.rows - self.row
    }

    /// The rows of the row group.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// The bytes that it holds between two readings.
    pub(super) fn held(&self) -> u64 {
        self.readers.iter().map(SourceReader::held).sum()
    }

    /// The lists of the next rows, and what stands beside them.
    pub(super) fn next(&mut self, from: &ListSource<'_>, rows: u64) -> Result<ListBlock> {
        let columns: Vec<&SourceColumn> = from.columns.all().collect();
        let block = self.read(from, &columns, rows, |readers, of, set, range| {
            let mut arrays = Vec::with_capacity(of.len());
            for (reader, of) in readers.iter_mut().zip(of) {
                arrays.push(of.guarded(|| reader.read(of, set, range.clone()))?);
            }
            let place = RowPlace { path: &of[0].file.path, first_row: of[0].first_row, set };
            ListBlock::new(&from.columns, &arrays, &place, range.start).map(Some)
        })?;
        block.ok_or_else(|| Error::internal("lists that were not read"))
    }

    /// The tokens of the document of each of the next rows. Values are not decoded where levels alone tell it, or a column
    /// of lengths does.
    pub(super) fn lengths(&mut self, from: &ListSource<'_>, pack: &Pack, rows: u64) -> Result<Vec<u64>> {
        if let Some(column) = from.columns.lengths {
            return self.told(from, column, pack, rows);
        }
        let ends = self.read(from, &[from.columns.lists], rows, |readers, of, set, range| match set {
            None => of[0].guarded(|| readers[0].ends(&of[0], (range.end - range.start) as usize)),
            Some(_) => Ok(None),
        })?;
        let Some(ends) = ends else {
            let block = self.next(from, rows)?;
            return Ok((0..block.len()).map(|list| block.tokens(pack, list)).collect());
        };
        let mut start = 0;
        let length = |end: usize| pack.tokens((end - std::mem::replace(&mut start, end)) as u64);
        Ok(ends.into_iter().map(length).collect())
    }

    /// The same, as a column of lengths tells them.
    fn told(&mut self, from: &ListSource<'_>, column: &SourceColumn, pack: &Pack, rows: u64) -> Result<Vec<u64>> {
        let lengths = self.read(from, &[column], rows, |readers, of, set, range| {
            let array = of[0].guarded(|| readers[0].read(&of[0], set, range.clone()))?;
            let place = RowPlace { path: &of[0].file.path, first_row: of[0].first_row, set };
            let lengths = integers(&array)?.into_iter().zip(range.clone()).map(|(length, row)| {
                u64::try_from(length.unwrap_or(0)).map(|items| pack.tokens(items)).map_err(|_| {
                    let negative = length.unwrap_or(0);
                    place.wrong(column, row, |row| {
                        format!("is {negative} in row {row}, and length= is how many tokens a list has")
                    })
                })
            });
            lengths.collect::<Result<Vec<u64>>>().map(Some)
        })?;
        lengths.ok_or_else(|| Error::internal("lengths that were not read"))
    }

    /// The error of a document over `seq_len`, by its row.
    pub(super) fn too_long(&self, from: &ListSource<'_>, row: u64, tokens: u64, seq_len: usize) -> Error {
        let plan = from.files.plan();
        let file = plan.file_of_group(self.group);
        let set = from.selections.and_then(|selections| selections.rows(from.files, self.group).ok());
        let first_row = plan.group_rows()[plan.groups(file).start..self.group].iter().sum();
        let place = RowPlace { path: &plan.path(file), first_row, set: set.as_deref() };
        place.wrong(from.columns.lists, row, |row| {
            format!(
                "has {tokens} tokens in row {row}, over seq_len={seq_len}, and long=\"error\": take another long=, a \
                 larger seq_len, or leave the row out by filters="
            )
        })
    }

    /// Does something with the readers of these columns, always the same, at the next rows; None where it did not pass
    /// them.
    fn read<T>(
        &mut self,
        from: &ListSource<'_>,
        columns: &[&SourceColumn],
        rows: u64,
        then: impl FnOnce(&mut [SourceReader], &[GroupColumn<'_>], Option<&RowSet>, &Range<u64>) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let plan = from.files.plan();
        let index = plan.file_of_group(self.group);
        let file = from.files.open(index)?;
        let group = self.group - plan.groups(index).start;
        let set = from.selections.map(|selections| selections.rows(from.files, self.group)).transpose()?;
        file.restrict_to(group, set.as_deref());
        let set = set.as_deref().filter(|set| set.words().is_some());
        let mut of = Vec::with_capacity(columns.len());
        for &column in columns {
            let found = GroupColumn::find(plan, index, &file, group, column)?;
            of.push(GroupColumn { pool: from.pool.filter(|_| set.is_none()), ..found });
        }
        let range = self.row..self.row + rows;
        let found = if self.readers.is_empty() {
            of.iter().map(|of| of.guarded(|| SourceReader::at(of, set, range.start))).collect::<Result<Vec<_>>>()
        } else {
            Ok(std::mem::take(&mut self.readers))
        };
        let found = found.and_then(|readers| {
            self.readers = readers;
            then(&mut self.readers, &of, set, &range)
        });
        // After the reading, whatever came of it: bytes of another file are neither tokens nor a corrupt page.
        from.files.check(index, &file)?;
        let found = found?;
        if found.is_some() {
            self.row = range.end;
        }
        Ok(found)
    }
}
