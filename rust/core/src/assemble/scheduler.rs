//! The scheduler: which chunks are read ahead, and how threads and the caller wait for one another.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use arrow_array::ArrayRef;

use super::chunk_builder::ChunkBuilder;
use super::crew::Crew;
use super::cursor_decoder::{DecodeAhead, Reading};
use super::cursors::Cursors;
use super::process::{Quota, Turn};
use super::state::SchedulerState;
use super::task::{CursorKey, Job, Task};
use crate::decode::{Column, DecompressPool, Projection};
use crate::fetch::Files;
use crate::order::{GroupSlice, Line, mul_div};
use crate::schedule::{Chunk, ChunkSchedule, ChunkSize};
use crate::select::{FilterPrefetch, Selections};
use crate::sync::{lock, wait_timeout};
use crate::{Error, Result};

/// The sources of a cursor have at least this many bytes in a row group, so that small row groups are few tasks.
const CURSOR_BYTES: u64 = 256 << 10;
/// Open row groups may hold so many times the budget: 32 of 12 MiB stay open at the defaults. To read all of them anew
/// for each window takes a quarter more of the processor.
const HELD: u64 = 2;
/// Those of a store, of which more would be fetched again, more often.
const HELD_OF_STORES: u64 = 16;
/// Chunks that are made ahead of a source that has no end.
const MOST_CHUNKS: usize = 128;
/// One part in so many of the budget may be pages that are decompressed before their turn.
const EARLY_PART: u64 = 4;

/// What the threads and the caller share.
pub(crate) struct Scheduler {
    pub(crate) files: Files,
    pub(crate) projection: Projection,
    selections: Option<Selections>,
    /// Finds the rows that pass ahead of their reading; only for objects.
    filter_prefetch: Option<FilterPrefetch>,
    pub(crate) line: Line,
    budget: u64,
    /// Row groups that are read in turn.
    open_groups: u64,
    quota: Quota,
    size: ChunkSize,
    ahead: DecodeAhead,
    state: Mutex<SchedulerState>,
    pool: Arc<DecompressPool>,
    done: Condvar,
    /// The threads that work for it and for others, where they are not its own.
    crew: Option<Arc<Crew>>,
    /// How many schedulers share the budget.
    sharing: u64,
}

/// How much is decoded ahead, and at a time.
pub(crate) struct Limits {
    /// Bytes of chunks that are made before the caller takes them.
    pub(crate) budget: u64,
    pub(crate) size: ChunkSize,
    pub(crate) ahead: DecodeAhead,
    pub(crate) num_threads: usize,
    pub(crate) crew: Option<Arc<Crew>>,
    pub(crate) sharing: u64,
}

/// One output.
#[derive(Debug)]
pub(crate) struct Taken {
    /// Its columns; none where all of its rows are left out.
    pub(crate) columns: Vec<ArrayRef>,
    /// Its rows, those that are left out among them.
    pub(crate) rows: u64,
    /// How many rows before each are delivered, and at the end; None where all are.
    pub(crate) delivered_before: Option<Arc<[u32]>>,
}

impl Scheduler {
    pub(crate) fn new(
        files: Files,
        projection: Projection,
        selections: Option<Selections>,
        line: Line,
        schedule: ChunkSchedule,
        limits: Limits,
    ) -> Self {
        let Limits { budget, size, ahead, num_threads, crew, sharing } = limits;
        let pool = Arc::new(DecompressPool::new((budget / EARLY_PART) as usize));
        let done = Condvar::new();
        let filter_prefetch = (selections.is_some() && files.are_remote()).then(FilterPrefetch::default);
        let open_groups = schedule.num_slots() as u64 * line.strands();
        Self {
            files,
            open_groups,
            projection,
            selections,
            filter_prefetch,
            line,
            budget,
            quota: Quota::new(num_threads, budget),
            size,
            ahead,
            state: Mutex::new(SchedulerState::new(schedule, num_threads)),
            pool,
            done,
            crew,
            sharing: sharing.max(1),
        }
    }

    /// Says that there is work for one thread.
    fn wake_one(&self) {
        match &self.crew {
            Some(crew) => crew.wake(),
            None => self.pool.wake_one(),
        }
    }

    /// Says that there is work for all threads, or none ever again.
    fn wake_all(&self) {
        match &self.crew {
            Some(crew) => crew.wake(),
            None => self.pool.wake_all(),
        }
    }

    /// Work to do at once, and the chunk that it is for.
    pub(crate) fn try_job<'a>(
        &'a self,
        mut state: MutexGuard<'a, SchedulerState>,
    ) -> Option<(MutexGuard<'a, SchedulerState>, u64, Job)> {
        if state.closed {
            return None;
        }
        if state.ready.is_empty() {
            self.admit(&mut state);
        }
        let Reverse((number, job)) = state.ready.pop()?;
        Some((state, number, job))
    }

    /// Leave to decode, for which other readers' threads are waited for. Those that read a store mostly wait for it.
    pub(crate) fn turn(&self) -> Option<Turn<'_>> {
        (!self.files.are_remote()).then(|| self.quota.turn())
    }

    /// The bytes that open row groups may hold between their tasks: dictionaries and pages. One that is read on from at
    /// once stays open.
    pub(crate) fn most_held(&self) -> u64 {
        if self.open_groups <= 1 {
            return u64::MAX;
        }
        (self.budget / self.sharing).saturating_mul(if self.files.are_remote() { HELD_OF_STORES } else { HELD })
    }

    /// What all cursors read with.
    pub(crate) fn reading(&self) -> Reading<'_> {
        let selections = self.selections.as_ref();
        let (size, ahead) = (&self.size, self.ahead);
        let draw = self.line.draw();
        Reading { files: &self.files, projection: &self.projection, selections, size, ahead, pool: &self.pool, draw }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, SchedulerState> {
        lock(&self.state)
    }

    /// Waits for work to do, and the chunk that it is for; None once the scheduler is closed.
    pub(crate) fn next_job<'a>(
        &'a self,
        mut state: MutexGuard<'a, SchedulerState>,
    ) -> Option<(MutexGuard<'a, SchedulerState>, u64, Job)> {
        loop {
            if state.closed {
                return None;
            }
            if let Some(Reverse((number, job))) = state.ready.pop() {
                return Some((state, number, job));
            }
            if !self.admit(&mut state) {
                let busy;
                (state, busy) = self.pool.help_or_wait(state, || self.lock());
                state.metrics.busy += busy;
            }
        }
    }

    /// Whether there is a filter prefetch to run.
    pub(crate) fn has_filter_prefetch(&self) -> bool {
        self.filter_prefetch.is_some()
    }

    /// Finds the rows that pass ahead of their reading, until the scheduler is closed.
    pub(crate) fn filter_prefetch(&self) {
        if let (Some(filter_prefetch), Some(selections)) = (&self.filter_prefetch, &self.selections) {
            filter_prefetch.run(&self.files, selections);
        }
    }

    /// Tells the caller that a chunk is done: nothing is read for it any longer.
    pub(crate) fn notify_done(&self, number: u64) {
        self.files.finish(number);
        self.done.notify_all();
    }

    /// Tells the caller that an output of a window is done.
    pub(crate) fn notify_output(&self) {
        self.done.notify_all();
    }

    /// Wakes another thread where there is more to do.
    pub(crate) fn notify_work(&self, state: &SchedulerState) {
        if !state.ready.is_empty() {
            self.wake_one();
        }
    }

    /// Takes the next output of a slot, waiting for it at most this long; None when the time is over.
    pub(crate) fn take(&self, slot: usize, timeout: Duration) -> Result<Option<Taken>> {
        let begin = Instant::now();
        let mut state = self.lock();
        loop {
            if state.closed {
                return Err(Error::Closed);
            }
            state.waiting = Some(slot);
            self.admit(&mut state);
            let Some(&(number, output, rows)) = state.slots[slot].front() else {
                return Err(Error::internal(format!("no chunk is planned for slot {slot}")));
            };
            if state.builders.get(&number).is_some_and(|builder| builder.is_done(output)) {
                state.metrics.waited += begin.elapsed();
                let (columns, work) = state.take(slot, number, output)?;
                // What was taken makes room.
                self.admit(&mut state);
                self.notify_work(&state);
                drop(state);
                let delivered_before = work.delivered_before(output, &self.line);
                return Ok(Some(Taken { columns, rows, delivered_before }));
            }
            let left = timeout.saturating_sub(begin.elapsed());
            if left.is_zero() {
                state.metrics.waited += begin.elapsed();
                return Ok(None);
            }
            state = wait_timeout(&self.done, state, left);
        }
    }

    /// Stops the threads once they are done with what they are at.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.ready.clear();
        state.builders.clear();
        state.cursors = Cursors::default();
        drop(state);
        self.files.close();
        if let Some(filter_prefetch) = &self.filter_prefetch {
            filter_prefetch.close();
        }
        self.wake_all();
        self.done.notify_all();
    }

    /// Plans the chunks that there is room for, and always the one that the caller waits for.
    fn admit(&self, state: &mut SchedulerState) -> bool {
        let mut admitted = false;
        loop {
            if state.next_chunk.is_none() {
                state.next_chunk = state.schedule.next_chunk();
            }
            let Some(chunk) = &state.next_chunk else { break };
            let bytes = self.size.bytes_of(chunk.strands.iter().flatten());
            let raw = self.raw_bytes(chunk);
            let awaited = state.waiting.is_some_and(|slot| state.slots[slot].is_empty());
            self.quota.set(state.used_bytes + self.pool.bytes() as u64);
            let is_full = self.quota.is_full(bytes) || state.raw_bytes.saturating_add(raw) > self.budget;
            // A source of a mixture runs on, in chunks that may be of a few bytes.
            let is_full = is_full || self.crew.is_some() && state.builders.len() >= MOST_CHUNKS;
            // One chunk is always made beside what the caller takes.
            if !awaited && state.used_bytes > 0 && is_full {
                break;
            }
            if let Some(chunk) = state.next_chunk.take() {
                self.start(state, chunk, bytes, raw);
                admitted = true;
            }
        }
        if admitted {
            self.wake_all();
        }
        admitted
    }

    /// Bytes that a chunk of an object's rows is decoded from, those between the rows that pass among them.
    fn raw_bytes(&self, chunk: &Chunk) -> u64 {
        let Some((_, selections)) = self.filter_prefetch.as_ref().zip(self.selections.as_ref()) else { return 0 };
        let plan = self.files.plan();
        if plan.token_line().is_some() {
            return 0; // read on by blocks, whatever passes
        }
        let of = |slice: &GroupSlice| {
            let (group, rows) = (slice.group as usize, slice.rows.end - slice.rows.start);
            let rows = mul_div(rows, plan.group_rows()[group], plan.line_rows()[group].max(1));
            rows.saturating_mul(self.size.row_bytes(slice.group) + selections.row_bytes())
        };
        chunk.strands.iter().flatten().map(of).fold(0, u64::saturating_add)
    }

    fn start(&self, state: &mut SchedulerState, chunk: Chunk, bytes: u64, raw: u64) {
        let number = state.next_number;
        state.next_number += 1;
        state.used_bytes += bytes;
        state.raw_bytes += raw;
        state.metrics.peak_bytes = state.metrics.peak_bytes.max(state.used_bytes);
        for (index, output) in chunk.outputs.iter().enumerate() {
            state.slots[output.slot].push_back((number, index, output.rows()));
        }
        let slices = chunk.strands.iter().flatten().flat_map(|slice| self.rows_read(slice.group, &slice.rows));
        match &self.filter_prefetch {
            None => self.files.prefetch(number, slices),
            Some(filter_prefetch) => filter_prefetch.ask(&self.files, number, slices),
        }
        // A cursor is read on in its slot's turn; between two such turns every other slot has two at the most.
        state.planned_rows += chunk.rows();
        state.largest_rows = state.largest_rows.max(chunk.rows());
        let turn = state.planned_rows / state.largest_rows;
        state.cursors.turn_to(turn, 2 * state.slots.len() as u64 + 2);
        for (piece, slice) in chunk.strands.iter().flatten().enumerate() {
            for sources in self.parts(slice.group) {
                let key = CursorKey { group: slice.group, epoch: chunk.epoch, sources };
                let task = Task { chunk: number, piece, rows: slice.rows.clone() };
                if let Some(cursor) = state.cursors.add(key, task) {
                    state.ready.push(Reverse((number, Job::Decode(cursor))));
                }
            }
        }
        let sources: Vec<usize> = self.projection.columns().iter().map(Column::num_decoded).collect();
        let builder = ChunkBuilder::new(chunk, &sources, bytes, raw);
        if builder.is_decoded() {
            self.files.finish(number); // all of its rows are left out
        }
        state.builders.insert(number, builder);
    }

    /// The rows that are read for these of a row group on the line: of packed sequences, see [`TokenLine::rows_read`].
    ///
    /// [`TokenLine::rows_read`]: crate::files::TokenLine::rows_read
    pub(crate) fn rows_read(&self, group: u32, rows: &Range<u64>) -> Vec<(usize, Range<u64>)> {
        let (plan, group) = (self.files.plan(), group as usize);
        plan.token_line()
            .map_or_else(|| vec![(group, rows.clone())], |line| line.rows_read(group, rows, plan.selected_rows()))
    }

    /// The sources of a row group in as many parts as its size is worth.
    fn parts(&self, group: u32) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let sources = self.projection.num_sources();
        let rows = self.files.plan().line_rows()[group as usize];
        let parts =
            rows.saturating_mul(self.size.row_bytes(group)).div_ceil(CURSOR_BYTES).clamp(1, sources.max(1) as u64)
                as usize;
        (0..parts)
            .map(move |part| part * sources / parts..(part + 1) * sources / parts)
            .filter(|range| !range.is_empty())
    }
}
