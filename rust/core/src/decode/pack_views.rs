//! What is delivered of packed sequences: ids, labels, positions and segments, written when an output is made.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
};
use arrow_array::{Array, ArrayRef, ListArray, StructArray};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field};

use super::convert::pad::rebuild;
use super::pack::{Labels, Pack, bundled};
use crate::buffer_pool::{self, Element};
use crate::{Error, Result};

/// The label of a token without one.
const IGNORED: u64 = -100_i64 as u64;

/// The arrays of a column's keys, of sequences as they were decoded.
pub(crate) fn views(pack: &Pack, blocks: &ArrayRef) -> Result<ArrayRef> {
    let blocks: &StructArray = blocks.as_struct_opt().ok_or_else(|| Error::internal("sequences are structs"))?;
    let ids = blocks.column(0).as_fixed_size_list_opt().map(|ids| ids.values().clone());
    let (Some(ids), Some(pieces)) = (ids, blocks.column(1).as_list_opt::<i32>()) else {
        return Err(Error::internal("sequences are ids and pieces"));
    };
    match ids.data_type() {
        DataType::Int8 => written::<Int8Type>(pack, &ids, pieces),
        DataType::Int16 => written::<Int16Type>(pack, &ids, pieces),
        DataType::Int32 => written::<Int32Type>(pack, &ids, pieces),
        DataType::Int64 => written::<Int64Type>(pack, &ids, pieces),
        DataType::UInt8 => written::<UInt8Type>(pack, &ids, pieces),
        DataType::UInt16 => written::<UInt16Type>(pack, &ids, pieces),
        DataType::UInt32 => written::<UInt32Type>(pack, &ids, pieces),
        other => Err(Error::internal(format!("tokens of {other}"))),
    }
}

fn written<T: ArrowPrimitiveType>(pack: &Pack, ids: &ArrayRef, pieces: &ListArray) -> Result<ArrayRef>
where
    T::Native: Into<i64>,
{
    let ids = ids.as_primitive::<T>().values();
    let (rows, length, width) = (pieces.len(), pack.seq_len, pack.width());
    // The pool's blocks are of unsigned numbers, whose bytes these are.
    let wide = |&id: &T::Native| Into::<i64>::into(id) as u64;
    let mut input: Vec<u64> = buffer_pool::vec(rows * length);
    let mut labels: Vec<u64> = buffer_pool::vec(if pack.labels.is_some() { rows * length } else { 0 });
    let mut positions: Vec<u32> = buffer_pool::vec(rows * length);
    let mut segments: Vec<u32> = buffer_pool::vec(rows * length);
    let (mut shown, mut offsets) = (Vec::with_capacity(pieces.values().len()), Vec::with_capacity(rows + 1));
    offsets.push(0);
    for row in 0..rows {
        let tokens = &ids[row * width..(row + 1) * width];
        input.extend(tokens[..length].iter().map(wide));
        let of_row = pieces.value(row);
        let mut at = 0;
        for (number, &piece) in (1..).zip(of_row.as_primitive::<Int32Type>().values()) {
            // The last one may have the token after the sequence, which is a label only.
            let end = at + piece as usize;
            let count = end.min(length) - at.min(length);
            if count == 0 {
                break;
            }
            positions.extend(0..count as u32);
            segments.resize(segments.len() + count, number);
            shown.push(count as i32);
            match pack.labels {
                None => {}
                Some(Labels::Input) => {
                    labels.push(IGNORED);
                    labels.extend(tokens[at + 1..at + count].iter().map(wide));
                }
                Some(Labels::Next) => {
                    labels.extend(tokens[at + 1..end].iter().take(count).map(wide));
                    labels.resize(row * length + at + count, IGNORED);
                }
            }
            at += count;
        }
        // Behind the line's end.
        positions.resize((row + 1) * length, 0);
        segments.resize((row + 1) * length, 0);
        if pack.labels.is_some() {
            labels.resize((row + 1) * length, IGNORED);
        }
        offsets.push(shown.len() as i32);
    }
    let mut names = vec!["input_ids"];
    let mut arrays = vec![block(DataType::Int64, length, rows, input)?];
    if pack.labels.is_some() {
        names.push("labels");
        arrays.push(block(DataType::Int64, length, rows, labels)?);
    }
    names.extend(["position_ids", "segment_ids", "cu_seqlens"]);
    arrays.push(block(DataType::Int32, length, rows, positions)?);
    arrays.push(block(DataType::Int32, length, rows, segments)?);
    let lengths = rebuild(&DataType::Int32, shown.len(), arrow_buffer::Buffer::from_vec(shown))?;
    let item = Arc::new(Field::new("item", DataType::Int32, false));
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    arrays.push(Arc::new(ListArray::try_new(item, offsets, lengths, None)?));
    bundled(&names, arrays, rows)
}

fn block<T: Element>(number: DataType, length: usize, rows: usize, values: Vec<T>) -> Result<ArrayRef> {
    let length = i32::try_from(length).map_err(|_| Error::Argument("seq_len is over 2**31".to_owned()))?;
    let kind = DataType::FixedSizeList(Arc::new(Field::new("item", number, false)), length);
    rebuild(&kind, rows, buffer_pool::buffer(values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{FixedSizeListArray, UInt16Array};

    fn pack(labels: Option<Labels>, extra_token: bool) -> Pack {
        let column = "ids".to_owned();
        Pack { column, seq_len: 4, bos: None, eos: None, labels, extra_token, fit: None, by_reading: false }
    }

    fn blocks(pack: &Pack, ids: Vec<u16>, pieces: Vec<Vec<i32>>) -> ArrayRef {
        let fields = pack.block_fields(&DataType::UInt16).unwrap();
        let item = Arc::new(Field::new("item", DataType::UInt16, false));
        let ids = FixedSizeListArray::new(item, pack.width() as i32, Arc::new(UInt16Array::from(ids)), None);
        let lengths = OffsetBuffer::from_lengths(pieces.iter().map(Vec::len));
        let values = arrow_array::Int32Array::from(pieces.concat());
        let item = Arc::new(Field::new("item", DataType::Int32, false));
        let pieces = ListArray::new(item, lengths, Arc::new(values), None);
        Arc::new(StructArray::new(fields, vec![Arc::new(ids), Arc::new(pieces)], None))
    }

    fn labels_of(pack: &Pack, ids: Vec<u16>, pieces: Vec<Vec<i32>>) -> Vec<i64> {
        let made = views(pack, &blocks(pack, ids, pieces)).unwrap();
        let labels = made.as_struct().column_by_name("labels").unwrap().as_fixed_size_list().values().clone();
        labels.as_primitive::<Int64Type>().values().to_vec()
    }

    #[test]
    fn labels_never_cross_a_border() {
        let two = || vec![vec![3, 1], vec![2]];
        let ids = || vec![1, 2, 3, 9, 7, 8, 0, 0];
        let none = IGNORED as i64;
        assert_eq!(labels_of(&pack(Some(Labels::Next), false), ids(), two()), [2, 3, none, none, 8, none, none, none]);
        assert_eq!(labels_of(&pack(Some(Labels::Input), false), ids(), two()), [none, 2, 3, none, none, 8, none, none]);
        let extra = pack(Some(Labels::Next), true);
        let ids = || vec![1, 2, 3, 9, 5];
        assert_eq!(labels_of(&extra, ids(), vec![vec![3, 2]]), [2, 3, none, 5], "the document goes on");
        assert_eq!(labels_of(&extra, ids(), vec![vec![3, 1, 1]]), [2, 3, none, none], "another one begins");
        assert_eq!(labels_of(&extra, ids(), vec![vec![4, 1]]), [2, 3, 9, none]);
        assert_eq!(labels_of(&extra, ids(), vec![vec![5]]), [2, 3, 9, 5]);
    }

    #[test]
    fn a_slice_of_sequences_is_what_it_is_of_all() {
        let pack = pack(None, false);
        let all = blocks(&pack, vec![1, 2, 3, 9, 7, 8, 0, 0], vec![vec![3, 1], vec![2]]);
        let of_slice = views(&pack, &all.slice(1, 1)).unwrap();
        assert_eq!(&of_slice, &views(&pack, &all).unwrap().slice(1, 1));
        let segments = of_slice.as_struct().column_by_name("segment_ids").unwrap().as_fixed_size_list().value(0);
        assert_eq!(segments.as_primitive::<Int32Type>().values(), &[1, 1, 0, 0]);
    }
}
