//! Arrow arrays taken apart and put together.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, GenericListArray, OffsetSizeTrait, StructArray};
use arrow_buffer::Buffer;
use arrow_schema::{DataType, Field, Fields};

use crate::{Error, Result};

/// One array, or several as a struct array.
pub(crate) fn bundle(mut arrays: Vec<ArrayRef>, rows: usize) -> Result<ArrayRef> {
    if arrays.len() == 1 {
        return Ok(arrays.remove(0));
    }
    let names = (0..arrays.len()).map(|index| index.to_string());
    structure(names, arrays, rows)
}

/// A struct array of these fields.
pub(super) fn structure(names: impl Iterator<Item = String>, arrays: Vec<ArrayRef>, rows: usize) -> Result<ArrayRef> {
    let fields: Fields =
        names.zip(&arrays).map(|(name, array)| Field::new(name, array.data_type().clone(), true)).collect();
    StructArray::try_new_with_length(fields, arrays, None, rows)
        .map(|made| Arc::new(made) as ArrayRef)
        .map_err(Error::from)
}

/// A length that Arrow holds as i32.
pub(crate) fn fixed_size(length: i32) -> usize {
    usize::try_from(length).unwrap_or(0)
}

/// The values that the lists use.
pub(super) fn used<O: OffsetSizeTrait>(lists: &GenericListArray<O>) -> ArrayRef {
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
