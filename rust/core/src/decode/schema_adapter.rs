//! One type for a column over all files, which may differ in what changes no value: nullability, metadata, and what a
//! list calls its elements; and, where that was asked for, in more (`widen_values`).

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, make_array};
use arrow_data::ArrayData;
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields};

use super::widen_values::{NoRoom, widened};
use crate::Result;

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

/// The same values, of the column's common type; or the first that it has no room for.
pub(super) fn adapt(array: ArrayRef, to: &DataType) -> Result<std::result::Result<ArrayRef, NoRoom>> {
    if array.data_type() == to {
        return Ok(Ok(array));
    }
    let array = match widened(&array, to)? {
        Ok(array) => array,
        Err(none) => return Ok(Err(none)),
    };
    Ok(Ok(make_array(renamed(array.to_data(), to)?)))
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
        let found = adapt(array.slice(1, 2), &wanted).unwrap().unwrap();
        assert_eq!(found.data_type(), &wanted);
        assert_eq!((found.len(), found.null_count()), (2, 1));
        assert_eq!(common_type(&wanted), wanted);
    }
}
