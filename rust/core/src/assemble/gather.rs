//! The rows of several arrays in one array: concatenated, or picked by the row shuffle's permutation.
//!
//! Numbers and lists of numbers without nulls are copied here, into memory that is reused; arrow-rs does the rest.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, GenericListArray, OffsetSizeTrait, StructArray, UInt32Array};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, FieldRef};

use super::fixed_rows::{FixedRows, all_rows, by_row, by_value, end_to_end, rows, spans_of, starts};
use crate::decode::rebuild;
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
    let pieces: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
    arrow_select::concat::concat(&pieces).map_err(|error| match error {
        ArrowError::DictionaryKeyOverflowError => Error::Unsupported(format!(
            "column {column:?}: its row groups together have more different values than {} can number; ask for codes of the whole \
             data set by column_options={{{column:?}: ColumnOptions(encode=\"codes\")}}",
            pieces[0].data_type()
        )),
        other => other.into(),
    })
}

/// The rows at `picks` of the pieces of a column laid end to end.
pub(crate) fn pick(column: &str, pieces: &[ArrayRef], picks: &[&[u32]]) -> Result<ArrayRef> {
    if let Some(picked) = each_field(pieces, |pieces| pick(column, pieces, picks))? {
        return Ok(picked);
    }
    if let Some(picked) = pick_numbers(pieces, picks)? {
        return Ok(picked);
    }
    let indices = UInt32Array::from(picks.concat());
    arrow_select::take::take(&join(column, pieces)?, &indices, None).map_err(Error::from)
}

/// Struct arrays without nulls of their own (a column and its mask, a dict), field by field.
fn each_field(pieces: &[ArrayRef], make: impl Fn(&[ArrayRef]) -> Result<ArrayRef>) -> Result<Option<ArrayRef>> {
    let structs: Option<Vec<_>> = pieces.iter().map(|piece| piece.as_struct_opt()).collect();
    let Some(structs) = structs.filter(|all| all.iter().all(|one| one.nulls().is_none())) else { return Ok(None) };
    let Some(first) = structs.first().filter(|first| first.num_columns() > 0) else { return Ok(None) };
    let of_field = |field: usize| structs.iter().map(|one| one.column(field).clone()).collect::<Vec<_>>();
    let fields = (0..first.num_columns()).map(|field| make(&of_field(field))).collect::<Result<Vec<_>>>()?;
    StructArray::try_new(first.fields().clone(), fields, None)
        .map(|made| Some(Arc::new(made) as ArrayRef))
        .map_err(Error::from)
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

fn pick_numbers(pieces: &[ArrayRef], picks: &[&[u32]]) -> Result<Option<ArrayRef>> {
    let Some(first) = pieces.first() else { return Ok(None) };
    match first.data_type() {
        DataType::List(child) => pick_lists::<i32>(pieces, picks, child),
        DataType::LargeList(child) => pick_lists::<i64>(pieces, picks, child),
        data_type => {
            let Some(sources) = all_rows(pieces) else { return Ok(None) };
            let count = picks.iter().map(|pick| pick.len()).sum::<usize>();
            let out = match sources[0].width {
                1 => by_value::<u8>(&sources, picks, count),
                2 => by_value::<u16>(&sources, picks, count),
                4 => by_value::<u32>(&sources, picks, count),
                8 => by_value::<u64>(&sources, picks, count),
                width => by_row(&sources, &starts(pieces), picks, count * width),
            };
            rebuild(data_type, count, out).map(Some)
        }
    }
}

/// The lists of a piece, if neither they nor their numbers have nulls: offsets, and the numbers they use.
fn lists<O: OffsetSizeTrait>(piece: &ArrayRef) -> Option<(&[O], ArrayRef)> {
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

fn pick_lists<O: OffsetSizeTrait>(pieces: &[ArrayRef], picks: &[&[u32]], child: &FieldRef) -> Result<Option<ArrayRef>> {
    let Some(parts) = pieces.iter().map(lists::<O>).collect::<Option<Vec<_>>>() else { return Ok(None) };
    let Some(sources) = parts.iter().map(|(_, values)| rows(values)).collect::<Option<Vec<FixedRows>>>() else {
        return Ok(None);
    };
    let Some(width) = sources.first().map(|source| source.width) else { return Ok(None) };
    let starts = starts(pieces);
    // Each list, as the piece that holds it and its place there.
    let mut spans = Vec::with_capacity(picks.iter().map(|pick| pick.len()).sum());
    let mut offsets = Vec::with_capacity(spans.capacity() + 1);
    let mut total = O::default();
    offsets.push(total);
    for &row in picks.iter().copied().flatten() {
        let piece = starts.partition_point(|&start| start <= row as usize) - 1;
        let of_piece = parts[piece].0;
        let at = row as usize - starts[piece];
        total = total.checked_add(&(of_piece[at + 1] - of_piece[at])).ok_or_else(|| too_many(child))?;
        offsets.push(total);
        let first = of_piece[0].as_usize();
        spans.push((piece, of_piece[at].as_usize() - first..of_piece[at + 1].as_usize() - first));
    }
    let count = total.as_usize();
    let values = match width {
        1 => spans_of::<u8>(&sources, &spans, count),
        2 => spans_of::<u16>(&sources, &spans, count),
        4 => spans_of::<u32>(&sources, &spans, count),
        8 => spans_of::<u64>(&sources, &spans, count),
        _ => return Ok(None),
    };
    let values = rebuild(parts[0].1.data_type(), count, values)?;
    list_array(child, offsets, values).map(Some)
}

fn too_many(child: &FieldRef) -> Error {
    Error::Unsupported(format!(
        "lists of {} with more than 2**31 values in a window; use a smaller shuffle_buffer_size, or write them as large_list",
        child.data_type()
    ))
}

fn list_array<O: OffsetSizeTrait>(child: &FieldRef, offsets: Vec<O>, values: ArrayRef) -> Result<ArrayRef> {
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    GenericListArray::<O>::try_new(child.clone(), offsets, values, None)
        .map(|list| Arc::new(list) as ArrayRef)
        .map_err(Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::types::Int16Type;
    use arrow_array::{FixedSizeListArray, Int16Array, LargeListArray, ListArray};
    use proptest::prelude::*;

    /// The same rows as numbers, as rows of three, and as lists of both kinds.
    fn arrays(piece: &[i16]) -> [ArrayRef; 4] {
        let list = |v: i16| Some((0..v.unsigned_abs() % 4).map(move |i| Some(v ^ i as i16)).collect::<Vec<_>>());
        [
            Arc::new(Int16Array::from(piece.to_vec())),
            Arc::new(FixedSizeListArray::from_iter_primitive::<Int16Type, _, _>(
                piece.iter().map(|&v| Some([Some(v), Some(!v), Some(0)])),
                3,
            )),
            Arc::new(ListArray::from_iter_primitive::<Int16Type, _, _>(piece.iter().map(|&v| list(v)))),
            Arc::new(LargeListArray::from_iter_primitive::<Int16Type, _, _>(piece.iter().map(|&v| list(v)))),
        ]
    }

    proptest! {
        #[test]
        fn joins_and_picks_agree_with_arrow(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<i16>(), 2..20), 1..5),
            picks in proptest::collection::vec(any::<prop::sample::Index>(), 0..50),
        ) {
            for kind in 0..4 {
                // Slices, so that offsets do not begin at 0.
                let pieces: Vec<ArrayRef> = pieces.iter().map(|piece| arrays(piece)[kind].slice(1, piece.len() - 1)).collect();
                let total: usize = pieces.iter().map(|piece| piece.len()).sum();
                let picks: Vec<u32> = picks.iter().map(|i| i.index(total) as u32).collect();
                let whole: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
                let whole = arrow_select::concat::concat(&whole).unwrap();
                prop_assert_eq!(&join("x", &pieces).unwrap(), &whole);
                let (left, right) = picks.split_at(picks.len() / 2);
                let expected = arrow_select::take::take(&whole, &UInt32Array::from(picks.clone()), None).unwrap();
                prop_assert_eq!(&pick("x", &pieces, &[left, right]).unwrap(), &expected);
            }
        }
    }
}
