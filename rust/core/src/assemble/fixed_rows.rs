//! Rows of one width, copied as bytes.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_buffer::{ArrowNativeType, Buffer};
use arrow_schema::DataType;

use crate::buffer_pool::{self, Element};
use crate::decode::value_bytes;

/// An array without nulls whose rows are all of one width, as bytes.
pub(super) struct FixedRows {
    pub(super) bytes: Buffer,
    pub(super) width: usize,
    /// The width of the numbers that a row is made of.
    unit: usize,
}

pub(super) fn rows(array: &ArrayRef) -> Option<FixedRows> {
    if array.nulls().is_some() {
        return None;
    }
    if let DataType::FixedSizeList(_, length) = array.data_type() {
        let inner = rows(array.as_fixed_size_list().values())?;
        return Some(FixedRows { width: inner.width * usize::try_from(*length).ok()?, ..inner });
    }
    let width = array.data_type().primitive_width()?;
    Some(FixedRows { bytes: value_bytes(array.as_ref())?, width, unit: width })
}

pub(super) fn all_rows(pieces: &[ArrayRef]) -> Option<Vec<FixedRows>> {
    let mut all = Vec::with_capacity(pieces.len());
    for piece in pieces {
        all.push(rows(piece)?);
    }
    Some(all)
}

/// The number of the first row of every piece.
pub(super) fn starts(pieces: &[ArrayRef]) -> Vec<usize> {
    pieces
        .iter()
        .scan(0, |total, piece| {
            let start = *total;
            *total += piece.len();
            Some(start)
        })
        .collect()
}

/// All bytes, in memory aligned for their numbers.
pub(super) fn end_to_end(sources: &[FixedRows]) -> Buffer {
    fn of<T: Element + ArrowNativeType>(sources: &[FixedRows]) -> Buffer {
        let mut out: Vec<T> = buffer_pool::vec(sources.iter().map(|source| source.bytes.len() / size_of::<T>()).sum());
        sources.iter().for_each(|source| out.extend_from_slice(source.bytes.typed_data()));
        buffer_pool::buffer(out)
    }
    match sources.first().map_or(0, |source| source.unit) {
        1 => of::<u8>(sources),
        2 => of::<u16>(sources),
        4 => of::<u32>(sources),
        8 => of::<u64>(sources),
        _ => {
            let all: Vec<u8> = sources.iter().flat_map(|source| source.bytes.iter().copied()).collect();
            Buffer::from_slice_ref(&all)
        }
    }
}

/// Numbers: laid end to end once, so that a pick is one load.
pub(super) fn by_value<T: Element + ArrowNativeType>(sources: &[FixedRows], picks: &[&[u32]], count: usize) -> Buffer {
    let joined = end_to_end(sources);
    let values: &[T] = joined.typed_data();
    let mut out: Vec<T> = buffer_pool::vec(count);
    for pick in picks {
        out.extend(pick.iter().map(|&row| values[row as usize]));
    }
    buffer_pool::buffer(out)
}

/// Wide rows: copied one by one from the piece that holds them.
pub(super) fn by_row(sources: &[FixedRows], starts: &[usize], picks: &[&[u32]], bytes: usize) -> Buffer {
    fn of<T: Element + ArrowNativeType>(
        sources: &[FixedRows],
        starts: &[usize],
        picks: &[&[u32]],
        bytes: usize,
    ) -> Buffer {
        let width = sources[0].width / size_of::<T>();
        let pieces: Vec<&[T]> = sources.iter().map(|source| source.bytes.typed_data()).collect();
        let mut out: Vec<T> = buffer_pool::vec(bytes / size_of::<T>());
        // Of a width that the compiler knows, a row is a few instructions.
        match width {
            2 => rows_of::<T, 2>(&mut out, &pieces, starts, picks),
            3 => rows_of::<T, 3>(&mut out, &pieces, starts, picks),
            4 => rows_of::<T, 4>(&mut out, &pieces, starts, picks),
            8 => rows_of::<T, 8>(&mut out, &pieces, starts, picks),
            16 => rows_of::<T, 16>(&mut out, &pieces, starts, picks),
            32 => rows_of::<T, 32>(&mut out, &pieces, starts, picks),
            _ => {
                for &row in picks.iter().copied().flatten() {
                    let piece = starts.partition_point(|&start| start <= row as usize) - 1;
                    let at = (row as usize - starts[piece]) * width;
                    out.extend_from_slice(&pieces[piece][at..at + width]);
                }
            }
        }
        buffer_pool::buffer(out)
    }
    match sources[0].unit {
        1 => of::<u8>(sources, starts, picks, bytes),
        2 => of::<u16>(sources, starts, picks, bytes),
        4 => of::<u32>(sources, starts, picks, bytes),
        _ => of::<u64>(sources, starts, picks, bytes),
    }
}

fn rows_of<T: Element, const WIDTH: usize>(out: &mut Vec<T>, pieces: &[&[T]], starts: &[usize], picks: &[&[u32]]) {
    let pieces: Vec<&[[T; WIDTH]]> = pieces.iter().map(|piece| piece.as_chunks::<WIDTH>().0).collect();
    // The picks are in no order: to count is quicker than to guess, where there are few pieces.
    let few = starts.len() <= 16;
    for &row in picks.iter().copied().flatten() {
        let row = row as usize;
        let before = |start: &usize| *start <= row;
        let piece =
            if few { starts.iter().filter(|start| before(start)).count() } else { starts.partition_point(before) };
        out.extend_from_slice(&pieces[piece - 1][row - starts[piece - 1]]);
    }
}

/// Lists: the values of each, copied from the piece that holds them.
pub(super) fn spans_of<T: Element + ArrowNativeType>(
    sources: &[FixedRows],
    spans: &[(usize, std::ops::Range<usize>)],
    count: usize,
) -> Buffer {
    let pieces: Vec<&[T]> = sources.iter().map(|source| source.bytes.typed_data()).collect();
    let mut out: Vec<T> = buffer_pool::vec(count);
    for (piece, span) in spans {
        out.extend_from_slice(&pieces[*piece][span.clone()]);
    }
    buffer_pool::buffer(out)
}
