//! The reader: one rank's batches of one leg, from its cursor to its end.

use std::collections::BTreeSet;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::batch_run::{BatchRun, Cutter};
use super::crew::Crew;
use super::cursor_decoder::DecodeAhead;
use super::scheduler::{Limits, Scheduler};
use super::state::ReaderMetrics;
use super::worker;
use crate::buffer_pool::Alive;
use crate::decode::{Column, Leaf, Projection, wanted};
use crate::fetch::{Demand, Files};
use crate::files::Plan;
use crate::files::remote::StoreAccess;
use crate::order::{Leg, Line, mul_div};
use crate::schedule::{ChunkSchedule, ChunkSize, LeftOut, Share};
use crate::select::{Selections, Selector};
use crate::store::{Note, Totals, is_remote};
use crate::{Error, Result};

/// A chunk is about this many bytes, decoded.
const CHUNK_BYTES: u64 = 4 << 20;
/// And never more than this many rows, unless a batch is.
const CHUNK_ROWS: u64 = 65_536;

/// Arrays that all batches of a run have together, at the most: a run's become objects at once, and where these are
/// more than 700, Python's collector of garbage looks through them each time.
pub(super) const RUN_ARRAYS: usize = 500;

/// How a reader reads.
#[derive(Debug, Clone)]
pub struct ReaderOptions {
    /// Threads that decode.
    pub num_threads: usize,
    /// Bytes that may be read ahead of the caller.
    pub prefetch_bytes: u64,
    /// How a store is read, if the files are in one.
    pub store: StoreAccess,
    /// Row groups whose rows are left out of their batches.
    pub left_out: LeftOut,
}

/// What came of waiting for a run.
#[derive(Debug)]
pub enum Poll {
    /// The next batches.
    Run(BatchRun),
    /// Not yet.
    Pending,
    /// The shard was delivered to its end.
    End,
}

/// Reads one rank's part of a leg. Its threads start with the first [`poll`](Self::poll) and end when it is dropped.
pub struct Reader {
    inner: ManuallyDrop<Inner>,
    pid: u32,
}

struct Inner {
    scheduler: Arc<Scheduler>,
    threads: Vec<JoinHandle<()>>,
    cutters: Vec<Cutter>,
    num_threads: usize,
    _alive: Alive,
}

impl Reader {
    /// A reader of the leg's batches from its cursor on. Nothing is read before the first poll.
    ///
    /// `selector`: what rows passed that the plan has counts of passing rows of, and are not deleted.
    ///
    /// # Errors
    /// Ranks that do not divide the leg's shards and batches delivered.
    pub fn new(
        plan: Arc<Plan>,
        projection: Projection,
        selector: Option<Arc<Selector>>,
        line: Line,
        leg: &Leg,
        share: Share,
        options: ReaderOptions,
    ) -> Result<Self> {
        let Share { rank, num_ranks } = share;
        let spec = leg.spec();
        if rank >= num_ranks || !spec.num_shards.is_multiple_of(num_ranks) || !spec.delivered.is_multiple_of(num_ranks)
        {
            return Err(Error::Argument(format!(
                "rank {rank} of {num_ranks} cannot go on in a leg of {} shards with {} batches delivered",
                spec.num_shards, spec.delivered
            )));
        }
        if options.num_threads == 0 {
            return Err(Error::Argument("num_threads must be at least 1, not 0".into()));
        }
        check_selector(&plan, selector.as_ref())?;
        let size = chunk_size(&plan, &projection, &line)?;
        let schedule = ChunkSchedule::new(line.clone(), leg, share, size.clone()).leaving_out(options.left_out.clone());
        let most = (RUN_ARRAYS / Leaf::all(projection.columns()).len().max(1)).max(1);
        let cutters = (0..schedule.num_slots())
            .map(|slot| {
                let (batches, rows) = schedule.slot_extent(slot);
                Cutter::new(schedule.batch_size(), batches, rows, most)
            })
            .collect();
        let sources = SourceParts { plan, projection, selector, line, schedule, size };
        let scheduler = sources.scheduler(&options, None, 1);
        let inner = Inner {
            scheduler: Arc::new(scheduler),
            threads: Vec::new(),
            cutters,
            num_threads: options.num_threads,
            _alive: Alive::new(),
        };
        Ok(Self { inner: ManuallyDrop::new(inner), pid: std::process::id() })
    }

    /// m: the shards that batches are taken from in turn.
    pub fn num_slots(&self) -> usize {
        self.inner.cutters.len()
    }

    /// The columns that it delivers.
    pub fn projection(&self) -> &Projection {
        &self.inner.scheduler.projection
    }

    /// The next run of a slot, waiting for it at most this long. After an error, the same error again.
    ///
    /// # Errors
    /// Whatever went wrong with the slot's next rows.
    pub fn poll(&mut self, slot: usize, timeout: Duration) -> Result<Poll> {
        if self.pid != std::process::id() {
            return Err(Error::Forked);
        }
        let inner = &mut *self.inner;
        inner.start()?;
        let Some(cutter) = inner.cutters.get_mut(slot) else {
            return Err(Error::Argument(format!("slot {slot} is none of {}", inner.cutters.len())));
        };
        loop {
            if cutter.is_done() {
                return Ok(Poll::End);
            }
            if let Some(run) = cutter.cut(&inner.scheduler.projection)? {
                return Ok(Poll::Run(run));
            }
            match inner.scheduler.take(slot, timeout)? {
                Some(output) => cutter.feed(output),
                None => return Ok(Poll::Pending),
            }
        }
    }

    /// What was done so far.
    pub fn metrics(&self) -> ReaderMetrics {
        if self.pid == std::process::id() { self.inner.scheduler.lock().metrics } else { ReaderMetrics::default() }
    }

    /// What was asked of a store; None for local files.
    pub fn store_totals(&self) -> Option<Totals> {
        if self.pid == std::process::id() { self.inner.scheduler.files.totals() } else { None }
    }

    /// What is worth a line in the log since the last call.
    pub fn take_notes(&self) -> Vec<Note> {
        if self.pid == std::process::id() { self.inner.scheduler.files.take_notes() } else { Vec::new() }
    }

    /// Stops the threads and frees what was read ahead.
    pub fn close(&mut self) {
        if self.pid != std::process::id() {
            return;
        }
        self.inner.scheduler.close();
        for thread in self.inner.threads.drain(..) {
            // A thread that panicked outside of a task has nothing left to say.
            drop(thread.join());
        }
        self.inner.scheduler.files.release();
        self.inner.cutters.iter_mut().for_each(Cutter::clear);
    }
}

/// What one data set is read with.
pub(super) struct SourceParts {
    pub(super) plan: Arc<Plan>,
    pub(super) projection: Projection,
    pub(super) selector: Option<Arc<Selector>>,
    pub(super) line: Line,
    pub(super) schedule: ChunkSchedule,
    pub(super) size: ChunkSize,
}

impl SourceParts {
    /// The scheduler of its reading. `crew`: threads that are not its own; `sharing`: how many share the budget.
    pub(super) fn scheduler(self, options: &ReaderOptions, crew: Option<Arc<Crew>>, sharing: u64) -> Scheduler {
        let Self { plan, projection, selector, line, schedule, size } = self;
        // What is fetched and what is decoded share the budget.
        let budget = if is_remote(plan.root()) { options.prefetch_bytes / 2 } else { options.prefetch_bytes };
        let own = budget / sharing.max(1);
        let of_filter = || selector.iter().flat_map(|selector| selector.columns());
        let side_by_side: BTreeSet<&str> =
            projection.columns().iter().chain(of_filter()).flat_map(Column::roots).collect();
        let streams = (schedule.num_slots() * side_by_side.len().max(1)) as u64 * line.strands();
        let columns = wanted(projection.sources());
        let filters = wanted(of_filter().flat_map(|column| &column.sources));
        let files = if selector.is_some() { Files::with_statistics(plan) } else { Files::new(plan) };
        let in_windows = line.strands() > 1;
        let files = files.reading(options.store.clone(), Demand { columns, filters, streams, in_windows, budget: own });
        let selections = selector.map(Selections::new);
        let ahead = decode_ahead(&line, schedule.num_slots() as u64, options.prefetch_bytes / sharing.max(1));
        let limits = Limits { budget, size, ahead, num_threads: options.num_threads, crew, sharing };
        Scheduler::new(files, projection, selections, line, schedule, limits)
    }
}

/// Rows that pass are counted and selected, or neither.
pub(super) fn check_selector(plan: &Plan, selector: Option<&Arc<Selector>>) -> Result<()> {
    if selector.is_some() == plan.selects_rows() {
        return Ok(());
    }
    Err(Error::Argument("rows that pass are counted and selected, or neither".into()))
}

/// How much of a plan's rows is decoded at a time.
pub(super) fn chunk_size(plan: &Arc<Plan>, projection: &Projection, line: &Line) -> Result<ChunkSize> {
    match (projection.packing(), plan.token_line()) {
        (None, None) => {
            // So much is decoded for a chunk, of which so much passes.
            let passing = |all| mul_div(all, line.len(), plan.num_rows().max(1)).max(1);
            Ok(ChunkSize::new(passing(CHUNK_ROWS), passing(CHUNK_BYTES), projection.row_bytes_by_group(plan)))
        }
        (Some((columns, pack)), Some(_)) => {
            // A window is held as it is decoded, and all else as it is delivered.
            let (decoded, delivered) = pack.row_bytes(columns);
            let row_bytes = if line.is_row_shuffled() { decoded } else { delivered };
            Ok(ChunkSize::new(CHUNK_ROWS, CHUNK_BYTES, move |_| row_bytes))
        }
        _ => {
            let message = "rows that are packed sequences are read with pack=, and only by it";
            Err(Error::Argument(message.into()))
        }
    }
}

/// A chunk of every row group that is open, or what the budget leaves to it.
fn decode_ahead(line: &Line, slots: u64, prefetch_bytes: u64) -> DecodeAhead {
    let open = (slots * line.strands()).max(1);
    DecodeAhead { of_window: line.window_rows() / line.strands(), bytes: CHUNK_BYTES.min(prefetch_bytes / open) }
}

impl Inner {
    fn start(&mut self) -> Result<()> {
        while self.threads.len() < self.num_threads {
            let scheduler = Arc::clone(&self.scheduler);
            let number = self.threads.len();
            let thread = std::thread::Builder::new()
                .name(format!("shardline-{number}"))
                .spawn(move || worker::work(&scheduler))
                .map_err(|error| Error::io("starting a thread", &error))?;
            self.threads.push(thread);
        }
        if self.scheduler.has_filter_prefetch() && self.threads.len() == self.num_threads {
            let scheduler = Arc::clone(&self.scheduler);
            let thread = std::thread::Builder::new()
                .name("shardline-filter".to_owned())
                .spawn(move || scheduler.filter_prefetch())
                .map_err(|error| Error::io("starting a thread", &error))?;
            self.threads.push(thread);
        }
        Ok(())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // In a forked child the threads do not exist, and the lock may be held for ever: leave everything where it is.
        if self.pid == std::process::id() {
            self.close();
            // SAFETY: nothing touches `inner` after this, since the reader is being dropped.
            unsafe { ManuallyDrop::drop(&mut self.inner) };
        }
    }
}
