//! The rows of a set: those between them are skipped where they are many, and else decoded and filtered out.

use std::ops::Range;

use arrow_array::{ArrayRef, BooleanArray};
use arrow_buffer::{BooleanBuffer, Buffer};
use arrow_select::filter::filter;

use super::arrow_fallback::FallbackColumn;
use super::concat::concat;
use super::dense::Read;
use super::group_column::GroupColumn;
use super::source_column::SourceColumn;
use super::source_reader::{Decoder, SourceReader};
use crate::order::RowSet;
use crate::{Error, Result};

/// Bytes that are decoded before they are filtered.
const STRETCH_BYTES: u64 = 1 << 18;
/// To go over to another row costs about as much as to decode so many bytes.
const STEP_BYTES: u64 = 64;
/// Rows between two of the set that are decoded and dropped rather than passed over, where most are decoded.
const GAP: u64 = 512;

/// How far apart rows of the set are read at once, and how many rows at a time.
#[derive(Debug, Clone, Copy)]
struct Stride {
    gap: u64,
    stretch: u64,
}

impl Stride {
    fn of(column: &GroupColumn<'_>) -> Self {
        let width = column.source.width().unwrap_or(column.row_bytes).max(1);
        Self { gap: GAP, stretch: (STRETCH_BYTES / width).clamp(1, 65_536) }
    }

    /// The stretches of the row group that hold these rows of the set, and how many of them each holds.
    fn stretches(self, set: &RowSet, rows: Range<u64>) -> impl Iterator<Item = (Range<u64>, u64)> {
        let mut runs = set.runs(rows).flat_map(move |run| {
            run.clone().step_by(self.stretch as usize).map(move |start| start..(start + self.stretch).min(run.end))
        });
        let mut open: Option<(Range<u64>, u64)> = None;
        std::iter::from_fn(move || {
            for run in runs.by_ref() {
                let count = run.end - run.start;
                match &mut open {
                    Some((stretch, held))
                        if run.start - stretch.end <= self.gap && run.end - stretch.start <= self.stretch =>
                    {
                        stretch.end = run.end;
                        *held += count;
                    }
                    _ => {
                        if let Some(done) = open.replace((run, count)) {
                            return Some(done);
                        }
                    }
                }
            }
            open.take()
        })
    }
}

impl SourceReader {
    /// Opens the source at the first of these rows of the set.
    pub(crate) fn open_set(of: &GroupColumn<'_>, set: &RowSet, from: u64) -> Result<Self> {
        let mut reader = Self::open(of, 0)?;
        if let (Decoder::Fallback(_), Some(root)) = (&reader.decoder, of.root) {
            reader.decoder = Decoder::Set(Box::new(FallbackColumn::open(of, root, Some(set), from)?));
        }
        Ok(reader)
    }

    /// These rows of the set, which follow those that were read last, as they stand in the file.
    pub(super) fn decode_set(&mut self, of: &GroupColumn<'_>, set: &RowSet, rows: Range<u64>) -> Result<ArrayRef> {
        let mut parts = Vec::new();
        let count = (rows.end - rows.start) as usize;
        let Some(root) = of.root else { return of.not_in_pages(Some(set), rows) };
        if let Decoder::Set(fallback) = &mut self.decoder {
            parts.push(of.source.path.take(fallback.read(of, Some(set), count)?)?);
        } else if is_sparse(set, &rows, of.source) {
            parts.push(self.runs(of, root, set, &rows)?);
        } else {
            let mut read = 0;
            for (stretch, count) in Stride::of(of).stretches(set, rows.clone()) {
                match self.stretch(of, set, &stretch, count)? {
                    Some(part) => parts.push(part),
                    None => {
                        let from = rows.start + read;
                        let mut fallback = FallbackColumn::open(of, root, Some(set), from)?;
                        parts.push(fallback.read(of, Some(set), (rows.end - from) as usize)?);
                        self.decoder = Decoder::Set(Box::new(fallback));
                        break;
                    }
                }
                read += count;
            }
        }
        self.next_row = set.row(rows.end - 1) + 1;
        concat(parts)
    }

    /// These rows of the set, one run after the other.
    fn runs(&mut self, of: &GroupColumn<'_>, root: usize, set: &RowSet, rows: &Range<u64>) -> Result<ArrayRef> {
        let count = (rows.end - rows.start) as usize;
        let mut next = self.next_row;
        let runs = set.runs(rows.clone()).map(|run| {
            let skipped = run.start.saturating_sub(next);
            next = run.end;
            (skipped as usize, (run.end - run.start) as usize)
        });
        if let Decoder::Dense(dense) = &mut self.decoder
            && let Read::Array(array) = dense.read_runs(runs, count).map_err(|error| of.corrupt(&error))?
        {
            return Ok(array);
        }
        let mut fallback = FallbackColumn::open(of, root, Some(set), rows.start)?;
        let array = fallback.read(of, Some(set), count)?;
        self.decoder = Decoder::Set(Box::new(fallback));
        Ok(array)
    }

    /// The rows of the set in a stretch; None where its pages are not dense.
    fn stretch(
        &mut self,
        of: &GroupColumn<'_>,
        set: &RowSet,
        stretch: &Range<u64>,
        count: u64,
    ) -> Result<Option<ArrayRef>> {
        let Decoder::Dense(dense) = &mut self.decoder else { return Ok(None) };
        let skipped = stretch.start.checked_sub(self.next_row);
        let skipped = skipped.ok_or_else(|| Error::internal("rows of a set are read in their order"))?;
        dense.skip(skipped as usize).map_err(|error| of.corrupt(&error))?;
        let rows = (stretch.end - stretch.start) as usize;
        let Read::Array(array) = dense.read(rows).map_err(|error| of.corrupt(&error))? else { return Ok(None) };
        self.next_row = stretch.end;
        if count as usize == rows {
            return Ok(Some(array));
        }
        let words = set.words().unwrap_or_default();
        let first = stretch.start / 64;
        let words = &words[first as usize..stretch.end.div_ceil(64) as usize];
        let bits = BooleanBuffer::new(Buffer::from_slice_ref(words), (stretch.start - 64 * first) as usize, rows);
        let kept = filter(&array, &BooleanArray::new(bits, None))?;
        Ok(Some(kept))
    }
}

/// Whether these rows lie so far apart that it is cheaper to pass over what lies between.
fn is_sparse(set: &RowSet, rows: &Range<u64>, source: &SourceColumn) -> bool {
    let span = set.row(rows.end - 1) + 1 - set.row(rows.start);
    let factor = (STEP_BYTES / source.width().unwrap_or(STEP_BYTES).max(1)).clamp(1, 16);
    span >= (rows.end - rows.start) * factor
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn stretches_hold_the_rows_asked_for(
            words in proptest::collection::vec(prop_oneof![Just(0), Just(u64::MAX), any::<u64>()], 1..40),
            gap in 1_u64..100, stretch in 1_u64..300, from in 0.0..1.0_f64,
        ) {
            let set = RowSet::from_words(words.len() as u64 * 64, words);
            let rows = (set.len() as f64 * from) as u64..set.len();
            let stretches: Vec<_> = Stride { gap, stretch }.stretches(&set, rows.clone()).collect();
            prop_assert!(stretches.windows(2).all(|pair| pair[0].0.end <= pair[1].0.start));
            let wanted: Vec<u64> = set.runs(rows).flatten().collect();
            let mut found = Vec::new();
            for (range, count) in stretches {
                prop_assert!(range.end - range.start <= stretch);
                let inside: Vec<u64> = wanted.iter().copied().filter(|row| range.contains(row)).collect();
                prop_assert_eq!(inside.len() as u64, count);
                found.extend(inside);
            }
            prop_assert_eq!(found, wanted);
        }
    }
}
