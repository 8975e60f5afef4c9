//! One type for a column over all files, which may differ in what changes no value: nullability, metadata, and what a
//! list calls its elements; and, where that was asked for, in how wide its numbers are.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, LargeBinaryArray, LargeStringArray, make_array, new_null_array};
use arrow_data::ArrayData;
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields};

use super::Number;
use super::convert::cast_numbers;
use crate::files::schema::same_type;

use crate::{Error, Result};

/// The type of the first file's column, with nulls allowed at every depth, since another file may have some.
pub(crate) fn common_type(data_type: &DataType) -> DataType {
    let child = |field: &FieldRef| Arc::new(nullable(field));
    match data_type {
        DataType::List(field) => DataType::List(child(field)),
        DataType::LargeList(field) => DataType::LargeList(child(field)),
        DataType::FixedSizeList(field, length) => DataType::FixedSizeList(child(field), *length),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(child).collect()),
        DataType::Map(entries, sorted) => match entries.data_type() {
            // Neither entries nor keys are ever null.
            DataType::Struct(fields) if fields.len() == 2 => {
                let key = fields[0].as_ref().clone().with_data_type(common_type(fields[0].data_type()));
                let fields = Fields::from(vec![Arc::new(key), child(&fields[1])]);
                let entries = entries.as_ref().clone().with_data_type(DataType::Struct(fields));
                DataType::Map(Arc::new(entries), *sorted)
            }
            _ => data_type.clone(),
        },
        other => other.clone(),
    }
}

fn nullable(field: &FieldRef) -> Field {
    field.as_ref().clone().with_data_type(common_type(field.data_type())).with_nullable(true)
}

/// The same values, of the column's common type.
pub(crate) fn adapt(array: ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if array.data_type() == to {
        return Ok(array);
    }
    let array = if same_type(array.data_type(), to) { array } else { widened(&array, to)? };
    let data = renamed(array.to_data(), to)?;
    Ok(make_array(data))
}

/// The same values, of a type that holds them all: nulls stay nulls.
fn widened(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if same_type(array.data_type(), to) {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), to) {
        (DataType::Null, _) => Ok(new_null_array(to, array.len())),
        (DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..), _) => {
            let (DataType::List(child) | DataType::LargeList(child) | DataType::FixedSizeList(child, _)) = to else {
                return Err(Error::internal(format!("{} to {to}", array.data_type())));
            };
            let data = array.to_data();
            let children = data.child_data().iter().map(|items| {
                let items = widened(&make_array(items.clone()), child.data_type())?.to_data();
                renamed(items, child.data_type()).map_err(Error::from)
            });
            let children = children.collect::<Result<Vec<_>>>()?;
            data.into_builder().data_type(to.clone()).child_data(children).build().map(make_array).map_err(Error::from)
        }
        (DataType::Utf8, _) => Ok(Arc::new(array.as_string::<i32>().iter().collect::<LargeStringArray>())),
        (DataType::Utf8View, _) => Ok(Arc::new(array.as_string_view().iter().collect::<LargeStringArray>())),
        (DataType::Binary, _) => Ok(Arc::new(array.as_binary::<i32>().iter().collect::<LargeBinaryArray>())),
        (DataType::BinaryView, _) => Ok(Arc::new(array.as_binary_view().iter().collect::<LargeBinaryArray>())),
        (from, _) => match (Number::of(from), Number::of(to)) {
            (Some(number), Some(wide)) => cast_numbers(array, number, wide),
            _ => Err(Error::internal(format!("{from} to {to}"))),
        },
    }
}

pub(super) fn renamed(data: ArrayData, to: &DataType) -> Result<ArrayData, ArrowError> {
    if data.data_type() == to {
        return Ok(data);
    }
    let types: Vec<&DataType> = match to {
        DataType::List(child)
        | DataType::LargeList(child)
        | DataType::FixedSizeList(child, _)
        | DataType::Map(child, _) => vec![child.data_type()],
        DataType::Struct(fields) => fields.iter().map(|field| field.data_type()).collect(),
        DataType::Dictionary(_, values) => vec![values.as_ref()],
        _ => Vec::new(),
    };
    let children = data.child_data().iter().cloned().zip(types);
    let children = children.map(|(child, to)| renamed(child, to)).collect::<Result<Vec<_>, _>>()?;
    data.into_builder().data_type(to.clone()).child_data(children).build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::types::Int32Type;
    use arrow_array::{Array, ListArray};

    #[test]
    fn lists_of_two_writers_become_one_type() {
        let list = |name: &str, nullable| DataType::List(Arc::new(Field::new(name, DataType::Int32, nullable)));
        let wanted = common_type(&list("element", false));
        assert_eq!(wanted, list("element", true));
        let rows = [Some(vec![Some(1), None]), None, Some(vec![])];
        let array: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(rows));
        assert_ne!(array.data_type(), &wanted);
        let found = adapt(array.slice(1, 2), &wanted).unwrap();
        assert_eq!(found.data_type(), &wanted);
        assert_eq!((found.len(), found.null_count()), (2, 1));
        assert_eq!(common_type(&wanted), wanted);
    }
}
