//! What a column becomes: its values in the form that a tensor, a list of Python objects or Arrow data takes.
//!
//! [`resolve`] reads the type and what was asked, once; [`Conversion::apply`] does it to decoded rows, on the threads that decode. What
//! it makes holds no null that was not asked for, and is laid out so that nothing but slicing is left to do: a column of
//! several keys (values and their mask) and a dict are struct arrays.

mod cast;
mod decimal;
mod encode;
mod lists;
mod nulls;
pub(crate) mod pad;
mod resolve;
mod scalars;
mod text;
mod validate;
mod values;

use std::sync::{Arc, OnceLock};

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, FixedSizeListArray, GenericListArray, OffsetSizeTrait, StructArray};
use arrow_buffer::{Buffer, NullBuffer};
use arrow_schema::{DataType, Field, Fields};

pub(crate) use nulls::null_error;
use nulls::{Policies, ValueLocation, first_null, mask, refuse, union, with_nulls};
pub(crate) use resolve::resolve;
pub(crate) use validate::check_clash;

use super::spec::Strings;
use super::vocabulary::Vocabulary;
use super::{Nulls, Number, Padding};
use crate::order::RowSet;
use crate::{Error, Result};

/// Where some rows come from, for messages.
#[derive(Debug, Clone, Copy)]
pub struct RowLocation<'a> {
    /// The file.
    pub path: &'a str,
    /// The column.
    pub column: &'a str,
    /// The first of the rows, numbered in the file; of a set, the row group's first.
    pub first_row: u64,
    /// The set that the rows are of, and which of it the first one is.
    pub set: Option<(&'a RowSet, u64)>,
}

impl RowLocation<'_> {
    /// The number, in the file, of one of the rows.
    pub(crate) fn row(&self, index: usize) -> u64 {
        self.first_row + self.set.map_or(index as u64, |(set, first)| set.row(first + index as u64))
    }
}

/// What is delivered under one key.
#[derive(Debug, Clone)]
pub enum Node {
    /// One array.
    ArrayLayout(ArrayLayout),
    /// A dict: a struct array of as many fields.
    Dict(Vec<OutputKey>),
}

/// A key of a batch, or of a dict in it.
#[derive(Debug, Clone)]
pub struct OutputKey {
    /// Its name; of a column, what follows the column's name.
    pub name: String,
    /// What it holds of the column.
    pub role: Role,
    /// What is there.
    pub node: Node,
}

/// What a key holds of its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Its values.
    Value,
    /// Where rows are null.
    Mask,
    /// Where items of its lists are null.
    ItemMask,
    /// How many values its lists have.
    Length,
}

/// One array, and what a consumer makes of it.
#[derive(Debug, Clone)]
pub enum ArrayLayout {
    /// A tensor (n, d …).
    Dense(Number),
    /// Lists of numbers: values and offsets.
    Jagged(Number),
    /// Bytes and offsets.
    Ragged,
    /// Lists of numbers, to be filled up to the longest of a batch with these bytes.
    Padded(Number, Padding, [u8; 8]),
    /// str or bytes.
    Text,
    /// Any Python objects.
    Objects,
    /// Arrow data.
    Arrow,
}

/// What is done to a column.
#[derive(Debug, Clone)]
pub struct Conversion {
    op: Op,
    /// What it makes: as many arrays.
    keys: Vec<OutputKey>,
    /// By path, the vocabularies that are to be set before anything is read.
    vocabularies: Vec<(String, Arc<OnceLock<Vocabulary>>)>,
}

#[derive(Debug, Clone)]
enum Op {
    /// As it stands in the file.
    Keep,
    /// Python objects, or Arrow data of which only the nulls matter.
    Objects {
        nulls: Nulls,
        tensors: bool,
    },
    Values(values::Values),
    Text(text::Text),
    Encoded(encode::Encoded),
    Lists(lists::Lists),
    Fixed {
        items: Box<Op>,
        nulls: Nulls,
        tensors: bool,
        only_rows: bool,
    },
    /// Raw bytes as numbers, and then as `items` says.
    Bytes {
        number: Number,
        count: usize,
        items: Box<Op>,
    },
    Dict {
        children: Vec<Child>,
        nulls: Nulls,
        tensors: bool,
    },
}

/// A field of a dict.
#[derive(Debug, Clone)]
struct Child {
    op: Op,
    /// For messages.
    path: String,
    /// The keys that it makes.
    names: Vec<String>,
}

impl Conversion {
    /// What it delivers: the name of each key follows the column's.
    pub fn keys(&self) -> &[OutputKey] {
        &self.keys
    }

    /// The vocabularies that the values of a column, or of a field in it, are to give: by path.
    pub fn vocabularies(&self) -> &[(String, Arc<OnceLock<Vocabulary>>)] {
        &self.vocabularies
    }

    /// The number that it is one of a row, if it is.
    pub(crate) fn number(&self) -> Option<Number> {
        match self.keys.first() {
            Some(OutputKey { node: Node::ArrayLayout(ArrayLayout::Dense(number)), .. })
                if matches!(self.op, Op::Values(_) | Op::Encoded(_)) =>
            {
                Some(*number)
            }
            _ => None,
        }
    }

    /// What could be asked of its nulls, for messages.
    pub(crate) fn policies(&self) -> Policies {
        self.op.policies()
    }

    /// Checks decoded rows and brings them into this form: an array a key, several as the fields of a struct array.
    ///
    /// # Errors
    /// Values that the form does not hold, each with its file, column and row.
    pub fn apply(&self, array: &ArrayRef, from: RowLocation<'_>) -> Result<ArrayRef> {
        let arrays = self.op.run(array, None, &ValueLocation { from, row: &|row| row, policies: self.policies() })?;
        bundle(arrays, array.len())
    }
}

/// Numbers as wider ones, their nulls kept.
pub(crate) fn cast_numbers(array: &ArrayRef, from: Number, to: Number) -> Result<ArrayRef> {
    let wide = cast::cast(&with_nulls(array, None)?, from, to, true, None);
    with_nulls(&wide.map_err(|_| Error::internal("a cast that cannot fail"))?, array.nulls())
}

/// One array, or several as a struct array.
pub(crate) fn bundle(mut arrays: Vec<ArrayRef>, rows: usize) -> Result<ArrayRef> {
    if arrays.len() == 1 {
        return Ok(arrays.remove(0));
    }
    let names = (0..arrays.len()).map(|index| index.to_string());
    structure(names, arrays, rows)
}

fn structure(names: impl Iterator<Item = String>, arrays: Vec<ArrayRef>, rows: usize) -> Result<ArrayRef> {
    let fields: Fields =
        names.zip(&arrays).map(|(name, array)| Field::new(name, array.data_type().clone(), true)).collect();
    StructArray::try_new_with_length(fields, arrays, None, rows)
        .map(|made| Arc::new(made) as ArrayRef)
        .map_err(|error| Error::internal(error.to_string()))
}

impl Op {
    fn policies(&self) -> Policies {
        match self {
            Self::Values(values) if values.to == Number::Bool => &["fill", "mask"],
            Self::Values(_) => &["fill", "nan", "mask"],
            Self::Text(text) if text.strings == Strings::Objects => &["fill", "mask", "keep"],
            Self::Objects { tensors: true, .. } => &["keep", "mask"],
            Self::Objects { .. } | Self::Keep => &["keep"],
            Self::Fixed { items, .. } => items.policies(),
            // Of raw bytes, and of lists that are null, none is NaN; of a struct the fields say what they take.
            Self::Text(_) | Self::Encoded(_) | Self::Lists(_) | Self::Bytes { .. } | Self::Dict { .. } => {
                &["fill", "mask"]
            }
        }
    }

    /// `outer`: the nulls of what the array lies in.
    fn run(&self, array: &ArrayRef, outer: Option<&NullBuffer>, at: &ValueLocation<'_>) -> Result<Vec<ArrayRef>> {
        match self {
            Self::Keep => match outer {
                None => Ok(vec![Arc::clone(array)]),
                Some(_) => Ok(vec![with_nulls(array, union(array.as_ref(), outer).as_ref())?]),
            },
            Self::Objects { nulls, tensors } => {
                if *nulls == Nulls::Error
                    && let Some(row) = first_null(array, outer)
                {
                    let row = at.from.row((at.row)(row));
                    return Err(null_error(at.from.path.to_owned(), at.from.column, Some(row), at.policies));
                }
                let rows = union(array.as_ref(), outer);
                let mut made =
                    vec![if outer.is_some() { with_nulls(array, rows.as_ref())? } else { Arc::clone(array) }];
                if *nulls == Nulls::Mask {
                    made.push(mask(rows.as_ref(), array.len(), *tensors));
                }
                Ok(made)
            }
            Self::Values(values) => values.run(array, outer, at),
            Self::Text(text) => text.run(array, outer, at),
            Self::Encoded(encoded) => encoded.run(array, outer, at),
            Self::Lists(lists) => lists.run(array, outer, at),
            Self::Fixed { items, nulls, tensors, only_rows } => {
                fixed(array, outer, at, items, *nulls, *tensors, *only_rows)
            }
            Self::Bytes { number, count, items } => {
                let nulls = union(array.as_ref(), outer);
                items.run(&numbers_of(array, *number, *count)?, nulls.as_ref(), at)
            }
            Self::Dict { children, nulls, tensors } => {
                let rows = union(array.as_ref(), outer);
                if *nulls == Nulls::Error {
                    refuse(rows.as_ref(), at)?;
                }
                let (mut names, mut arrays) = (Vec::new(), Vec::new());
                for (child, values) in children.iter().zip(array.as_struct().columns()) {
                    let from = RowLocation { column: &child.path, ..at.from };
                    let at = ValueLocation { from, row: at.row, policies: child.op.policies() };
                    names.extend(child.names.iter().cloned());
                    arrays.extend(child.op.run(values, rows.as_ref(), &at)?);
                }
                let dict = structure(names.into_iter(), arrays, array.len())?;
                let mut made = vec![if *nulls == Nulls::Keep { with_nulls(&dict, rows.as_ref())? } else { dict }];
                if *nulls == Nulls::Mask {
                    made.push(mask(rows.as_ref(), array.len(), *tensors));
                }
                Ok(made)
            }
        }
    }
}

/// Lists of one length, which the type says; a null row is one of null items.
fn fixed(
    array: &ArrayRef,
    outer: Option<&NullBuffer>,
    at: &ValueLocation<'_>,
    items: &Op,
    policy: Nulls,
    tensors: bool,
    only_rows: bool,
) -> Result<Vec<ArrayRef>> {
    let lists = array.as_fixed_size_list();
    let length = fixed_size(lists.value_length());
    let nulls = union(lists, outer);
    let nulls = nulls.as_ref();
    if policy == Nulls::Error {
        refuse(nulls, at)?;
    }
    let row = |item: usize| (at.row)(item / length.max(1));
    let inner = nulls.map(|nulls| nulls.expand(length)).filter(|_| length > 0);
    let of_items = items.run(
        lists.values(),
        inner.as_ref(),
        &ValueLocation { from: at.from, row: &row, policies: at.policies },
    )?;
    let list = |values: ArrayRef| {
        let field = Arc::new(Field::new("item", values.data_type().clone(), !tensors));
        FixedSizeListArray::try_new_with_length(field, lists.value_length(), values, None, lists.len())
            .map(|list| Arc::new(list) as ArrayRef)
            .map_err(|error| Error::internal(error.to_string()))
    };
    let mut of_items = of_items.into_iter();
    let values = list(of_items.next().ok_or_else(|| Error::internal("a list without items"))?)?;
    let mut made = vec![if policy == Nulls::Keep { with_nulls(&values, nulls)? } else { values }];
    if policy == Nulls::Mask {
        made.push(mask(nulls, lists.len(), tensors));
        // Of nested lists, the mask of the innermost values says all.
        if let Some(of_items) = of_items.next_back().filter(|_| !only_rows) {
            made.push(list(of_items)?);
        }
    }
    Ok(made)
}

/// Values of `count` numbers each, from their bytes.
fn numbers_of(array: &ArrayRef, number: Number, count: usize) -> Result<ArrayRef> {
    let bytes = array.as_fixed_size_binary();
    let width = fixed_size(bytes.value_length());
    // As a buffer of the bytes of these rows only, in memory that is aligned for the numbers.
    let buffer = Buffer::from(bytes.values().as_slice()).slice_with_length(0, array.len() * width);
    let aligned = buffer.as_ptr().align_offset(number.width()) == 0;
    let buffer = if aligned { buffer } else { Buffer::from_slice_ref(buffer.as_slice()) };
    let field = Arc::new(Field::new("item", number.carrier(), false));
    let data_type = if count == 1 {
        number.carrier()
    } else {
        let count = i32::try_from(count).map_err(|_| Error::internal("a width over 2**31"))?;
        DataType::FixedSizeList(field, count)
    };
    pad::rebuild(&data_type, array.len(), buffer)
}

/// A length that Arrow holds as i32.
pub(crate) fn fixed_size(length: i32) -> usize {
    usize::try_from(length).unwrap_or(0)
}

/// The values that the lists use.
fn used<O: OffsetSizeTrait>(lists: &GenericListArray<O>) -> ArrayRef {
    let offsets = lists.value_offsets();
    let (start, end) = match (offsets.first(), offsets.last()) {
        (Some(first), Some(last)) => (first.as_usize(), last.as_usize()),
        _ => (0, 0),
    };
    lists.values().slice(start, end - start)
}

/// The values of an array of fixed-width values, as bytes: those of its slice only.
pub(crate) fn value_bytes(array: &dyn Array) -> Option<Buffer> {
    let width = array.data_type().primitive_width()?;
    let data = array.to_data();
    Some(data.buffers().first()?.slice_with_length(data.offset() * width, data.len() * width))
}

/// Lists with offsets that begin at 0, over just the values they use.
pub(crate) fn trim_list(array: &ArrayRef) -> Option<(ArrayRef, ArrayRef)> {
    fn trim<O: OffsetSizeTrait>(lists: &GenericListArray<O>) -> (ArrayRef, Vec<O>) {
        let offsets = lists.value_offsets();
        let first = offsets.first().copied().unwrap_or_default();
        (used(lists), offsets.iter().map(|&offset| offset - first).collect())
    }
    match array.data_type() {
        DataType::List(_) => {
            let (values, offsets) = trim::<i32>(array.as_list());
            Some((values, Arc::new(arrow_array::Int32Array::from(offsets))))
        }
        DataType::LargeList(_) => {
            let (values, offsets) = trim::<i64>(array.as_list());
            Some((values, Arc::new(arrow_array::Int64Array::from(offsets))))
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
