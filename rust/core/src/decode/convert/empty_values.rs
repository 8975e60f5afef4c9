//! Empty values in the place of nulls, at any depth: of lists of anything, and of maps.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, BooleanArray, FixedSizeListArray, GenericListArray, ListArray, MapArray, OffsetSizeTrait, Scalar,
    StructArray, make_array,
};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_data::ArrayData;
use arrow_schema::{DataType, Field, FieldRef};
use arrow_select::take::take;
use arrow_select::zip::zip;

use super::arrays::fixed_size;
use super::lists::without_null_lists;
use super::nulls::{rebuilt, union};
use crate::{Error, Result};

/// The array without a null: `nulls` are those of its rows. A list or map is empty then, text is "", a number 0; values
/// of a dictionary stand there themselves. What is of Arrow's type null has no other value, and stays.
pub(super) fn without_nulls(array: &ArrayRef, nulls: Option<&NullBuffer>) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Null => Ok(Arc::clone(array)),
        DataType::List(field) => lists::<i32>(array.as_list(), field, nulls),
        DataType::LargeList(field) => lists::<i64>(array.as_list(), field, nulls),
        DataType::FixedSizeList(field, length) => {
            let values = array.as_fixed_size_list().values();
            let inner = nulls.map(|nulls| nulls.expand(fixed_size(*length)));
            let values = without_nulls(values, union(values.as_ref(), inner.as_ref()).as_ref())?;
            let lists = FixedSizeListArray::try_new_with_length(of(field, &values), *length, values, None, array.len());
            lists.map(|lists| Arc::new(lists) as ArrayRef).map_err(Error::from)
        }
        DataType::Struct(_) => Ok(Arc::new(fields(array.as_struct(), nulls)?)),
        DataType::Map(field, ordered) => {
            // As the list of entries that it is.
            let map = array.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            let list = ListArray::try_new(Arc::clone(field), map.offsets().clone(), entries, None)?;
            let (offsets, entries) = without_null_lists(&list, nulls)?;
            let entries = fields(entries.as_struct(), None)?;
            let field = Arc::new(field.as_ref().clone().with_data_type(entries.data_type().clone()));
            let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
            let map = MapArray::try_new(field, offsets, entries, None, *ordered);
            map.map(|map| Arc::new(map) as ArrayRef).map_err(Error::from)
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary_opt().ok_or_else(|| Error::internal("a dictionary of no kind"))?;
            let plain = take(dictionary.values(), dictionary.keys(), None)?;
            let nulls = union(plain.as_ref(), nulls);
            without_nulls(&plain, nulls.as_ref())
        }
        _ => leaves(array, nulls),
    }
}

fn lists<O: OffsetSizeTrait>(
    array: &GenericListArray<O>,
    field: &FieldRef,
    nulls: Option<&NullBuffer>,
) -> Result<ArrayRef> {
    let (offsets, items) = without_null_lists(array, nulls)?;
    let items = without_nulls(&items, union(items.as_ref(), None).as_ref())?;
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let lists = GenericListArray::<O>::try_new(of(field, &items), offsets, items, None);
    lists.map(|lists| Arc::new(lists) as ArrayRef).map_err(Error::from)
}

fn fields(array: &StructArray, nulls: Option<&NullBuffer>) -> Result<StructArray> {
    let columns = array.columns().iter();
    let columns: Vec<ArrayRef> =
        columns.map(|column| without_nulls(column, union(column.as_ref(), nulls).as_ref())).collect::<Result<_>>()?;
    let fields = array.fields().iter().zip(&columns).map(|(field, column)| of(field, column)).collect();
    StructArray::try_new_with_length(fields, columns, None, array.len()).map_err(Error::from)
}

/// The field, of the type that its values have now.
fn of(field: &FieldRef, values: &ArrayRef) -> FieldRef {
    Arc::new(Field::clone(field).with_data_type(values.data_type().clone()))
}

/// One value a row: what Arrow keeps in the place of a null is 0, or empty.
fn leaves(array: &ArrayRef, nulls: Option<&NullBuffer>) -> Result<ArrayRef> {
    let Some(nulls) = nulls else { return rebuilt(array.to_data().into_builder().nulls(None).build()) };
    let empty = ArrayData::new_null(array.data_type(), 1).into_builder().nulls(None).build();
    let empty = Scalar::new(make_array(empty?));
    let filled = zip(&BooleanArray::new(nulls.inner().clone(), None), array, &empty)?;
    rebuilt(filled.to_data().into_builder().nulls(None).build())
}
