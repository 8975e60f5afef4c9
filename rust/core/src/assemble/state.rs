//! The chunks that are scheduled, under way and done, which the threads and the caller share under one lock.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::ArrayRef;

use super::chunk_builder::ChunkBuilder;
use super::chunk_spec::ChunkSpec;
use super::cursors::Cursors;
use super::task::Job;
use crate::schedule::{Chunk, ChunkSchedule};
use crate::{Error, Result};

/// What a reader has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ReaderMetrics {
    /// Chunks decoded.
    pub chunks: u64,
    /// Rows decoded.
    pub rows: u64,
    /// Bytes of the arrays that were made.
    pub bytes: u64,
    /// Time that threads spent decoding and gathering.
    pub busy: Duration,
    /// Time that the caller waited.
    pub waited: Duration,
    /// The most bytes that were read ahead at once.
    pub peak_bytes: u64,
}

pub(crate) struct SchedulerState {
    pub(super) schedule: ChunkSchedule,
    /// A chunk that did not fit into the budget yet.
    pub(super) next_chunk: Option<Chunk>,
    pub(super) next_number: u64,
    pub(super) planned_rows: u64,
    pub(crate) builders: BTreeMap<u64, ChunkBuilder>,
    pub(crate) cursors: Cursors,
    /// The work to do, that for the earliest chunk first.
    pub(crate) ready: BinaryHeap<Reverse<(u64, Job)>>,
    /// Of every slot, the outputs to come, in order: chunk, number of the output, rows.
    pub(super) slots: Vec<VecDeque<(u64, usize, u64)>>,
    /// Outputs of every slot that are picked ahead of the caller.
    picked_ahead: usize,
    /// The slot that the caller waits for.
    pub(super) waiting: Option<usize>,
    /// The rows of the largest chunk so far.
    pub(super) largest_rows: u64,
    /// Bytes of the chunks that the caller has not begun to take.
    pub(super) used_bytes: u64,
    /// Bytes that unfinished chunks are decoded from, those of rows that do not pass among them.
    pub(super) raw_bytes: u64,
    pub(crate) closed: bool,
    pub(crate) metrics: ReaderMetrics,
}

impl SchedulerState {
    pub(super) fn new(schedule: ChunkSchedule, num_threads: usize) -> Self {
        let slots = vec![VecDeque::new(); schedule.num_slots()];
        Self {
            picked_ahead: (num_threads + 1).div_ceil(slots.len().max(1)),
            largest_rows: 1,
            schedule,
            next_chunk: None,
            next_number: 0,
            planned_rows: 0,
            builders: BTreeMap::new(),
            cursors: Cursors::default(),
            ready: BinaryHeap::new(),
            slots,
            waiting: None,
            used_bytes: 0,
            raw_bytes: 0,
            closed: false,
            metrics: ReaderMetrics::default(),
        }
    }

    pub(super) fn take(&mut self, slot: usize, number: u64, output: usize) -> Result<(Vec<ArrayRef>, Arc<ChunkSpec>)> {
        let Some(builder) = self.builders.get_mut(&number) else { return Err(Error::internal("a chunk is gone")) };
        // After an error the output stays where it is: asking again gives the same error.
        let columns = builder.take(output)?;
        let work = Arc::clone(&builder.work);
        self.used_bytes = self.used_bytes.saturating_sub(std::mem::take(&mut builder.bytes));
        if builder.is_spent() {
            self.builders.remove(&number);
        }
        self.slots[slot].pop_front();
        self.waiting = None;
        self.pick_ahead(slot);
        Ok((columns, work))
    }

    /// Has a slot's next outputs picked, as far as they can be.
    pub(super) fn pick_ahead(&mut self, slot: usize) {
        for &(number, output, _) in self.slots[slot].iter().take(self.picked_ahead) {
            if self.builders.get_mut(&number).is_some_and(|builder| builder.begin_output(output)) {
                self.ready.push(Reverse((number, Job::Pick(output))));
            }
        }
    }

    /// Puts the bytes that a finished chunk really takes in the place of the estimate.
    pub(crate) fn account(&mut self, number: u64, bytes: u64) {
        if let Some(builder) = self.builders.get_mut(&number) {
            self.raw_bytes -= std::mem::take(&mut builder.raw_bytes);
            self.used_bytes = self.used_bytes.saturating_sub(builder.bytes) + bytes;
            builder.bytes = bytes;
            self.metrics.peak_bytes = self.metrics.peak_bytes.max(self.used_bytes);
        }
    }
}
