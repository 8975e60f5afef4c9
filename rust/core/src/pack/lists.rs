//! The lists of a row group, read on block by block.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, GenericListArray, OffsetSizeTrait};
use arrow_buffer::{Buffer, NullBuffer};
use arrow_schema::DataType;

use super::documents::Token;
use crate::decode::{DecompressPool, GroupColumn, Pack, SourceColumn, SourceReader, value_bytes};
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
    pub(crate) column: &'a SourceColumn,
    pub(crate) pool: Option<&'a Arc<DecompressPool>>,
}

/// A row group's lists, from a row on. Rows are counted among those that pass.
pub(super) struct ListReader {
    pub(super) group: usize,
    pub(super) row: u64,
    rows: u64,
    reader: Option<SourceReader>,
}

/// The lists of some rows.
#[derive(Default)]
pub(super) struct ListBlock {
    offsets: Vec<usize>,
    nulls: Option<NullBuffer>,
    /// The items of all, end to end.
    items: Buffer,
}

impl ListReader {
    pub(super) fn new(files: &Files, group: usize, row: u64) -> Self {
        let rows = files.plan().selected_rows().get(group).copied().unwrap_or(0);
        Self { group, row, rows, reader: None }
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
        self.reader.as_ref().map_or(0, SourceReader::held)
    }

    /// The lists of the next rows.
    pub(super) fn next(&mut self, from: &ListSource<'_>, rows: u64) -> Result<ListBlock> {
        let block = self.read(from, rows, |reader, of, set, range| {
            let array = reader.read(of, set, range.clone())?;
            let in_group = |row: u64| set.map_or(row, |set| set.row(row));
            ListBlock::new(&array, |row| Error::Data {
                path: of.file.path.clone(),
                detail: format!(
                    "column {:?} has a null among the tokens of row {}, and a packed token must be an id: write the \
                     file without it, or leave the row out by filters=",
                    of.source.name,
                    of.first_row + in_group(range.start + row as u64)
                ),
            })
            .map(Some)
        })?;
        block.ok_or_else(|| Error::internal("lists that were not read"))
    }

    /// The tokens of each of the next rows, with `around` more for each list that is not empty. Values are not decoded
    /// where levels alone tell it.
    pub(super) fn lengths(&mut self, from: &ListSource<'_>, rows: u64, around: u64) -> Result<Vec<u64>> {
        let ends = self.read(from, rows, |reader, of, set, range| match set {
            None => reader.ends(of, (range.end - range.start) as usize),
            Some(_) => Ok(None),
        })?;
        let Some(ends) = ends else {
            let block = self.next(from, rows)?;
            return Ok((0..block.len()).map(|list| block.tokens(list, around)).collect());
        };
        let mut start = 0;
        let length = |end: usize| match (end - std::mem::replace(&mut start, end)) as u64 {
            0 => 0,
            items => items + around,
        };
        Ok(ends.into_iter().map(length).collect())
    }

    /// The error of a document over `seq_len`, by its row.
    pub(super) fn too_long(&self, from: &ListSource<'_>, row: u64, tokens: u64, seq_len: usize) -> Error {
        let plan = from.files.plan();
        let file = plan.file_of_group(self.group);
        let set = from.selections.and_then(|selections| selections.rows(from.files, self.group).ok());
        let before: u64 = plan.group_rows()[plan.groups(file).start..self.group].iter().sum();
        Error::Data {
            path: plan.path(file),
            detail: format!(
                "column {:?} has {tokens} tokens in row {}, over seq_len={seq_len}, and long=\"error\": take another \
                 long=, a larger seq_len, or leave the row out by filters=",
                from.column.name,
                before + set.map_or(row, |set| set.row(row)),
            ),
        }
    }

    /// Does something with the reader, at the next rows; None where it did not pass them.
    fn read<T>(
        &mut self,
        from: &ListSource<'_>,
        rows: u64,
        then: impl FnOnce(&mut SourceReader, &GroupColumn<'_>, Option<&RowSet>, &Range<u64>) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let plan = from.files.plan();
        let index = plan.file_of_group(self.group);
        let file = from.files.open(index)?;
        let group = self.group - plan.groups(index).start;
        let set = from.selections.map(|selections| selections.rows(from.files, self.group)).transpose()?;
        file.restrict_to(group, set.as_deref());
        let set = set.as_deref().filter(|set| set.words().is_some());
        let of = GroupColumn::find(plan, index, &file, group, from.column)?;
        let of = GroupColumn { pool: from.pool.filter(|_| set.is_none()), ..of };
        let range = self.row..self.row + rows;
        let found = of.guarded(|| {
            let reader = match &mut self.reader {
                Some(reader) => reader,
                none => none.insert(SourceReader::at(&of, set, range.start)?),
            };
            then(reader, &of, set, &range)
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

impl ListBlock {
    fn new(array: &ArrayRef, null_in: impl Fn(usize) -> Error) -> Result<Self> {
        fn offsets<O: OffsetSizeTrait>(lists: &GenericListArray<O>) -> (Vec<usize>, ArrayRef) {
            (lists.value_offsets().iter().map(|offset| offset.as_usize()).collect(), lists.values().clone())
        }
        let (offsets, items) = match array.data_type() {
            DataType::List(_) => offsets::<i32>(array.as_list()),
            DataType::LargeList(_) => offsets::<i64>(array.as_list()),
            DataType::FixedSizeList(_, length) => {
                let length = usize::try_from(*length).unwrap_or(0);
                let items = array.as_fixed_size_list().values().clone();
                ((0..=array.len()).map(|row| row * length).collect(), items)
            }
            other => return Err(Error::internal(format!("documents of {other}"))),
        };
        let block = Self { offsets, nulls: array.nulls().cloned(), items: Buffer::default() };
        if let Some(nulls) = items.nulls().filter(|nulls| nulls.null_count() > 0) {
            let has_null = |row: &usize| block.range(*row).any(|item| nulls.is_null(item));
            if let Some(row) = (0..block.len()).find(has_null) {
                return Err(null_in(row));
            }
        }
        let items = value_bytes(items.as_ref()).ok_or_else(|| Error::internal("documents of no numbers"))?;
        Ok(Self { items, ..block })
    }

    /// How many lists.
    pub(super) fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Where the items of a list are; none of a null.
    pub(super) fn range(&self, list: usize) -> Range<usize> {
        let start = self.offsets[list];
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(list)) {
            start..start
        } else {
            start..self.offsets[list + 1]
        }
    }

    /// The tokens of a document, with `around` more where it has any.
    pub(super) fn tokens(&self, list: usize, around: u64) -> u64 {
        match self.range(list).len() as u64 {
            0 => 0,
            items => items + around,
        }
    }

    /// Appends these tokens of a document.
    pub(super) fn copy<T: Token>(&self, pack: &Pack, list: usize, tokens: &Range<u64>, out: &mut Vec<T>) {
        let before = u64::from(pack.bos.is_some());
        let list = self.range(list);
        let item = |token: u64| list.start + (token.saturating_sub(before) as usize).min(list.len());
        if let Some(bos) = pack.bos.filter(|_| tokens.start == 0) {
            out.push(T::of(bos));
        }
        out.extend_from_slice(&self.items.typed_data::<T>()[item(tokens.start)..item(tokens.end)]);
        if let Some(eos) = pack.eos.filter(|_| tokens.end > before + list.len() as u64) {
            out.push(T::of(eos));
        }
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> u64 {
        (self.items.len() + size_of_val(self.offsets.as_slice())) as u64
    }
}
