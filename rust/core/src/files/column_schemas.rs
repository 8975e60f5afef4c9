//! The Arrow schema of a file that has columns which Arrow, or this version of it, cannot express.
//!
//! `parquet` translates a schema as a whole, or not at all. Here each column is translated alone: one that cannot be is
//! a placeholder that says why ([`unsupported`]), and the file's other columns can be read.

use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::root_as_message;
use arrow_schema::{Field, FieldRef, Schema};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use parquet::arrow::{ARROW_SCHEMA_META_KEY, encode_arrow_schema, parquet_to_arrow_schema};
use parquet::errors::Result;
use parquet::file::metadata::KeyValue;
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};

use super::refusal::unsupported;

/// The schema, one field for each column; `key_values` may have that of the writer.
pub(super) fn by_columns(parquet: &SchemaDescriptor, key_values: Option<&Vec<KeyValue>>) -> Schema {
    let roots = parquet.root_schema().get_fields();
    let mut leaves = vec![0_usize; roots.len()];
    (0..parquet.num_columns()).for_each(|leaf| leaves[parquet.get_column_root_idx(leaf)] += 1);
    let of_writer = writer_fields(key_values).filter(|fields| fields.len() == roots.len());
    let fields = roots.iter().enumerate().map(|(index, root)| {
        let hint = match of_writer.as_ref().map(|fields| &fields[index]) {
            Some(Err(why)) => return unsupported(root.name(), leaves[index], why),
            Some(Ok(field)) => Some(field),
            None => None,
        };
        translate(parquet.root_schema(), root, hint).unwrap_or_else(|error| {
            // Parquet's own type is what the pages are; the writer's is a hint only.
            let plain = hint.and_then(|_| translate(parquet.root_schema(), root, None).ok());
            plain.unwrap_or_else(|| unsupported(root.name(), leaves[index], &error.to_string()))
        })
    });
    Schema::new(fields.collect::<Vec<_>>())
}

/// One column's field, as if it were the only one of its file.
fn translate(message: &Type, root: &TypePtr, hint: Option<&Field>) -> Result<FieldRef> {
    let alone = Type::group_type_builder(message.name()).with_fields(vec![root.clone()]).build()?;
    let hint = hint.map(|field| {
        let schema = encode_arrow_schema(&Schema::new(vec![field.clone()]));
        vec![KeyValue::new(ARROW_SCHEMA_META_KEY.to_owned(), schema)]
    });
    let schema = parquet_to_arrow_schema(&SchemaDescriptor::new(alone.into()), hint.as_ref())?;
    let none = || parquet::errors::ParquetError::General("it has no values".to_owned());
    schema.fields().first().cloned().ok_or_else(none)
}

/// Whether the writer's schema is there and is not one.
pub(super) fn is_damaged(key_values: Option<&Vec<KeyValue>>) -> bool {
    let pair = key_values.and_then(|pairs| pairs.iter().find(|pair| pair.key == ARROW_SCHEMA_META_KEY));
    let Some(encoded) = pair.and_then(|pair| pair.value.as_ref()) else { return false };
    let is_schema =
        |bytes: Vec<u8>| root_as_message(unframed(&bytes)).is_ok_and(|message| message.header_as_schema().is_some());
    !BASE64_STANDARD.decode(encoded).is_ok_and(is_schema)
}

/// The message without the length before it, which new writers write.
fn unframed(message: &[u8]) -> &[u8] {
    if message.len() > 8 && message.starts_with(&[0xff; 4]) { &message[8..] } else { message }
}

/// The fields that the writer had, each alone; None where they cannot be told apart.
fn writer_fields(key_values: Option<&Vec<KeyValue>>) -> Option<Vec<std::result::Result<Field, String>>> {
    let encoded = key_values?.iter().find(|pair| pair.key == ARROW_SCHEMA_META_KEY)?.value.as_ref()?;
    let decoded = BASE64_STANDARD.decode(encoded).ok()?;
    let message = unframed(&decoded);
    let fields = root_as_message(message).ok()?.header_as_schema()?.fields()?;
    // The list of fields in the message: its length, and for each field how far on it is.
    let slots = (fields.bytes().as_ptr() as usize).checked_sub(message.as_ptr() as usize)?;
    let length = slots.checked_sub(4)?;
    let places: Vec<usize> = fields.iter().map(|field| field._tab.loc()).collect();
    let mut alone = message.to_vec();
    let one = |place: usize| {
        // The same message with a list of this field only.
        alone.get_mut(length..slots)?.copy_from_slice(&1_u32.to_le_bytes());
        let offset = u32::try_from(place.checked_sub(slots)?).ok()?;
        alone.get_mut(slots..slots + 4)?.copy_from_slice(&offset.to_le_bytes());
        let schema = root_as_message(&alone).ok()?.header_as_schema()?;
        Some(match try_fb_to_schema(schema) {
            Ok(schema) => schema.fields().first().map(|field| field.as_ref().clone()).ok_or_else(String::new),
            Err(error) => Err(error.to_string().trim_start_matches("Parser error: ").to_owned()),
        })
    };
    places.into_iter().map(one).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::files::refusal::refusal_of;
    use arrow_schema::DataType;
    use parquet::schema::parser::parse_message_type;

    #[test]
    fn each_column_has_its_own_hint() {
        let message = "message m { required binary a (UTF8); required int32 b; required int64 c; }";
        let of = SchemaDescriptor::new(std::sync::Arc::new(parse_message_type(message).unwrap()));
        let types = [DataType::LargeUtf8, DataType::UInt8, DataType::Int64];
        let fields = ["a", "b", "c"].into_iter().zip(types).map(|(name, of)| Field::new(name, of, false));
        let schema = Schema::new(fields.collect::<Vec<_>>());
        let pair = |schema| vec![KeyValue::new(ARROW_SCHEMA_META_KEY.to_owned(), schema)];
        let hints = pair(encode_arrow_schema(&schema));
        let whole = parquet_to_arrow_schema(&of, Some(&hints)).unwrap();
        assert_eq!(by_columns(&of, Some(&hints)).fields(), whole.fields());
        // The second field's integer has 128 bits.
        let bytes = BASE64_STANDARD.decode(encode_arrow_schema(&schema)).unwrap();
        let found = writer_fields(Some(&pair(BASE64_STANDARD.encode(&bytes)))).unwrap();
        assert!(found.iter().zip(schema.fields()).all(|(found, field)| found.as_ref() == Ok(field.as_ref())));
        let width = root_as_message(&bytes[8..]).unwrap().header_as_schema().unwrap().fields().unwrap().get(1);
        let width = width.type_as_int().unwrap();
        let at = 8 + width._tab.loc() + usize::from(width._tab.vtable().get(arrow_ipc::Int::VT_BITWIDTH));
        let mut wide = bytes;
        assert_eq!(wide[at], 8);
        wide[at] = 128;
        let wide = by_columns(&of, Some(&pair(BASE64_STANDARD.encode(&wide))));
        let refused: Vec<bool> = wide.fields().iter().map(|field| refusal_of(field).is_some()).collect();
        assert_eq!(refused, [false, true, false]);
        assert_eq!(wide.field(0).data_type(), &DataType::LargeUtf8);
        assert!(refusal_of(wide.field(1)).unwrap().what.contains("128"));
    }
}
