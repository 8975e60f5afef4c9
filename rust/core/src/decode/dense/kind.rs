//! The columns that the dense decoder takes.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, TimeUnit};
use parquet::basic::Type as PhysicalType;
use parquet::schema::types::ColumnDescriptor;

use super::levels::Levels;
use super::values::{self, Values};

/// How rows are made of values.
#[derive(Debug, Clone)]
pub(super) enum Nesting {
    Flat,
    List(FieldRef),
    LargeList(FieldRef),
    /// Of this length.
    Fixed(FieldRef, usize),
}

/// All that the decoder knows of a column before its first page.
pub(super) struct ColumnKind {
    pub(super) nesting: Nesting,
    pub(super) levels: Levels,
    /// The values' Arrow type: the column's, or its lists' items'.
    pub(super) item: DataType,
    pub(super) values: Box<dyn Values>,
}

impl ColumnKind {
    pub(super) fn of(descr: &ColumnDescriptor, field: &Field) -> Option<Self> {
        let (nesting, item) = match field.data_type() {
            DataType::List(item) => (Nesting::List(Arc::clone(item)), item.data_type()),
            DataType::LargeList(item) => (Nesting::LargeList(Arc::clone(item)), item.data_type()),
            DataType::FixedSizeList(item, size) => {
                let size = usize::try_from(*size).ok().filter(|size| *size > 0)?;
                (Nesting::Fixed(Arc::clone(item), size), item.data_type())
            }
            flat => (Nesting::Flat, flat),
        };
        let optional = u8::from(field.is_nullable());
        let levels = match &nesting {
            Nesting::Flat => Levels { max_def: optional, empty: None, repeated: false },
            Nesting::List(child) | Nesting::LargeList(child) | Nesting::Fixed(child, _) => {
                let max_def = optional + 1 + u8::from(child.is_nullable());
                Levels { max_def, empty: Some(optional), repeated: true }
            }
        };
        let as_described = descr.max_def_level() == i16::from(levels.max_def)
            && descr.max_rep_level() == i16::from(levels.repeated)
            && (levels.repeated || descr.path().parts().len() == 1);
        if !as_described {
            return None;
        }
        let values = values_of(descr.physical_type(), descr.type_length(), item)?;
        Some(Self { item: item.clone(), nesting, levels, values })
    }
}

/// The decoder from what Parquet stores to what Arrow holds, where it is a copy or a cut of each value's bytes.
fn values_of(physical: PhysicalType, length: i32, arrow: &DataType) -> Option<Box<dyn Values>> {
    use DataType as A;
    match (physical, arrow) {
        (PhysicalType::INT32, A::Int8 | A::UInt8) => Some(values::of_words_as_bytes()),
        (PhysicalType::INT32, A::Int16 | A::UInt16) => Some(values::of_words_as_halves()),
        (PhysicalType::INT32, A::Int32 | A::UInt32 | A::Date32)
        | (PhysicalType::INT32, A::Time32(TimeUnit::Second | TimeUnit::Millisecond))
        | (PhysicalType::FLOAT, A::Float32) => Some(values::of_words()),
        (PhysicalType::INT64, A::Int64 | A::UInt64 | A::Date64 | A::Timestamp(..) | A::Duration(_))
        | (PhysicalType::INT64, A::Time64(TimeUnit::Microsecond | TimeUnit::Nanosecond))
        | (PhysicalType::DOUBLE, A::Float64) => Some(values::of_longs()),
        (PhysicalType::FIXED_LEN_BYTE_ARRAY, A::Float16) if length == 2 => Some(values::of_halves()),
        _ => None,
    }
}
