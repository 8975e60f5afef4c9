//! A chunk in the making: the pieces that its columns still wait for, the columns that are done, and its outputs.

use std::sync::Arc;

use arrow_array::ArrayRef;

use super::chunk_spec::{Assembled, ChunkSpec};
use super::window_column::WindowColumn;
use crate::schedule::Chunk;
use crate::{Error, Result};

/// One chunk under way.
#[derive(Debug)]
pub(crate) struct ChunkBuilder {
    /// What it is made of.
    pub(crate) work: Arc<ChunkSpec>,
    /// Of every column, the pieces of its sources.
    pieces: Vec<Pieces>,
    /// The columns that are done.
    columns: Vec<Option<Assembled>>,
    /// Columns that are not.
    missing: usize,
    /// The columns of a window, from all being done until its last output is.
    window: Option<Arc<[WindowColumn]>>,
    outputs: Vec<Made>,
    /// What went wrong first.
    error: Option<Error>,
    /// Bytes that it counts for in the budget: until the caller has begun to take it.
    pub(crate) bytes: u64,
    /// Bytes that it is decoded from, until it is.
    pub(crate) raw_bytes: u64,
    /// Bytes of the arrays that were made so far.
    pub(crate) actual_bytes: u64,
}

/// An output, as far as it is made.
#[derive(Debug)]
enum Made {
    Not,
    /// A thread was asked to.
    UnderWay,
    /// Its columns; none where all of its rows are left out.
    Done(Vec<ArrayRef>),
    Taken,
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
        let of = |&count: &usize| Pieces { sources: vec![vec![None; pieces]; count], missing: count * pieces };
        // Where no column is read, or all of its rows are left out, there is nothing to do.
        let is_done = pieces == 0 || sources.is_empty();
        let outputs = chunk.outputs.iter().map(|_| if is_done { Made::Done(Vec::new()) } else { Made::Not });
        Self {
            pieces: sources.iter().map(of).collect(),
            columns: sources.iter().map(|_| None).collect(),
            missing: if is_done { 0 } else { sources.len() },
            window: None,
            outputs: outputs.collect(),
            work: Arc::new(ChunkSpec::new(chunk)),
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

    /// Takes a column; returns whether it was the last.
    pub(crate) fn put_column(&mut self, column: usize, assembled: Assembled) -> bool {
        if self.has_failed() {
            // It is done: another thread that was still at work on it must not count it back.
            return false;
        }
        self.columns[column] = Some(assembled);
        self.missing -= 1;
        if self.missing > 0 {
            return false;
        }
        let (mut arrays, mut window) = (Vec::new(), Vec::new());
        for column in std::mem::take(&mut self.columns).into_iter().flatten() {
            match column {
                Assembled::Array(array) => arrays.push(array),
                Assembled::Window(column) => window.push(column),
            }
        }
        if self.work.chunk.window.is_some() {
            self.window = Some(window.into());
        } else {
            // It has one output.
            self.outputs.iter_mut().for_each(|made| *made = Made::Done(std::mem::take(&mut arrays)));
        }
        true
    }

    /// Begins an output of a window; false where it was begun, or cannot be yet.
    pub(crate) fn begin_output(&mut self, output: usize) -> bool {
        let made = &mut self.outputs[output];
        let begins = self.window.is_some() && matches!(made, Made::Not);
        if begins {
            *made = Made::UnderWay;
        }
        begins
    }

    /// What an output is picked from.
    pub(crate) fn window(&self) -> Option<Arc<[WindowColumn]>> {
        self.window.clone()
    }

    /// Takes an output of a window; the window is let go of after the last one.
    pub(crate) fn put_output(&mut self, output: usize, columns: Vec<ArrayRef>) {
        self.outputs[output] = Made::Done(columns);
        if self.outputs.iter().all(|made| matches!(made, Made::Done(_) | Made::Taken)) {
            self.window = None;
        }
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

    /// Whether all of its rows are decoded.
    pub(crate) fn is_decoded(&self) -> bool {
        self.missing == 0
    }

    /// Whether an output can be taken.
    pub(crate) fn is_done(&self, output: usize) -> bool {
        self.has_failed() || matches!(self.outputs[output], Made::Done(_))
    }

    /// Takes an output's columns; none where all of its rows are left out.
    pub(crate) fn take(&mut self, output: usize) -> Result<Vec<ArrayRef>> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        match std::mem::replace(&mut self.outputs[output], Made::Taken) {
            Made::Done(columns) => Ok(columns),
            _ => Err(Error::internal("an output was taken before it was made, or twice")),
        }
    }

    /// Whether all outputs were taken.
    pub(crate) fn is_spent(&self) -> bool {
        self.outputs.iter().all(|made| matches!(made, Made::Taken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Output;

    #[test]
    fn a_failed_chunk_stays_done_whatever_other_threads_still_bring() {
        let picks = std::iter::once(0..1).collect();
        let group = crate::order::GroupSlice { group: 0, rows: 0..1 };
        let chunk = Chunk {
            strands: vec![vec![group]],
            window: None,
            outputs: vec![Output { slot: 0, picks }],
            epoch: 0,
            kept: None,
        };
        let mut builder = ChunkBuilder::new(chunk, &[1, 1], 0, 0);
        builder.fail(Error::internal("the first column"));
        assert!(builder.is_done(0));
        let array: ArrayRef = Arc::new(arrow_array::Int32Array::from(vec![1]));
        let mut sources = builder.put_piece(1, 0, 0, array).expect("it was the only one");
        let array = sources.remove(0).remove(0);
        assert!(!builder.put_column(1, Assembled::Array(array)));
        assert!(builder.is_done(0) && builder.take(0).is_err());
    }
}
