//! Rows of one width, copied as bytes.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_buffer::{ArrowNativeType, Buffer};
use arrow_schema::DataType;

use super::places::Place;
use crate::buffer_pool::{self, Element};
use crate::decode::value_bytes;

/// An array without nulls whose rows are all of one width, as bytes.
#[derive(Debug)]
pub(super) struct FixedRows {
    bytes: Buffer,
    pub(super) width: usize,
    /// The width of the numbers that a row is made of.
    unit: usize,
}

impl FixedRows {
    /// Their bytes.
    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
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

/// These rows of few bytes, numbered as if the pieces were end to end: laid so once, a pick is one load.
pub(super) fn rows_of_all(sources: &[FixedRows], rows: &[u32]) -> Buffer {
    fn of<T: Element + ArrowNativeType>(sources: &[FixedRows], rows: &[u32]) -> Buffer {
        fn wide<T: Element, const WIDTH: usize>(out: &mut Vec<T>, values: &[T], rows: &[u32]) {
            let values = values.as_chunks::<WIDTH>().0;
            rows.iter().for_each(|&row| out.extend_from_slice(&values[row as usize]));
        }
        let width = sources[0].width / size_of::<T>();
        let joined = end_to_end(sources);
        let values: &[T] = joined.typed_data();
        let mut out: Vec<T> = buffer_pool::vec(rows.len() * width);
        match width {
            1 => out.extend(rows.iter().map(|&row| values[row as usize])),
            2 => wide::<T, 2>(&mut out, values, rows),
            3 => wide::<T, 3>(&mut out, values, rows),
            4 => wide::<T, 4>(&mut out, values, rows),
            8 => wide::<T, 8>(&mut out, values, rows),
            _ => rows.iter().for_each(|&row| {
                let at = row as usize * width;
                out.extend_from_slice(&values[at..at + width]);
            }),
        }
        buffer_pool::buffer(out)
    }
    match sources[0].unit {
        1 => of::<u8>(sources, rows),
        2 => of::<u16>(sources, rows),
        4 => of::<u32>(sources, rows),
        _ => of::<u64>(sources, rows),
    }
}

/// The rows at these places, each of many bytes.
pub(super) fn rows_at(sources: &[FixedRows], places: &[Place]) -> Buffer {
    let Some(first) = sources.first() else { return Buffer::from_vec(Vec::<u64>::new()) };
    match first.unit {
        1 => units_at::<u8>(sources, places),
        2 => units_at::<u16>(sources, places),
        4 => units_at::<u32>(sources, places),
        _ => units_at::<u64>(sources, places),
    }
}

fn units_at<T: Element + ArrowNativeType>(sources: &[FixedRows], places: &[Place]) -> Buffer {
    let width = sources[0].width / size_of::<T>();
    let pieces: Vec<&[T]> = sources.iter().map(|source| source.bytes.typed_data()).collect();
    let mut out: Vec<T> = buffer_pool::vec(places.len() * width);
    // Of a width that the compiler knows, a row is a few instructions.
    match width {
        8 => wide_rows_at::<T, 8>(&mut out, &pieces, places),
        16 => wide_rows_at::<T, 16>(&mut out, &pieces, places),
        32 => wide_rows_at::<T, 32>(&mut out, &pieces, places),
        _ => {
            for place in places {
                let at = place.row as usize * width;
                out.extend_from_slice(&pieces[place.piece as usize][at..at + width]);
            }
        }
    }
    buffer_pool::buffer(out)
}

fn wide_rows_at<T: Element, const WIDTH: usize>(out: &mut Vec<T>, pieces: &[&[T]], places: &[Place]) {
    let pieces: Vec<&[[T; WIDTH]]> = pieces.iter().map(|piece| piece.as_chunks::<WIDTH>().0).collect();
    for place in places {
        out.extend_from_slice(&pieces[place.piece as usize][place.row as usize]);
    }
}

/// Lists: `count` values in all, those of each copied from the piece that holds them. None where they are of no width
/// that is copied here.
pub(super) fn spans_of<'a>(
    sources: impl Iterator<Item = &'a FixedRows> + Clone,
    spans: &[(u32, Range<usize>)],
    count: usize,
) -> Option<Buffer> {
    fn of<'a, T: Element + ArrowNativeType>(
        sources: impl Iterator<Item = &'a FixedRows>,
        spans: &[(u32, Range<usize>)],
        count: usize,
    ) -> Buffer {
        let pieces: Vec<&[T]> = sources.map(|source| source.bytes.typed_data()).collect();
        let mut out: Vec<T> = buffer_pool::vec(count);
        for (piece, span) in spans {
            out.extend_from_slice(&pieces[*piece as usize][span.clone()]);
        }
        buffer_pool::buffer(out)
    }
    match sources.clone().next()?.width {
        1 => Some(of::<u8>(sources, spans, count)),
        2 => Some(of::<u16>(sources, spans, count)),
        4 => Some(of::<u32>(sources, spans, count)),
        8 => Some(of::<u64>(sources, spans, count)),
        _ => None,
    }
}
