//! A column's values in one of four comparable representations.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, DurationMicrosecondType,
    DurationMillisecondType, DurationNanosecondType, DurationSecondType, Float16Type, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};
use arrow_select::take::take;

use crate::{Error, Result};

/// Values without their nulls: the value at a null may be anything.
#[derive(Debug, Clone)]
pub(super) enum Comparable<'a> {
    /// Integers, dates, times and bools that fit.
    Int(Vec<i64>),
    /// Decimals, unscaled, and integers that do not fit into i64.
    Wide(Vec<i128>),
    /// Floats, or the above as floats.
    Float(Vec<f64>),
    /// Texts and bytes.
    Bytes(Vec<&'a [u8]>),
}

/// The representation that the values of a type are compared in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ComparableKind {
    Int,
    Wide,
    Float,
    Bytes,
}

/// The representation of a type's values; None where they cannot be compared here.
pub(super) fn comparable_kind(data_type: &DataType) -> Option<ComparableKind> {
    use DataType::{
        Binary, BinaryView, Boolean, Date32, Date64, Decimal32, Decimal64, Decimal128, Dictionary, Duration,
        FixedSizeBinary, Float16, Float32, Float64, Int8, Int16, Int32, Int64, LargeBinary, LargeUtf8, Time32, Time64,
        Timestamp, UInt8, UInt16, UInt32, UInt64, Utf8, Utf8View,
    };
    Some(match data_type {
        Boolean | Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 => ComparableKind::Int,
        Date32 | Date64 | Time32(_) | Time64(_) | Timestamp(..) | Duration(_) => ComparableKind::Int,
        UInt64 | Decimal32(..) | Decimal64(..) | Decimal128(..) => ComparableKind::Wide,
        Float16 | Float32 | Float64 => ComparableKind::Float,
        Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => ComparableKind::Bytes,
        Dictionary(_, values) => return comparable_kind(values),
        _ => return None,
    })
}

/// The scale of a decimal.
pub(super) fn scale(data_type: &DataType) -> Option<i8> {
    match data_type {
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => Some(*scale),
        _ => None,
    }
}

/// An array's values in the representation of their type.
pub(super) fn comparable(array: &ArrayRef) -> Result<Comparable<'_>> {
    fn ints<T: ArrowPrimitiveType>(array: &ArrayRef) -> Comparable<'_>
    where
        T::Native: Into<i64>,
    {
        Comparable::Int(array.as_primitive::<T>().values().iter().map(|&value| value.into()).collect())
    }
    fn wide<T: ArrowPrimitiveType>(array: &ArrayRef) -> Comparable<'_>
    where
        T::Native: Into<i128>,
    {
        Comparable::Wide(array.as_primitive::<T>().values().iter().map(|&value| value.into()).collect())
    }
    fn floats<T: ArrowPrimitiveType>(array: &ArrayRef) -> Comparable<'_>
    where
        T::Native: Into<f64>,
    {
        Comparable::Float(array.as_primitive::<T>().values().iter().map(|&value| value.into()).collect())
    }
    fn bytes<'a, T: AsRef<[u8]> + ?Sized + 'a>(values: impl Iterator<Item = Option<&'a T>>) -> Comparable<'a> {
        Comparable::Bytes(values.map(|value| value.map(AsRef::as_ref).unwrap_or_default()).collect())
    }
    use DataType as D;
    Ok(match array.data_type() {
        D::Boolean => Comparable::Int(array.as_boolean().values().iter().map(i64::from).collect()),
        D::Int8 => ints::<Int8Type>(array),
        D::Int16 => ints::<Int16Type>(array),
        D::Int32 => ints::<Int32Type>(array),
        D::Int64 => ints::<Int64Type>(array),
        D::UInt8 => ints::<UInt8Type>(array),
        D::UInt16 => ints::<UInt16Type>(array),
        D::UInt32 => ints::<UInt32Type>(array),
        D::UInt64 => wide::<UInt64Type>(array),
        D::Date32 => ints::<Date32Type>(array),
        D::Date64 => ints::<Date64Type>(array),
        D::Time32(TimeUnit::Second) => ints::<Time32SecondType>(array),
        D::Time32(_) => ints::<Time32MillisecondType>(array),
        D::Time64(TimeUnit::Microsecond) => ints::<Time64MicrosecondType>(array),
        D::Time64(_) => ints::<Time64NanosecondType>(array),
        D::Timestamp(TimeUnit::Second, _) => ints::<TimestampSecondType>(array),
        D::Timestamp(TimeUnit::Millisecond, _) => ints::<TimestampMillisecondType>(array),
        D::Timestamp(TimeUnit::Microsecond, _) => ints::<TimestampMicrosecondType>(array),
        D::Timestamp(TimeUnit::Nanosecond, _) => ints::<TimestampNanosecondType>(array),
        D::Duration(TimeUnit::Second) => ints::<DurationSecondType>(array),
        D::Duration(TimeUnit::Millisecond) => ints::<DurationMillisecondType>(array),
        D::Duration(TimeUnit::Microsecond) => ints::<DurationMicrosecondType>(array),
        D::Duration(TimeUnit::Nanosecond) => ints::<DurationNanosecondType>(array),
        D::Decimal32(..) => wide::<Decimal32Type>(array),
        D::Decimal64(..) => wide::<Decimal64Type>(array),
        D::Decimal128(..) => wide::<Decimal128Type>(array),
        D::Float16 => floats::<Float16Type>(array),
        D::Float32 => floats::<Float32Type>(array),
        D::Float64 => floats::<Float64Type>(array),
        D::Utf8 => bytes(array.as_string::<i32>().iter()),
        D::LargeUtf8 => bytes(array.as_string::<i64>().iter()),
        D::Utf8View => bytes(array.as_string_view().iter()),
        D::Binary => bytes(array.as_binary::<i32>().iter()),
        D::LargeBinary => bytes(array.as_binary::<i64>().iter()),
        D::BinaryView => bytes(array.as_binary_view().iter()),
        D::FixedSizeBinary(_) => bytes(array.as_fixed_size_binary().iter()),
        other => return Err(Error::internal(format!("{other} cannot be compared"))),
    })
}

/// An array with its values one by one: those of a dictionary are looked up, any other array is returned as it is.
pub(super) fn plain(array: &ArrayRef) -> Result<ArrayRef> {
    match array.as_any_dictionary_opt() {
        None => Ok(array.clone()),
        Some(dictionary) => take(dictionary.values(), dictionary.keys(), None).map_err(Error::from),
    }
}

impl Comparable<'_> {
    /// The values as floats, decimals by their scale.
    pub(super) fn floats(self, data_type: &DataType) -> Result<Vec<f64>> {
        let divisor = 10_f64.powi(i32::from(scale(data_type).unwrap_or(0)));
        Ok(match self {
            Self::Int(values) => values.into_iter().map(|value| value as f64).collect(),
            Self::Wide(values) => values.into_iter().map(|value| value as f64 / divisor).collect(),
            Self::Float(values) => values,
            Self::Bytes(_) => return Err(Error::internal("texts are not compared as numbers")),
        })
    }

    /// The values as wide integers.
    pub(super) fn wide(self) -> Result<Vec<i128>> {
        Ok(match self {
            Self::Int(values) => values.into_iter().map(i128::from).collect(),
            Self::Wide(values) => values,
            _ => return Err(Error::internal("neither floats nor texts are integers")),
        })
    }
}
