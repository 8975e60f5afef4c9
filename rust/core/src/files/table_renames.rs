//! A file's columns under the names that a table has for them, at every depth.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_schema::{DataType, FieldRef, Fields};
use parquet::basic::{ConvertedType, LogicalType};
use parquet::errors::ParquetError;
use parquet::schema::types::{Type, TypePtr};

/// The key, in the metadata of a table's field, of the name that it has in files; of several, a zero byte stands between.
pub(super) const STORED_NAME: &str = "shardline.stored_name";
/// The key of its field id, where files have ids.
pub(super) const FIELD_ID: &str = "shardline.field_id";
/// The key of why a file that lacks the field cannot be read: where its rows would not have nulls.
pub(super) const ABSENT: &str = "shardline.absent";

/// The name that a column has in files, or the names with zero bytes between them.
pub(super) fn stored_name(field: &FieldRef) -> &str {
    field.metadata().get(STORED_NAME).unwrap_or_else(|| field.name())
}

/// The table's field that a file's column is.
fn find<'a>(column: &Type, fields: &'a Fields) -> Option<&'a FieldRef> {
    let info = column.get_basic_info();
    let by_id = info.has_id().then(|| info.id().to_string());
    let is_of_id = |field: &&FieldRef| by_id.is_some() && field.metadata().get(FIELD_ID) == by_id.as_ref();
    let has_ids = by_id.is_some() && fields.iter().any(|field| field.metadata().contains_key(FIELD_ID));
    if has_ids {
        return fields.iter().find(is_of_id);
    }
    fields.iter().find(|field| stored_name(field).split('\0').any(|name| name == column.name()))
}

/// The columns of a file, each under the name of the table's field that it is.
pub(super) fn renamed_fields(columns: &[TypePtr], fields: &Fields) -> parquet::errors::Result<Vec<TypePtr>> {
    let mut taken: HashSet<String> = fields.iter().map(|field| field.name().clone()).collect();
    columns
        .iter()
        .map(|column| match find(column, fields) {
            Some(field) => renamed(column, field.name(), Some(field.data_type())),
            None => {
                // A name that no column of the table has, nor another one of the file.
                let mut name = column.name().to_owned();
                while !taken.insert(name.clone()) {
                    name.push_str(" (not in the table)");
                }
                renamed(column, &name, None)
            }
        })
        .collect()
}

/// Refuses a struct of a file that lacks a field whose value would not be null.
fn check_absent(columns: &[TypePtr], fields: &Fields) -> parquet::errors::Result<()> {
    let is_there = |field: &FieldRef| {
        columns.iter().any(|column| find(column, fields).is_some_and(|found| Arc::ptr_eq(found, field)))
    };
    for field in fields {
        if let Some(why) = field.metadata().get(ABSENT).filter(|_| !is_there(field)) {
            let what = format!("the field {:?} is not in it, and would not be null: {why}", field.name());
            return Err(ParquetError::General(what));
        }
    }
    Ok(())
}

/// The column under another name; what is in it, under the names of the table's type.
fn renamed(column: &TypePtr, name: &str, data_type: Option<&DataType>) -> parquet::errors::Result<TypePtr> {
    let info = column.get_basic_info();
    let id = info.has_id().then(|| info.id());
    match column.as_ref() {
        Type::PrimitiveType { physical_type, type_length, precision, scale, .. } => {
            if column.name() == name {
                return Ok(Arc::clone(column));
            }
            let made = Type::primitive_type_builder(name, *physical_type)
                .with_repetition(info.repetition())
                .with_converted_type(info.converted_type())
                .with_logical_type(info.logical_type_ref().cloned())
                .with_length(*type_length)
                .with_precision(*precision)
                .with_scale(*scale)
                .with_id(id);
            Ok(Arc::new(made.build()?))
        }
        Type::GroupType { fields, .. } => {
            let fields = match (data_type, is_repeated(column)) {
                (Some(DataType::Struct(within)), false) => {
                    check_absent(fields, within)?;
                    renamed_fields(fields, within)?
                }
                (Some(of), true) => fields.iter().map(|inner| renamed_items(inner, of)).collect::<Result<_, _>>()?,
                _ => fields.clone(),
            };
            let made = Type::group_type_builder(name)
                .with_converted_type(info.converted_type())
                .with_logical_type(info.logical_type_ref().cloned())
                .with_id(id)
                .with_fields(fields);
            Ok(Arc::new(if info.has_repetition() { made.with_repetition(info.repetition()) } else { made }.build()?))
        }
    }
}

/// Whether a group is a list or a map: its one field is repeated, and no field of a struct.
fn is_repeated(column: &Type) -> bool {
    let info = column.get_basic_info();
    matches!(info.logical_type_ref(), Some(LogicalType::List | LogicalType::Map))
        || matches!(info.converted_type(), ConvertedType::LIST | ConvertedType::MAP | ConvertedType::MAP_KEY_VALUE)
}

/// The repeated group of a list or a map: itself and what its items are called stay, structs in the items do not.
fn renamed_items(repeated: &TypePtr, data_type: &DataType) -> parquet::errors::Result<TypePtr> {
    let Type::GroupType { fields, .. } = repeated.as_ref() else { return Ok(Arc::clone(repeated)) };
    let types: Vec<&DataType> = match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => vec![item.data_type()],
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(entry) => entry.iter().map(|field| field.data_type()).collect(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    if types.len() != fields.len() {
        return Ok(Arc::clone(repeated));
    }
    let fields = fields.iter().zip(types).map(|(field, of)| renamed(field, field.name(), Some(of)));
    let info = repeated.get_basic_info();
    let made = Type::group_type_builder(repeated.name())
        .with_repetition(info.repetition())
        .with_converted_type(info.converted_type())
        .with_logical_type(info.logical_type_ref().cloned())
        .with_id(info.has_id().then(|| info.id()))
        .with_fields(fields.collect::<Result<_, _>>()?);
    Ok(Arc::new(made.build()?))
}
