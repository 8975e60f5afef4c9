//! A chunk in the making: the pieces that its columns still wait for, and the columns that are done.

use std::sync::{Arc, OnceLock};

use arrow_array::{Array, ArrayRef};

use super::gather;
use crate::decode::{Column, beside};
use crate::order::Line;
use crate::schedule::{Chunk, Output};
use crate::{Error, Result};

/// One chunk under way.
#[derive(Debug)]
pub(crate) struct ChunkBuilder {
    /// What it is made of.
    pub(crate) work: Arc<ChunkSpec>,
    /// Of every column, the pieces of its sources.
    pieces: Vec<Pieces>,
    /// Columns that are not done.
    missing: usize,
    /// The finished columns of every output.
    outputs: Vec<Option<Vec<Option<ArrayRef>>>>,
    /// What went wrong first.
    error: Option<Error>,
    /// Bytes that it counts for in the budget.
    pub(crate) bytes: u64,
    /// Bytes that it is decoded from, until it is.
    pub(crate) raw_bytes: u64,
    /// Bytes of the arrays that were made so far.
    pub(crate) actual_bytes: u64,
}

/// What does not change while a chunk is made.
#[derive(Debug)]
pub(crate) struct ChunkSpec {
    pub(crate) chunk: Chunk,
    permutation: OnceLock<Vec<u32>>,
    /// Of every output, where rows are left out.
    kept_rows: OnceLock<Vec<KeptRows>>,
}

/// The rows of an output that are delivered, where some are left out.
#[derive(Debug)]
struct KeptRows {
    /// Which of the decoded rows they are, in order.
    rows: Vec<u32>,
    /// How many of the output's rows before each are delivered, and at the end.
    before: Arc<[u32]>,
}

#[derive(Debug)]
struct Pieces {
    /// Of every source, in order.
    sources: Vec<Vec<Option<ArrayRef>>>,
    missing: usize,
}

impl ChunkBuilder {
    /// `sources`: how many each column has.
    pub(crate) fn new(chunk: Chunk, sources: &[usize], bytes: u64, raw_bytes: u64) -> Self {
        let pieces: usize = chunk.strands.iter().map(Vec::len).sum();
        let outputs = chunk.outputs.iter().map(|_| Some(vec![None; sources.len()])).collect();
        let of = |&count: &usize| Pieces { sources: vec![vec![None; pieces]; count], missing: count * pieces };
        Self {
            work: Arc::new(ChunkSpec { chunk, permutation: OnceLock::new(), kept_rows: OnceLock::new() }),
            pieces: sources.iter().map(of).collect(),
            missing: if pieces == 0 { 0 } else { sources.len() },
            outputs,
            error: None,
            bytes,
            raw_bytes,
            actual_bytes: 0,
        }
    }

    /// Takes a decoded piece of a column's source; gives back all pieces of all its sources once this was the last.
    pub(crate) fn put_piece(
        &mut self,
        column: usize,
        source: usize,
        piece: usize,
        array: ArrayRef,
    ) -> Option<Vec<Vec<ArrayRef>>> {
        let of = &mut self.pieces[column];
        of.sources[source][piece] = Some(array);
        of.missing -= 1;
        let all = |pieces: Vec<Option<ArrayRef>>| pieces.into_iter().flatten().collect();
        (of.missing == 0).then(|| std::mem::take(&mut of.sources).into_iter().map(all).collect())
    }

    /// Takes a finished column, one array per output; returns whether the chunk is done.
    pub(crate) fn put_column(&mut self, column: usize, arrays: Vec<ArrayRef>) -> bool {
        if self.has_failed() {
            // It is done: another thread that was still at work on it must not count it back.
            return false;
        }
        for (output, array) in self.outputs.iter_mut().zip(arrays) {
            if let Some(columns) = output {
                columns[column] = Some(array);
            }
        }
        self.missing -= 1;
        self.missing == 0
    }

    /// Marks the chunk as failed; the first error stays.
    pub(crate) fn fail(&mut self, error: Error) {
        self.error.get_or_insert(error);
        self.missing = 0;
    }

    /// Whether it failed: what else was to be done for it can be left.
    pub(crate) fn has_failed(&self) -> bool {
        self.error.is_some()
    }

    /// Whether its outputs can be taken.
    pub(crate) fn is_done(&self) -> bool {
        self.missing == 0
    }

    /// Takes an output's columns; none where all of the chunk's rows are left out.
    pub(crate) fn take(&mut self, output: usize) -> Result<Vec<ArrayRef>> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let columns = self.outputs[output].take().ok_or_else(|| Error::internal("an output was taken twice"))?;
        if self.work.chunk.kept.is_some() && self.work.chunk.rows() == 0 {
            return Ok(Vec::new());
        }
        columns.into_iter().collect::<Option<_>>().ok_or_else(|| Error::internal("a column is missing"))
    }

    /// Whether all outputs were taken.
    pub(crate) fn is_spent(&self) -> bool {
        self.outputs.iter().all(Option::is_none)
    }
}

impl ChunkSpec {
    /// Makes a column's outputs from the pieces of its sources.
    pub(crate) fn finish(
        &self,
        column: &Column,
        mut sources: Vec<Vec<ArrayRef>>,
        line: &Line,
    ) -> Result<Vec<ArrayRef>> {
        let pieces = if column.is_matrix { vec![beside(column, &sources)?] } else { sources.pop().unwrap_or_default() };
        let Some(window) = &self.chunk.window else {
            return Ok(vec![gather::join(&column.name, &pieces)?]);
        };
        if let Some(kept) = self.kept_rows(line) {
            return kept.iter().map(|kept| gather::pick(&column.name, &pieces, &[&kept.rows])).collect();
        }
        let permutation = self.permutation.get_or_init(|| line.permutation(window));
        self.chunk
            .outputs
            .iter()
            .map(|output| {
                let picks: Vec<&[u32]> =
                    output.picks.iter().map(|pick| &permutation[pick.start as usize..pick.end as usize]).collect();
                gather::pick(&column.name, &pieces, &picks)
            })
            .collect()
    }
}

impl ChunkSpec {
    /// How many rows before each of an output's rows are delivered, and at the end; None where all are.
    pub(crate) fn delivered_before(&self, output: usize, line: &Line) -> Option<Arc<[u32]>> {
        Some(Arc::clone(&self.kept_rows(line)?.get(output)?.before))
    }

    fn kept_rows(&self, line: &Line) -> Option<&[KeptRows]> {
        let kept = self.chunk.kept.as_ref()?;
        Some(self.kept_rows.get_or_init(|| {
            let permutation = self.chunk.window.as_ref().map(|window| line.permutation(window));
            let row = |position: u64| permutation.as_ref().map_or(position, |rows| u64::from(rows[position as usize]));
            let of_output = |output: &Output| {
                let (mut rows, mut before) = (Vec::new(), vec![0]);
                for position in output.picks.iter().cloned().flatten() {
                    rows.extend(kept.decoded(row(position)).map(|row| row as u32));
                    before.push(rows.len() as u32);
                }
                KeptRows { rows, before: before.into() }
            };
            self.chunk.outputs.iter().map(of_output).collect()
        }))
    }
}

/// The bytes that an array's values take.
pub(crate) fn array_bytes(array: &dyn Array) -> u64 {
    array.get_buffer_memory_size() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_chunk_stays_done_whatever_other_threads_still_bring() {
        let picks = std::iter::once(0..1).collect();
        let group = crate::order::GroupSlice { group: 0, rows: 0..1 };
        let chunk =
            Chunk { strands: vec![vec![group]], window: None, outputs: vec![Output { slot: 0, picks }], kept: None };
        let mut builder = ChunkBuilder::new(chunk, &[1, 1], 0, 0);
        builder.fail(Error::internal("the first column"));
        assert!(builder.is_done());
        let array: ArrayRef = Arc::new(arrow_array::Int32Array::from(vec![1]));
        let mut sources = builder.put_piece(1, 0, 0, array).expect("it was the only one");
        assert!(!builder.put_column(1, sources.remove(0)));
        assert!(builder.is_done() && builder.take(0).is_err());
    }
}
