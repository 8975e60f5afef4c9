//! Strings and binary data: Python objects, or their bytes and offsets.

use std::sync::Arc;

use arrow_array::builder::{GenericBinaryBuilder, GenericStringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{ByteArrayType, GenericBinaryType, GenericStringType};
use arrow_array::{Array, ArrayRef, GenericByteArray, GenericListArray, OffsetSizeTrait, UInt8Array};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field};

use super::location::ValueLocation;
use super::nulls::{mask, refuse, union, with_nulls};
use crate::decode::{Nulls, Strings};
use crate::{Error, Result};

/// One text, or run of bytes, a value.
#[derive(Debug, Clone)]
pub(super) struct TextConversion {
    pub(super) strings: Strings,
    pub(super) nulls: Nulls,
    /// What stands in the place of a null.
    pub(super) fill: Vec<u8>,
    pub(super) tensors: bool,
}

/// Whether it is strings or binary data of any width.
pub(super) fn is_text(data_type: &DataType) -> bool {
    is_string(data_type) || matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

pub(super) fn is_string(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

impl TextConversion {
    /// The values, and under `Nulls::Mask` where they were null.
    pub(super) fn run(
        &self,
        array: &ArrayRef,
        outer: Option<&NullBuffer>,
        at: &ValueLocation<'_>,
    ) -> Result<Vec<ArrayRef>> {
        let nulls = union(array.as_ref(), outer);
        let nulls = nulls.as_ref();
        if self.nulls == Nulls::Error {
            refuse(nulls, at)?;
        }
        // Views keep their pages alive; with offsets, a batch holds its own bytes only.
        let array = if self.tensors { &offsets_of(array) } else { array };
        let values = match (nulls, self.nulls) {
            (Some(nulls), Nulls::Fill | Nulls::Mask) => self.filled(array, nulls)?,
            (_, Nulls::Keep) => with_nulls(array, nulls)?,
            _ => with_nulls(array, None)?,
        };
        let mut made = vec![if self.strings == Strings::Bytes { as_lists(&values)? } else { values }];
        if self.nulls == Nulls::Mask {
            made.push(mask(nulls, array.len(), self.tensors));
        }
        Ok(made)
    }

    fn filled(&self, array: &ArrayRef, nulls: &NullBuffer) -> Result<ArrayRef> {
        fn bytes<T: ByteArrayType>(array: &ArrayRef) -> &GenericByteArray<T> {
            array.as_bytes()
        }
        let text = || str::from_utf8(&self.fill).map_err(|_| Error::internal("a fill that is no text"));
        Ok(match array.data_type() {
            DataType::Utf8 => strings(bytes::<GenericStringType<i32>>(array), nulls, text()?),
            DataType::LargeUtf8 => strings(bytes::<GenericStringType<i64>>(array), nulls, text()?),
            DataType::Binary => binary(bytes::<GenericBinaryType<i32>>(array), nulls, &self.fill),
            DataType::LargeBinary => binary(bytes::<GenericBinaryType<i64>>(array), nulls, &self.fill),
            _ => self.filled(&offsets_of(array), nulls)?,
        })
    }
}

fn strings<O: OffsetSizeTrait>(
    array: &GenericByteArray<GenericStringType<O>>,
    nulls: &NullBuffer,
    fill: &str,
) -> ArrayRef {
    let mut made = GenericStringBuilder::<O>::with_capacity(array.len(), array.value_data().len());
    for index in 0..array.len() {
        made.append_value(if nulls.is_valid(index) { array.value(index) } else { fill });
    }
    Arc::new(made.finish())
}

fn binary<O: OffsetSizeTrait>(
    array: &GenericByteArray<GenericBinaryType<O>>,
    nulls: &NullBuffer,
    fill: &[u8],
) -> ArrayRef {
    let mut made = GenericBinaryBuilder::<O>::with_capacity(array.len(), array.value_data().len());
    for index in 0..array.len() {
        made.append_value(if nulls.is_valid(index) { array.value(index) } else { fill });
    }
    Arc::new(made.finish())
}

/// Views as arrays with offsets; the nulls stay.
fn offsets_of(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Utf8View => {
            Arc::new(array.as_string_view().iter().collect::<arrow_array::LargeStringArray>()) as ArrayRef
        }
        DataType::BinaryView => {
            Arc::new(array.as_binary_view().iter().collect::<arrow_array::LargeBinaryArray>()) as ArrayRef
        }
        _ => Arc::clone(array),
    }
}

/// The bytes of each value as a list of numbers, without a copy.
fn as_lists(array: &ArrayRef) -> Result<ArrayRef> {
    fn of<T: ByteArrayType>(array: &GenericByteArray<T>) -> Result<ArrayRef>
    where
        T::Offset: OffsetSizeTrait,
    {
        let values = UInt8Array::new(array.values().clone().into(), None);
        let field = Arc::new(Field::new("item", DataType::UInt8, false));
        GenericListArray::<T::Offset>::try_new(field, array.offsets().clone(), Arc::new(values), None)
            .map(|lists| Arc::new(lists) as ArrayRef)
            .map_err(Error::from)
    }
    match array.data_type() {
        DataType::Utf8 => of(array.as_string::<i32>()),
        DataType::LargeUtf8 => of(array.as_string::<i64>()),
        DataType::Binary => of(array.as_binary::<i32>()),
        DataType::LargeBinary => of(array.as_binary::<i64>()),
        _ => as_lists(&offsets_of(array)),
    }
}
