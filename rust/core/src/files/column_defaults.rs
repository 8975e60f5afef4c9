//! The values that a table's columns have in files that lack them, where these are not null.

use std::collections::HashMap;

use arrow_array::{Array, ArrayRef};
use arrow_schema::{Field, Schema};

use super::batch_ipc::batch_from_bytes;
use crate::{Error, Result};

/// The key, in the metadata of a table's field, of that value: an Arrow IPC stream of one row and column, in hexadecimal.
pub(super) const DEFAULT: &str = "shardline.default";

/// The values of a schema's top-level columns, each an array of one row, by name.
///
/// # Errors
/// Metadata that are no value of the field's type.
pub(super) fn defaults_of(stored: &Schema) -> Result<HashMap<String, ArrayRef>> {
    let mut found = HashMap::new();
    for field in stored.fields() {
        if let Some(text) = field.metadata().get(DEFAULT) {
            found.insert(field.name().clone(), value(field, text)?);
        }
    }
    Ok(found)
}

fn value(field: &Field, text: &str) -> Result<ArrayRef> {
    let wrong = || Error::State(format!("the default of the table's column {:?} is damaged", field.name()));
    let batch = batch_from_bytes(&from_hex(text).ok_or_else(wrong)?)?;
    let array = batch.columns().first().filter(|_| batch.num_columns() == 1 && batch.num_rows() == 1);
    array.filter(|array| array.is_valid(0) && array.data_type() == field.data_type()).cloned().ok_or_else(wrong)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some((digit(high)? * 16 + digit(low)?) as u8)).collect();
    if rest.is_empty() { bytes } else { None }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Int32Array, RecordBatch};
    use arrow_schema::DataType;

    use super::super::batch_ipc::batch_to_bytes;
    use super::*;

    fn stored(array: ArrayRef, data_type: DataType, damage: impl Fn(String) -> String) -> Schema {
        let batch = RecordBatch::try_from_iter_with_nullable([("x", array, true)]).unwrap();
        let text = batch_to_bytes(&batch).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        let marks = HashMap::from([(DEFAULT.to_owned(), damage(text))]);
        Schema::new(vec![Field::new("x", data_type, true).with_metadata(marks), Field::new("y", DataType::Utf8, true)])
    }

    #[test]
    fn values_are_those_that_were_said() {
        let five: ArrayRef = Arc::new(Int32Array::from(vec![5]));
        let found = defaults_of(&stored(Arc::clone(&five), DataType::Int32, |text| text)).unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [("x".to_owned(), five)]);
    }

    #[test]
    fn what_is_no_value_is_an_error() {
        let array = |values: Vec<Option<i32>>| -> ArrayRef { Arc::new(Int32Array::from(values)) };
        for (values, data_type) in [
            (vec![Some(5)], DataType::Int64),
            (vec![None], DataType::Int32),
            (vec![], DataType::Int32),
            (vec![Some(1), Some(2)], DataType::Int32),
        ] {
            assert!(defaults_of(&stored(array(values), data_type, |text| text)).is_err());
        }
        let damages: [fn(String) -> String; 3] =
            [|text| text + "0", |text| text.replace('0', "g"), |text| text[..40].to_owned()];
        for damage in damages {
            assert!(defaults_of(&stored(array(vec![Some(5)]), DataType::Int32, damage)).is_err());
        }
    }
}
