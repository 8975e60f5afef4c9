//! A column of a window, of which one output after the other takes its rows.
//!
//! Rows of a few bytes are picked for all outputs at once, while the column is in the CPU's cache: each output takes a
//! slice. Longer ones, lists of numbers and byte strings are copied from the pieces that hold them when an output is
//! made, so that a window is in memory once. arrow-rs does the rest.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, OffsetSizeTrait, StructArray, UInt32Array};
use arrow_schema::{DataType, FieldRef, Fields};
use arrow_select::interleave::interleave;

use super::chunk_spec::array_bytes;
use super::fixed_rows::{FixedRows, all_rows, rows, rows_at, rows_of_all, spans_of};
use super::join::{join, list_array, lists, of_fields, too_many};
use super::places::{Picks, WindowPicks};
use crate::decode::rebuild;
use crate::{Error, Result};

/// Rows of so many bytes are picked for all outputs at once: a part of a cache line each, of a column that the cache
/// holds.
const NARROW: usize = 32;

/// The rows of a window of one column.
#[derive(Debug)]
pub(super) enum WindowColumn {
    /// The rows of all outputs.
    Picked(ArrayRef),
    /// Rows of one width, without nulls.
    Fixed(DataType, Vec<FixedRows>),
    /// Lists of numbers, without nulls.
    Lists(FieldRef, Vec<Lists<i32>>),
    LargeLists(FieldRef, Vec<Lists<i64>>),
    /// Strings and bytes: the pieces as they are.
    Bytes(Vec<ArrayRef>),
    /// Dicts, and columns with a mask.
    Struct(Fields, Vec<Self>),
    /// All others, end to end.
    Joined(ArrayRef),
}

/// The lists of a piece.
#[derive(Debug)]
pub(super) struct Lists<O> {
    offsets: Vec<O>,
    data_type: DataType,
    values: FixedRows,
}

impl WindowColumn {
    pub(super) fn new(column: &str, pieces: Vec<ArrayRef>, picks: &WindowPicks) -> Result<Self> {
        let Some(first) = pieces.first() else { return Err(Error::internal("a window without rows")) };
        if let Some((fields, columns)) = of_fields(&pieces) {
            let columns = columns.into_iter().map(|pieces| Self::new(column, pieces, picks)).collect::<Result<_>>()?;
            return Ok(Self::Struct(fields, columns));
        }
        let found = match first.data_type() {
            DataType::List(child) => all_lists(&pieces).map(|lists| Self::Lists(child.clone(), lists)),
            DataType::LargeList(child) => all_lists(&pieces).map(|lists| Self::LargeLists(child.clone(), lists)),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => {
                return Ok(Self::Bytes(pieces));
            }
            other => match all_rows(&pieces) {
                Some(rows) if rows[0].width <= NARROW => {
                    let picked = rebuild(other, picks.rows.len(), rows_of_all(&rows, &picks.rows))?;
                    Some(Self::Picked(picked))
                }
                rows => rows.map(|rows| Self::Fixed(other.clone(), rows)),
            },
        };
        found.map_or_else(|| join(column, &pieces).map(Self::Joined), Ok)
    }

    /// The bytes of all of its rows.
    pub(super) fn bytes(&self) -> u64 {
        fn of_lists<O>(lists: &[Lists<O>]) -> u64 {
            lists.iter().map(|lists| lists.values.len() + size_of_val(lists.offsets.as_slice()) as u64).sum()
        }
        match self {
            Self::Fixed(_, sources) => sources.iter().map(FixedRows::len).sum(),
            Self::Lists(_, lists) => of_lists(lists),
            Self::LargeLists(_, lists) => of_lists(lists),
            Self::Bytes(pieces) => pieces.iter().map(|piece| array_bytes(piece.as_ref())).sum(),
            Self::Struct(_, columns) => columns.iter().map(Self::bytes).sum(),
            Self::Picked(array) | Self::Joined(array) => array_bytes(array.as_ref()),
        }
    }

    /// Some of its rows.
    pub(super) fn rows(&self, picks: &Picks<'_>) -> Result<ArrayRef> {
        match self {
            Self::Picked(array) => Ok(array.slice(picks.range.start, picks.range.len())),
            Self::Fixed(data_type, sources) => rebuild(data_type, picks.rows.len(), rows_at(sources, picks.places())),
            Self::Lists(child, lists) => pick_lists(child, lists, picks),
            Self::LargeLists(child, lists) => pick_lists(child, lists, picks),
            Self::Bytes(pieces) => {
                let pieces: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
                let places: Vec<(usize, usize)> =
                    picks.places().iter().map(|place| (place.piece as usize, place.row as usize)).collect();
                interleave(&pieces, &places).map_err(Error::from)
            }
            Self::Struct(fields, columns) => {
                let columns = columns.iter().map(|column| column.rows(picks)).collect::<Result<_>>()?;
                let made = StructArray::try_new_with_length(fields.clone(), columns, None, picks.rows.len());
                made.map(|made| Arc::new(made) as ArrayRef).map_err(Error::from)
            }
            Self::Joined(array) => {
                let indices = UInt32Array::from(picks.rows.to_vec());
                arrow_select::take::take(array, &indices, None).map_err(Error::from)
            }
        }
    }
}

/// None where some list or number is null, or where they are no numbers.
fn all_lists<O: OffsetSizeTrait>(pieces: &[ArrayRef]) -> Option<Vec<Lists<O>>> {
    let of = |piece: &ArrayRef| {
        let (offsets, values) = lists::<O>(piece)?;
        let first = offsets[0];
        let offsets = offsets.iter().map(|&offset| offset - first).collect();
        let data_type = values.data_type().clone();
        Some(Lists {
            offsets,
            data_type,
            values: rows(&values).filter(|values| matches!(values.width, 1 | 2 | 4 | 8))?,
        })
    };
    pieces.iter().map(of).collect()
}

fn pick_lists<O: OffsetSizeTrait>(child: &FieldRef, pieces: &[Lists<O>], picks: &Picks<'_>) -> Result<ArrayRef> {
    // Each list, as the piece that holds it and its values there.
    let mut spans = Vec::with_capacity(picks.rows.len());
    let mut offsets = Vec::with_capacity(picks.rows.len() + 1);
    let mut total = O::default();
    offsets.push(total);
    for place in picks.places() {
        let of_piece = &pieces[place.piece as usize].offsets;
        let (start, end) = (of_piece[place.row as usize], of_piece[place.row as usize + 1]);
        total = total.checked_add(&(end - start)).ok_or_else(|| too_many(child))?;
        offsets.push(total);
        spans.push((place.piece, start.as_usize()..end.as_usize()));
    }
    let values = spans_of(pieces.iter().map(|piece| &piece.values), &spans, total.as_usize());
    let count = total.as_usize();
    let data_type = pieces.first().map(|piece| &piece.data_type);
    let (Some(values), Some(data_type)) = (values, data_type) else {
        return Err(Error::internal("lists of no numbers"));
    };
    list_array(child, offsets, rebuild(data_type, count, values)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::types::Int16Type;
    use arrow_array::{FixedSizeListArray, Int16Array, LargeListArray, ListArray, StringArray};
    use arrow_schema::Field;
    use proptest::prelude::*;

    /// The same rows as numbers, with nulls, as rows of three, as lists of both kinds, as strings, and as a dict.
    fn arrays(piece: &[i16]) -> [ArrayRef; 7] {
        let list = |v: i16| Some((0..v.unsigned_abs() % 4).map(move |i| Some(v ^ i as i16)).collect::<Vec<_>>());
        let numbers: ArrayRef = Arc::new(Int16Array::from(piece.to_vec()));
        let strings: ArrayRef =
            Arc::new(StringArray::from_iter_values(piece.iter().map(|v| "x".repeat(v.unsigned_abs() as usize % 50))));
        let field = |name: &str, array: &ArrayRef| Arc::new(Field::new(name, array.data_type().clone(), true));
        let dict = vec![(field("a", &numbers), numbers.clone()), (field("b", &strings), strings.clone())];
        [
            numbers,
            Arc::new(piece.iter().map(|&v| (v % 3 != 0).then_some(v)).collect::<Int16Array>()),
            Arc::new(FixedSizeListArray::from_iter_primitive::<Int16Type, _, _>(
                piece.iter().map(|&v| Some([Some(v), Some(!v), Some(0)])),
                3,
            )),
            Arc::new(ListArray::from_iter_primitive::<Int16Type, _, _>(piece.iter().map(|&v| list(v)))),
            Arc::new(LargeListArray::from_iter_primitive::<Int16Type, _, _>(piece.iter().map(|&v| list(v)))),
            strings,
            Arc::new(StructArray::from(dict)),
        ]
    }

    proptest! {
        #[test]
        fn joins_and_picks_agree_with_arrow(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<i16>(), 2..20), 1..5),
            picks in proptest::collection::vec(any::<prop::sample::Index>(), 0..50),
        ) {
            for kind in 0..7 {
                // Slices, so that offsets do not begin at 0.
                let pieces: Vec<ArrayRef> = pieces.iter().map(|piece| arrays(piece)[kind].slice(1, piece.len() - 1)).collect();
                let total: usize = pieces.iter().map(|piece| piece.len()).sum();
                let picks: Vec<u32> = picks.iter().map(|i| i.index(total) as u32).collect();
                let whole: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
                let whole = arrow_select::concat::concat(&whole).unwrap();
                prop_assert_eq!(&join("x", &pieces).unwrap(), &whole);
                let (rows, lengths) = (picks.clone(), pieces.iter().map(|piece| piece.len() as u64));
                let window = WindowPicks::new(rows, vec![picks.len() / 2, picks.len()], lengths);
                let expected = arrow_select::take::take(&whole, &UInt32Array::from(picks.clone()), None).unwrap();
                let column = WindowColumn::new("x", pieces, &window).unwrap();
                for (output, range) in [(0, 0..picks.len() / 2), (1, picks.len() / 2..picks.len())] {
                    let picked = column.rows(&window.output(output)).unwrap();
                    prop_assert_eq!(&picked, &expected.slice(range.start, range.len()));
                }
            }
        }
    }
}
