//! The reader of a mixture: one rank's batches of one leg, whose rows come from several sources.
//!
//! Every source has a scheduler of its own, which reads its rows in the lanes of this rank; one crew of threads works
//! for all of them, and they share one budget of bytes. The caller's thread puts the rows of some batches into one
//! block, in the order of a key.

use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arrow_array::ArrayRef;

use super::crew::Crew;
use super::mixed_rows::MixedRows;
use super::reader::{Poll, RUN_ARRAYS, ReaderOptions, SourceParts, check_selector, chunk_size};
use super::scheduler::{Scheduler, Taken};
use super::state::ReaderMetrics;
use super::worker;
use crate::buffer_pool::Alive;
use crate::decode::{Leaf, Projection};
use crate::files::Plan;
use crate::files::remote::StoreAccess;
use crate::order::Order;
use crate::order::mixture::{MixedLeg, batch_key};
use crate::schedule::{ChunkSchedule, LaneRows, LeftOut, Share};
use crate::select::Selector;
use crate::store::{Note, Totals};
use crate::{Error, Result};

/// A run has about so many rows: enough that what a run costs is shared by them, and few enough that they stay in the
/// cache while they are put in order.
const RUN_ROWS: u64 = 8192;
/// A source that has a row in so many steps is opened at once.
const SOON: u64 = 64;

/// A source, as it is read.
pub struct MixedSource {
    /// Its files.
    pub plan: Arc<Plan>,
    /// Its order, under the seed that it has in this epoch.
    pub order: Order,
    /// Its columns, which are those of all.
    pub projection: Projection,
    /// What rows passed that its plan has counts of.
    pub selector: Option<Arc<Selector>>,
    /// How its store is read.
    pub store: StoreAccess,
}

/// What the reader is to deliver.
#[derive(Debug, Clone)]
pub struct Mixing {
    /// The leg.
    pub leg: MixedLeg,
    /// Batches of the epoch before it.
    pub before: u64,
    /// The mixture's seed, and the epoch.
    pub seed: u64,
    /// See `seed`.
    pub epoch: u64,
    /// Whose batches.
    pub share: Share,
    /// Those of all ranks: the last one to deliver.
    pub batches: u64,
}

/// Reads one rank's part of a leg of a mixture.
pub struct MixedReader {
    inner: ManuallyDrop<Inner>,
    pid: u32,
}

struct Inner {
    mixing: Mixing,
    sources: Vec<MixedSource>,
    /// The readings that were begun.
    readings: Vec<Option<Reading>>,
    slots: Vec<Slot>,
    crew: Arc<Crew>,
    threads: Vec<JoinHandle<()>>,
    num_threads: usize,
    prefetch_bytes: u64,
    /// Batches of a run, at most.
    most: u64,
    _alive: Alive,
}

/// A lane of this rank.
struct Slot {
    lane: u64,
    /// The step of the lane that comes next, and behind the last.
    step: u64,
    end: u64,
    /// The run that is being put together, and its steps.
    run: Option<(MixedRows, u64)>,
    has_run: bool,
}

/// A source that is being read.
struct Reading {
    number: usize,
    scheduler: Arc<Scheduler>,
    /// Of every slot, the rows that were taken from the scheduler and not yet used.
    held: Vec<VecDeque<Taken>>,
    offsets: Vec<usize>,
}

impl MixedReader {
    /// A reader of the leg's batches from its cursor on. Nothing is read before the first poll.
    ///
    /// # Errors
    /// Ranks that do not divide the leg's lanes and batches delivered, or sources of different columns.
    pub fn new(sources: Vec<MixedSource>, mixing: Mixing, num_threads: usize, prefetch_bytes: u64) -> Result<Self> {
        let Share { rank, num_ranks } = mixing.share;
        let spec = mixing.leg.spec();
        if rank >= num_ranks || !spec.num_shards.is_multiple_of(num_ranks) || !spec.delivered.is_multiple_of(num_ranks)
        {
            return Err(Error::Argument(format!(
                "rank {rank} of {num_ranks} cannot go on in a leg of {} shards with {} batches delivered",
                spec.num_shards, spec.delivered
            )));
        }
        let Some(first) = sources.first() else { return Err(Error::Argument("a mixture has a source".into())) };
        let leaves = Leaf::all(first.projection.columns()).len().max(1);
        let lanes = spec.num_shards / num_ranks;
        let slots = (0..lanes)
            .map(|turn| {
                let g = spec.delivered + rank + turn * num_ranks;
                let (lane, step) = (g % spec.num_shards, g / spec.num_shards);
                let end = mixing.batches.saturating_sub(lane).div_ceil(spec.num_shards);
                Slot { lane, step, end: end.max(step), run: None, has_run: false }
            })
            .collect();
        let inner = Inner {
            most: ((RUN_ARRAYS / leaves) as u64).min(RUN_ROWS / spec.batch_size).max(1),
            readings: sources.iter().map(|_| None).collect(),
            sources,
            mixing,
            slots,
            crew: Arc::default(),
            threads: Vec::new(),
            num_threads,
            prefetch_bytes,
            _alive: Alive::new(),
        };
        Ok(Self { inner: ManuallyDrop::new(inner), pid: std::process::id() })
    }

    /// m: the lanes that batches are taken from in turn.
    pub fn num_slots(&self) -> usize {
        self.inner.slots.len()
    }

    /// The next run of a slot, waiting for it at most this long. After an error, the same error again.
    ///
    /// # Errors
    /// Whatever went wrong with the slot's next rows; the error says of which source.
    pub fn poll(&mut self, slot: usize, timeout: Duration) -> Result<Poll> {
        if self.pid != std::process::id() {
            return Err(Error::Forked);
        }
        self.inner.poll(slot, timeout)
    }

    /// What was done so far, by all sources.
    pub fn metrics(&self) -> ReaderMetrics {
        let mut all = ReaderMetrics::default();
        if self.pid == std::process::id() {
            for reading in self.inner.readings.iter().flatten() {
                let of = reading.scheduler.lock().metrics;
                all.chunks += of.chunks;
                all.rows += of.rows;
                all.bytes += of.bytes;
                all.busy += of.busy;
                all.waited += of.waited;
                all.peak_bytes += of.peak_bytes;
            }
        }
        all
    }

    /// What was asked of stores; None where all files are local.
    pub fn store_totals(&self) -> Option<Totals> {
        if self.pid != std::process::id() {
            return None;
        }
        let readings = self.inner.readings.iter().flatten();
        readings.filter_map(|reading| reading.scheduler.files.totals()).reduce(|a, b| Totals {
            requests: a.requests + b.requests,
            bytes: a.bytes + b.bytes,
            retries: a.retries + b.retries,
            cache_hits: a.cache_hits + b.cache_hits,
            waited: a.waited + b.waited,
        })
    }

    /// What is worth a line in the log since the last call.
    pub fn take_notes(&self) -> Vec<Note> {
        if self.pid != std::process::id() {
            return Vec::new();
        }
        self.inner.readings.iter().flatten().flat_map(|reading| reading.scheduler.files.take_notes()).collect()
    }

    /// Stops the threads and frees what was read ahead.
    pub fn close(&mut self) {
        if self.pid != std::process::id() {
            return;
        }
        self.inner.crew.close();
        for thread in self.inner.threads.drain(..) {
            // A thread that panicked outside of a task has nothing left to say.
            drop(thread.join());
        }
        for reading in self.inner.readings.iter_mut().flatten() {
            reading.scheduler.close();
            reading.scheduler.files.release();
            reading.held.iter_mut().for_each(VecDeque::clear);
        }
        self.inner.slots.iter_mut().for_each(|slot| slot.run = None);
    }
}

impl Inner {
    fn poll(&mut self, slot: usize, timeout: Duration) -> Result<Poll> {
        self.start()?;
        let Some(of) = self.slots.get_mut(slot) else {
            return Err(Error::Argument(format!("slot {slot} is none of {}", self.slots.len())));
        };
        if of.step == of.end {
            return Ok(Poll::End);
        }
        if of.run.is_none() {
            // The first run is short, so that training begins soon.
            let steps = if of.has_run { self.most } else { 1 }.min(of.end - of.step);
            of.run = Some((begin_run(&self.mixing, of.lane, of.step, steps), steps));
        }
        for source in 0..self.sources.len() {
            let missing = self.slots[slot].run.as_ref().map_or(0, |(run, _)| run.missing[source]);
            if missing > 0 && !self.collect(source, slot, timeout)? {
                return Ok(Poll::Pending);
            }
        }
        let of = &mut self.slots[slot];
        let Some((run, steps)) = of.run.take() else { return Err(Error::internal("a run is gone")) };
        of.step += steps;
        of.has_run = true;
        let run = run.gather(&self.sources[0].projection)?;
        // What was taken makes room, for other sources too.
        self.crew.wake();
        Ok(Poll::Run(run))
    }

    /// Takes the rows of a source that a slot's run lacks; false when the time is over.
    fn collect(&mut self, source: usize, slot: usize, timeout: Duration) -> Result<bool> {
        if self.readings[source].is_none() {
            self.open(source)?;
        }
        let (Some(reading), Some((run, _))) = (&mut self.readings[source], &mut self.slots[slot].run) else {
            return Err(Error::internal("a source was not opened"));
        };
        while run.missing[source] > 0 {
            if reading.held[slot].is_empty() {
                self.crew.prefer(reading.number);
                match reading.scheduler.take(slot, timeout)? {
                    Some(output) => reading.held[slot].push_back(output),
                    None => return Ok(false),
                }
            }
            let Some(output) = reading.held[slot].front() else { continue };
            let offset = &mut reading.offsets[slot];
            let count = (output.rows as usize - *offset).min(run.missing[source] as usize);
            let columns: Vec<ArrayRef> = output.columns.iter().map(|column| column.slice(*offset, count)).collect();
            run.pieces[source].push(columns);
            run.missing[source] -= count as u64;
            *offset += count;
            if *offset == output.rows as usize {
                reading.held[slot].pop_front();
                *offset = 0;
            }
        }
        Ok(true)
    }

    /// Begins to read a source.
    fn open(&mut self, source: usize) -> Result<()> {
        let MixedSource { plan, order, projection, selector, store } = &self.sources[source];
        check_selector(plan, selector.as_ref())?;
        let (leg, line) = (&self.mixing.leg, order.line(0)?);
        let size = chunk_size(plan, projection, &line)?;
        let rows = |slot: &Slot| {
            let at = |step: u64| leg.counts().at(leg.lane_rows(step))[source];
            // A run that was begun has none of the source's rows yet.
            LaneRows::new(leg.clone(), source, slot.lane, at(slot.step)..at(slot.end))
        };
        let lanes: Vec<LaneRows> = self.slots.iter().map(rows).collect();
        let schedule = ChunkSchedule::of_lanes(order.clone(), lanes, size.clone())?;
        let options = ReaderOptions {
            num_threads: self.num_threads,
            prefetch_bytes: self.prefetch_bytes,
            store: store.clone(),
            left_out: LeftOut::default(),
        };
        let parts = SourceParts {
            plan: Arc::clone(plan),
            projection: projection.clone(),
            selector: selector.clone(),
            line,
            schedule,
            size,
        };
        let sharing = self.sources.len() as u64;
        let scheduler = Arc::new(parts.scheduler(&options, Some(Arc::clone(&self.crew)), sharing));
        if scheduler.has_filter_prefetch() {
            let scheduler = Arc::clone(&scheduler);
            self.threads.push(spawn("shardline-filter", move || scheduler.filter_prefetch())?);
        }
        let number = self.crew.add(Arc::clone(&scheduler));
        let held = self.slots.iter().map(|_| VecDeque::new()).collect();
        self.readings[source] = Some(Reading { number, scheduler, held, offsets: vec![0; self.slots.len()] });
        self.crew.wake();
        Ok(())
    }

    fn start(&mut self) -> Result<()> {
        if !self.threads.is_empty() {
            return Ok(());
        }
        for number in 0..self.num_threads {
            let crew = Arc::clone(&self.crew);
            self.threads.push(spawn(&format!("shardline-{number}"), move || worker::work_for_all(&crew))?);
        }
        let soon = |slot: &Slot| {
            let at = |step: u64| self.mixing.leg.counts().at(self.mixing.leg.lane_rows(step));
            (at(slot.step), at(slot.step.saturating_add(SOON).min(slot.end)))
        };
        let counts: Vec<(Vec<u64>, Vec<u64>)> = self.slots.iter().map(soon).collect();
        for source in 0..self.sources.len() {
            if counts.iter().any(|(from, to)| to[source] > from[source]) {
                self.open(source)?;
            }
        }
        Ok(())
    }
}

/// The batches of a lane's next steps: how many rows each has of every source, and its key.
fn begin_run(mixing: &Mixing, lane: u64, step: u64, steps: u64) -> MixedRows {
    let leg = &mixing.leg;
    let at = |step: u64| leg.counts().at(leg.lane_rows(step));
    let (mut counts, mut keys, mut from) = (Vec::new(), Vec::new(), at(step));
    for step in step..step + steps {
        let to = at(step + 1);
        counts.push(to.iter().zip(&from).map(|(to, from)| to - from).collect());
        keys.push(batch_key(mixing.seed, mixing.epoch, mixing.before + step * leg.spec().num_shards + lane));
        from = to;
    }
    MixedRows::new(counts, keys)
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(work).map_err(|error| Error::io("starting a thread", &error))
}

impl Drop for MixedReader {
    fn drop(&mut self) {
        // In a forked child the threads do not exist, and the lock may be held for ever: leave everything where it is.
        if self.pid == std::process::id() {
            self.close();
            // SAFETY: nothing touches `inner` after this, since the reader is being dropped.
            unsafe { ManuallyDrop::drop(&mut self.inner) };
        }
    }
}
