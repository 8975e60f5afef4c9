//! Nulls: found, refused, filled or masked.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, UInt8Array, make_array};
use arrow_buffer::{ArrowNativeType, Buffer, NullBuffer};
use arrow_data::ArrayData;
use arrow_schema::DataType;

use super::arrays::value_bytes;
use super::location::{Policies, ValueLocation};
use crate::buffer_pool::{self, Element};
use crate::{Error, Result};

/// The nulls of an array and of what it lies in; None where there are none.
pub(super) fn union(array: &dyn Array, outer: Option<&NullBuffer>) -> Option<NullBuffer> {
    NullBuffer::union(array.logical_nulls().as_ref(), outer).filter(|nulls| nulls.null_count() > 0)
}

/// An error where there are nulls.
pub(super) fn refuse(nulls: Option<&NullBuffer>, at: &ValueLocation<'_>) -> Result<()> {
    match nulls.and_then(|nulls| nulls.iter().position(|valid| !valid)) {
        None => Ok(()),
        Some(first) => {
            let row = at.from.row((at.row)(first));
            Err(null_error(at.from.path.to_owned(), at.from.column, Some(row), at.policies))
        }
    }
}

/// The error for a column with nulls.
pub(crate) fn null_error(path: String, column: &str, row: Option<u64>, policies: Policies) -> Error {
    let place = row.map_or_else(String::new, |row| format!(" (the first at row {row})"));
    let policies = policies.iter().map(|policy| format!("{policy:?}")).collect::<Vec<_>>().join(" or ");
    Error::Data {
        path,
        detail: format!(
            "column {column:?} has nulls{place}, and nothing says what becomes of them: give it \
             ColumnOptions(nulls={policies}), leave it out (columns=…), or take output_format=\"arrow\""
        ),
    }
}

/// The error for several columns with nulls, and the policies that each could have.
pub(crate) fn nulls_error(path: String, columns: &[(&str, Policies)]) -> Error {
    const SHOWN: usize = 50;
    let names: Vec<_> = columns.iter().take(SHOWN).map(|(name, _)| format!("{name:?}")).collect();
    let more = columns.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let for_all = |policy: &&str| columns.iter().all(|(_, policies)| policies.contains(policy));
    let policies: Vec<_> = ["fill", "mask", "nan", "keep"].iter().filter(|policy| for_all(policy)).collect();
    let policies = policies.iter().map(|policy| format!("{policy:?}")).collect::<Vec<_>>().join(" or ");
    let cure = if policies.is_empty() {
        "give each column_options of its own".to_owned()
    } else {
        format!("give all of them column_defaults=ColumnOptions(nulls={policies}), or each column_options of its own")
    };
    Error::Data {
        path,
        detail: format!(
            "{} columns have nulls, and nothing says what becomes of them: {}{more}; {cure}, leave them out (columns=…), \
             or take output_format=\"arrow\"",
            columns.len(),
            names.join(", ")
        ),
    }
}

/// The same values without a validity bitmap, whatever stands in the place of nulls.
pub(super) fn stripped(array: &ArrayRef) -> Result<ArrayRef> {
    if array.nulls().is_none() {
        return Ok(Arc::clone(array));
    }
    with_nulls(array, None)
}

/// The same values, these being null.
pub(super) fn with_nulls(array: &ArrayRef, nulls: Option<&NullBuffer>) -> Result<ArrayRef> {
    if *array.data_type() == DataType::Null {
        return Ok(Arc::clone(array)); // all of it is null as it is
    }
    rebuilt(array.to_data().into_builder().nulls(nulls.cloned()).build())
}

pub(super) fn rebuilt(data: std::result::Result<ArrayData, arrow_schema::ArrowError>) -> Result<ArrayRef> {
    data.map(make_array).map_err(Error::from)
}

/// An array of numbers with the bytes of `value` in the place of nulls.
pub(super) fn filled(array: &ArrayRef, nulls: &NullBuffer, value: [u8; 8]) -> Result<ArrayRef> {
    fn of<T: Element + ArrowNativeType>(values: &Buffer, nulls: &NullBuffer, value: T) -> Buffer {
        let values: &[T] = values.typed_data();
        let mut out: Vec<T> = buffer_pool::vec(values.len());
        let mut end = 0;
        for (from, to) in nulls.valid_slices() {
            out.extend(std::iter::repeat_n(value, from - end));
            out.extend_from_slice(&values[from..to]);
            end = to;
        }
        out.extend(std::iter::repeat_n(value, values.len() - end));
        buffer_pool::buffer(out)
    }
    let [a, b, c, d, ..] = value;
    let values = value_bytes(array.as_ref()).ok_or_else(|| Error::internal("values of no width"))?;
    let out = match array.data_type().primitive_width() {
        Some(1) => of::<u8>(&values, nulls, a),
        Some(2) => of::<u16>(&values, nulls, u16::from_ne_bytes([a, b])),
        Some(4) => of::<u32>(&values, nulls, u32::from_ne_bytes([a, b, c, d])),
        _ => of::<u64>(&values, nulls, u64::from_ne_bytes(value)),
    };
    rebuilt(ArrayData::builder(array.data_type().clone()).len(array.len()).add_buffer(out).build())
}

/// True where there is a null: a byte each for tensors.
pub(super) fn mask(nulls: Option<&NullBuffer>, len: usize, tensors: bool) -> ArrayRef {
    match (nulls, tensors) {
        (None, true) => Arc::new(UInt8Array::from(vec![0; len])),
        (None, false) => Arc::new(BooleanArray::from(vec![false; len])),
        (Some(nulls), true) => Arc::new(UInt8Array::from_iter_values(nulls.iter().map(|valid| u8::from(!valid)))),
        (Some(nulls), false) => Arc::new(BooleanArray::new(!nulls.inner(), None)),
    }
}

/// The first row that is null or holds a null, at any depth.
pub(super) fn first_null(array: &ArrayRef, outer: Option<&NullBuffer>) -> Option<usize> {
    let nulls = union(array.as_ref(), outer);
    if let Some(nulls) = nulls {
        return nulls.iter().position(|valid| !valid);
    }
    let within = |offset: &dyn Fn(usize) -> usize, values: ArrayRef| {
        let start = offset(0);
        let values = values.slice(start, offset(array.len()) - start);
        let item = first_null(&values, None)?;
        let (mut low, mut high) = (0, array.len());
        while high - low > 1 {
            let middle = low.midpoint(high);
            if offset(middle) - start <= item { low = middle } else { high = middle }
        }
        Some(low)
    };
    match array.data_type() {
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            within(&|row| lists.value_offsets()[row].as_usize(), lists.values().clone())
        }
        DataType::LargeList(_) => {
            let lists = array.as_list::<i64>();
            within(&|row| lists.value_offsets()[row].as_usize(), lists.values().clone())
        }
        DataType::Map(..) => {
            let map = array.as_map();
            within(&|row| map.value_offsets()[row].as_usize(), Arc::new(map.entries().clone()))
        }
        DataType::FixedSizeList(_, length) => {
            let length = usize::try_from(*length).unwrap_or(0);
            within(&|row| row * length, array.as_fixed_size_list().values().clone())
        }
        DataType::Struct(_) => array.as_struct().columns().iter().filter_map(|child| first_null(child, None)).min(),
        _ => None,
    }
}
