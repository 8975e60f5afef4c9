//! The rows of several arrays end to end in one array.
//!
//! Numbers and lists of numbers without nulls are copied here, into memory that is reused; arrow-rs does the rest.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, GenericListArray, OffsetSizeTrait, StructArray};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, FieldRef, Fields};

use super::fixed_rows::{all_rows, end_to_end};
use crate::decode::{concat_shared, rebuild};
use crate::{Error, Result};

/// The pieces of a column end to end.
pub(crate) fn join(column: &str, pieces: &[ArrayRef]) -> Result<ArrayRef> {
    if let [only] = pieces {
        return Ok(only.clone());
    }
    if let Some(joined) = each_field(pieces, |pieces| join(column, pieces))? {
        return Ok(joined);
    }
    if let Some(joined) = join_numbers(pieces)? {
        return Ok(joined);
    }
    concat_shared(pieces).map_err(|error| match error {
        ArrowError::DictionaryKeyOverflowError => Error::Unsupported(format!(
            "column {column:?}: its row groups together have more different values than {} can number; ask for codes of the whole \
             data set by column_options={{{column:?}: ColumnOptions(encode=\"codes\")}}",
            pieces[0].data_type()
        )),
        other => other.into(),
    })
}

/// Struct arrays without nulls of their own (a column and its mask, a dict), field by field.
fn each_field(pieces: &[ArrayRef], make: impl Fn(&[ArrayRef]) -> Result<ArrayRef>) -> Result<Option<ArrayRef>> {
    let Some((fields, columns)) = of_fields(pieces) else { return Ok(None) };
    let columns = columns.iter().map(|pieces| make(pieces)).collect::<Result<Vec<_>>>()?;
    StructArray::try_new(fields, columns, None).map(|made| Some(Arc::new(made) as ArrayRef)).map_err(Error::from)
}

/// The pieces of every field of struct arrays without nulls of their own.
pub(super) fn of_fields(pieces: &[ArrayRef]) -> Option<(Fields, Vec<Vec<ArrayRef>>)> {
    let structs: Vec<&StructArray> = pieces.iter().map(|piece| piece.as_struct_opt()).collect::<Option<_>>()?;
    let first = structs.first().filter(|first| first.num_columns() > 0)?;
    if structs.iter().any(|one| one.nulls().is_some()) {
        return None;
    }
    let of_field = |field: usize| structs.iter().map(|one| one.column(field).clone()).collect();
    Some((first.fields().clone(), (0..first.num_columns()).map(of_field).collect()))
}

fn join_numbers(pieces: &[ArrayRef]) -> Result<Option<ArrayRef>> {
    let Some(first) = pieces.first() else { return Ok(None) };
    match first.data_type() {
        DataType::List(child) => join_lists::<i32>(pieces, child),
        DataType::LargeList(child) => join_lists::<i64>(pieces, child),
        data_type => {
            let Some(sources) = all_rows(pieces) else { return Ok(None) };
            let count = pieces.iter().map(|piece| piece.len()).sum();
            rebuild(data_type, count, end_to_end(&sources)).map(Some)
        }
    }
}

/// The lists of a piece, if neither they nor their numbers have nulls: offsets, and the numbers they use.
pub(super) fn lists<O: OffsetSizeTrait>(piece: &ArrayRef) -> Option<(&[O], ArrayRef)> {
    let lists: &GenericListArray<O> = piece.as_list_opt()?;
    if lists.nulls().is_some() {
        return None;
    }
    let offsets = lists.value_offsets();
    let (first, last) = (offsets.first()?.as_usize(), offsets.last()?.as_usize());
    Some((offsets, lists.values().slice(first, last - first)))
}

fn join_lists<O: OffsetSizeTrait>(pieces: &[ArrayRef], child: &FieldRef) -> Result<Option<ArrayRef>> {
    let Some(parts) = pieces.iter().map(lists::<O>).collect::<Option<Vec<_>>>() else { return Ok(None) };
    let values: Vec<ArrayRef> = parts.iter().map(|(_, values)| values.clone()).collect();
    let Some(values) = join_numbers(&values)? else { return Ok(None) };
    let mut offsets = vec![O::default()];
    for (of_piece, _) in parts {
        let base = offsets[offsets.len() - 1];
        let shift = |offset: O| (offset - of_piece[0]).checked_add(&base);
        let shifted: Option<Vec<O>> = of_piece[1..].iter().map(|&offset| shift(offset)).collect();
        offsets.extend(shifted.ok_or_else(|| too_many(child))?);
    }
    list_array(child, offsets, values).map(Some)
}

pub(super) fn too_many(child: &FieldRef) -> Error {
    Error::Unsupported(format!(
        "lists of {} with more than 2**31 values in a window; use a smaller shuffle_buffer_size, or write them as large_list",
        child.data_type()
    ))
}

pub(super) fn list_array<O: OffsetSizeTrait>(child: &FieldRef, offsets: Vec<O>, values: ArrayRef) -> Result<ArrayRef> {
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    GenericListArray::<O>::try_new(child.clone(), offsets, values, None)
        .map(|list| Arc::new(list) as ArrayRef)
        .map_err(Error::from)
}
