//! Integers and decimals as decimals with more digits, and as many places or more.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal32Type, Decimal64Type, Decimal128Type, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, Decimal64Array, Decimal256Array, PrimitiveArray, make_array};
use arrow_buffer::i256;
use arrow_schema::DataType;

use super::widen_values::NoRoom;
use crate::{Error, Result};

/// The same numbers; or the first that has too many digits.
pub(super) fn decimals(array: &ArrayRef, to: &DataType) -> Result<std::result::Result<ArrayRef, NoRoom>> {
    let from = array.data_type();
    let (Some((_, from_scale)), Some((precision, scale))) = (digits(from), digits(to)) else {
        return Err(Error::internal(format!("{from} to {to}")));
    };
    if !from.is_signed_integer() && from_scale == scale && from.primitive_width() == to.primitive_width() {
        return Ok(Ok(make_array(array.to_data().into_builder().data_type(to.clone()).build()?)));
    }
    let wide: PrimitiveArray<Decimal128Type> = match from {
        DataType::Int8 => array.as_primitive::<Int8Type>().unary(i128::from),
        DataType::Int16 => array.as_primitive::<Int16Type>().unary(i128::from),
        DataType::Int32 => array.as_primitive::<Int32Type>().unary(i128::from),
        DataType::Int64 => array.as_primitive::<Int64Type>().unary(i128::from),
        DataType::Decimal32(..) => array.as_primitive::<Decimal32Type>().unary(i128::from),
        DataType::Decimal64(..) => array.as_primitive::<Decimal64Type>().unary(i128::from),
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().clone(),
        _ => return Err(Error::internal(format!("{from} to {to}"))),
    };
    let factor = u32::try_from(scale - from_scale).ok().and_then(|places| 10_i128.checked_pow(places));
    let Some(factor) = factor else { return Err(Error::internal(format!("{from} to {to}"))) };
    let most = 10_i128.checked_pow(u32::from(precision)).unwrap_or(i128::MAX);
    let fits = |value: i128| value.checked_mul(factor).is_some_and(|value| value.unsigned_abs() < most.unsigned_abs());
    if let Some(row) = (0..wide.len()).find(|&row| wide.is_valid(row) && !fits(wide.value(row))) {
        return Ok(Err(NoRoom { row, value: wide.value(row) as i64 }));
    }
    let wide: PrimitiveArray<Decimal128Type> = wide.unary(|value| value.wrapping_mul(factor));
    Ok(Ok(match to {
        DataType::Decimal64(..) => {
            let values: Decimal64Array = wide.unary(|value| value as i64);
            Arc::new(values.with_precision_and_scale(precision, scale)?)
        }
        DataType::Decimal128(..) => Arc::new(wide.with_precision_and_scale(precision, scale)?),
        DataType::Decimal256(..) => {
            let values: Decimal256Array = wide.unary(i256::from_i128);
            Arc::new(values.with_precision_and_scale(precision, scale)?)
        }
        _ => return Err(Error::internal(format!("{from} to {to}"))),
    }))
}

/// Precision and scale; those of integers are of no account.
fn digits(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => Some((*precision, *scale)),
        other => other.is_signed_integer().then_some((0, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::widen_values::widened;
    use arrow_array::{Decimal128Array, Int8Array, Int64Array};

    #[test]
    fn integers_and_decimals_with_more_places() {
        let decimal = |precision, scale| DataType::Decimal128(precision, scale);
        let of = |array: &ArrayRef| array.as_primitive::<Decimal128Type>().iter().collect::<Vec<_>>();
        let bytes: ArrayRef = Arc::new(Int8Array::from(vec![Some(-128), None]));
        let made = widened(&bytes, &decimal(5, 2)).unwrap().unwrap();
        assert_eq!((made.data_type(), of(&made)), (&decimal(5, 2), vec![Some(-12_800), None]));
        let longs: ArrayRef = Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX]));
        let made = widened(&longs, &decimal(38, 18)).unwrap().unwrap();
        assert_eq!(of(&made)[0], Some(i128::from(i64::MIN) * 10_i128.pow(18)));
        let prices = Decimal128Array::from(vec![Some(-1_050), None, Some(999_999)]);
        let prices: ArrayRef = Arc::new(prices.with_precision_and_scale(6, 2).unwrap());
        let made = widened(&prices, &decimal(10, 4)).unwrap().unwrap();
        assert_eq!(of(&made), [Some(-105_000), None, Some(99_999_900)]);
        assert_eq!(widened(&prices, &decimal(6, 4)).unwrap(), Err(NoRoom { row: 2, value: 999_999 }));
    }
}
