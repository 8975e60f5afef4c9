//! The Arrow types that the columns of a file are read as.
//!
//! They are those of arrow-rs, but for what it or pyarrow would lose:
//!
//! - A dictionary of numbers is its values, as in pyarrow: Parquet keeps no dictionary of them.
//! - A UUID has Arrow's extension type, also where the file has no Arrow schema.
//! - An interval is its 12 bytes (months, days, milliseconds): arrow-rs drops the months, and Python's Arrow does not
//!   know its type.

use std::sync::Arc;

use arrow_schema::extension::{EXTENSION_TYPE_METADATA_KEY, EXTENSION_TYPE_NAME_KEY};
use arrow_schema::{DataType, Field, FieldRef, Fields, Schema};
use parquet::arrow::parquet_to_arrow_schema;
use parquet::basic::{ConvertedType, LogicalType, Repetition, Type as PhysicalType};
use parquet::errors::Result;
use parquet::file::metadata::KeyValue;
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};

use super::column_schemas::{by_columns, is_damaged};
use super::refusal::{RefusalKind, refusal_of};

/// The bytes of an interval.
const INTERVAL_BYTES: i32 = 12;

/// The schema that a file's columns are read as; `key_values` may have that of the writer. Columns that Arrow cannot
/// express are marked as such.
///
/// # Errors
/// The writer's schema is damaged.
pub(crate) fn arrow_schema(parquet: &SchemaDescriptor, key_values: Option<&Vec<KeyValue>>) -> Result<Schema> {
    let schema = match parquet_to_arrow_schema(parquet, key_values) {
        Err(error) if is_damaged(key_values) => return Err(error),
        found => found.unwrap_or_else(|_| by_columns(parquet, key_values)),
    };
    let mut fields: Fields = schema.fields().iter().map(readable).collect();
    let is_uuid = |leaf: usize| leaf < parquet.num_columns() && is_uuid(parquet.column(leaf).self_type());
    if (0..parquet.num_columns()).any(is_uuid) {
        let mut leaf = 0;
        fields = fields.iter().map(|field| with_uuids(field, &mut leaf, &is_uuid)).collect();
    }
    Ok(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// The fields in a nested type; none in any other.
pub(crate) fn fields_in(data_type: &DataType) -> &[FieldRef] {
    match data_type {
        DataType::List(child)
        | DataType::LargeList(child)
        | DataType::ListView(child)
        | DataType::LargeListView(child)
        | DataType::FixedSizeList(child, _)
        | DataType::Map(child, _) => std::slice::from_ref(child),
        DataType::Struct(fields) => fields,
        _ => &[],
    }
}

fn is_uuid(leaf: &Type) -> bool {
    matches!(leaf.get_basic_info().logical_type_ref(), Some(LogicalType::Uuid))
}

/// The field with Arrow's extension type on the leaves that Parquet says are UUIDs: without the writer's Arrow schema,
/// nothing else does.
fn with_uuids(field: &FieldRef, leaf: &mut usize, is_uuid: &dyn Fn(usize) -> bool) -> FieldRef {
    let within = map_children(field.data_type(), &mut |field| Some(with_uuids(field, leaf, is_uuid)));
    if let Some(data_type) = within {
        return retyped(field, data_type);
    }
    *leaf += 1;
    if !is_uuid(*leaf - 1) || *field.data_type() != DataType::FixedSizeBinary(16) {
        return Arc::clone(field);
    }
    let mut metadata = field.metadata().clone();
    metadata.insert(EXTENSION_TYPE_NAME_KEY.to_owned(), "arrow.uuid".to_owned());
    metadata.insert(EXTENSION_TYPE_METADATA_KEY.to_owned(), String::new());
    Arc::new(field.as_ref().clone().with_metadata(metadata))
}

fn readable(field: &FieldRef) -> FieldRef {
    match readable_type(field.data_type()) {
        None => Arc::clone(field),
        Some(data_type) => Arc::new(field.as_ref().clone().with_data_type(data_type)),
    }
}

/// Another type than this one; None: it stays.
fn readable_type(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Dictionary(_, values) if !is_bytes(values) => {
            Some(readable_type(values).unwrap_or_else(|| values.as_ref().clone()))
        }
        DataType::Interval(_) => Some(DataType::FixedSizeBinary(INTERVAL_BYTES)),
        other => map_children(other, &mut |field| {
            let made = readable(field);
            (!Arc::ptr_eq(&made, field)).then_some(made)
        }),
    }
}

/// Whether arrow-rs reads dictionaries of these values as they were written.
fn is_bytes(values: &DataType) -> bool {
    use DataType::{Binary, BinaryView, FixedSizeBinary, LargeBinary, LargeUtf8, Utf8, Utf8View};
    matches!(values, Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView | FixedSizeBinary(_))
}

/// The type with other fields in it; None: all stay. Fields are visited in the order of their leaves.
pub(crate) fn map_children(
    data_type: &DataType,
    map: &mut dyn FnMut(&FieldRef) -> Option<FieldRef>,
) -> Option<DataType> {
    match data_type {
        DataType::List(child) => map(child).map(DataType::List),
        DataType::LargeList(child) => map(child).map(DataType::LargeList),
        DataType::ListView(child) => map(child).map(DataType::ListView),
        DataType::LargeListView(child) => map(child).map(DataType::LargeListView),
        DataType::FixedSizeList(child, length) => map(child).map(|child| DataType::FixedSizeList(child, *length)),
        DataType::Map(entries, is_sorted) => map(entries).map(|entries| DataType::Map(entries, *is_sorted)),
        DataType::Struct(fields) => {
            let made: Vec<Option<FieldRef>> = fields.iter().map(&mut *map).collect();
            made.iter().any(Option::is_some).then(|| {
                let made = made.into_iter().zip(fields);
                DataType::Struct(made.map(|(made, field)| made.unwrap_or_else(|| Arc::clone(field))).collect())
            })
        }
        _ => None,
    }
}

/// The type with other leaves: `map` is given the number of each, counted from `leaf` on.
pub(crate) fn map_leaves(
    data_type: &DataType,
    leaf: &mut usize,
    map: &dyn Fn(usize, &DataType) -> Option<DataType>,
) -> Option<DataType> {
    use DataType::{FixedSizeList, LargeList, LargeListView, List, ListView, Map, Struct};
    match data_type {
        List(_) | LargeList(_) | ListView(_) | LargeListView(_) | FixedSizeList(..) | Map(..) | Struct(_) => {
            map_children(data_type, &mut |field| {
                map_leaves(field.data_type(), leaf, map).map(|made| retyped(field, made))
            })
        }
        other => {
            *leaf += 1;
            map(*leaf - 1, other)
        }
    }
}

fn retyped(field: &Field, data_type: DataType) -> FieldRef {
    Arc::new(field.clone().with_data_type(data_type))
}

/// The same columns for arrow-rs, whose readers go by what a leaf is annotated with: intervals are not, so that they
/// are read as bytes, and nor is text where `text_as_bytes`. Columns that cannot be read have as many other leaves. None:
/// all stay.
///
/// # Errors
/// A schema that cannot be put together again.
pub(crate) fn as_bytes(
    parquet: &SchemaDescriptor,
    arrow: &Fields,
    text_as_bytes: bool,
) -> Result<Option<SchemaDescriptor>> {
    let is_changed = |leaf: &usize| is_annotated(parquet.column(*leaf).self_type(), text_as_bytes);
    let is_refused = |field: &FieldRef| refusal_of(field).is_some_and(|why| why.kind == RefusalKind::Unsupported);
    if !(0..parquet.num_columns()).any(|leaf| is_changed(&leaf)) && !arrow.iter().any(is_refused) {
        return Ok(None);
    }
    let root = parquet.root_schema();
    let columns = root.get_fields().iter().enumerate().map(|(index, column)| {
        match arrow.get(index).filter(|field| is_refused(field)).map(|field| field.data_type()) {
            None => plain(column, text_as_bytes),
            Some(DataType::Struct(leaves)) => {
                let leaves = leaves.iter().map(|leaf| placeholder(leaf.name())).collect::<Result<Vec<_>>>()?;
                let group = Type::group_type_builder(column.name()).with_repetition(Repetition::OPTIONAL);
                Ok(Arc::new(group.with_fields(leaves).build()?))
            }
            Some(_) => placeholder(column.name()),
        }
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(Some(SchemaDescriptor::new(Arc::new(Type::group_type_builder(root.name()).with_fields(columns).build()?))))
}

/// A leaf that nobody reads.
fn placeholder(name: &str) -> Result<TypePtr> {
    let leaf = Type::primitive_type_builder(name, PhysicalType::INT32).with_repetition(Repetition::OPTIONAL);
    Ok(Arc::new(leaf.build()?))
}

fn is_annotated(leaf: &Type, text_as_bytes: bool) -> bool {
    let info = leaf.get_basic_info();
    match leaf.get_physical_type() {
        PhysicalType::FIXED_LEN_BYTE_ARRAY => info.converted_type() == ConvertedType::INTERVAL,
        PhysicalType::BYTE_ARRAY => {
            text_as_bytes
                && (matches!(info.logical_type_ref(), Some(LogicalType::String | LogicalType::Json))
                    || matches!(info.converted_type(), ConvertedType::UTF8 | ConvertedType::JSON))
        }
        _ => false,
    }
}

fn plain(of: &TypePtr, text_as_bytes: bool) -> Result<TypePtr> {
    let info = of.get_basic_info();
    match of.as_ref() {
        Type::PrimitiveType { physical_type, type_length, .. } => {
            if !is_annotated(of, text_as_bytes) {
                return Ok(Arc::clone(of));
            }
            let made = Type::primitive_type_builder(info.name(), *physical_type)
                .with_repetition(info.repetition())
                .with_length(*type_length)
                .with_id(info.has_id().then(|| info.id()));
            Ok(Arc::new(made.build()?))
        }
        Type::GroupType { fields, .. } => {
            let fields = fields.iter().map(|field| plain(field, text_as_bytes)).collect::<Result<Vec<_>>>()?;
            let made = Type::group_type_builder(info.name())
                .with_converted_type(info.converted_type())
                .with_logical_type(info.logical_type_ref().cloned())
                .with_id(info.has_id().then(|| info.id()))
                .with_fields(fields);
            Ok(Arc::new(if info.has_repetition() { made.with_repetition(info.repetition()) } else { made }.build()?))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use parquet::schema::parser::parse_message_type;

    fn descriptor(message: &str) -> SchemaDescriptor {
        SchemaDescriptor::new(Arc::new(parse_message_type(message).unwrap()))
    }

    #[test]
    fn intervals_are_bytes() {
        let of = descriptor(
            "message m { required fixed_len_byte_array(12) i (INTERVAL); optional group s { required binary t (UTF8); \
             optional fixed_len_byte_array(12) j (INTERVAL); } }",
        );
        let twelve = DataType::FixedSizeBinary(12);
        let schema = arrow_schema(&of, None).unwrap();
        let inner = vec![Field::new("t", DataType::Utf8, false), Field::new("j", twelve.clone(), true)];
        let wanted = [("i", twelve, false), ("s", DataType::Struct(inner.into()), true)];
        let wanted = wanted.map(|(name, of, nullable)| Field::new(name, of, nullable));
        assert_eq!(schema, Schema::new(wanted.to_vec()));
        let plain = as_bytes(&of, schema.fields(), false).unwrap().unwrap();
        assert_eq!(parquet_to_arrow_schema(&plain, None).unwrap(), schema);
        let text = as_bytes(&of, schema.fields(), true).unwrap().unwrap();
        assert_eq!(arrow_schema(&text, None).unwrap().field(1).data_type().to_string().matches("Binary").count(), 2);
        assert!(as_bytes(&plain, schema.fields(), false).unwrap().is_none());
    }

    #[test]
    fn uuids_are_known_by_their_logical_type() {
        let of = descriptor(
            "message m { required binary a (UTF8); optional group s { optional fixed_len_byte_array(16) u (UUID); } \
             optional fixed_len_byte_array(16) b; required fixed_len_byte_array(16) v (UUID); }",
        );
        let schema = arrow_schema(&of, None).unwrap();
        let is_uuid = |field: &Field| field.metadata().get(EXTENSION_TYPE_NAME_KEY).is_some_and(|n| n == "arrow.uuid");
        let found: Vec<bool> = schema.fields().iter().map(|field| is_uuid(field)).collect();
        assert_eq!(found, [false, false, false, true]);
        let DataType::Struct(inner) = schema.field(1).data_type() else { panic!() };
        assert!(is_uuid(&inner[0]));
    }

    #[test]
    fn dictionaries_of_numbers_are_their_values() {
        let dictionary = |of| DataType::Dictionary(Box::new(DataType::Int8), Box::new(of));
        let list = |of| DataType::List(Arc::new(Field::new("item", of, true)));
        assert_eq!(readable_type(&dictionary(DataType::Int64)), Some(DataType::Int64));
        assert_eq!(readable_type(&list(dictionary(DataType::Date32))), Some(list(DataType::Date32)));
        assert_eq!(readable_type(&list(dictionary(DataType::Utf8))), None);
    }
}
