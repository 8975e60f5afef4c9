//! Where the rows of a window are: in which of its pieces, and at which row of it.

use std::cell::OnceCell;
use std::ops::Range;

/// A row of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) piece: u32,
    pub(super) row: u32,
}

/// Which rows of a window its outputs take.
#[derive(Debug)]
pub(super) struct WindowPicks {
    /// Of all outputs, one after the other; numbered as if the pieces were end to end.
    pub(super) rows: Vec<u32>,
    /// Where each output ends among them.
    ends: Vec<usize>,
    index: PieceIndex,
}

/// The rows of one output, in their order.
#[derive(Debug)]
pub(super) struct Picks<'a> {
    /// Where they stand among those of all outputs.
    pub(super) range: Range<usize>,
    pub(super) rows: &'a [u32],
    index: &'a PieceIndex,
    places: OnceCell<Vec<Place>>,
}

impl WindowPicks {
    /// `lengths`: the rows of every piece.
    pub(super) fn new(rows: Vec<u32>, ends: Vec<usize>, lengths: impl Iterator<Item = u64>) -> Self {
        Self { rows, ends, index: PieceIndex::new(lengths) }
    }

    pub(super) fn output(&self, output: usize) -> Picks<'_> {
        let start = output.checked_sub(1).map_or(0, |before| self.ends[before]);
        let range = start..self.ends[output];
        Picks { rows: &self.rows[range.clone()], range, index: &self.index, places: OnceCell::new() }
    }
}

impl Picks<'_> {
    /// Where they are.
    pub(super) fn places(&self) -> &[Place] {
        self.places.get_or_init(|| self.rows.iter().map(|&row| self.index.place(row)).collect())
    }
}

/// Finds rows, numbered through all pieces.
#[derive(Debug)]
struct PieceIndex {
    /// The first row of every piece, and the number of all rows.
    starts: Vec<u32>,
    /// Blocks of 2^`shift` rows each, and the piece that holds the first row of every block.
    shift: u32,
    blocks: Vec<u32>,
}

/// About so many blocks: they stay in the first cache.
const BLOCKS: u32 = 4096;

impl PieceIndex {
    fn new(lengths: impl Iterator<Item = u64>) -> Self {
        let mut starts = vec![0];
        let mut end = 0_u32;
        for length in lengths {
            // A window has fewer than 2^32 rows.
            end = end.saturating_add(u32::try_from(length).unwrap_or(u32::MAX));
            starts.push(end);
        }
        let shift = (end / BLOCKS).checked_ilog2().map_or(4, |bits| bits + 1);
        let first = |block: u32| starts.partition_point(|&start| start <= block << shift) as u32 - 1;
        let blocks = (0..=end >> shift).map(first).collect();
        Self { starts, shift, blocks }
    }

    /// Where a row is, which must be one of theirs.
    fn place(&self, row: u32) -> Place {
        let mut piece = self.blocks[(row >> self.shift) as usize] as usize;
        while self.starts[piece + 1] <= row {
            piece += 1;
        }
        Place { piece: piece as u32, row: row - self.starts[piece] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_row_is_found(lengths in proptest::collection::vec(prop_oneof![0_u64..5, 0_u64..20_000], 1..40)) {
            let expected = (0_u32..).zip(&lengths).flat_map(|(piece, &rows)| {
                (0..rows as u32).map(move |row| Place { piece, row })
            });
            let all = lengths.iter().sum::<u64>() as u32;
            let picks = WindowPicks::new((0..all).collect(), vec![all as usize], lengths.iter().copied());
            let picks = picks.output(0);
            prop_assert_eq!(picks.places(), expected.collect::<Vec<_>>());
        }
    }
}
