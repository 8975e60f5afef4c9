//! The types that a tensor's numbers have, and how Arrow memory carries each of them.

use arrow_schema::DataType;

use super::scalar::Scalar;

/// The type of a tensor's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "their names are what they are")]
pub enum Number {
    Bool,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F16,
    BF16,
    F32,
    F64,
}

/// Every number with torch's name of it.
const NAMES: [(Number, &str); 13] = [
    (Number::Bool, "bool"),
    (Number::I8, "int8"),
    (Number::I16, "int16"),
    (Number::I32, "int32"),
    (Number::I64, "int64"),
    (Number::U8, "uint8"),
    (Number::U16, "uint16"),
    (Number::U32, "uint32"),
    (Number::U64, "uint64"),
    (Number::F16, "float16"),
    (Number::BF16, "bfloat16"),
    (Number::F32, "float32"),
    (Number::F64, "float64"),
];

impl Number {
    /// The number of this name of torch's.
    pub fn parse(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(number, _)| *number)
    }

    /// Torch's name.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(number, _)| *number == self).map_or("", |(_, name)| *name)
    }

    /// The number that values of an Arrow type are as they stand: dates and times are counts of their unit.
    pub fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Bool,
            DataType::Int8 => Self::I8,
            DataType::Int16 => Self::I16,
            DataType::Int32 | DataType::Date32 | DataType::Time32(_) => Self::I32,
            DataType::Int64
            | DataType::Date64
            | DataType::Time64(_)
            | DataType::Timestamp(..)
            | DataType::Duration(_) => Self::I64,
            DataType::UInt8 => Self::U8,
            DataType::UInt16 => Self::U16,
            DataType::UInt32 => Self::U32,
            DataType::UInt64 => Self::U64,
            DataType::Float16 => Self::F16,
            DataType::Float32 => Self::F32,
            DataType::Float64 => Self::F64,
            _ => return None,
        })
    }

    /// The Arrow type that carries it to a tensor: bools take a byte each.
    pub fn carrier(self) -> DataType {
        match self {
            Self::Bool | Self::U8 => DataType::UInt8,
            Self::I8 => DataType::Int8,
            Self::I16 => DataType::Int16,
            Self::I32 => DataType::Int32,
            Self::I64 => DataType::Int64,
            Self::U16 | Self::BF16 => DataType::UInt16,
            Self::U32 => DataType::UInt32,
            Self::U64 => DataType::UInt64,
            Self::F16 => DataType::Float16,
            Self::F32 => DataType::Float32,
            Self::F64 => DataType::Float64,
        }
    }

    /// Bytes of one.
    pub fn width(self) -> usize {
        match self {
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 | Self::F16 | Self::BF16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }

    /// Whether it has a NaN.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::BF16 | Self::F32 | Self::F64)
    }

    /// The smallest float that holds every value that it has, or nearly: 64-bit integers lose over 2**53.
    pub(crate) fn float(self) -> Self {
        match self {
            Self::Bool | Self::I8 | Self::I16 | Self::U8 | Self::U16 => Self::F32,
            Self::I32 | Self::I64 | Self::U32 | Self::U64 => Self::F64,
            float => float,
        }
    }

    /// The bytes of a value (the first `width` of eight), if it is one of this type's.
    pub(crate) fn bytes(self, value: &Scalar) -> Option<[u8; 8]> {
        fn pad<const N: usize>(bytes: [u8; N]) -> [u8; 8] {
            let mut padded = [0; 8];
            padded[..N].copy_from_slice(&bytes);
            padded
        }
        let whole = match value {
            Scalar::Int(value) => Some(*value),
            Scalar::Bool(value) => Some(i128::from(*value)),
            Scalar::Float(value) if value.fract() == 0.0 && value.abs() < 1e38 => Some(*value as i128),
            _ => None,
        };
        let real = match value {
            Scalar::Float(value) => Some(*value),
            _ => whole.map(|value| value as f64).filter(|real| Some(*real as i128) == whole),
        };
        let fits = |narrow: f64| narrow.is_finite() || real.is_some_and(|real| !real.is_finite());
        Some(match self {
            Self::Bool => match whole? {
                value @ (0 | 1) => pad([value as u8]),
                _ => return None,
            },
            Self::I8 => pad(i8::try_from(whole?).ok()?.to_ne_bytes()),
            Self::I16 => pad(i16::try_from(whole?).ok()?.to_ne_bytes()),
            Self::I32 => pad(i32::try_from(whole?).ok()?.to_ne_bytes()),
            Self::I64 => pad(i64::try_from(whole?).ok()?.to_ne_bytes()),
            Self::U8 => pad(u8::try_from(whole?).ok()?.to_ne_bytes()),
            Self::U16 => pad(u16::try_from(whole?).ok()?.to_ne_bytes()),
            Self::U32 => pad(u32::try_from(whole?).ok()?.to_ne_bytes()),
            Self::U64 => pad(u64::try_from(whole?).ok()?.to_ne_bytes()),
            Self::F16 => {
                let narrow =
                    <arrow_array::types::Float16Type as arrow_array::ArrowPrimitiveType>::Native::from_f64(real?);
                fits(narrow.to_f64()).then(|| pad(narrow.to_bits().to_ne_bytes()))?
            }
            Self::BF16 => {
                let narrow = to_bf16(real? as f32);
                fits(f64::from(from_bf16(narrow))).then(|| pad(narrow.to_ne_bytes()))?
            }
            Self::F32 => {
                let narrow = real? as f32;
                fits(f64::from(narrow)).then(|| pad(narrow.to_ne_bytes()))?
            }
            Self::F64 => pad(real?.to_ne_bytes()),
        })
    }
}

/// Rounded to the nearest, ties to even.
pub(crate) fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((u64::from(bits) + 0x7fff + u64::from(bits >> 16 & 1)) >> 16) as u16
}

/// Exact.
pub(crate) fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_do_not_fit_have_no_bytes() {
        assert_eq!(Number::I8.bytes(&Scalar::Int(-1)).map(|b| b[0]), Some(255));
        assert!(Number::I8.bytes(&Scalar::Int(128)).is_none());
        assert!(Number::U64.bytes(&Scalar::Int(-1)).is_none());
        assert!(Number::I64.bytes(&Scalar::Float(0.5)).is_none());
        assert!(Number::I32.bytes(&Scalar::Float(2.0)).is_some());
        assert!(Number::F32.bytes(&Scalar::Float(1e300)).is_none());
        assert!(Number::F32.bytes(&Scalar::Float(f64::INFINITY)).is_some());
        assert!(Number::Bool.bytes(&Scalar::Int(2)).is_none());
        assert!(Number::F64.bytes(&Scalar::Text("1".into())).is_none());
        assert!(Number::F64.bytes(&Scalar::Int((1 << 53) + 1)).is_none());
    }

    #[test]
    fn bfloat16_rounds_to_even() {
        for (value, bits) in [(1.0, 0x3f80), (1.003_906_3, 0x3f80), (1.011_718_8, 0x3f82), (f32::MAX, 0x7f80)] {
            assert_eq!(to_bf16(value), bits, "{value}");
        }
        assert!(from_bf16(to_bf16(f32::NAN)).is_nan());
        assert_eq!(from_bf16(to_bf16(-0.0)).to_bits(), (-0.0_f32).to_bits());
    }

    #[test]
    fn names_are_read_back() {
        for (number, name) in NAMES {
            assert_eq!((Number::parse(name), number.name()), (Some(number), name));
            assert_eq!(number.carrier().primitive_width(), Some(number.width()));
        }
    }
}
