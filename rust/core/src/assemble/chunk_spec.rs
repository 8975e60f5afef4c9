//! What does not change while a chunk is made, and how its columns and outputs are made of pieces.

use std::sync::{Arc, OnceLock};

use arrow_array::{Array, ArrayRef};

use super::join::join;
use super::places::WindowPicks;
use super::window_column::WindowColumn;
use crate::Result;
use crate::decode::{Column, beside, views};
use crate::order::Line;
use crate::schedule::Chunk;

/// What does not change while a chunk is made.
#[derive(Debug)]
pub(crate) struct ChunkSpec {
    pub(crate) chunk: Chunk,
    picked: OnceLock<Picked>,
}

/// What the outputs take.
#[derive(Debug)]
struct Picked {
    rows: WindowPicks,
    /// Of every output, how many of its rows before each are delivered, and at the end; where some are left out.
    before: Vec<Arc<[u32]>>,
}

/// A column whose pieces are all there.
#[derive(Debug)]
pub(crate) enum Assembled {
    Array(ArrayRef),
    Window(WindowColumn),
}

impl Assembled {
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Array(array) => array_bytes(array.as_ref()),
            Self::Window(column) => column.bytes(),
        }
    }
}

impl ChunkSpec {
    pub(super) fn new(chunk: Chunk) -> Self {
        Self { chunk, picked: OnceLock::new() }
    }

    /// The slots that it has outputs for.
    pub(crate) fn slots(&self) -> impl Iterator<Item = usize> {
        self.chunk.outputs.chunk_by(|one, other| one.slot == other.slot).map(|outputs| outputs[0].slot)
    }

    /// A column, from the pieces of its sources.
    pub(crate) fn assemble(&self, column: &Column, mut sources: Vec<Vec<ArrayRef>>, line: &Line) -> Result<Assembled> {
        if self.chunk.window.is_none() {
            let array = if column.is_matrix {
                beside(column, &sources)?
            } else {
                join(&column.name, &sources.pop().unwrap_or_default())?
            };
            let array = delivered(column, array)?;
            return Ok(Assembled::Array(array));
        }
        let pieces = if column.is_matrix {
            let count = sources.first().map_or(0, Vec::len);
            let of_piece = |piece: usize| {
                let sources: Vec<Vec<ArrayRef>> = sources.iter().map(|pieces| vec![pieces[piece].clone()]).collect();
                beside(column, &sources)
            };
            (0..count).map(of_piece).collect::<Result<_>>()?
        } else {
            sources.pop().unwrap_or_default()
        };
        WindowColumn::new(&column.name, pieces, &self.picked(line).rows).map(Assembled::Window)
    }

    /// An output's columns, picked from the window's.
    pub(crate) fn pick(
        &self,
        output: usize,
        window: &[WindowColumn],
        columns: &[Column],
        line: &Line,
    ) -> Result<Vec<ArrayRef>> {
        let picks = self.picked(line).rows.output(output);
        if picks.rows.is_empty() {
            return Ok(Vec::new());
        }
        let picked = window.iter().zip(columns).map(|(window, column)| delivered(column, window.rows(&picks)?));
        picked.collect()
    }

    /// How many rows before each of an output's rows are delivered, and at the end; None where all are.
    pub(crate) fn delivered_before(&self, output: usize, line: &Line) -> Option<Arc<[u32]>> {
        self.chunk.kept.as_ref()?;
        self.picked(line).before.get(output).cloned()
    }

    fn picked(&self, line: &Line) -> &Picked {
        self.picked.get_or_init(|| {
            let permutation = self.chunk.window.as_ref().map(|window| line.permutation(window));
            let row = |position: u64| permutation.as_ref().map_or(position as u32, |rows| rows[position as usize]);
            let (mut rows, mut ends, mut before) = (Vec::new(), Vec::new(), Vec::new());
            for output in &self.chunk.outputs {
                let positions = output.picks.iter().cloned().flatten();
                match &self.chunk.kept {
                    None => rows.extend(positions.map(row)),
                    Some(kept) => {
                        let start = rows.len();
                        let mut of_output = vec![0];
                        for position in positions {
                            rows.extend(kept.decoded(u64::from(row(position))).map(|row| row as u32));
                            of_output.push((rows.len() - start) as u32);
                        }
                        before.push(of_output.into());
                    }
                }
                ends.push(rows.len());
            }
            let slices = self.chunk.strands.iter().flatten();
            let lengths = slices.map(|slice| slice.rows.end - slice.rows.start);
            Picked { rows: WindowPicks::new(rows, ends, lengths), before }
        })
    }
}

/// Decoded rows as they are delivered: of sequences, labels and positions are written now.
fn delivered(column: &Column, array: ArrayRef) -> Result<ArrayRef> {
    column.pack.as_deref().map_or(Ok(array.clone()), |pack| views(pack, &array))
}

/// The bytes of an array's rows, whatever else is in the buffers that it shares.
pub(super) fn array_bytes(array: &dyn Array) -> u64 {
    let data = array.to_data();
    data.get_slice_memory_size().unwrap_or_else(|_| data.get_buffer_memory_size()) as u64
}
