//! Text that is not UTF-8: an error that names the row, text with replacements, or its bytes where these are enough.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{ByteArrayType, GenericStringType};
use arrow_array::{
    Array, ArrayRef, FixedSizeListArray, GenericByteArray, GenericListArray, MapArray, OffsetSizeTrait,
    StringViewArray, StructArray, make_array,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field, Fields};

use super::convert::RowLocation;
use super::nested::children;
use super::schema_adapter::{adapt, renamed};
use super::source_column::SourceColumn;
use super::text_policy::{TextPolicy, bytes_type, is_text, with_bytes};
use crate::{Error, Result};

/// The same array with bytes in the place of text, without a copy.
pub(super) fn as_bytes(array: &ArrayRef) -> Result<ArrayRef> {
    match bytes_type(array.data_type()) {
        None => Ok(Arc::clone(array)),
        Some(data_type) => Ok(make_array(renamed(array.to_data(), &data_type)?)),
    }
}

/// A value that is not UTF-8.
struct Invalid {
    row: usize,
    bytes: Vec<u8>,
}

impl SourceColumn {
    /// The same values, of the type that the plan gives all files. Text that was read as bytes is text again, unless
    /// only its bytes matter.
    pub(super) fn adapted(&self, array: ArrayRef, group: usize, from: RowLocation<'_>) -> Result<ArrayRef> {
        let to = self.field.data_type();
        if array.data_type() == to || !is_bytes_of(array.data_type(), to) {
            return self.fitted(array, to, group, from);
        }
        let array = text_of(&array, to, &mut self.texts.iter().copied()).map_err(|invalid| {
            let shown: String = invalid.bytes.iter().take(20).map(|byte| byte.escape_ascii().to_string()).collect();
            let more = if invalid.bytes.len() > 20 { "…" } else { "" };
            Error::Data {
                path: from.path.to_owned(),
                detail: format!(
                    "column {:?}, row group {group}, row {}: the text b\"{shown}\"{more} is not UTF-8; take \
                     ColumnOptions(errors=\"replace\"), strings=\"bytes\" or encode=\"hash\" for it, or leave it out \
                     (columns=…)",
                    from.column,
                    from.row(invalid.row)
                ),
            }
        })?;
        let to = with_bytes(to, &mut self.texts.iter().copied()).unwrap_or_else(|| to.clone());
        self.fitted(array, &to, group, from)
    }

    fn fitted(&self, array: ArrayRef, to: &DataType, group: usize, from: RowLocation<'_>) -> Result<ArrayRef> {
        adapt(array, to)?.map_err(|none| Error::Data {
            path: from.path.to_owned(),
            detail: format!(
                "column {:?}, row group {group}, row {}: the value {} of its unit is out of the range of {to}, which \
                 widen_types=True, or the table, gives this column over all files; leave widen_types out, or write the files \
                 with one unit",
                from.column,
                from.row(none.row),
                none.value
            ),
        })
    }
}

/// Whether somewhere there are bytes where there is text in the other type.
fn is_bytes_of(bytes: &DataType, text: &DataType) -> bool {
    use DataType::{FixedSizeList, LargeList, List, Map, Struct};
    match (bytes, text) {
        (Struct(a), Struct(b)) => a.iter().zip(b).any(|(a, b)| is_bytes_of(a.data_type(), b.data_type())),
        (
            List(a) | LargeList(a) | FixedSizeList(a, _) | Map(a, _),
            List(b) | LargeList(b) | FixedSizeList(b, _) | Map(b, _),
        ) => is_bytes_of(a.data_type(), b.data_type()),
        (bytes, text) => is_text(text) && is_plain_bytes(bytes),
    }
}

fn is_plain_bytes(leaf: &DataType) -> bool {
    match leaf {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
        DataType::Dictionary(_, values) => is_plain_bytes(values),
        _ => false,
    }
}

/// Text again of what was read as bytes, where it is text in the type `to`; by the policies, one a leaf of text.
fn text_of(
    array: &ArrayRef,
    to: &DataType,
    policies: &mut dyn Iterator<Item = TextPolicy>,
) -> std::result::Result<ArrayRef, Invalid> {
    let inner: Vec<&DataType> = match to {
        DataType::List(child)
        | DataType::LargeList(child)
        | DataType::FixedSizeList(child, _)
        | DataType::Map(child, _) => vec![child.data_type()],
        DataType::Struct(fields) => fields.iter().map(|field| field.data_type()).collect(),
        leaf if is_text(leaf) => {
            return match policies.next() {
                Some(TextPolicy::Bytes) => Ok(Arc::clone(array)),
                policy => leaf_text(array, policy == Some(TextPolicy::Replace)),
            };
        }
        _ => return Ok(Arc::clone(array)),
    };
    let mut made = Vec::new();
    // All leaves have their policies taken, whichever value is the first that is wrong.
    let mut wrong: Option<Invalid> = None;
    for ((values, rows), to) in children(array).into_iter().zip(inner) {
        match text_of(&values, to, policies) {
            Ok(values) => made.push(values),
            Err(invalid) => {
                let invalid = Invalid { row: rows.of(invalid.row), ..invalid };
                if wrong.as_ref().is_none_or(|known| invalid.row < known.row) {
                    wrong = Some(invalid);
                }
            }
        }
    }
    match wrong {
        Some(invalid) => Err(invalid),
        None => Ok(around(array, made).unwrap_or_else(|_| Arc::clone(array))),
    }
}

/// The nested array with these in it, which are cut to what its rows use.
fn around(array: &ArrayRef, mut made: Vec<ArrayRef>) -> std::result::Result<ArrayRef, arrow_schema::ArrowError> {
    fn field_of(field: &Field, values: &ArrayRef) -> Arc<Field> {
        Arc::new(field.clone().with_data_type(values.data_type().clone()))
    }
    fn lists<O: OffsetSizeTrait>(
        lists: &GenericListArray<O>,
        child: &Field,
        values: ArrayRef,
    ) -> std::result::Result<ArrayRef, arrow_schema::ArrowError> {
        let offsets = OffsetBuffer::from_lengths(lists.offsets().lengths());
        let made = GenericListArray::<O>::try_new(field_of(child, &values), offsets, values, lists.nulls().cloned());
        Ok(Arc::new(made?))
    }
    Ok(match array.data_type() {
        DataType::Struct(fields) => {
            let fields: Fields = fields.iter().zip(&made).map(|(field, values)| field_of(field, values)).collect();
            let nulls = array.nulls().cloned();
            Arc::new(StructArray::try_new_with_length(fields, made, nulls, array.len())?)
        }
        DataType::List(child) => lists(array.as_list::<i32>(), child, made.remove(0))?,
        DataType::LargeList(child) => lists(array.as_list::<i64>(), child, made.remove(0))?,
        DataType::Map(entries, is_sorted) => {
            let values = made.remove(0);
            let map = array.as_map();
            let offsets = OffsetBuffer::from_lengths(map.offsets().lengths());
            let field = field_of(entries, &values);
            let entries = values.as_struct().clone();
            Arc::new(MapArray::try_new(field, offsets, entries, map.nulls().cloned(), *is_sorted)?)
        }
        DataType::FixedSizeList(child, size) => {
            let values = made.remove(0);
            let nulls = array.nulls().cloned();
            Arc::new(FixedSizeListArray::try_new(field_of(child, &values), *size, values, nulls)?)
        }
        _ => Arc::clone(array),
    })
}

/// Bytes as text.
fn leaf_text(array: &ArrayRef, replace: bool) -> std::result::Result<ArrayRef, Invalid> {
    match array.data_type() {
        DataType::Binary => strings::<i32, _>(array.as_binary::<i32>(), replace),
        DataType::LargeBinary => strings::<i64, _>(array.as_binary::<i64>(), replace),
        DataType::BinaryView => {
            let bytes = array.as_binary_view();
            let mut made = Vec::with_capacity(array.len());
            for (row, value) in bytes.iter().enumerate() {
                made.push(value.map(|value| text(value, replace).ok_or_else(|| invalid(row, value))).transpose()?);
            }
            Ok(Arc::new(StringViewArray::from_iter(made)))
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            match leaf_text(dictionary.values(), replace) {
                Ok(values) => Ok(dictionary.with_values(values)),
                Err(_) => {
                    // The first row that has a wrong one, if any has: a dictionary may have values that no row has.
                    let keys = dictionary.normalized_keys();
                    for (row, key) in keys.iter().enumerate().filter(|(row, _)| array.is_valid(*row)) {
                        let value = dictionary.values().slice(*key, 1);
                        leaf_text(&value, replace).map_err(|invalid| Invalid { row, ..invalid })?;
                    }
                    Ok(dictionary.with_values(leaf_text(dictionary.values(), true)?))
                }
            }
        }
        _ => Ok(Arc::clone(array)),
    }
}

fn strings<O: OffsetSizeTrait, T: ByteArrayType<Native = [u8], Offset = O>>(
    array: &GenericByteArray<T>,
    replace: bool,
) -> std::result::Result<ArrayRef, Invalid> {
    let mut made = arrow_array::builder::GenericByteBuilder::<GenericStringType<O>>::with_capacity(
        array.len(),
        array.value_data().len(),
    );
    for (row, value) in array.iter().enumerate() {
        match value {
            None => made.append_null(),
            Some(value) => made.append_value(text(value, replace).ok_or_else(|| invalid(row, value))?),
        }
    }
    Ok(Arc::new(made.finish()))
}

fn text(value: &[u8], replace: bool) -> Option<std::borrow::Cow<'_, str>> {
    if replace { Some(String::from_utf8_lossy(value)) } else { str::from_utf8(value).ok().map(Into::into) }
}

fn invalid(row: usize, value: &[u8]) -> Invalid {
    Invalid { row, bytes: value.to_vec() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use arrow_array::types::Int32Type;
    use arrow_array::{BinaryArray, DictionaryArray, Int32Array, ListArray};

    fn bytes() -> ArrayRef {
        Arc::new(BinaryArray::from(vec![Some(b"a".as_slice()), None, Some(b"\xffz"), Some("é".as_bytes())]))
    }

    fn of(array: &ArrayRef, to: &DataType, policy: TextPolicy) -> std::result::Result<ArrayRef, usize> {
        text_of(array, to, &mut std::iter::repeat(policy)).map_err(|invalid| invalid.row)
    }

    #[test]
    fn a_policy_says_what_becomes_of_it() {
        assert_eq!(of(&bytes(), &DataType::Utf8, TextPolicy::Strict).unwrap_err(), 2);
        assert!(of(&bytes().slice(3, 1), &DataType::Utf8, TextPolicy::Strict).is_ok());
        let replaced = of(&bytes(), &DataType::Utf8, TextPolicy::Replace).unwrap();
        let wanted = [Some("a"), None, Some("\u{fffd}z"), Some("é")];
        assert_eq!(replaced.as_string::<i32>().iter().collect::<Vec<_>>(), wanted);
        assert_eq!(&of(&bytes(), &DataType::Utf8, TextPolicy::Bytes).unwrap(), &bytes());
        assert_eq!(&as_bytes(&replaced.slice(3, 1)).unwrap(), &bytes().slice(3, 1));
    }

    #[test]
    fn the_row_is_that_of_the_list_or_of_the_key() {
        let field = |of| Arc::new(Field::new("item", of, true));
        let lists = ListArray::new(field(DataType::Binary), OffsetBuffer::from_lengths([1, 0, 2, 1]), bytes(), None);
        let lists: ArrayRef = Arc::new(lists);
        let to = DataType::List(field(DataType::Utf8));
        assert_eq!(of(&lists, &to, TextPolicy::Strict).unwrap_err(), 2);
        assert_eq!(of(&lists.slice(1, 3), &to, TextPolicy::Strict).unwrap_err(), 1);
        assert_eq!(of(&lists.slice(3, 1), &to, TextPolicy::Strict).unwrap().data_type(), &to);
        assert!(is_bytes_of(lists.data_type(), &to) && !is_bytes_of(lists.data_type(), lists.data_type()));

        let keys = |keys: Vec<i32>| -> ArrayRef {
            Arc::new(DictionaryArray::<Int32Type>::new(Int32Array::from(keys), bytes()))
        };
        let to = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        assert_eq!(of(&keys(vec![0, 3, 2, 2]), &to, TextPolicy::Strict).unwrap_err(), 2);
        assert!(of(&keys(vec![0, 3, 0]), &to, TextPolicy::Strict).is_ok());
    }
}
