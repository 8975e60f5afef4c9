//! Columns of one number each, beside one another: row-major.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt8Type;
use arrow_array::{Array, ArrayRef, BooleanArray, FixedSizeListArray};
use arrow_buffer::{ArrowNativeType, Buffer};
use arrow_schema::{DataType, Field};

use super::form::pad::rebuild;
use super::value_bytes;
use crate::memory::{self, Element};
use crate::{Error, Result};

/// Bytes that are written before the next rows are decoded: what the cache holds.
const BLOCK_BYTES: usize = 256 << 10;
/// Bytes that are written column by column.
const TILE_BYTES: usize = 8 << 10;
/// Rows that are turned at once.
const SQUARE: usize = 4;

/// A matrix that is written from its first row to its last.
pub(crate) struct Matrix {
    columns: usize,
    width: usize,
    rows: usize,
    out: Out,
}

enum Out {
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
}

impl Matrix {
    /// Room for `rows` rows of `columns` numbers of `width` bytes.
    pub(crate) fn new(rows: usize, columns: usize, width: usize) -> Self {
        let count = rows * columns;
        let out = match width {
            1 => Out::U8(memory::vec(count)),
            2 => Out::U16(memory::vec(count)),
            4 => Out::U32(memory::vec(count)),
            _ => Out::U64(memory::vec(count)),
        };
        Self { columns, width, rows: 0, out }
    }

    /// How many rows to write at a time.
    pub(crate) fn block(&self) -> usize {
        (BLOCK_BYTES / (self.columns * self.width).max(1)).clamp(256, 8192)
    }

    /// Writes the next rows: those of every column.
    pub(crate) fn write(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let bytes = columns.iter().map(|column| value_bytes(column.as_ref())).collect::<Option<Vec<_>>>();
        let bytes = bytes.ok_or_else(|| Error::internal("a matrix of what is no number"))?;
        self.rows += columns.first().map_or(0, |column| column.len());
        match &mut self.out {
            Out::U8(out) => interleave(out, &bytes),
            Out::U16(out) => interleave(out, &bytes),
            Out::U32(out) => interleave(out, &bytes),
            Out::U64(out) => interleave(out, &bytes),
        }
        Ok(())
    }

    /// The matrix, of numbers of this type; bools as bits where they are not for tensors.
    pub(crate) fn finish(self, number: &DataType, bits: bool) -> Result<ArrayRef> {
        let buffer = match self.out {
            Out::U8(out) => memory::buffer(out),
            Out::U16(out) => memory::buffer(out),
            Out::U32(out) => memory::buffer(out),
            Out::U64(out) => memory::buffer(out),
        };
        let columns = i32::try_from(self.columns).map_err(|_| Error::Argument("a matrix of 2**31 columns".into()))?;
        let list =
            |child: &DataType| DataType::FixedSizeList(Arc::new(Field::new("item", child.clone(), true)), columns);
        let matrix = rebuild(&list(number), self.rows, buffer)?;
        if !bits {
            return Ok(matrix);
        }
        let bytes = matrix.as_fixed_size_list().values().as_primitive::<UInt8Type>().values().clone();
        let values: BooleanArray = bytes.iter().map(|&byte| Some(byte != 0)).collect();
        let field = Arc::new(Field::new("item", DataType::Boolean, true));
        FixedSizeListArray::try_new_with_length(field, columns, Arc::new(values), None, self.rows)
            .map(|matrix| Arc::new(matrix) as ArrayRef)
            .map_err(|error| Error::internal(error.to_string()))
    }
}

fn interleave<T: Element + ArrowNativeType>(out: &mut Vec<T>, columns: &[Buffer]) {
    let count = columns.len();
    let columns: Vec<&[T]> = columns.iter().map(|column| column.typed_data::<T>()).collect();
    let rows = columns.iter().map(|column| column.len()).min().unwrap_or(0);
    // So many rows that what is written stays in the first cache until its last column.
    let tile = (TILE_BYTES / (count * size_of::<T>()).max(1)).next_multiple_of(SQUARE).max(2 * SQUARE);
    out.reserve(rows * count);
    let written = &mut out.spare_capacity_mut()[..rows * count];
    for (number, tile_rows) in written.chunks_mut((tile * count).max(1)).enumerate() {
        let range = number * tile..rows.min((number + 1) * tile);
        let mut place = 0;
        while place < count {
            place += match count - place {
                4.. => strip::<T, 4>(tile_rows, &columns[place..], count, place, range.clone()),
                2.. => strip::<T, 2>(tile_rows, &columns[place..], count, place, range.clone()),
                _ => strip::<T, 1>(tile_rows, &columns[place..], count, place, range.clone()),
            };
        }
    }
    // SAFETY: `strip` wrote every column of every row of these, and `reserve` made the room.
    unsafe { out.set_len(out.len() + rows * count) };
}

/// Writes these rows of the next `WIDTH` columns, a square of values at a time: so the compiler turns it in registers.
fn strip<T: Element + Default, const WIDTH: usize>(
    written: &mut [MaybeUninit<T>],
    columns: &[&[T]],
    count: usize,
    place: usize,
    rows: Range<usize>,
) -> usize {
    let columns: [&[T]; WIDTH] = std::array::from_fn(|column| &columns[column][rows.clone()]);
    let squares: [&[[T; SQUARE]]; WIDTH] = std::array::from_fn(|column| columns[column].as_chunks().0);
    let whole = rows.len() / SQUARE;
    let (blocks, rest) = written.split_at_mut(whole * SQUARE * count);
    for (index, block) in blocks.chunks_exact_mut(SQUARE * count).enumerate() {
        let mut square = [[T::default(); SQUARE]; WIDTH];
        for column in 0..WIDTH {
            square[column] = squares[column][index];
        }
        for (row, to) in block.chunks_exact_mut(count).enumerate() {
            let to = &mut to[place..place + WIDTH];
            for column in 0..WIDTH {
                to[column].write(square[column][row]);
            }
        }
    }
    for (index, to) in rest.chunks_exact_mut(count).enumerate() {
        for (column, to) in to[place..place + WIDTH].iter_mut().enumerate() {
            to.write(columns[column][whole * SQUARE + index]);
        }
    }
    WIDTH
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Int16Array;
    use arrow_array::types::Int16Type;

    #[test]
    fn any_number_of_columns_and_rows() {
        for count in [1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 100] {
            for rows in [0, 1, 7, 600] {
                let mut matrix = Matrix::new(rows, count, 2);
                let value = |row: usize, column: usize| (row * 31 + column) as i16;
                let column = |column| Arc::new(Int16Array::from_iter_values((0..rows).map(|row| value(row, column))));
                matrix.write(&(0..count).map(|at| column(at) as ArrayRef).collect::<Vec<_>>()).unwrap();
                let made = matrix.finish(&DataType::Int16, false).unwrap();
                let wanted: Vec<i16> = (0..rows * count).map(|at| value(at / count, at % count)).collect();
                let values = made.as_fixed_size_list().values().as_primitive::<Int16Type>().values().to_vec();
                assert_eq!((made.len(), values), (rows, wanted));
            }
        }
    }

    #[test]
    fn columns_stand_beside_one_another() {
        let mut matrix = Matrix::new(3, 2, 2);
        let column = |values: &[i16]| Arc::new(Int16Array::from(values.to_vec())) as ArrayRef;
        matrix.write(&[column(&[1, 2]), column(&[-1, -2]).slice(0, 2)]).unwrap();
        matrix.write(&[column(&[0, 3]).slice(1, 1), column(&[-3])]).unwrap();
        let made = matrix.finish(&DataType::Int16, false).unwrap();
        let values = made.as_fixed_size_list().values().as_primitive::<Int16Type>().values().to_vec();
        assert_eq!((made.len(), values), (3, vec![1, -1, 2, -2, 3, -3]));
    }
}
