//! The types of a table's files that become those of the table.
//!
//! A table may have had narrower types when a file was written, and structs with other fields. No value is changed, and a
//! field that a file lacks is null in its rows.

use arrow_schema::{DataType, Schema, TimeUnit};
use parquet::basic::Type as PhysicalType;
use parquet::schema::types::SchemaDescriptor;

use super::readable_schema::map_leaves;
use super::widen::{same_type, wider};

/// Whether the values of a file's type (`stored`) are values of the table's.
pub(super) fn becomes(stored: &DataType, wanted: &DataType) -> bool {
    use DataType::{
        Date32, Decimal128, FixedSizeList, Float64, Int8, Int16, Int32, Int64, LargeList, List, Map, Struct, Timestamp,
    };
    match (stored, wanted) {
        (List(a) | LargeList(a) | FixedSizeList(a, _), List(b) | LargeList(b)) => becomes(a.data_type(), b.data_type()),
        (Map(a, _), Map(b, _)) => match (a.data_type(), b.data_type()) {
            // Key and value, whatever they are called.
            (Struct(a), Struct(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| becomes(a.data_type(), b.data_type()))
            }
            _ => false,
        },
        (Struct(stored), Struct(wanted)) => wanted.iter().all(|wanted| {
            let of_file = stored.iter().find(|stored| stored.name() == wanted.name());
            of_file.is_none_or(|stored| becomes(stored.data_type(), wanted.data_type()))
        }),
        (Date32, Timestamp(_, None)) | (Int8 | Int16 | Int32, Float64) => true,
        (Int8, Decimal128(precision, scale)) => has_room(3, 0, *precision, *scale),
        (Int16, Decimal128(precision, scale)) => has_room(5, 0, *precision, *scale),
        (Int32, Decimal128(precision, scale)) => has_room(10, 0, *precision, *scale),
        (Int64, Decimal128(precision, scale)) => has_room(19, 0, *precision, *scale),
        (Decimal128(digits, places), Decimal128(precision, scale)) => has_room(*digits, *places, *precision, *scale),
        _ => same_type(stored, wanted) || wider(stored, wanted).is_some_and(|wide| same_type(&wide, wanted)),
    }
}

/// Whether decimals of a precision and scale hold numbers of so many digits, of which so many are places.
fn has_room(digits: u8, places: i8, precision: u8, scale: i8) -> bool {
    let whole = |digits: u8, places: i8| i16::from(digits) - i16::from(places);
    scale >= places && whole(precision, scale) >= whole(digits, places)
}

/// The schema of a table's file, with timestamps of 96 bits as tables mean them: points in time, to the microsecond.
pub(super) fn with_table_times(parquet: &SchemaDescriptor, arrow: &Schema) -> Schema {
    let is_int96 =
        |leaf: usize| leaf < parquet.num_columns() && parquet.column(leaf).physical_type() == PhysicalType::INT96;
    if !(0..parquet.num_columns()).any(is_int96) {
        return arrow.clone();
    }
    let mut leaf = 0;
    let mut fields = Vec::with_capacity(arrow.fields().len());
    for field in arrow.fields() {
        let micros = |leaf: usize, _: &DataType| {
            is_int96(leaf).then(|| DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))
        };
        fields.push(match map_leaves(field.data_type(), &mut leaf, &micros) {
            Some(data_type) => field.as_ref().clone().with_data_type(data_type).into(),
            None => field.clone(),
        });
    }
    Schema::new_with_metadata(fields, arrow.metadata().clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::readable_schema::arrow_schema;
    use arrow_schema::Field;
    use parquet::schema::parser::parse_message_type;
    use std::sync::Arc;

    #[test]
    fn what_becomes_what() {
        use DataType::{Date32, Decimal128, Float32, Float64, Int8, Int32, Int64, Utf8};
        let micros = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
        let fields = |with: &[(&str, DataType)]| {
            DataType::Struct(with.iter().map(|(name, of)| Field::new(*name, of.clone(), true)).collect())
        };
        let list = |of| DataType::List(Arc::new(Field::new("element", of, true)));
        let map = |key: &str, of| {
            let entries = [Field::new(key, Utf8, false), Field::new("v", of, true)];
            DataType::Map(Arc::new(Field::new("m", DataType::Struct(entries.to_vec().into()), false)), false)
        };
        for (stored, wanted, does) in [
            (Int32, Int64, true),
            (Int64, Int32, false),
            (Float32, Float64, true),
            (Int32, Float64, true),
            (Int64, Float64, false),
            (Date32, micros(None), true),
            (Date32, micros(Some("UTC")), false),
            (micros(None), micros(Some("UTC")), false),
            (Int32, Decimal128(12, 2), true),
            (Int32, Decimal128(11, 2), false),
            (Int64, Decimal128(19, 0), true),
            (Decimal128(6, 2), Decimal128(8, 4), true),
            (Decimal128(6, 2), Decimal128(8, 5), false),
            (Decimal128(6, 2), Decimal128(8, 1), false),
            (fields(&[("x", Int8), ("gone", Utf8)]), fields(&[("new", Utf8), ("x", Int64)]), true),
            (fields(&[("x", Utf8)]), fields(&[("x", Int64)]), false),
            (list(fields(&[])), list(fields(&[("x", Int64)])), true),
            (list(Date32), list(micros(None)), true),
            (map("k", Int32), map("key", Int64), true),
            (map("k", Utf8), map("key", Int64), false),
            (Utf8, Int64, false),
        ] {
            assert_eq!(becomes(&stored, &wanted), does, "{stored} {wanted}");
        }
    }

    #[test]
    fn timestamps_of_96_bits_are_points_in_time() {
        let message = parse_message_type(
            "message m { optional int64 a; optional group s { optional int96 t; optional binary b; } required int96 u; }",
        );
        let file = SchemaDescriptor::new(Arc::new(message.unwrap()));
        let found = with_table_times(&file, &arrow_schema(&file, None).unwrap());
        let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let inner = [Field::new("t", micros.clone(), true), Field::new("b", DataType::Binary, true)];
        assert_eq!(found.field(1).data_type(), &DataType::Struct(inner.to_vec().into()));
        assert_eq!(found.field(2).data_type(), &micros);
        assert_eq!(found.field(0).data_type(), &DataType::Int64);
    }
}
