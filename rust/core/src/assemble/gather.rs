//! Rows picked from several arrays into one: the row shuffle's only copy.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, FixedSizeListArray, UInt32Array, make_array};
use arrow_buffer::{Buffer, MutableBuffer};
use arrow_data::ArrayData;
use arrow_schema::DataType;

use crate::decode::{Form, value_bytes};
use crate::{Error, Result};

fn internal(error: impl std::fmt::Display) -> Error {
    Error::internal(error.to_string())
}

/// The pieces end to end.
pub(crate) fn join(pieces: &[ArrayRef]) -> Result<ArrayRef> {
    if let [only] = pieces {
        return Ok(only.clone());
    }
    let pieces: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
    arrow_select::concat::concat(&pieces).map_err(internal)
}

/// The rows at `picks` of the pieces laid end to end.
pub(crate) fn pick(pieces: &[ArrayRef], picks: &[&[u32]], form: &Form) -> Result<ArrayRef> {
    if matches!(form, Form::Dense | Form::Fixed(_))
        && let Some(array) = pick_dense(pieces, picks)?
    {
        return Ok(array);
    }
    let all = join(pieces)?;
    let indices = UInt32Array::from(picks.concat());
    arrow_select::take::take(&all, &indices, None).map_err(internal)
}

/// An array whose rows are all of one width, as bytes.
struct Rows {
    bytes: Buffer,
    width: usize,
}

fn rows(array: &ArrayRef) -> Option<Rows> {
    if let DataType::FixedSizeList(_, length) = array.data_type() {
        let inner = rows(array.as_fixed_size_list().values())?;
        return Some(Rows { width: inner.width * usize::try_from(*length).ok()?, ..inner });
    }
    Some(Rows { bytes: value_bytes(array.as_ref())?, width: array.data_type().primitive_width()? })
}

fn pick_dense(pieces: &[ArrayRef], picks: &[&[u32]]) -> Result<Option<ArrayRef>> {
    let Some(sources) = pieces.iter().map(rows).collect::<Option<Vec<Rows>>>() else { return Ok(None) };
    let Some(first) = sources.first() else { return Ok(None) };
    let width = first.width;
    let count = picks.iter().map(|pick| pick.len()).sum::<usize>();
    let mut starts = Vec::with_capacity(sources.len());
    let mut total = 0_usize;
    for piece in pieces {
        starts.push(total);
        total += piece.len();
    }
    let out = match width {
        1 => by_width::<1>(&sources, &starts, total, picks, count),
        2 => by_width::<2>(&sources, &starts, total, picks, count),
        4 => by_width::<4>(&sources, &starts, total, picks, count),
        8 => by_width::<8>(&sources, &starts, total, picks, count),
        _ => by_row(&sources, &starts, picks, count, width),
    };
    rebuild(pieces[0].data_type(), count, out).map(Some)
}

/// Values of a machine word's width: laid end to end once, so that a pick is one load.
fn by_width<const WIDTH: usize>(
    sources: &[Rows],
    starts: &[usize],
    total: usize,
    picks: &[&[u32]],
    count: usize,
) -> Buffer {
    let joined;
    let all: &[[u8; WIDTH]] = if let [only] = sources {
        only.bytes.as_slice().as_chunks().0
    } else {
        let mut laid: Vec<[u8; WIDTH]> = Vec::with_capacity(total);
        debug_assert_eq!(starts.len(), sources.len());
        for source in sources {
            laid.extend_from_slice(source.bytes.as_slice().as_chunks().0);
        }
        joined = laid;
        &joined
    };
    let mut out: Vec<[u8; WIDTH]> = Vec::with_capacity(count);
    for pick in picks {
        out.extend(pick.iter().map(|&row| all[row as usize]));
    }
    let mut buffer = MutableBuffer::with_capacity(count * WIDTH);
    buffer.extend_from_slice(out.as_flattened());
    buffer.into()
}

/// Wide rows: copied one by one from the piece that holds them.
fn by_row(sources: &[Rows], starts: &[usize], picks: &[&[u32]], count: usize, width: usize) -> Buffer {
    let mut buffer = MutableBuffer::with_capacity(count * width);
    for pick in picks {
        for &row in *pick {
            let piece = starts.partition_point(|&start| start <= row as usize) - 1;
            let at = (row as usize - starts[piece]) * width;
            buffer.extend_from_slice(&sources[piece].bytes.as_slice()[at..at + width]);
        }
    }
    buffer.into()
}

/// An array of this type over these bytes.
fn rebuild(data_type: &DataType, rows: usize, bytes: Buffer) -> Result<ArrayRef> {
    match data_type {
        DataType::FixedSizeList(child, length) => {
            let inner = rows * usize::try_from(*length).map_err(internal)?;
            let values = rebuild(child.data_type(), inner, bytes)?;
            FixedSizeListArray::try_new_with_length(child.clone(), *length, values, None, rows)
                .map(|list| Arc::new(list) as ArrayRef)
                .map_err(internal)
        }
        primitive => {
            ArrayData::builder(primitive.clone()).len(rows).add_buffer(bytes).build().map(make_array).map_err(internal)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Int32Array;
    use arrow_array::types::Int32Type;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn picks_agree_with_arrow(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<i32>(), 1..20), 1..5),
            picks in proptest::collection::vec(any::<prop::sample::Index>(), 0..50),
            wide: bool,
        ) {
            let arrays: Vec<ArrayRef> = pieces.iter().map(|piece| -> ArrayRef {
                if wide {
                    Arc::new(FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>(
                        piece.iter().map(|&v| Some([Some(v), Some(!v), Some(0)])), 3))
                } else {
                    Arc::new(Int32Array::from(piece.clone()))
                }
            }).collect();
            let total: usize = pieces.iter().map(Vec::len).sum();
            let picks: Vec<u32> = picks.into_iter().map(|i| i.index(total) as u32).collect();
            let (left, right) = picks.split_at(picks.len() / 2);
            let found = pick(&arrays, &[left, right], &Form::Dense).unwrap();
            let expected = pick(&arrays, &[&picks], &Form::Arrow).unwrap();
            if wide {
                prop_assert_eq!(found.as_fixed_size_list().values(), expected.as_fixed_size_list().values());
            } else {
                prop_assert_eq!(&found, &expected);
            }
        }
    }
}
