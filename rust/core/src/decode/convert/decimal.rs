//! Decimals as floats, or as the integers that they are stored as.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type};
use arrow_array::{ArrayRef, Float64Array, Int64Array};
use arrow_buffer::{NullBuffer, i256};
use arrow_schema::DataType;

/// The largest integer up to which a float has all.
const EXACT: i128 = 1 << 53;
/// Powers of ten that a float has.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// The values as float64, each the nearest to the decimal, or as unscaled int64; the index of the first that is not
/// null and does not fit.
pub(super) fn numbers(array: &ArrayRef, unscaled: bool, nulls: Option<&NullBuffer>) -> Result<ArrayRef, usize> {
    match array.data_type() {
        DataType::Decimal32(_, scale) => of::<Decimal32Type>(array, *scale, unscaled, nulls, |v| Some(i128::from(v))),
        DataType::Decimal64(_, scale) => of::<Decimal64Type>(array, *scale, unscaled, nulls, |v| Some(i128::from(v))),
        DataType::Decimal128(_, scale) => of::<Decimal128Type>(array, *scale, unscaled, nulls, Some),
        DataType::Decimal256(_, scale) => of::<Decimal256Type>(array, *scale, unscaled, nulls, i256::to_i128),
        _ => Err(0),
    }
}

fn of<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    scale: i8,
    unscaled: bool,
    nulls: Option<&NullBuffer>,
    narrow: impl Fn(T::Native) -> Option<i128>,
) -> Result<ArrayRef, usize>
where
    T::Native: std::fmt::Display,
{
    let values = array.as_primitive::<T>().values();
    if !unscaled {
        let float = |value: &T::Native| match (narrow(*value), usize::try_from(scale).ok()) {
            // Both exact, so that the quotient is the nearest.
            (Some(whole), Some(scale)) if whole.abs() <= EXACT && scale < TENS.len() => whole as f64 / TENS[scale],
            _ => format!("{value}e{}", -i32::from(scale)).parse().unwrap_or(f64::NAN),
        };
        return Ok(Arc::new(Float64Array::from_iter_values(values.iter().map(float))));
    }
    let mut out = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        match narrow(*value).and_then(|whole| i64::try_from(whole).ok()) {
            Some(whole) => out.push(whole),
            None if nulls.is_some_and(|nulls| nulls.is_null(index)) => out.push(0),
            None => return Err(index),
        }
    }
    Ok(Arc::new(Int64Array::from(out)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::types::{Float64Type, Int64Type};
    use arrow_array::{Decimal128Array, Decimal256Array};
    use proptest::prelude::*;

    #[test]
    fn what_does_not_fit_is_found() {
        let array = Decimal128Array::from(vec![1, i128::from(i64::MAX) + 1]).with_precision_and_scale(38, 2).unwrap();
        let array: ArrayRef = Arc::new(array);
        assert_eq!(numbers(&array, true, None).unwrap_err(), 1);
        assert!(numbers(&array, true, Some(&NullBuffer::from(vec![true, false]))).is_ok());
    }

    proptest! {
        #[test]
        fn floats_are_the_nearest(values in proptest::collection::vec(any::<i128>(), 1..8), shift in 0..127_u32, scale in -5..30_i8) {
            let values: Vec<i128> = values.iter().map(|v| (v >> shift) / 10).collect();
            let exact: Vec<f64> = values.iter().map(|v| format!("{v}e{}", -i32::from(scale)).parse().unwrap()).collect();
            let narrow = Decimal128Array::from(values.clone()).with_data_type(DataType::Decimal128(38, scale));
            let wide = Decimal256Array::from(values.iter().map(|v| i256::from_i128(*v)).collect::<Vec<_>>());
            let wide = wide.with_data_type(DataType::Decimal256(76, scale));
            for array in [Arc::new(narrow) as ArrayRef, Arc::new(wide)] {
                let found = numbers(&array, false, None).unwrap();
                prop_assert_eq!(found.as_primitive::<Float64Type>().values(), &exact[..]);
                if let Ok(whole) = numbers(&array, true, None) {
                    let whole = whole.as_primitive::<Int64Type>().values().iter().map(|v| i128::from(*v));
                    prop_assert_eq!(whole.collect::<Vec<_>>(), values.clone());
                }
            }
        }
    }
}
