//! The steps of a conversion: a tree that follows the column's type.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, FixedSizeListArray};
use arrow_buffer::{Buffer, NullBuffer};
use arrow_schema::{DataType, Field};
use arrow_select::take::take;

use super::arrays::{fixed_size, structure};
use super::empty_values::without_nulls;
use super::encode::IdConversion;
use super::lists::ListConversion;
use super::location::{Policies, RowLocation, ValueLocation};
use super::nulls::{first_null, mask, null_error, refuse, union, with_nulls};
use super::pad::rebuild;
use super::text::TextConversion;
use super::values::NumberConversion;
use crate::decode::{Nulls, Number, Strings};
use crate::{Error, Result};

#[derive(Debug, Clone)]
pub(super) enum Op {
    /// As it stands in the file.
    Keep,
    /// Python objects, or Arrow data of which only the nulls matter.
    Objects {
        nulls: Nulls,
        tensors: bool,
    },
    Numbers(NumberConversion),
    Text(TextConversion),
    Ids(IdConversion),
    /// A dictionary's values one by one, and then as this says.
    Plain(Box<Op>),
    Lists {
        items: Box<Self>,
        lists: ListConversion,
    },
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
pub(super) struct Child {
    pub(super) op: Op,
    /// For messages.
    pub(super) path: String,
    /// The keys that it makes.
    pub(super) names: Vec<String>,
}

impl Op {
    pub(super) fn policies(&self) -> Policies {
        match self {
            Self::Numbers(_) => &["fill", "nan", "mask"],
            Self::Text(text) if text.strings == Strings::Objects => &["fill", "mask", "keep"],
            Self::Objects { tensors: true, .. } => &["fill", "mask", "keep"],
            Self::Objects { .. } | Self::Keep => &["fill", "keep"],
            Self::Fixed { items, .. } | Self::Plain(items) => items.policies(),
            // Of raw bytes, and of lists that are null, none is NaN; of a struct the fields say what they take.
            Self::Text(_) | Self::Ids(_) | Self::Lists { .. } | Self::Bytes { .. } | Self::Dict { .. } => {
                &["fill", "mask"]
            }
        }
    }

    /// `outer`: the nulls of what the array lies in.
    pub(super) fn run(
        &self,
        array: &ArrayRef,
        outer: Option<&NullBuffer>,
        at: &ValueLocation<'_>,
    ) -> Result<Vec<ArrayRef>> {
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
                if *nulls == Nulls::Fill {
                    return Ok(vec![without_nulls(array, rows.as_ref())?]);
                }
                let mut made =
                    vec![if outer.is_some() { with_nulls(array, rows.as_ref())? } else { Arc::clone(array) }];
                if *nulls == Nulls::Mask {
                    made.push(mask(rows.as_ref(), array.len(), *tensors));
                }
                Ok(made)
            }
            Self::Numbers(values) => values.run(array, outer, at),
            Self::Text(text) => text.run(array, outer, at),
            Self::Ids(encoded) => encoded.run(array, outer, at),
            Self::Plain(values) => {
                let plain = match array.as_any_dictionary_opt() {
                    None => Arc::clone(array),
                    Some(dictionary) => take(dictionary.values(), dictionary.keys(), None)?,
                };
                values.run(&plain, outer, at)
            }
            Self::Lists { items, lists } => lists.run(array, outer, at, |values, row| {
                items.run(values, None, &ValueLocation { from: at.from, row, policies: items.policies() })
            }),
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
            .map_err(Error::from)
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
    rebuild(&data_type, array.len(), buffer)
}
