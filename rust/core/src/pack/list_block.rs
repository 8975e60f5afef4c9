//! The documents of some rows: their lists, and what other columns have of them.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, GenericListArray, OffsetSizeTrait};
use arrow_buffer::{Buffer, MutableBuffer, NullBuffer};
use arrow_schema::DataType;

use super::documents::Token;
use super::lists::RowPlace;
use crate::decode::{Pack, PackColumns, SourceColumn, value_bytes};
use crate::{Error, Result};

/// The documents of some rows.
#[derive(Default)]
pub(super) struct ListBlock {
    ids: Lists,
    along: Vec<Lists>,
    /// Of each column, the bytes of a value, and the values.
    meta: Vec<(usize, Buffer)>,
    /// How many first items of each list are no labels; none where all may be.
    prompts: Vec<u64>,
}

/// Lists of numbers.
#[derive(Default)]
struct Lists {
    offsets: Vec<usize>,
    nulls: Option<NullBuffer>,
    /// The bytes of an item, and the items of all, end to end.
    width: usize,
    items: Buffer,
}

impl Lists {
    /// `null_in`: the error of a list that has a null, by its number.
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
        let lists = Self { offsets, nulls: array.nulls().cloned(), ..Self::default() };
        if let Some(nulls) = items.nulls().filter(|nulls| nulls.null_count() > 0) {
            let has_null = |list: &usize| lists.range(*list).any(|item| nulls.is_null(item));
            if let Some(list) = (0..lists.len()).find(has_null) {
                return Err(null_in(list));
            }
        }
        let (width, items) = numbers(&items)?;
        Ok(Self { width, items, ..lists })
    }

    fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Where the items of a list are; none of a null.
    fn range(&self, list: usize) -> Range<usize> {
        let start = self.offsets[list];
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(list)) {
            start..start
        } else {
            start..self.offsets[list + 1]
        }
    }

    /// Its bytes.
    fn bytes(&self) -> usize {
        self.items.len() + size_of_val(self.offsets.as_slice())
    }
}

impl ListBlock {
    /// Of the arrays of all columns; `first`: the first row.
    pub(super) fn new(
        columns: &PackColumns<'_>,
        arrays: &[ArrayRef],
        place: &RowPlace<'_>,
        first: u64,
    ) -> Result<Self> {
        let mut arrays = arrays.iter();
        let mut next = || arrays.next().ok_or_else(|| Error::internal("columns that were not read"));
        let row = |list: usize| first + list as u64;
        let null_in = |column: &SourceColumn, list: usize, rule: &str| {
            place.wrong(column, row(list), |row| {
                format!(
                    "has a null among the {} of row {row}, and {rule}: write the file without it, or leave the row out \
                     by filters=",
                    if std::ptr::eq(column, columns.lists) { "tokens" } else { "items" }
                )
            })
        };
        let ids = Lists::new(next()?, |list| null_in(columns.lists, list, "a packed token must be an id"))?;
        let documents = || (0..ids.len()).filter(|&list| !ids.range(list).is_empty());
        let mut along = Vec::with_capacity(columns.along.len());
        for column in columns.along {
            let lists = Lists::new(next()?, |list| null_in(column, list, "along= delivers numbers"))?;
            if let Some(list) = documents().find(|&list| lists.range(list).len() != ids.range(list).len()) {
                return Err(place.wrong(column, row(list), |row| {
                    format!(
                        "has {} items in row {row}, where column {:?} has {} tokens, and along= takes lists of the same \
                         length: write the row anew, or leave it out by filters=",
                        lists.range(list).len(),
                        columns.lists.name,
                        ids.range(list).len()
                    )
                }));
            }
            along.push(lists);
        }
        let mut meta = Vec::with_capacity(columns.meta.len());
        for column in columns.meta {
            let array = next()?;
            if let Some(list) = documents().find(|&list| array.is_null(list)) {
                return Err(place.wrong(column, row(list), |row| {
                    format!(
                        "is null in row {row}, and meta= delivers a number for each document: write one, or leave the row \
                         out by filters="
                    )
                }));
            }
            meta.push(numbers(array)?);
        }
        let mut prompts = Vec::new();
        if let Some(column) = columns.prompts {
            let found = integers(next()?)?;
            let wrong = |list: usize| u64::try_from(found[list].unwrap_or(-1)).is_err();
            if let Some(list) = documents().find(|&list| wrong(list)) {
                return Err(place.wrong(column, row(list), |row| {
                    format!(
                        "is {} in row {row}, and prompt_length= is how many first tokens of a document are no labels: \
                         write 0 or more, or leave the row out by filters=",
                        found[list].map_or_else(|| "null".to_owned(), |found| found.to_string())
                    )
                }));
            }
            prompts = found.iter().map(|found| u64::try_from(found.unwrap_or(0)).unwrap_or(0)).collect();
        }
        if let Some(column) = columns.lengths {
            let found = integers(next()?)?;
            let items = |list: usize| ids.range(list).len();
            if let Some(list) = (0..ids.len()).find(|&list| found[list].unwrap_or(0) != items(list) as i64) {
                return Err(place.wrong(column, row(list), |row| {
                    format!(
                        "is {} in row {row}, where column {:?} has {} tokens: write the right length, or leave length= out",
                        found[list].unwrap_or(0),
                        columns.lists.name,
                        items(list)
                    )
                }));
            }
        }
        Ok(Self { ids, along, meta, prompts })
    }

    /// How many lists.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// The tokens of a document.
    pub(super) fn tokens(&self, pack: &Pack, list: usize) -> u64 {
        pack.tokens(self.ids.range(list).len() as u64)
    }

    /// How many first tokens of a document are no labels, `bos` counted in.
    pub(super) fn prompt(&self, pack: &Pack, list: usize) -> u64 {
        self.prompts.get(list).copied().unwrap_or(0).saturating_add(u64::from(pack.bos.is_some()))
    }

    /// Appends these tokens of a document.
    pub(super) fn copy<T: Token>(&self, pack: &Pack, list: usize, tokens: &Range<u64>, out: &mut Vec<T>) {
        let before = u64::from(pack.bos.is_some());
        let list = self.ids.range(list);
        let item = |token: u64| list.start + (token.saturating_sub(before) as usize).min(list.len());
        if let Some(bos) = pack.bos.filter(|_| tokens.start == 0 && tokens.end > 0) {
            out.push(T::of(bos));
        }
        out.extend_from_slice(&self.ids.items.typed_data::<T>()[item(tokens.start)..item(tokens.end)]);
        if let Some(eos) = pack.eos.filter(|_| tokens.end > before + list.len() as u64) {
            out.push(T::of(eos));
        }
    }

    /// Appends what a column beside the tokens has of these; `bos` has the first item of the list, and `eos` the last.
    pub(super) fn copy_along(
        &self,
        pack: &Pack,
        column: usize,
        list: usize,
        tokens: &Range<u64>,
        out: &mut MutableBuffer,
    ) {
        let Some(lists) = self.along.get(column) else { return };
        let before = u64::from(pack.bos.is_some());
        let list = lists.range(list);
        let item = |token: u64| list.start + (token.saturating_sub(before) as usize).min(list.len());
        let bytes = |items: Range<usize>| &lists.items[items.start * lists.width..items.end * lists.width];
        if before > 0 && tokens.start == 0 && tokens.end > 0 {
            out.extend_from_slice(bytes(list.start..list.start + 1));
        }
        out.extend_from_slice(bytes(item(tokens.start)..item(tokens.end)));
        if pack.eos.is_some() && tokens.end > before + list.len() as u64 {
            out.extend_from_slice(bytes(list.end - 1..list.end));
        }
    }

    /// Appends what a column of numbers has of a document.
    pub(super) fn copy_meta(&self, column: usize, list: usize, out: &mut MutableBuffer) {
        if let Some((width, values)) = self.meta.get(column) {
            out.extend_from_slice(&values[list * width..(list + 1) * width]);
        }
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> u64 {
        let of_lists = self.along.iter().map(Lists::bytes).sum::<usize>() + self.ids.bytes();
        let of_numbers = self.meta.iter().map(|(_, values)| values.len()).sum::<usize>();
        (of_lists + of_numbers + size_of_val(self.prompts.as_slice())) as u64
    }
}

/// The bytes of a number, and numbers end to end: bools take a byte each.
fn numbers(array: &ArrayRef) -> Result<(usize, Buffer)> {
    if let Some(bools) = array.as_boolean_opt() {
        return Ok((1, bools.values().iter().map(u8::from).collect::<Vec<u8>>().into()));
    }
    let width = array.data_type().primitive_width();
    width.zip(value_bytes(array.as_ref())).ok_or_else(|| Error::internal("documents of no numbers"))
}

/// Integers of any type; those over 2⁶³ are as large as can be.
pub(super) fn integers(array: &ArrayRef) -> Result<Vec<Option<i64>>> {
    macro_rules! of {
        ($($type:ident => $arrow:ty),*) => {
            match array.data_type() {
                $(DataType::$type => array
                    .as_primitive::<$arrow>()
                    .iter()
                    .map(|value| value.map(|value| i64::try_from(value).unwrap_or(i64::MAX)))
                    .collect(),)*
                other => return Err(Error::internal(format!("integers of {other}"))),
            }
        };
    }
    Ok(of!(Int8 => Int8Type, Int16 => Int16Type, Int32 => Int32Type, Int64 => Int64Type, UInt8 => UInt8Type,
        UInt16 => UInt16Type, UInt32 => UInt32Type, UInt64 => UInt64Type))
}
