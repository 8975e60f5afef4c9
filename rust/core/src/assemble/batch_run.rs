//! Some batches in a row of one shard, cut from one chunk.

use std::ops::Range;

use arrow_array::ArrayRef;

use super::scheduler::Taken;
use crate::Result;
use crate::decode::{self, Projection};

/// Batches in a row: their columns end to end, and the rows of each.
#[derive(Debug, Clone)]
pub struct BatchRun {
    columns: Vec<ArrayRef>,
    sizes: Vec<usize>,
    sources: Option<ArrayRef>,
}

impl BatchRun {
    pub(crate) fn new(columns: Vec<ArrayRef>, sizes: Vec<usize>) -> Self {
        Self { columns, sizes, sources: None }
    }

    /// The same, of a mixture: the number of every row's source.
    pub(crate) fn mixed(self, sources: ArrayRef) -> Self {
        Self { sources: Some(sources), ..self }
    }

    /// The number of every row's source, where the rows are a mixture's.
    pub fn sources(&self) -> Option<&ArrayRef> {
        self.sources.as_ref()
    }

    /// The columns, all batches end to end.
    pub fn columns(&self) -> &[ArrayRef] {
        &self.columns
    }

    /// Rows of each batch.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// Rows of all batches.
    pub fn rows(&self) -> usize {
        self.sizes.iter().sum()
    }
}

/// The outputs of one shard, cut into its batches.
///
/// Batches are cut by positions; where rows are left out, a batch has fewer rows than positions, or none.
#[derive(Debug)]
pub(crate) struct Cutter {
    batch_size: u64,
    batches: u64,
    /// Positions of all batches that were not delivered.
    positions: u64,
    /// Batches of a run at the most.
    most: usize,
    /// The output that is being cut.
    current: Option<Current>,
    /// The beginning of a batch that crosses outputs.
    parts: Vec<Vec<ArrayRef>>,
    part_positions: usize,
    part_rows: usize,
}

/// An output, and how much of it was delivered.
#[derive(Debug)]
struct Current {
    output: Taken,
    /// Positions that were delivered.
    offset: usize,
}

impl Current {
    fn available(&self) -> usize {
        self.output.rows as usize - self.offset
    }

    /// The rows at the positions from here up to `positions` further on.
    fn rows(&self, positions: usize) -> Range<usize> {
        let end = self.offset + positions;
        match &self.output.delivered_before {
            None => self.offset..end,
            Some(before) => before[self.offset] as usize..before[end] as usize,
        }
    }

    /// These rows of its columns; nothing where there are none.
    fn slice(&self, rows: Range<usize>) -> Vec<ArrayRef> {
        if rows.is_empty() {
            return Vec::new();
        }
        self.output.columns.iter().map(|column| column.slice(rows.start, rows.len())).collect()
    }
}

impl Cutter {
    pub(crate) fn new(batch_size: u64, batches: u64, positions: u64, most: usize) -> Self {
        Self { batch_size, batches, positions, most, current: None, parts: Vec::new(), part_positions: 0, part_rows: 0 }
    }

    /// Whether every batch was delivered.
    pub(crate) fn is_done(&self) -> bool {
        self.batches == 0
    }

    /// Lets go of what was not delivered.
    pub(crate) fn clear(&mut self) {
        self.current = None;
        self.parts.clear();
        (self.part_positions, self.part_rows) = (0, 0);
    }

    /// Takes the shard's next output.
    pub(crate) fn feed(&mut self, output: Taken) {
        self.current = Some(Current { output, offset: 0 });
    }

    /// The positions of the next batch.
    fn next_size(&self) -> usize {
        (if self.batches == 1 { self.positions } else { self.batch_size }) as usize
    }

    /// The next batches that the output holds; None when another output is needed.
    pub(crate) fn cut(&mut self, projection: &Projection) -> Result<Option<BatchRun>> {
        let Some(mut current) = self.current.take() else { return Ok(None) };
        let mut sizes = Vec::new();
        if self.parts.is_empty() && self.part_positions == 0 {
            let first = current.rows(0).start;
            while self.batches > 0 && sizes.len() < self.most {
                let size = self.next_size();
                if size > current.available() {
                    break;
                }
                sizes.push(current.rows(size).len());
                current.offset += size;
                self.batches -= 1;
                self.positions -= size as u64;
            }
            if !sizes.is_empty() {
                let columns = current.slice(first..current.rows(0).start);
                self.keep(current);
                return complete(projection, columns, sizes).map(Some);
            }
        }
        // The batch crosses into the next output.
        let size = self.next_size();
        let part = current.available().min(size - self.part_positions);
        let rows = current.rows(part);
        self.part_rows += rows.len();
        let columns = current.slice(rows);
        if !columns.is_empty() {
            self.parts.push(columns);
        }
        self.part_positions += part;
        current.offset += part;
        self.keep(current);
        if self.part_positions < size {
            return Ok(None);
        }
        let parts = std::mem::take(&mut self.parts);
        let rows = std::mem::take(&mut self.part_rows);
        self.part_positions = 0;
        self.batches -= 1;
        self.positions -= size as u64;
        let columns = if parts.is_empty() {
            Vec::new()
        } else {
            (0..projection.columns().len())
                .map(|column| {
                    let pieces: Vec<ArrayRef> = parts.iter().map(|part| part[column].clone()).collect();
                    super::join::join(&projection.columns()[column].name, &pieces)
                })
                .collect::<Result<_>>()?
        };
        complete(projection, columns, vec![rows]).map(Some)
    }

    fn keep(&mut self, current: Current) {
        self.current = (current.available() > 0).then_some(current);
    }
}

/// A run; its columns are made here where all of its rows are left out.
fn complete(projection: &Projection, columns: Vec<ArrayRef>, sizes: Vec<usize>) -> Result<BatchRun> {
    let columns = if columns.is_empty() && sizes.iter().all(|&size| size == 0) {
        projection.columns().iter().map(decode::empty).collect::<Result<_>>()?
    } else {
        columns
    };
    Ok(BatchRun::new(columns, sizes))
}
