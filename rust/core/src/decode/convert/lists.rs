//! Lists of numbers: jagged, of one fixed length, or padded to a length.

use std::sync::{Arc, OnceLock};

use arrow_array::cast::AsArray;
use arrow_array::types::UInt8Type;
use arrow_array::{
    Array, ArrayRef, BooleanArray, FixedSizeListArray, GenericListArray, Int64Array, OffsetSizeTrait, UInt8Array,
};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, FieldRef};

use super::arrays::used;
use super::location::ValueLocation;
use super::nulls::{mask, refuse, union, with_nulls};
use super::pad::{Filler, padded};
use crate::decode::{Nulls, Side};
use crate::{Error, Result};

/// How lists are laid out.
#[derive(Debug, Clone)]
pub(super) enum ListLayout {
    Jagged,
    /// Of one length, known once the first was read.
    Fixed(Arc<OnceLock<usize>>),
    /// Filled up to this length.
    Padded {
        length: usize,
        side: Side,
        truncate: Option<Side>,
    },
}

/// A list of numbers a row.
#[derive(Debug, Clone)]
pub(super) struct ListConversion {
    pub(super) layout: ListLayout,
    pub(super) nulls: Nulls,
    /// The bytes that a missing item is filled with.
    pub(super) fill: [u8; 8],
    /// Whether the lengths stand beside it.
    pub(super) lengths: bool,
    pub(super) tensors: bool,
}

impl ListConversion {
    /// The lists; under `Nulls::Mask`, which rows and which items were null; and the lengths. `of_items` converts the
    /// items, of which its function tells the row.
    pub(super) fn run(
        &self,
        array: &ArrayRef,
        outer: Option<&NullBuffer>,
        at: &ValueLocation<'_>,
        of_items: impl Fn(&ArrayRef, &dyn Fn(usize) -> usize) -> Result<Vec<ArrayRef>>,
    ) -> Result<Vec<ArrayRef>> {
        match array.data_type() {
            DataType::List(_) => self.of::<i32>(array, outer, at, of_items),
            DataType::LargeList(_) => self.of::<i64>(array, outer, at, of_items),
            other => Err(Error::internal(format!("a list column decoded to {other}"))),
        }
    }

    fn of<O: OffsetSizeTrait>(
        &self,
        array: &ArrayRef,
        outer: Option<&NullBuffer>,
        at: &ValueLocation<'_>,
        of_items: impl Fn(&ArrayRef, &dyn Fn(usize) -> usize) -> Result<Vec<ArrayRef>>,
    ) -> Result<Vec<ArrayRef>> {
        let lists: &GenericListArray<O> = array.as_list();
        let nulls = union(lists, outer);
        let nulls = nulls.as_ref();
        if self.nulls == Nulls::Error {
            refuse(nulls, at)?;
        }
        let (offsets, values) = without_null_lists(lists, nulls)?;
        let row =
            |item: usize| (at.row)(offsets.partition_point(|&offset| offset.as_usize() <= item).saturating_sub(1));
        let mut items = of_items(&values, &row)?.into_iter();
        let values = items.next().ok_or_else(|| Error::internal("a list without items"))?;
        let mut made = vec![self.lay_out(&offsets, values, self.fill, nulls, at)?];
        if self.nulls == Nulls::Mask {
            made.push(mask(nulls, lists.len(), self.tensors));
            if let Some(items) = items.next_back() {
                made.push(self.lay_out(&offsets, items, [0; 8], nulls, at)?);
            }
        }
        if self.lengths {
            let limit = match self.layout {
                ListLayout::Padded { length, .. } => length,
                _ => usize::MAX,
            };
            let lengths = offsets.windows(2).map(|pair| (pair[1] - pair[0]).as_usize().min(limit) as i64);
            made.push(Arc::new(Int64Array::from_iter_values(lengths)));
        }
        Ok(made)
    }

    fn lay_out<O: OffsetSizeTrait>(
        &self,
        offsets: &[O],
        values: ArrayRef,
        fill: [u8; 8],
        nulls: Option<&NullBuffer>,
        at: &ValueLocation<'_>,
    ) -> Result<ArrayRef> {
        let field = Arc::new(Field::new("item", values.data_type().clone(), !self.tensors));
        let filled = |length, side, truncate| match values.as_boolean_opt() {
            None => padded(offsets, &values, length, side, truncate, Filler(fill)),
            Some(bits) => {
                let bytes: ArrayRef = Arc::new(UInt8Array::from_iter_values(bits.values().iter().map(u8::from)));
                let bytes = padded(offsets, &bytes, length, side, truncate, Filler(fill))?;
                let bytes = bytes.as_primitive::<UInt8Type>().values();
                Ok(Arc::new(bytes.iter().map(|&byte| Some(byte != 0)).collect::<BooleanArray>()) as ArrayRef)
            }
        };
        match &self.layout {
            ListLayout::Jagged => {
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets.to_vec()));
                let lists = GenericListArray::<O>::try_new(field, offsets, values, None);
                let lists = lists.map(|lists| Arc::new(lists) as ArrayRef)?;
                if self.nulls == Nulls::Keep { with_nulls(&lists, nulls) } else { Ok(lists) }
            }
            ListLayout::Fixed(length) => {
                let wanted = same_length(offsets, length, nulls, at)?;
                let values = match nulls {
                    None => values,
                    Some(_) => filled(wanted, Side::Right, None)?,
                };
                let lists = fixed_lists(&field, wanted, values, offsets.len() - 1)?;
                if self.nulls == Nulls::Keep { with_nulls(&lists, nulls) } else { Ok(lists) }
            }
            ListLayout::Padded { length, side, truncate } => {
                if truncate.is_none()
                    && let Some(row) = offsets.windows(2).position(|pair| (pair[1] - pair[0]).as_usize() > *length)
                {
                    let found = (offsets[row + 1] - offsets[row]).as_usize();
                    let what = format!("a list of {found} values, over length={length},");
                    return Err(at.error(row, &what, "take truncate=\"right\" or \"left\", or a larger length="));
                }
                let values = filled(*length, *side, *truncate)?;
                fixed_lists(&field, *length, values, offsets.len() - 1)
            }
        }
    }
}

fn fixed_lists(field: &FieldRef, length: usize, values: ArrayRef, rows: usize) -> Result<ArrayRef> {
    let length = i32::try_from(length).map_err(|_| Error::Unsupported("lists of over 2**31 values".into()))?;
    FixedSizeListArray::try_new_with_length(field.clone(), length, values, None, rows)
        .map(|lists| Arc::new(lists) as ArrayRef)
        .map_err(Error::from)
}

/// Offsets from 0 on, and the items that they use: a null list has none.
pub(super) fn without_null_lists<O: OffsetSizeTrait>(
    lists: &GenericListArray<O>,
    nulls: Option<&NullBuffer>,
) -> Result<(Vec<O>, ArrayRef)> {
    let offsets = lists.value_offsets();
    let hidden = |nulls: &NullBuffer| {
        let mut pairs = offsets.windows(2).zip(nulls.iter());
        pairs.any(|(pair, valid)| !valid && pair[0] != pair[1])
    };
    if nulls.is_some_and(hidden) {
        // Not from Parquet's own levels, but from a null struct around it: taken out, so that an item is a list's.
        let index: Vec<u64> = offsets
            .windows(2)
            .enumerate()
            .filter(|(row, _)| nulls.is_none_or(|nulls| nulls.is_valid(*row)))
            .flat_map(|(_, pair)| pair[0].as_usize() as u64..pair[1].as_usize() as u64)
            .collect();
        let mut total = O::default();
        let mut shorter = vec![total];
        for (row, pair) in offsets.windows(2).enumerate() {
            if nulls.is_none_or(|nulls| nulls.is_valid(row)) {
                total += pair[1] - pair[0];
            }
            shorter.push(total);
        }
        let values = arrow_select::take::take(lists.values(), &arrow_array::UInt64Array::from(index), None);
        return Ok((shorter, values?));
    }
    let first = offsets.first().copied().unwrap_or_default();
    Ok((offsets.iter().map(|&offset| offset - first).collect(), used(lists)))
}

/// The one length that all lists have which are not null.
fn same_length<O: OffsetSizeTrait>(
    offsets: &[O],
    length: &OnceLock<usize>,
    nulls: Option<&NullBuffer>,
    at: &ValueLocation<'_>,
) -> Result<usize> {
    for (row, pair) in offsets.windows(2).enumerate() {
        if nulls.is_some_and(|nulls| nulls.is_null(row)) {
            continue;
        }
        let found = (pair[1] - pair[0]).as_usize();
        let wanted = *length.get_or_init(|| found);
        if found != wanted {
            return Err(at.error(
                row,
                &format!("a list of {found} values"),
                &format!("the others have {wanted}: take lists=\"jagged\" or \"padded\""),
            ));
        }
    }
    match length.get() {
        Some(length) => Ok(*length),
        None if offsets.len() < 2 => Ok(0),
        None => Err(at.error(
            0,
            "a null list before any other, so that their one length is not known",
            "take lists=\"padded\" with length=",
        )),
    }
}
