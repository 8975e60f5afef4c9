//! Several columns of one number each as one row-major matrix.

use std::mem::MaybeUninit;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt8Type;
use arrow_array::{Array, ArrayRef, BooleanArray, FixedSizeListArray};
use arrow_buffer::{ArrowNativeType, Buffer};
use arrow_schema::{DataType, Field};

use super::convert::bundle;
use super::{ArrayLayout, Column, Node, Number, OutputKey, rebuild, value_bytes};
use crate::buffer_pool::{self, Element};
use crate::{Error, Result};

/// Rows that are written four columns at a time: what is written and read of them stays in the first cache.
const TILE: usize = 64;
/// Rows and columns that are turned at once, in registers.
const SQUARE: usize = 4;

/// The matrix of a column's sources, each in as many pieces, which are laid end to end; and its mask, where it has one.
pub(crate) fn beside(column: &Column, sources: &[Vec<ArrayRef>]) -> Result<ArrayRef> {
    let number = column.sources.first().and_then(|source| source.conversion.number());
    let number = number.ok_or_else(|| Error::internal("a matrix of no numbers"))?;
    let rows = sources.first().into_iter().flatten().map(|piece| piece.len()).sum();
    let of_key = |place: usize, key: &OutputKey| {
        let number = if place == 0 { number } else { Number::Bool };
        let parts = sources.iter().map(|pieces| pieces.iter().map(|piece| part(piece, place, column)).collect());
        let parts = parts.collect::<Option<Vec<Vec<Buffer>>>>();
        let parts = parts.ok_or_else(|| Error::internal("a matrix of what is no number"))?;
        let buffer = match number.width() {
            1 => matrix::<u8>(&parts, rows),
            2 => matrix::<u16>(&parts, rows),
            4 => matrix::<u32>(&parts, rows),
            _ => matrix::<u64>(&parts, rows),
        };
        let bits = number == Number::Bool && matches!(key.node, Node::Array(ArrayLayout::Arrow));
        finish(buffer, rows, sources.len(), &number.carrier(), bits)
    };
    let made = column.keys.iter().enumerate().map(|(place, key)| of_key(place, key));
    bundle(made.collect::<Result<_>>()?, rows)
}

/// The bytes of a piece's values, or of those of its mask.
fn part(piece: &ArrayRef, place: usize, column: &Column) -> Option<Buffer> {
    let array = if column.keys.len() > 1 { piece.as_struct_opt()?.columns().get(place)? } else { piece };
    value_bytes(array.as_ref())
}

/// The numbers as rows of as many columns; bools as bits where they are not for tensors.
fn finish(buffer: Buffer, rows: usize, columns: usize, number: &DataType, bits: bool) -> Result<ArrayRef> {
    let columns = i32::try_from(columns).map_err(|_| Error::Argument("a matrix of 2**31 columns".into()))?;
    let field = Arc::new(Field::new("item", number.clone(), true));
    let matrix = rebuild(&DataType::FixedSizeList(field, columns), rows, buffer)?;
    if !bits {
        return Ok(matrix);
    }
    let bytes = matrix.as_fixed_size_list().values().as_primitive::<UInt8Type>().values().clone();
    let values: BooleanArray = bytes.iter().map(|&byte| Some(byte != 0)).collect();
    let field = Arc::new(Field::new("item", DataType::Boolean, true));
    FixedSizeListArray::try_new_with_length(field, columns, Arc::new(values), None, rows)
        .map(|matrix| Arc::new(matrix) as ArrayRef)
        .map_err(Error::from)
}

/// The pieces of every column, end to end and beside one another.
fn matrix<T: Turn>(columns: &[Vec<Buffer>], rows: usize) -> Buffer {
    let mut out: Vec<T> = buffer_pool::vec(rows * columns.len());
    for piece in 0..columns.first().map_or(0, Vec::len) {
        let values: Vec<&[T]> = columns.iter().map(|pieces| pieces[piece].typed_data()).collect();
        interleave(&mut out, &values);
    }
    buffer_pool::buffer(out)
}

fn interleave<T: Turn>(out: &mut Vec<T>, columns: &[&[T]]) {
    let count = columns.len();
    let rows = columns.iter().map(|column| column.len()).min().unwrap_or(0);
    out.reserve(rows * count);
    let written = &mut out.spare_capacity_mut()[..rows * count];
    for (number, tile) in written.chunks_mut((TILE * count).max(1)).enumerate() {
        let range = number * TILE..rows.min((number + 1) * TILE);
        let (fours, rest) = columns.as_chunks::<SQUARE>();
        for (place, four) in fours.iter().enumerate() {
            strip(tile, four.map(|column| &column[range.clone()]), count, SQUARE * place);
        }
        for (place, column) in (count - rest.len()..).zip(rest) {
            for (row, &value) in tile.chunks_exact_mut(count).zip(&column[range.clone()]) {
                row[place].write(value);
            }
        }
    }
    // SAFETY: every column of every row of these was written above, and `reserve` made the room.
    unsafe { out.set_len(out.len() + rows * count) };
}

/// Writes four columns of some rows, from this place of the rows on.
fn strip<T: Turn>(rows: &mut [MaybeUninit<T>], columns: [&[T]; SQUARE], count: usize, place: usize) {
    let [(a, rest_a), (b, rest_b), (c, rest_c), (d, rest_d)] = columns.map(<[T]>::as_chunks::<SQUARE>);
    let (squares, rest) = rows.split_at_mut(a.len() * SQUARE * count);
    let write = |row: &mut [MaybeUninit<T>], values: [T; SQUARE]| {
        row[place..place + SQUARE].copy_from_slice(&values.map(MaybeUninit::new));
    };
    for ((((square, &a), &b), &c), &d) in squares.chunks_exact_mut(SQUARE * count).zip(a).zip(b).zip(c).zip(d) {
        for (row, values) in square.chunks_exact_mut(count).zip(T::turn([a, b, c, d])) {
            write(row, values);
        }
    }
    for ((((row, &a), &b), &c), &d) in rest.chunks_exact_mut(count).zip(rest_a).zip(rest_b).zip(rest_c).zip(rest_d) {
        write(row, [a, b, c, d]);
    }
}

/// Numbers that stand in a matrix.
trait Turn: Element + ArrowNativeType {
    /// The columns of a square as its rows.
    fn turn(columns: [[Self; SQUARE]; SQUARE]) -> [[Self; SQUARE]; SQUARE] {
        std::array::from_fn(|row| columns.map(|column| column[row]))
    }
}

impl Turn for u8 {}
impl Turn for u16 {}
impl Turn for u64 {}
impl Turn for u32 {
    #[cfg(target_arch = "x86_64")]
    #[inline]
    fn turn(columns: [[Self; SQUARE]; SQUARE]) -> [[Self; SQUARE]; SQUARE] {
        // SAFETY: every x86-64 processor has SSE2.
        unsafe { turn_u32(columns) }
    }
}

/// Twice as fast as what compilers make of the loop.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn turn_u32(columns: [[u32; SQUARE]; SQUARE]) -> [[u32; SQUARE]; SQUARE] {
    use std::arch::x86_64::{__m128i, _mm_unpackhi_epi32, _mm_unpackhi_epi64, _mm_unpacklo_epi32, _mm_unpacklo_epi64};
    // SAFETY: both are 64 bytes of plain numbers.
    let [a, b, c, d]: [__m128i; SQUARE] = unsafe { std::mem::transmute(columns) };
    let (low, high) = (_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b));
    let (low_after, high_after) = (_mm_unpacklo_epi32(c, d), _mm_unpackhi_epi32(c, d));
    let rows = [
        _mm_unpacklo_epi64(low, low_after),
        _mm_unpackhi_epi64(low, low_after),
        _mm_unpacklo_epi64(high, high_after),
        _mm_unpackhi_epi64(high, high_after),
    ];
    // SAFETY: as above.
    unsafe { std::mem::transmute(rows) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check<T: Turn>(count: usize, pieces: &[usize], value: impl Fn(usize) -> T) {
        let total: usize = pieces.iter().sum();
        let starts = pieces.iter().scan(0, |start, rows| Some(std::mem::replace(start, *start + rows)));
        let starts: Vec<usize> = starts.collect();
        let column = |column: usize| {
            let piece = |(&start, &rows): (&usize, &usize)| {
                (start..start + rows).map(|row| value(row * count + column)).collect::<Vec<T>>().into()
            };
            starts.iter().zip(pieces).map(piece).collect::<Vec<Buffer>>()
        };
        let made = matrix::<T>(&(0..count).map(column).collect::<Vec<_>>(), total);
        assert_eq!(made.typed_data::<T>(), (0..total * count).map(value).collect::<Vec<T>>());
    }

    proptest! {
        #[test]
        fn columns_of_any_number_and_width_stand_beside_one_another(
            count in 1_usize..70, pieces in proptest::collection::vec(0_usize..300, 1..4),
        ) {
            check(count, &pieces, |at| at as u8);
            check(count, &pieces, |at| at as u16);
            check(count, &pieces, |at| at as u32);
            check(count, &pieces, |at| at as u64);
        }
    }
}
