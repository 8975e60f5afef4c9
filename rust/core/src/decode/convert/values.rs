//! Numbers: cast to the type of their tensor, their nulls refused, filled or masked.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, UInt8Array, new_null_array};
use arrow_buffer::NullBuffer;
use arrow_data::ArrayData;
use arrow_schema::DataType;

use super::location::ValueLocation;
use super::nulls::{filled, mask, rebuilt, refuse, stripped, union, with_nulls};
use super::{cast, decimal};
use crate::decode::{Nulls, Number};
use crate::{Error, Result};

/// One number a value.
#[derive(Debug, Clone)]
pub(super) struct NumberConversion {
    /// What it is before a cast.
    pub(super) from: Number,
    /// What is delivered.
    pub(super) to: Number,
    pub(super) lossy: bool,
    /// Decimals as they are stored.
    pub(super) unscaled: bool,
    pub(super) nulls: Nulls,
    /// The bytes that stand in the place of a null.
    pub(super) fill: [u8; 8],
    /// Bools and masks take a byte each, and dates are integers.
    pub(super) tensors: bool,
}

impl NumberConversion {
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
        let mut values = self.cast(array, nulls, at)?;
        if let (Some(nulls), Nulls::Fill | Nulls::Nan | Nulls::Mask) = (nulls, self.nulls) {
            values = filled(&values, nulls, self.fill)?;
        }
        if !self.tensors {
            values = self.arrow(&values, array.data_type(), nulls.filter(|_| self.nulls == Nulls::Keep))?;
        }
        let mut made = vec![values];
        if self.nulls == Nulls::Mask {
            made.push(mask(nulls, array.len(), self.tensors));
        }
        Ok(made)
    }

    /// Numbers of the type `to`, without nulls.
    fn cast(&self, array: &ArrayRef, nulls: Option<&NullBuffer>, at: &ValueLocation<'_>) -> Result<ArrayRef> {
        let values = match array.data_type() {
            DataType::Boolean => {
                let bits = array.as_boolean().values();
                Arc::new(UInt8Array::from_iter_values(bits.iter().map(u8::from)))
            }
            DataType::Null => {
                let zeros = ArrayData::new_null(&self.from.carrier(), array.len());
                rebuilt(zeros.into_builder().nulls(None).build())?
            }
            decimal if decimal.is_decimal() => decimal::numbers(array, self.unscaled, nulls).map_err(|index| {
                at.error(index, "a decimal that 64 bits do not hold unscaled", "take decimal=\"float64\"")
            })?,
            // Dates and times are the integers that count them.
            _ if *array.data_type() != self.from.carrier() => {
                rebuilt(array.to_data().into_builder().data_type(self.from.carrier()).nulls(None).build())?
            }
            _ => stripped(array)?,
        };
        cast::cast(&values, self.from, self.to, self.lossy, nulls).map_err(|index| {
            let value = shown(&values, self.from, index);
            at.error(
                index,
                &format!("the value {value}, no {},", self.to.name()),
                "take another dtype=, or lossy=True to cast it all the same",
            )
        })
    }

    /// As Arrow data: bools are bits, and what was a date and was not cast is one.
    fn arrow(&self, values: &ArrayRef, original: &DataType, nulls: Option<&NullBuffer>) -> Result<ArrayRef> {
        let values: ArrayRef = if self.to == Number::Bool {
            let bytes = values.as_primitive::<arrow_array::types::UInt8Type>().values();
            Arc::new(BooleanArray::from_iter(bytes.iter().map(|&byte| Some(byte != 0))))
        } else if original.is_temporal() && self.to == self.from {
            rebuilt(values.to_data().into_builder().data_type(original.clone()).build())?
        } else {
            Arc::clone(values)
        };
        if *original == DataType::Null && nulls.is_some() {
            return Ok(new_null_array(values.data_type(), values.len()));
        }
        if nulls.is_some() { with_nulls(&values, nulls) } else { stripped(&values) }
    }
}

/// A value for a message.
fn shown(values: &ArrayRef, number: Number, index: usize) -> String {
    let one = values.slice(index, 1);
    let integer = !number.is_float();
    let to = match number {
        Number::U64 => Number::U64,
        _ if integer => Number::I64,
        _ => Number::F64,
    };
    let Ok(one) = cast::cast(&one, number, to, true, None) else { return String::new() };
    match to {
        Number::U64 => one.as_primitive::<arrow_array::types::UInt64Type>().value(0).to_string(),
        Number::I64 => one.as_primitive::<arrow_array::types::Int64Type>().value(0).to_string(),
        _ => one.as_primitive::<arrow_array::types::Float64Type>().value(0).to_string(),
    }
}

/// Numbers as wider ones, their nulls kept.
pub(crate) fn cast_numbers(array: &ArrayRef, from: Number, to: Number) -> Result<ArrayRef> {
    let wide = cast::cast(&with_nulls(array, None)?, from, to, true, None);
    with_nulls(&wide.map_err(|_| Error::internal("a cast that cannot fail"))?, array.nulls())
}
