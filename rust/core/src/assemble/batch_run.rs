//! Some batches in a row of one shard, cut from one chunk.

use arrow_array::ArrayRef;

use crate::Result;
use crate::decode::Projection;

/// Batches in a row: their columns end to end, and the rows of each.
#[derive(Debug, Clone)]
pub struct BatchRun {
    columns: Vec<ArrayRef>,
    sizes: Vec<usize>,
}

impl BatchRun {
    pub(crate) fn new(columns: Vec<ArrayRef>, sizes: Vec<usize>) -> Self {
        Self { columns, sizes }
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
#[derive(Debug)]
pub(crate) struct Cutter {
    batch_size: u64,
    batches: u64,
    rows: u64,
    /// Batches of a run at the most.
    most: usize,
    /// The output that is being cut, and the rows of it that were delivered.
    current: Option<(Vec<ArrayRef>, usize, usize)>,
    /// The beginning of a batch that crosses outputs.
    parts: Vec<Vec<ArrayRef>>,
    part_rows: usize,
}

impl Cutter {
    pub(crate) fn new(batch_size: u64, batches: u64, rows: u64, most: usize) -> Self {
        Self { batch_size, batches, rows, most, current: None, parts: Vec::new(), part_rows: 0 }
    }

    /// Whether every batch was delivered.
    pub(crate) fn is_done(&self) -> bool {
        self.batches == 0
    }

    /// Lets go of what was not delivered.
    pub(crate) fn clear(&mut self) {
        self.current = None;
        self.parts.clear();
        self.part_rows = 0;
    }

    /// Takes the shard's next output.
    pub(crate) fn feed(&mut self, columns: Vec<ArrayRef>, rows: usize) {
        self.current = Some((columns, 0, rows));
    }

    /// The next batches that the output holds; None when another output is needed.
    pub(crate) fn cut(&mut self, projection: &Projection) -> Result<Option<BatchRun>> {
        let Some((columns, offset, rows)) = &mut self.current else { return Ok(None) };
        let available = *rows - *offset;
        let slice = |offset: usize, rows: usize| columns.iter().map(|column| column.slice(offset, rows)).collect();
        let mut sizes = Vec::new();
        let mut taken = 0;
        if self.parts.is_empty() {
            while self.batches > 0 && sizes.len() < self.most {
                let size = if self.batches == 1 { self.rows } else { self.batch_size } as usize;
                if taken + size > available {
                    break;
                }
                taken += size;
                sizes.push(size);
                self.batches -= 1;
                self.rows -= size as u64;
            }
        }
        if !sizes.is_empty() {
            let run = BatchRun::new(slice(*offset, taken), sizes);
            *offset += taken;
            if *offset == *rows {
                self.current = None;
            }
            return Ok(Some(run));
        }
        // The batch crosses into the next output.
        let size = if self.batches == 1 { self.rows } else { self.batch_size } as usize;
        let part = available.min(size - self.part_rows);
        self.parts.push(slice(*offset, part));
        self.part_rows += part;
        *offset += part;
        if *offset == *rows {
            self.current = None;
        }
        if self.part_rows < size {
            return Ok(None);
        }
        let parts = std::mem::take(&mut self.parts);
        self.part_rows = 0;
        self.batches -= 1;
        self.rows -= size as u64;
        let columns = (0..projection.columns().len())
            .map(|column| {
                let pieces: Vec<ArrayRef> = parts.iter().map(|part| part[column].clone()).collect();
                super::gather::join(&projection.columns()[column].name, &pieces)
            })
            .collect::<Result<_>>()?;
        Ok(Some(BatchRun::new(columns, vec![size])))
    }
}
