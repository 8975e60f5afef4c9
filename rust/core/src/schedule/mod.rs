//! The schedule of one rank: which rows of which row groups it needs, from a position on, in the order in which its
//! batches first need them.
//!
//! A [`Chunk`] is what is decoded at a time. Without row shuffle it is some batches of one shard; under row shuffle it
//! is a window, and every shard that needs rows of the window now is served by decoding it once: by an [`Output`] after
//! the other, each of a few batches.

mod chunk_size;
mod lanes;
mod left_out;

use std::collections::VecDeque;
use std::ops::Range;

use crate::Result;
use crate::order::{GroupSlice, Leg, Line, Order, Window};
use lanes::EpochLines;

pub use chunk_size::ChunkSize;
pub use lanes::LaneRows;
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
    /// The epoch that its rows are of.
    pub epoch: u64,
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
    /// Its positions that no chunk was made for yet; more of them may come of `lane`.
    positions: VecDeque<Range<u64>>,
    lane: Option<LaneRows>,
    /// Rows of its lane before the position.
    origin: u64,
    /// Rows that chunks were made for.
    scheduled: u64,
    /// All rows of its batches, from the position on.
    rows: u64,
    /// Batches, from the position on.
    batches: u64,
}

impl Slot {
    /// Has the next positions at hand: of so many rows, if there are as many.
    fn fill(&mut self, rows: u64) {
        let Some(lane) = &mut self.lane else { return };
        let mut known: u64 = self.positions.iter().map(|range| range.end - range.start).sum();
        while known < rows {
            let Some(range) = lane.next() else { break };
            known += range.end - range.start;
            self.positions.push_back(range);
        }
    }
}

/// Makes the chunks of one rank's part of a leg, one by one, in the order in which its batches first need them.
#[derive(Debug)]
pub struct ChunkSchedule {
    lines: EpochLines,
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
                    lane: None,
                    origin: 0,
                    scheduled: 0,
                    batches: leg.batches_per_shard() - index,
                }
            })
            .collect::<Vec<_>>();
        let steps = slots.iter().map(|slot| slot.batches).sum();
        let lines = EpochLines::one(line);
        Self { lines, batch_size: spec.batch_size, size, slots, step: 0, steps, left_out: LeftOut::default() }
    }

    /// The chunks of one source of a mixture: of the rows of these lanes, in turn.
    ///
    /// # Errors
    /// More than 2³² - 1 pieces.
    pub fn of_lanes(order: Order, lanes: Vec<LaneRows>, size: ChunkSize) -> Result<Self> {
        let slot = |lane: LaneRows| Slot {
            positions: VecDeque::new(),
            origin: lane.row(),
            scheduled: 0,
            rows: lane.rows(),
            batches: lane.rows(),
            lane: Some(lane),
        };
        let slots: Vec<Slot> = lanes.into_iter().map(slot).collect();
        let left_out = LeftOut::default();
        Ok(Self { lines: EpochLines::all(order)?, batch_size: 1, size, slots, step: 0, steps: 0, left_out })
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
                return Some(self.chunk(slot));
            }
            self.step += 1;
        }
        // Of lanes, the one that has come least far: all take as many rows of it at a step.
        let lanes = self.slots.iter().enumerate().filter(|(_, of)| of.lane.is_some() && of.scheduled < of.rows);
        let slot = lanes.min_by_key(|(_, of)| of.origin + of.scheduled)?.0;
        Some(self.chunk(slot))
    }

    fn chunk(&mut self, slot: usize) -> Chunk {
        let chunk = if self.lines.is_row_shuffled() { self.window(slot) } else { self.stretch(slot) };
        self.left_out.apply(chunk)
    }

    /// The next rows of a slot: whole batches, and where [`alone`] can make it so those of one row group.
    fn stretch(&mut self, slot: usize) -> Chunk {
        let batch_size = self.batch_size;
        let whole = |rows: u64| (rows / batch_size).max(1) * batch_size;
        let of = &self.slots[slot];
        let (left, before_last) =
            (of.rows - of.scheduled, ((of.batches - 1) * self.batch_size).saturating_sub(of.scheduled));
        // By rows, and then by their bytes.
        let most = whole(self.size.rows);
        let slices = self.slices(slot, most.min(left));
        let room = self.size.rows_of(&slices);
        let full = most.min(whole(room));
        // The last batch may be longer or shorter than the others. It is not cut, and seldom alone.
        let rows = if full > before_last || left < full + self.batch_size.min(room) { left } else { full };
        let mut slices = self.slices(slot, rows);
        let rows = slices.iter().map(|slice| slice.rows.end - slice.rows.start).sum();
        let of = &mut self.slots[slot];
        let epoch = of.positions.front().map_or(0, |front| self.lines.at(front.start).2);
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
        Chunk { strands: vec![slices], window: None, outputs: vec![Output { slot, picks }], epoch, kept: None }
    }

    /// The next rows of a slot, as far as they are of one epoch.
    fn slices(&mut self, slot: usize, rows: u64) -> Vec<GroupSlice> {
        let of = &mut self.slots[slot];
        of.fill(rows);
        let (mut slices, mut rest, mut first) = (Vec::new(), rows, None);
        for positions in &of.positions {
            let (line, base, epoch) = self.lines.at(positions.start);
            if rest == 0 || *first.get_or_insert(epoch) != epoch {
                break;
            }
            let taken = rest.min(positions.end - positions.start);
            let start = positions.start - base;
            slices.extend(line.rows(start..start + taken));
            rest -= taken;
        }
        slices
    }

    /// The window that a slot needs next, for all slots that stand in it.
    fn window(&mut self, slot: usize) -> Chunk {
        self.slots[slot].fill(1);
        let position = self.slots[slot].positions.front().map_or(0, |front| front.start);
        let (line, base, epoch) = self.lines.at(position);
        let window = line.window_at(position - base);
        let strands: Vec<Vec<GroupSlice>> =
            window.places.iter().map(|places| line.split_sequence().slices(places.clone())).collect();
        let span = base + window.positions.start..base + window.positions.end;
        let rows = self.size.mean_rows(strands.iter().flatten());
        let of_output = (rows / self.batch_size).max(1) * self.batch_size;
        let mut outputs = Vec::new();
        for (slot, of) in self.slots.iter_mut().enumerate() {
            // The first one ends where a batch does.
            let mut room = of_output - of.scheduled % self.batch_size;
            let mut picks = Vec::new();
            of.fill(1);
            while let Some(front) = of.positions.front_mut() {
                if !span.contains(&front.start) {
                    break;
                }
                let until = front.end.min(span.end).min(front.start.saturating_add(room));
                picks.push(front.start - span.start..until - span.start);
                of.scheduled += until - front.start;
                room -= until - front.start;
                front.start = until;
                if front.is_empty() {
                    of.positions.pop_front();
                    of.fill(1);
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
        Chunk { strands, window: Some(window), outputs, epoch, kept: None }
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
