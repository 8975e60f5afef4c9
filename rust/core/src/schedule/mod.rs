//! The schedule of one rank: which rows of which row groups it needs, from a position on, in the order in which its
//! batches first need them.
//!
//! A [`Chunk`] is what is decoded at a time. Without row shuffle it is some batches of one shard; under row shuffle it
//! is a window, and every shard that needs rows of the window now is served by decoding it once: by an [`Output`] after
//! the other, each of a few batches.

mod chunk_size;
mod left_out;

use std::collections::VecDeque;
use std::ops::Range;

use crate::order::{GroupSlice, Leg, Line, Window};

pub use chunk_size::ChunkSize;
pub use left_out::{Kept, LeftOut};

/// Whose batches a reader reads: those of shards v with v mod `num_ranks` = `rank`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// This rank.
    pub rank: u64,
    /// All ranks.
    pub num_ranks: u64,
}

/// Rows to be decoded together.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// What to decode: the row-group slices of every strand, end to end.
    pub strands: Vec<Vec<GroupSlice>>,
    /// The window whose permutation the outputs are picked by; None where rows stand as they were decoded.
    pub window: Option<Window>,
    /// Who gets which rows. Rows are counted with those that are left out.
    pub outputs: Vec<Output>,
    /// Which rows are decoded; None where all are. `strands` has these only.
    pub kept: Option<Kept>,
}

impl Chunk {
    /// The rows that are decoded.
    pub fn rows(&self) -> u64 {
        self.strands.iter().flatten().map(|slice| slice.rows.end - slice.rows.start).sum()
    }
}

/// Some batches' rows of a chunk, which one shard takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The shard, by its turn in this rank.
    pub slot: usize,
    /// Rows of the chunk, after the permutation if there is one.
    pub picks: Vec<Range<u64>>,
}

impl Output {
    /// How many rows.
    pub fn rows(&self) -> u64 {
        self.picks.iter().map(|pick| pick.end - pick.start).sum()
    }
}

/// One shard of the rank, from the position on.
#[derive(Debug)]
struct Slot {
    /// Its positions that no chunk was made for yet.
    positions: VecDeque<Range<u64>>,
    /// Rows that chunks were made for.
    scheduled: u64,
    /// All rows of its batches, from the position on.
    rows: u64,
    /// Batches, from the position on.
    batches: u64,
}

/// Makes the chunks of one rank's part of a leg, one by one, in the order in which its batches first need them.
#[derive(Debug)]
pub struct ChunkSchedule {
    line: Line,
    batch_size: u64,
    size: ChunkSize,
    slots: Vec<Slot>,
    /// The next batch of this rank, counted from the position, that may need a chunk.
    step: u64,
    steps: u64,
    left_out: LeftOut,
}

impl ChunkSchedule {
    /// The chunks from the leg's cursor on. A chunk without row shuffle, and an output of a window, is about as large as
    /// `size` says, whole batches where it can.
    ///
    /// The ranks must divide the leg's shards and the batches delivered.
    pub fn new(line: Line, leg: &Leg, share: Share, size: ChunkSize) -> Self {
        let spec = leg.spec();
        let owned = spec.num_shards / share.num_ranks;
        // The rank's batches so far, in turn over its shards, so that the slot whose turn it is comes first.
        let done = spec.delivered / share.num_ranks;
        let slots = (0..owned)
            .map(|turn| {
                let number = (done + turn) % owned;
                let shard = share.rank + share.num_ranks * number;
                let index = done / owned + u64::from(number < done % owned);
                let rest = leg.rest_of(shard, index);
                Slot {
                    rows: rest.end - rest.start,
                    positions: leg.domain().slice(rest).into(),
                    scheduled: 0,
                    batches: leg.batches_per_shard() - index,
                }
            })
            .collect::<Vec<_>>();
        let steps = slots.iter().map(|slot| slot.batches).sum();
        Self { line, batch_size: spec.batch_size, size, slots, step: 0, steps, left_out: LeftOut::default() }
    }

    /// The same chunks, without the rows of these row groups.
    pub fn leaving_out(self, left_out: LeftOut) -> Self {
        Self { left_out, ..self }
    }

    /// m: the shards that this rank takes batches from in turn.
    pub fn num_slots(&self) -> usize {
        self.slots.len()
    }

    /// Batches of a slot, and its rows: all batches but the last have `batch_size` rows.
    pub fn slot_extent(&self, slot: usize) -> (u64, u64) {
        (self.slots[slot].batches, self.slots[slot].rows)
    }

    /// Rows of a batch.
    pub fn batch_size(&self) -> u64 {
        self.batch_size
    }

    /// The next chunk; None once every row has one.
    pub fn next_chunk(&mut self) -> Option<Chunk> {
        let count = self.slots.len() as u64;
        while self.step < self.steps {
            let slot = (self.step % count) as usize;
            let index = self.step / count;
            let of = &self.slots[slot];
            let needed = if index + 1 == of.batches { of.rows } else { (index + 1) * self.batch_size };
            if of.scheduled < needed {
                let chunk = if self.line.is_row_shuffled() { self.window(slot) } else { self.stretch(slot) };
                return Some(self.left_out.apply(chunk));
            }
            self.step += 1;
        }
        None
    }

    /// The next rows of a slot: whole batches, and where [`alone`] can make it so those of one row group.
    fn stretch(&mut self, slot: usize) -> Chunk {
        let whole = |rows: u64| (rows / self.batch_size).max(1) * self.batch_size;
        let of = &self.slots[slot];
        let (left, before_last) =
            (of.rows - of.scheduled, ((of.batches - 1) * self.batch_size).saturating_sub(of.scheduled));
        // By rows, and then by their bytes.
        let most = whole(self.size.rows);
        let room = self.size.rows_of(&self.slices(slot, most.min(left)));
        let full = most.min(whole(room));
        // The last batch may be longer or shorter than the others. It is not cut, and seldom alone.
        let rows = if full > before_last || left < full + self.batch_size.min(room) { left } else { full };
        let mut slices = self.slices(slot, rows);
        let of = &mut self.slots[slot];
        let rows = alone(&mut slices, rows, before_last, self.batch_size);
        of.scheduled += rows;
        let mut rest = rows;
        while rest > 0 {
            let Some(front) = of.positions.front_mut() else { break };
            let taken = rest.min(front.end - front.start);
            front.start += taken;
            rest -= taken;
            if front.is_empty() {
                of.positions.pop_front();
            }
        }
        let picks = std::iter::once(0..rows).collect();
        Chunk { strands: vec![slices], window: None, outputs: vec![Output { slot, picks }], kept: None }
    }

    /// The next rows of a slot.
    fn slices(&self, slot: usize, rows: u64) -> Vec<GroupSlice> {
        let mut slices = Vec::new();
        let mut rest = rows;
        for positions in &self.slots[slot].positions {
            if rest == 0 {
                break;
            }
            let taken = rest.min(positions.end - positions.start);
            slices.extend(self.line.rows(positions.start..positions.start + taken));
            rest -= taken;
        }
        slices
    }

    /// The window that a slot needs next, for all slots that stand in it.
    fn window(&mut self, slot: usize) -> Chunk {
        let position = self.slots[slot].positions.front().map_or(0, |front| front.start);
        let window = self.line.window_at(position);
        let strands: Vec<Vec<GroupSlice>> =
            window.places.iter().map(|places| self.line.split_sequence().slices(places.clone())).collect();
        let rows = self.size.mean_rows(strands.iter().flatten());
        let of_output = (rows / self.batch_size).max(1) * self.batch_size;
        let mut outputs = Vec::new();
        for (slot, of) in self.slots.iter_mut().enumerate() {
            // The first one ends where a batch does.
            let mut room = of_output - of.scheduled % self.batch_size;
            let mut picks = Vec::new();
            while let Some(front) = of.positions.front_mut() {
                if !window.positions.contains(&front.start) {
                    break;
                }
                let until = front.end.min(window.positions.end).min(front.start.saturating_add(room));
                picks.push(front.start - window.positions.start..until - window.positions.start);
                of.scheduled += until - front.start;
                room -= until - front.start;
                front.start = until;
                if front.is_empty() {
                    of.positions.pop_front();
                }
                if room == 0 {
                    room = of_output;
                    outputs.push(Output { slot, picks: std::mem::take(&mut picks) });
                }
            }
            if !picks.is_empty() {
                outputs.push(Output { slot, picks });
            }
        }
        Chunk { strands, window: Some(window), outputs, kept: None }
    }
}

/// Cuts slices of `rows` rows off where a row group's whole batches begin or end, if these are a quarter of the rows;
/// how many rows are left. Rows of one row group are delivered from where they were decoded, those of several are
/// copied once more. Only the first `before_last` rows may be cut off: behind them is a last batch.
fn alone(slices: &mut Vec<GroupSlice>, rows: u64, before_last: u64, batch_size: u64) -> u64 {
    let mut before = 0_u64;
    for at in 0..slices.len() {
        let of_group = slices[at].rows.end - slices[at].rows.start;
        // What the batch that was begun lacks, and the whole batches behind it.
        let lacking = before.next_multiple_of(batch_size) - before;
        let whole = of_group.saturating_sub(lacking) / batch_size * batch_size;
        let kept = if before > 0 { lacking } else { whole };
        if whole > 0 && whole >= rows / 4 && of_group < rows && before + kept <= before_last {
            slices[at].rows.end = slices[at].rows.start + kept;
            slices.truncate(at + usize::from(kept > 0));
            return before + kept;
        }
        before += of_group;
    }
    rows
}

#[cfg(test)]
mod tests;
