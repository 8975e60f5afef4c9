//! Casts between numbers, refused where a value would not be the same afterwards.
//!
//! As pyarrow's safe casts: integers must fit, floats that become integers must be whole, integers that become floats
//! must be representable. A float that becomes a narrower float is rounded, and must not become infinite.

use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, Float16Type};
use arrow_array::{ArrayRef, PrimitiveArray};
use arrow_buffer::{Buffer, NullBuffer, ScalarBuffer};

use super::arrays::value_bytes;
use crate::buffer_pool::{self, Element};
use crate::decode::Number;
use crate::decode::number::{from_bf16, to_bf16};

type F16 = <Float16Type as ArrowPrimitiveType>::Native;

/// A 16-bit float, as a type that traits can be written for.
#[derive(Clone, Copy)]
struct Half(F16);

/// A number on its way: one of the three types that hold all others.
#[derive(Clone, Copy)]
enum Wide {
    Int(i64),
    Uint(u64),
    Float(f64),
}

trait Widen: Copy {
    fn widen(self) -> Wide;
}

/// From the wide form; and whether nothing was lost.
trait Narrow: Copy {
    fn narrow(wide: Wide) -> (Self, bool);
}

macro_rules! integer {
    ($($type:ty => $wide:ident $as:ty),*) => {$(
        impl Widen for $type {
            #[inline(always)]
            fn widen(self) -> Wide {
                Wide::$wide(self as $as)
            }
        }

        impl Narrow for $type {
            #[inline(always)]
            fn narrow(wide: Wide) -> (Self, bool) {
                match wide {
                    Wide::Int(value) => (value as $type, <$type>::try_from(value).is_ok()),
                    Wide::Uint(value) => (value as $type, <$type>::try_from(value).is_ok()),
                    Wide::Float(value) => {
                        let whole = value as $type;
                        (whole, value.fract() == 0.0 && value as i128 == i128::from(whole))
                    }
                }
            }
        }
    )*};
}

integer!(i8 => Int i64, i16 => Int i64, i32 => Int i64, i64 => Int i64);
integer!(u8 => Int i64, u16 => Int i64, u32 => Int i64, u64 => Uint u64);

macro_rules! float {
    ($($type:ty, $from:expr, $to:expr);*) => {$(
        impl Widen for $type {
            #[inline(always)]
            fn widen(self) -> Wide {
                let widen: fn($type) -> f64 = $from;
                Wide::Float(widen(self))
            }
        }

        impl Narrow for $type {
            #[inline(always)]
            fn narrow(wide: Wide) -> (Self, bool) {
                let narrow: fn(f64) -> $type = $to;
                let widen: fn($type) -> f64 = $from;
                match wide {
                    Wide::Int(value) => {
                        let float = narrow(value as f64);
                        (float, widen(float) as i128 == i128::from(value))
                    }
                    Wide::Uint(value) => {
                        let float = narrow(value as f64);
                        (float, widen(float) as i128 == i128::from(value))
                    }
                    Wide::Float(value) => {
                        let float = narrow(value);
                        (float, widen(float).is_finite() || !value.is_finite())
                    }
                }
            }
        }
    )*};
}

float! {
    Half, |value| value.0.to_f64(), |value| Half(F16::from_f64(value));
    f32, f64::from, |value| value as f32;
    f64, |value| value, |value| value
}

/// A byte that is 0 or 1.
#[derive(Clone, Copy)]
struct Bit(u8);

impl Narrow for Bit {
    fn narrow(wide: Wide) -> (Self, bool) {
        let (value, whole) = u8::narrow(wide);
        let zero = match wide {
            Wide::Int(value) => value == 0,
            Wide::Uint(value) => value == 0,
            Wide::Float(value) => value == 0.0,
        };
        (Self(u8::from(!zero)), whole && value <= 1)
    }
}

/// The upper half of a 32-bit float.
#[derive(Clone, Copy)]
struct Brain(u16);

impl Widen for Brain {
    fn widen(self) -> Wide {
        Wide::Float(f64::from(from_bf16(self.0)))
    }
}

impl Narrow for Brain {
    fn narrow(wide: Wide) -> (Self, bool) {
        let (float, same) = f32::narrow(wide);
        let brain = Self(to_bf16(float));
        let Wide::Float(back) = brain.widen() else { return (brain, same) };
        let kept = match wide {
            Wide::Float(value) => back.is_finite() || !value.is_finite(),
            Wide::Int(value) => back as i128 == i128::from(value),
            Wide::Uint(value) => back as i128 == i128::from(value),
        };
        (brain, same && kept)
    }
}

/// The values as another number; the index of the first that is not null and would lose, where that is not allowed.
pub(super) fn cast(
    array: &ArrayRef,
    from: Number,
    to: Number,
    lossy: bool,
    nulls: Option<&NullBuffer>,
) -> Result<ArrayRef, usize> {
    if from == to {
        return Ok(Arc::clone(array));
    }
    let values = value_bytes(array.as_ref()).unwrap_or_default();
    let check = (!lossy).then_some(nulls);
    match from {
        Number::Bool | Number::U8 => to_any(&values.typed_data::<u8>().iter().copied(), to, check),
        Number::I8 => to_any(&values.typed_data::<i8>().iter().copied(), to, check),
        Number::I16 => to_any(&values.typed_data::<i16>().iter().copied(), to, check),
        Number::I32 => to_any(&values.typed_data::<i32>().iter().copied(), to, check),
        Number::I64 => to_any(&values.typed_data::<i64>().iter().copied(), to, check),
        Number::U16 => to_any(&values.typed_data::<u16>().iter().copied(), to, check),
        Number::U32 => to_any(&values.typed_data::<u32>().iter().copied(), to, check),
        Number::U64 => to_any(&values.typed_data::<u64>().iter().copied(), to, check),
        Number::BF16 => to_any(&values.typed_data::<u16>().iter().copied().map(Brain), to, check),
        Number::F16 => to_any(&values.typed_data::<F16>().iter().copied().map(Half), to, check),
        Number::F32 => to_any(&values.typed_data::<f32>().iter().copied(), to, check),
        Number::F64 => to_any(&values.typed_data::<f64>().iter().copied(), to, check),
    }
}

/// `check`: None where losses are allowed, else the nulls, whose values do not matter.
type Check<'a> = Option<Option<&'a NullBuffer>>;

fn to_any<S: Widen>(
    values: &(impl ExactSizeIterator<Item = S> + Clone),
    to: Number,
    check: Check<'_>,
) -> Result<ArrayRef, usize> {
    use arrow_array::types as t;
    match to {
        Number::Bool => made::<S, Bit, u8, t::UInt8Type>(values, check, |bit| bit.0),
        Number::I8 => made::<S, i8, u8, t::Int8Type>(values, check, i8::cast_unsigned),
        Number::I16 => made::<S, i16, u16, t::Int16Type>(values, check, i16::cast_unsigned),
        Number::I32 => made::<S, i32, u32, t::Int32Type>(values, check, i32::cast_unsigned),
        Number::I64 => made::<S, i64, u64, t::Int64Type>(values, check, i64::cast_unsigned),
        Number::U8 => made::<S, u8, u8, t::UInt8Type>(values, check, |value| value),
        Number::U16 => made::<S, u16, u16, t::UInt16Type>(values, check, |value| value),
        Number::U32 => made::<S, u32, u32, t::UInt32Type>(values, check, |value| value),
        Number::U64 => made::<S, u64, u64, t::UInt64Type>(values, check, |value| value),
        Number::BF16 => made::<S, Brain, u16, t::UInt16Type>(values, check, |brain| brain.0),
        Number::F16 => made::<S, Half, u16, Float16Type>(values, check, |half| half.0.to_bits()),
        Number::F32 => made::<S, f32, u32, t::Float32Type>(values, check, f32::to_bits),
        Number::F64 => made::<S, f64, u64, t::Float64Type>(values, check, f64::to_bits),
    }
}

fn made<S: Widen, T: Narrow, E: Element, A: ArrowPrimitiveType>(
    values: &(impl ExactSizeIterator<Item = S> + Clone),
    check: Check<'_>,
    bits: impl Fn(T) -> E,
) -> Result<ArrayRef, usize> {
    let count = values.len();
    let mut out: Vec<E> = buffer_pool::vec(count);
    let mut kept = true;
    out.extend(values.clone().map(|value| {
        let (narrow, same) = T::narrow(value.widen());
        kept &= same;
        bits(narrow)
    }));
    if let (false, Some(nulls)) = (kept, check) {
        let lost = |(index, value): (usize, S)| {
            (!T::narrow(value.widen()).1 && nulls.is_none_or(|nulls| nulls.is_valid(index))).then_some(index)
        };
        if let Some(index) = values.clone().enumerate().find_map(lost) {
            return Err(index);
        }
    }
    Ok(Arc::new(primitive::<A>(buffer_pool::buffer(out), count)))
}

/// An array over a buffer of `count` values.
fn primitive<A: ArrowPrimitiveType>(buffer: Buffer, count: usize) -> PrimitiveArray<A> {
    PrimitiveArray::new(ScalarBuffer::new(buffer, 0, count), None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float32Type, Float64Type, Int64Type, UInt64Type};
    use arrow_array::{Float64Array, Int64Array, UInt64Array};
    use proptest::prelude::*;

    const ALL: [Number; 13] = [
        Number::Bool,
        Number::I8,
        Number::I16,
        Number::I32,
        Number::I64,
        Number::U8,
        Number::U16,
        Number::U32,
        Number::U64,
        Number::F16,
        Number::BF16,
        Number::F32,
        Number::F64,
    ];

    #[test]
    fn what_would_lose_is_found() {
        let of = |values: &[i64], to| {
            cast(&(Arc::new(Int64Array::from(values.to_vec())) as ArrayRef), Number::I64, to, false, None)
        };
        assert_eq!(of(&[1, 127, -128], Number::I8).unwrap().len(), 3);
        assert_eq!(of(&[1, 128], Number::I8).unwrap_err(), 1);
        assert_eq!(of(&[-1], Number::U64).unwrap_err(), 0);
        assert_eq!(of(&[1 << 53, (1 << 53) + 1], Number::F64).unwrap_err(), 1);
        assert_eq!(of(&[i64::MAX], Number::F64).unwrap_err(), 0);
        assert_eq!(of(&[0, 1, 2], Number::Bool).unwrap_err(), 2);
        assert_eq!(of(&[256, 257], Number::BF16).unwrap_err(), 1);
        let of = |values: &[f64], to| {
            cast(&(Arc::new(Float64Array::from(values.to_vec())) as ArrayRef), Number::F64, to, false, None)
        };
        assert_eq!(of(&[2.0, 0.5], Number::I32).unwrap_err(), 1);
        assert_eq!(of(&[f64::NAN], Number::I32).unwrap_err(), 0);
        assert_eq!(of(&[9_223_372_036_854_775_808.0], Number::I64).unwrap_err(), 0);
        assert_eq!(of(&[0.1, 1e39], Number::F32).unwrap_err(), 1);
        assert_eq!(of(&[70_000.0], Number::F16).unwrap_err(), 0);
        let rounded = of(&[0.1, f64::NAN, f64::NEG_INFINITY], Number::F32).unwrap();
        assert_eq!(rounded.as_primitive::<Float32Type>().value(0).to_bits(), 0.1_f32.to_bits());
        let big: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
        assert_eq!(cast(&big, Number::U64, Number::I64, false, None).unwrap_err(), 0);
    }

    #[test]
    fn nulls_may_hold_anything() {
        let array: ArrayRef = Arc::new(Int64Array::from(vec![1000, 1, 1000]));
        let nulls = NullBuffer::from(vec![false, true, false]);
        assert!(cast(&array, Number::I64, Number::I8, false, Some(&nulls)).is_ok());
        assert_eq!(cast(&array, Number::I64, Number::I8, false, None).unwrap_err(), 0);
    }

    proptest! {
        #[test]
        fn what_is_let_through_comes_back(values in proptest::collection::vec(any::<i64>(), 1..20), shift in 0..63_u32) {
            let values: Vec<i64> = values.iter().map(|value| value >> shift).collect();
            let array: ArrayRef = Arc::new(Int64Array::from(values.clone()));
            for to in ALL {
                match cast(&array, Number::I64, to, false, None) {
                    Ok(narrow) => {
                        let back = cast(&narrow, to, Number::I64, true, None).unwrap();
                        prop_assert_eq!(back.as_primitive::<Int64Type>().values(), &values[..], "{:?}", to);
                    }
                    Err(index) => {
                        let one: ArrayRef = array.slice(index, 1);
                        let narrow = cast(&one, Number::I64, to, true, None).unwrap();
                        let back = cast(&narrow, to, Number::F64, true, None).unwrap();
                        let exact = back.as_primitive::<Float64Type>().value(0);
                        prop_assert!(exact as i128 != i128::from(values[index]), "{:?} {}", to, values[index]);
                    }
                }
            }
            let unsigned = cast(&array, Number::I64, Number::U64, true, None).unwrap();
            prop_assert_eq!(unsigned.as_primitive::<UInt64Type>().value(0), values[0].cast_unsigned());
        }
    }
}
