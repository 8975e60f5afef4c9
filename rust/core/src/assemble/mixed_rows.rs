//! Rows of several sources in one block, in the order of a key.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int16Array};

use super::batch_run::BatchRun;
use super::places::WindowPicks;
use super::window_column::WindowColumn;
use crate::Result;
use crate::decode::{self, Projection};
use crate::order::{Key, permutation};

/// The batches of a run that are made of rows of several sources.
#[derive(Debug)]
pub(super) struct MixedRows {
    /// By source: its next rows in the lane, as they were decoded.
    pub(super) pieces: Vec<Vec<Vec<ArrayRef>>>,
    /// By source: rows that are still to come.
    pub(super) missing: Vec<u64>,
    /// By batch, and by source: how many rows.
    counts: Vec<Vec<u64>>,
    /// By batch: what its rows are put in order by.
    keys: Vec<Key>,
}

impl MixedRows {
    pub(super) fn new(counts: Vec<Vec<u64>>, keys: Vec<Key>) -> Self {
        let num_sources = counts.first().map_or(0, Vec::len);
        let missing = (0..num_sources).map(|source| counts.iter().map(|of| of[source]).sum()).collect();
        Self { pieces: vec![Vec::new(); num_sources], missing, counts, keys }
    }

    /// The batches, once all rows are there: one gather a column.
    pub(super) fn gather(self, projection: &Projection) -> Result<BatchRun> {
        let sizes: Vec<usize> = self.counts.iter().map(|of| of.iter().sum::<u64>() as usize).collect();
        // Where the rows of each source begin, of those of all batches.
        let mut next = 0_u32;
        let mut starts = Vec::with_capacity(self.pieces.len());
        for source in 0..self.pieces.len() {
            starts.push(next);
            next += self.counts.iter().map(|of| of[source]).sum::<u64>() as u32;
        }
        let (mut rows, mut sources) = (Vec::with_capacity(next as usize), Vec::with_capacity(next as usize));
        for (of_batch, key) in self.counts.iter().zip(self.keys) {
            let mut standing = Vec::new();
            for (source, (&count, start)) in of_batch.iter().zip(&mut starts).enumerate() {
                standing.extend((*start..*start + count as u32).map(|row| (row, source as i16)));
                *start += count as u32;
            }
            for place in permutation(key, standing.len() as u32) {
                let (row, source) = standing[place as usize];
                rows.push(row);
                sources.push(source);
            }
        }
        let pieces: Vec<Vec<ArrayRef>> = self.pieces.into_iter().flatten().collect();
        let columns = if pieces.is_empty() || next == 0 {
            projection.columns().iter().map(decode::empty).collect::<Result<_>>()?
        } else {
            let lengths = || pieces.iter().map(|piece| piece.first().map_or(0, |column| column.len() as u64));
            let of_column = |number: usize| {
                let picks = WindowPicks::new(rows.clone(), vec![rows.len()], lengths());
                let arrays = pieces.iter().map(|piece| piece[number].clone()).collect();
                WindowColumn::new(&projection.columns()[number].name, arrays, &picks)?.rows(&picks.output(0))
            };
            (0..projection.columns().len()).map(of_column).collect::<Result<_>>()?
        };
        Ok(BatchRun::new(columns, sizes).mixed(Arc::new(Int16Array::from(sources))))
    }
}
