//! A view of an Arrow array as a tensor: its memory, type and shape.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, GenericListArray, Int32Array, Int64Array, OffsetSizeTrait};
use arrow_buffer::{ArrowNativeType, Buffer, MutableBuffer};
use arrow_schema::DataType;

use crate::decode::{Filler, Number, Padding, padded as fill_up, rebuild, trim_list, value_bytes};
use crate::{Error, Result};

/// The code of a DLPack data type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum TypeCode {
    /// Signed integers.
    Int = 0,
    /// Unsigned integers.
    UInt = 1,
    /// IEEE floats.
    Float = 2,
    /// The upper halves of 32-bit floats.
    Bfloat = 4,
    /// Bools of a byte each.
    Bool = 6,
}

/// Values that lie end to end, and the memory that holds them.
#[derive(Debug, Clone)]
pub struct TensorView {
    pub(crate) buffer: Buffer,
    pub(crate) code: TypeCode,
    pub(crate) bits: u8,
    pub(crate) shape: Vec<i64>,
}

/// A dense column: (n, d …).
///
/// # Errors
/// A type that does not carry the number.
pub fn dense(array: &ArrayRef, number: Number) -> Result<TensorView> {
    if let DataType::FixedSizeList(_, length) = array.data_type() {
        let mut view = dense(array.as_fixed_size_list().values(), number)?;
        view.shape[0] = array.len() as i64;
        view.shape.insert(1, i64::from(*length));
        return Ok(view);
    }
    if *array.data_type() != number.carrier() {
        return Err(Error::internal(format!("{} does not carry {}", array.data_type(), number.name())));
    }
    let code = match number {
        Number::Bool => TypeCode::Bool,
        Number::I8 | Number::I16 | Number::I32 | Number::I64 => TypeCode::Int,
        Number::U8 | Number::U16 | Number::U32 | Number::U64 => TypeCode::UInt,
        Number::F16 | Number::F32 | Number::F64 => TypeCode::Float,
        Number::BF16 => TypeCode::Bfloat,
    };
    let buffer = value_bytes(array.as_ref()).ok_or_else(|| Error::internal("a dense column has no values"))?;
    Ok(TensorView { buffer, code, bits: 8 * number.width() as u8, shape: vec![array.len() as i64] })
}

/// A jagged column in batches of these sizes: its values, the offsets of each batch from 0 on (n + 1 of each, end to
/// end), and the number of values of each batch.
///
/// # Errors
/// A column that is no list of numbers.
pub fn jagged(array: &ArrayRef, sizes: &[usize], number: Number) -> Result<(TensorView, TensorView, Vec<usize>)> {
    let (values, offsets) = trim_list(array).ok_or_else(|| Error::internal("a jagged column is no list"))?;
    if let Some(offsets) = offsets.as_any().downcast_ref::<Int32Array>() {
        let (rebased, counts) = rebase(offsets.values(), sizes);
        let offsets: ArrayRef = Arc::new(Int32Array::from(rebased));
        return Ok((dense(&values, number)?, dense(&offsets, Number::I32)?, counts));
    }
    let offsets = offsets.as_any().downcast_ref::<Int64Array>().ok_or_else(|| Error::internal("offsets"))?;
    let (rebased, counts) = rebase(offsets.values(), sizes);
    let offsets: ArrayRef = Arc::new(Int64Array::from(rebased));
    Ok((dense(&values, number)?, dense(&offsets, Number::I64)?, counts))
}

/// A jagged column in batches of these sizes, each (n, length of its longest list, …), shorter lists filled up.
///
/// # Errors
/// A column that is no list of numbers, or lists too long to be filled up.
pub fn padded(
    array: &ArrayRef,
    sizes: &[usize],
    number: Number,
    padding: &Padding,
    fill: [u8; 8],
) -> Result<Vec<TensorView>> {
    fn each<O: OffsetSizeTrait>(
        lists: &GenericListArray<O>,
        sizes: &[usize],
        number: Number,
        padding: &Padding,
        fill: [u8; 8],
    ) -> Result<Vec<TensorView>> {
        let mut row = 0;
        let mut made = Vec::with_capacity(sizes.len());
        for &size in sizes {
            let batch = lists.slice(row, size);
            row += size;
            let longest = batch.value_offsets().windows(2).map(|pair| (pair[1] - pair[0]).as_usize()).max();
            let length = longest.unwrap_or(0);
            let values = fill_up(batch.value_offsets(), batch.values(), length, padding.side, None, Filler(fill))?;
            let mut view = dense(&values, number)?;
            view.shape[0] = size as i64;
            view.shape.insert(1, length as i64);
            made.push(view);
        }
        Ok(made)
    }
    match array.data_type() {
        DataType::List(_) => each::<i32>(array.as_list(), sizes, number, padding, fill),
        DataType::LargeList(_) => each::<i64>(array.as_list(), sizes, number, padding, fill),
        other => Err(Error::internal(format!("a padded column is {other}"))),
    }
}

/// The segments of a batch of packed sequences, flattened.
#[derive(Debug, Clone)]
pub struct SegmentBorders {
    /// Where each begins, and the end: int32. The padding of a sequence is a segment of its own.
    pub borders: TensorView,
    /// The tokens of the longest segment.
    pub longest: usize,
    /// The places that no padding at a sequence's end takes.
    pub tokens: usize,
}

/// Of batches of these sizes, from the lengths of the pieces of each sequence of `seq_len` tokens.
///
/// # Errors
/// A column that is not the lengths of pieces, or a batch of over 2³¹ tokens.
pub fn segment_borders(pieces: &ArrayRef, sizes: &[usize], seq_len: usize) -> Result<Vec<SegmentBorders>> {
    let pieces = pieces.as_list_opt::<i32>().ok_or_else(|| Error::internal("pieces are lists"))?;
    let lengths = pieces.values().as_any().downcast_ref::<Int32Array>().ok_or_else(|| Error::internal("lengths"))?;
    let (lengths, offsets) = (lengths.values(), pieces.value_offsets());
    let mut row = 0;
    let of_batch = |&size: &usize| {
        if size.checked_mul(seq_len).is_none_or(|tokens| i32::try_from(tokens).is_err()) {
            return Err(Error::Argument(format!(
                "{size} sequences of {seq_len} tokens are over 2**31 tokens in a batch: give a smaller batch_size"
            )));
        }
        let (mut borders, mut longest, mut tokens) = (vec![0_i32], 0, 0);
        for sequence in row..row + size {
            let mut end = (sequence - row) * seq_len;
            for &length in &lengths[offsets[sequence].as_usize()..offsets[sequence + 1].as_usize()] {
                end += length as usize;
                borders.push(end as i32);
                longest = longest.max(length as usize);
                tokens += length as usize;
            }
            let rest = (sequence + 1 - row) * seq_len - end;
            if rest > 0 {
                borders.push((end + rest) as i32);
                longest = longest.max(rest);
            }
        }
        row += size;
        let borders: ArrayRef = Arc::new(Int32Array::from(borders));
        Ok(SegmentBorders { borders: dense(&borders, Number::I32)?, longest, tokens })
    };
    sizes.iter().map(of_batch).collect()
}

/// Of batches of these sizes, a number of each segment, from those of the pieces of each sequence; 0 where a segment is
/// padding. `slots`: the places of the pieces, as for [`segment_borders`].
///
/// # Errors
/// Columns that are not numbers a piece.
pub fn segment_numbers(
    slots: &ArrayRef,
    numbers: &ArrayRef,
    sizes: &[usize],
    seq_len: usize,
    number: Number,
) -> Result<Vec<TensorView>> {
    let (Some(slots), Some(numbers)) = (slots.as_list_opt::<i32>(), numbers.as_list_opt::<i32>()) else {
        return Err(Error::internal("numbers a piece are lists"));
    };
    let places = slots.values().as_any().downcast_ref::<Int32Array>().ok_or_else(|| Error::internal("slots"))?;
    let carrier = number.carrier();
    let width = carrier.primitive_width().unwrap_or(1);
    let bytes = value_bytes(numbers.values().as_ref()).ok_or_else(|| Error::internal("numbers without values"))?;
    let mut row = 0;
    let of_batch = |&size: &usize| {
        let mut made = MutableBuffer::new(0);
        for sequence in row..row + size {
            let range = |lists: &GenericListArray<i32>| {
                let offsets = lists.value_offsets();
                offsets[sequence].as_usize()..offsets[sequence + 1].as_usize()
            };
            let of_sequence = range(numbers);
            made.extend_from_slice(&bytes[of_sequence.start * width..of_sequence.end * width]);
            let filled: i32 = places.values()[range(slots)].iter().sum();
            if filled.as_usize() < seq_len {
                made.resize(made.len() + width, 0);
            }
        }
        row += size;
        let values = rebuild(&carrier, made.len() / width, made.into())?;
        dense(&values, number)
    };
    sizes.iter().map(of_batch).collect()
}

fn rebase<O>(offsets: &[O], sizes: &[usize]) -> (Vec<O>, Vec<usize>)
where
    O: Copy + std::ops::Sub<Output = O> + arrow_buffer::ArrowNativeType,
{
    let mut rebased = Vec::with_capacity(offsets.len() + sizes.len());
    let mut counts = Vec::with_capacity(sizes.len());
    let mut row = 0;
    for &size in sizes {
        let of_batch = &offsets[row..=row + size];
        let first = of_batch[0];
        rebased.extend(of_batch.iter().map(|&offset| offset - first));
        counts.push((of_batch[size] - first).as_usize());
        row += size;
    }
    (rebased, counts)
}
