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
    let parts = Parts::new(pack, blocks).ok_or_else(|| Error::internal("sequences are ids and pieces"))?;
    match parts.ids.data_type() {
        DataType::Int8 => written::<Int8Type>(pack, &parts),
        DataType::Int16 => written::<Int16Type>(pack, &parts),
        DataType::Int32 => written::<Int32Type>(pack, &parts),
        DataType::Int64 => written::<Int64Type>(pack, &parts),
        DataType::UInt8 => written::<UInt8Type>(pack, &parts),
        DataType::UInt16 => written::<UInt16Type>(pack, &parts),
        DataType::UInt32 => written::<UInt32Type>(pack, &parts),
        other => Err(Error::internal(format!("tokens of {other}"))),
    }
}

/// What sequences are made of: see [`Pack::block_fields`].
struct Parts<'a> {
    ids: &'a ArrayRef,
    pieces: &'a ListArray,
    along: &'a [ArrayRef],
    meta: &'a [ArrayRef],
    prompts: Option<&'a ListArray>,
    names: Vec<&'a str>,
}

impl<'a> Parts<'a> {
    fn new(pack: &Pack, blocks: &'a StructArray) -> Option<Self> {
        let names = blocks.fields().iter().skip(2).map(|field| field.name().as_str()).collect();
        let (ids, rest) = blocks.columns().split_first()?;
        let (pieces, rest) = rest.split_first()?;
        let (along, rest) = rest.split_at_checked(pack.along.len())?;
        let (meta, rest) = rest.split_at_checked(pack.meta.len())?;
        let prompts = rest.first().and_then(|prompts| prompts.as_list_opt());
        Some(Self {
            ids: ids.as_fixed_size_list_opt()?.values(),
            pieces: pieces.as_list_opt()?,
            along,
            meta,
            prompts,
            names,
        })
    }
}

fn written<T: ArrowPrimitiveType>(pack: &Pack, parts: &Parts<'_>) -> Result<ArrayRef>
where
    T::Native: Into<i64>,
{
    let (ids, pieces) = (parts.ids.as_primitive::<T>().values(), parts.pieces);
    let (rows, length, width) = (pieces.len(), pack.seq_len, pack.width());
    // The pool's blocks are of unsigned numbers, whose bytes these are.
    let wide = |&id: &T::Native| Into::<i64>::into(id) as u64;
    let mut input: Vec<u64> = buffer_pool::vec(rows * length);
    let mut labels: Vec<u64> = buffer_pool::vec(if pack.labels.is_some() { rows * length } else { 0 });
    let mut positions: Vec<u32> = buffer_pool::vec(rows * length);
    let mut segments: Vec<u32> = buffer_pool::vec(rows * length);
    let (mut slots, mut shown) = (Vec::with_capacity(pieces.values().len()), Vec::new());
    let mut offsets = Vec::with_capacity(rows + 1);
    offsets.push(0);
    for row in 0..rows {
        let tokens = &ids[row * width..(row + 1) * width];
        input.extend(tokens[..length].iter().map(wide));
        let of_row = pieces.value(row);
        let prompts = parts.prompts.map(|prompts| prompts.value(row));
        let mut at = 0;
        for (number, &piece) in of_row.as_primitive::<Int32Type>().values().iter().enumerate() {
            // The last one may have the token after the sequence, which is a label only.
            let end = at + piece as usize;
            let count = end.min(length) - at;
            let slot = pack.slot(count as u64) as usize;
            positions.extend(0..slot as u32);
            segments.resize(segments.len() + count, number as u32 + 1);
            segments.resize(segments.len() + slot - count, 0);
            slots.push(slot as i32);
            if pack.align > 1 {
                shown.push(count as i32);
            }
            // The first token of a piece is nobody's label, and those of a prompt are not.
            let prompt = prompts.as_ref().map_or(0, |prompts| prompts.as_primitive::<Int32Type>().value(number));
            let first = (at + 1).max(at.saturating_add(prompt as usize));
            let targets = match pack.labels {
                None => 0..0,
                Some(Labels::Input) => at..at + count,
                Some(Labels::Next) => at + 1..end.min(at + 1 + count),
            };
            let shown_from = first.clamp(targets.start, targets.end);
            labels.resize(labels.len() + shown_from - targets.start, IGNORED);
            labels.extend(tokens[shown_from..targets.end].iter().map(wide));
            at += slot;
            if pack.labels.is_some() {
                labels.resize(row * length + at, IGNORED);
            }
        }
        // Behind the last document.
        positions.resize((row + 1) * length, 0);
        segments.resize((row + 1) * length, 0);
        if pack.labels.is_some() {
            labels.resize((row + 1) * length, IGNORED);
        }
        offsets.push(slots.len() as i32);
    }
    let mut names = vec!["input_ids"];
    let mut arrays = vec![block(DataType::Int64, length, rows, input)?];
    if pack.labels.is_some() {
        names.push("labels");
        arrays.push(block(DataType::Int64, length, rows, labels)?);
    }
    names.extend(["position_ids", "segment_ids"]);
    arrays.push(block(DataType::Int32, length, rows, positions)?);
    arrays.push(block(DataType::Int32, length, rows, segments)?);
    names.extend(&parts.names[..parts.along.len()]);
    arrays.extend(parts.along.iter().cloned());
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    names.push("cu_seqlens");
    arrays.push(a_piece(slots, &offsets)?);
    if pack.align > 1 {
        names.push("segment_lengths");
        arrays.push(a_piece(shown, &offsets)?);
    }
    names.extend(&parts.names[parts.along.len()..][..parts.meta.len()]);
    arrays.extend(parts.meta.iter().cloned());
    bundled(&names, arrays, rows)
}

fn a_piece(numbers: Vec<i32>, offsets: &OffsetBuffer<i32>) -> Result<ArrayRef> {
    let numbers = rebuild(&DataType::Int32, numbers.len(), arrow_buffer::Buffer::from_vec(numbers))?;
    let item = Arc::new(Field::new("item", DataType::Int32, false));
    Ok(Arc::new(ListArray::try_new(item, offsets.clone(), numbers, None)?))
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
        Pack {
            column: "ids".to_owned(),
            seq_len: 4,
            bos: None,
            eos: None,
            labels,
            extra_token,
            fit: None,
            by_reading: false,
            align: 1,
            along: Vec::new(),
            meta: Vec::new(),
            prompt_length: None,
            length: None,
        }
    }

    fn blocks(pack: &Pack, ids: Vec<u16>, pieces: Vec<Vec<i32>>) -> ArrayRef {
        let item = Arc::new(Field::new("item", DataType::UInt16, false));
        let ids: ArrayRef =
            Arc::new(FixedSizeListArray::new(item, pack.width() as i32, Arc::new(UInt16Array::from(ids)), None));
        let lengths = OffsetBuffer::from_lengths(pieces.iter().map(Vec::len));
        let values = arrow_array::Int32Array::from(pieces.concat());
        let item = Arc::new(Field::new("item", DataType::Int32, false));
        let rows = ids.len();
        let pieces: ArrayRef = Arc::new(ListArray::new(item, lengths, Arc::new(values), None));
        bundled(&["ids", "pieces"], vec![ids, pieces], rows).unwrap()
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
