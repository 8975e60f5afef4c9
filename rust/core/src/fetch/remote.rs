//! The objects of a plan: opened when they are needed, and what will be read of them asked for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::object::{Ahead, RemoteFile};
use super::open::OpenFile;
use super::parts::{Limits, Parts, Place, vanished};
use super::{Source, open};
use crate::files::remote::{From, footer_bytes};
use crate::files::{FileTable, footer};
use crate::store::{Location, Runtime, Stamp};
use crate::{Error, Result};

/// How much of an object's end is asked for to find its footer.
const GUESS: u64 = 64 << 10;
/// How many bytes parsed footers may take.
const MAX_FOOTER_BYTES: usize = 64 << 20;
/// Parts are at least this large: less is not worth a request.
const LEAST_PART: u64 = 64 << 10;

/// What a reader reads at a time, so that parts can be cut to fit the memory they may take.
#[derive(Debug, Clone, Default)]
pub struct Demand {
    /// The names of the top-level columns.
    pub columns: Vec<String>,
    /// Columns of row groups that are read side by side.
    pub streams: u64,
    /// Bytes that may be kept.
    pub budget: u64,
}

thread_local! {
    /// What this thread met while a decoder read through it, which makes damage of every error.
    static FAULT: RefCell<Option<Error>> = const { RefCell::new(None) };
}

pub(super) fn keep_fault(error: &Error) {
    FAULT.with_borrow_mut(|fault| {
        fault.get_or_insert_with(|| error.clone());
    });
}

/// The first error that this thread met while it read, since it was last asked.
pub(super) fn take_fault() -> Option<Error> {
    FAULT.take()
}

/// The objects of a plan, for one reader. Made when it first reads, in the process that does.
pub(super) struct Remote {
    table: Arc<FileTable>,
    from: From,
    demand: Demand,
    statistics: bool,
    live: Mutex<Option<Live>>,
    planned: Mutex<Planned>,
}

/// What was asked for ahead so far.
#[derive(Default)]
struct Planned {
    /// Calls.
    turn: u64,
    /// Of row groups that were asked for in part, the rows up to which they were.
    ends: HashMap<usize, Vec<u64>>,
}

impl Planned {
    /// Whether rows of a row group do not go on where others end; from here on others may go on where they end.
    fn is_new(&mut self, group: usize, rows: &Range<u64>, all: u64) -> bool {
        let ends = self.ends.entry(group).or_default();
        let before = ends.iter().position(|&end| end == rows.start && rows.start > 0);
        if let Some(at) = before {
            ends.swap_remove(at);
        }
        if rows.end < all {
            ends.push(rows.end);
        }
        if ends.is_empty() {
            self.ends.remove(&group);
        }
        before.is_none()
    }
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("root", &self.table.root()).finish_non_exhaustive()
    }
}

/// What lives while somebody reads.
#[derive(Clone)]
struct Live {
    shared: Arc<Shared>,
    runtime: Arc<Runtime>,
}

/// What tasks share: not the runtime, which must not be dropped by one of its own threads.
struct Shared {
    table: Arc<FileTable>,
    from: From,
    client: Arc<crate::store::Client>,
    parts: Arc<Parts>,
    columns: Vec<String>,
    statistics: bool,
    part_bytes: u64,
    open: Mutex<Opened>,
}

type Cell = Arc<OnceCell<Arc<OpenFile>>>;

#[derive(Default)]
struct Opened {
    /// By file: it, when it was last used, and its footer's bytes.
    files: HashMap<usize, (Cell, u64, usize)>,
    clock: u64,
    bytes: usize,
}

impl Remote {
    pub(super) fn new(table: Arc<FileTable>, from: From, demand: Demand, statistics: bool) -> Self {
        Self { table, from, demand, statistics, live: Mutex::new(None), planned: Mutex::default() }
    }

    fn live(&self) -> Result<Live> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = live.as_ref() {
            return Ok(live.clone());
        }
        if self.from.cancel.is_cancelled() {
            return Err(Error::Closed);
        }
        let runtime = Runtime::get()?;
        let location = Location::of(self.table.root())?;
        let client = runtime.client(&location, &self.from.options)?;
        let Demand { columns, streams, budget } = self.demand.clone();
        let streams = streams.max(1);
        let part_bytes = (budget / (2 * streams)).clamp(LEAST_PART, client.tuning().request_bytes.max(LEAST_PART));
        let capacity = budget.max(2 * streams * part_bytes);
        let (cancel, metrics) = (self.from.cancel.clone(), Arc::clone(&self.from.metrics));
        // A gap that is a part itself is one that will be wanted.
        let gap = client.tuning().gap_bytes.min(part_bytes * 2 / 5);
        let limits = Limits { capacity, gap, request: client.tuning().request_bytes };
        let parts = Parts::new(Arc::clone(&client), runtime.handle()?.clone(), cancel, metrics, limits);
        let (table, from) = (Arc::clone(&self.table), self.from.clone());
        let (parts, statistics, open) = (Arc::new(parts), self.statistics, Mutex::default());
        let shared = Shared { table, from, client, parts, columns, statistics, part_bytes, open };
        let made = Live { shared: Arc::new(shared), runtime };
        *live = Some(made.clone());
        Ok(made)
    }

    pub(super) fn open(&self, index: usize) -> Result<Arc<OpenFile>> {
        let Live { shared, runtime } = self.live()?;
        if let Some(file) = shared.cell(index).get() {
            return Ok(Arc::clone(file));
        }
        runtime.wait(&self.from.cancel, async { shared.open(index).await })
    }

    /// Begins to fetch what rows of row groups (counted over all files) are stored in. Does not wait, and says nothing of
    /// faults: who reads the rows meets them.
    pub(super) fn prefetch(&self, slices: impl Iterator<Item = (usize, Range<u64>)>) {
        let mut files: Vec<(usize, Vec<Ahead>)> = Vec::new();
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        planned.turn += 1;
        let turn = planned.turn;
        for (group, rows) in slices {
            let index = self.table.file_of_group(group);
            // Rows that a filter leaves are numbered among themselves.
            let all = self.table.passing().map_or(self.table.group_rows()[group], |passing| passing.counts[group]);
            let is_new = planned.is_new(group, &rows, all);
            let ahead = Ahead { group: group - self.table.groups(index).start, rows, all, is_new };
            match files.last_mut() {
                Some((last, slices)) if *last == index => slices.push(ahead),
                _ => files.push((index, vec![ahead])),
            }
        }
        drop(planned);
        files.into_iter().for_each(|(index, slices)| self.ahead(index, slices, turn));
    }

    fn ahead(&self, index: usize, slices: Vec<Ahead>, turn: u64) {
        let Ok(Live { shared, runtime }) = self.live() else { return };
        let Ok(handle) = runtime.handle() else { return };
        let whole = self.table.passing().is_none();
        handle.spawn(async move {
            let Ok(file) = shared.open(index).await else { return };
            let Source::Remote(remote) = &file.source else { return };
            let far = |ahead: &Ahead| whole && ahead.is_new && remote.is_far(ahead.group, ahead.rows.start);
            // Where its pages begin is one request more.
            let metadata = if slices.iter().any(far) { file.paged(remote).await } else { &file.metadata };
            remote.prefetch(&slices, metadata, turn);
        });
    }

    /// Begins to open a file. Says nothing of faults either.
    pub(super) fn warm(&self, index: usize) {
        let Ok(Live { shared, runtime }) = self.live() else { return };
        let Ok(handle) = runtime.handle() else { return };
        handle.spawn(async move { shared.open(index).await.map(drop) });
    }

    /// Ends all waiting.
    pub(super) fn close(&self) {
        self.from.cancel.cancel();
    }

    /// Lets go of the runtime: the last reader's ends it. Nobody waits on it any longer.
    pub(super) fn release(&self) {
        drop(self.live.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    pub(super) fn from(&self) -> &From {
        &self.from
    }
}

impl Shared {
    /// Where a file stands once it is open.
    fn cell(&self, index: usize) -> Cell {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.clock += 1;
        let now = open.clock;
        let entry = open.files.entry(index).or_default();
        entry.1 = now;
        Arc::clone(&entry.0)
    }

    async fn open(&self, index: usize) -> Result<Arc<OpenFile>> {
        let cell = self.cell(index);
        if let Some(file) = cell.get() {
            return Ok(Arc::clone(file));
        }
        let file = Arc::clone(cell.get_or_try_init(|| self.read(index)).await?);
        let bytes = file.metadata.metadata().memory_size();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = open.files.get_mut(&index)
            && entry.2 == 0
        {
            entry.2 = bytes;
            open.bytes += bytes;
        }
        while open.bytes > MAX_FOOTER_BYTES && open.files.len() > 1 {
            let oldest = open.files.iter().filter(|(_, entry)| entry.2 > 0).min_by_key(|(_, entry)| entry.1);
            let Some(oldest) = oldest.map(|(&oldest, _)| oldest) else { break };
            if let Some((_, _, freed)) = open.files.remove(&oldest) {
                open.bytes -= freed;
            }
        }
        Ok(file)
    }

    async fn read(&self, index: usize) -> Result<Arc<OpenFile>> {
        let path = self.table.path(index);
        let key = Location::of(&path)?.key;
        let planned = self.table.file(index);
        let stamp = Stamp { size: planned.size, tag: self.table.tag(index).to_owned() };
        let found = footer_bytes(&self.client, &key, &stamp, GUESS, &self.from.metrics).await;
        let (footer, stamp) = found.map_err(|error| match error {
            Error::NotFound { path } => vanished(&path),
            Error::Corrupt { detail, .. } => open::changed(&path, &format!("the object changed ({detail})")),
            other => other,
        })?;
        if footer::hash(&footer) != planned.hash {
            return Err(open::changed(&path, "the object's footer changed"));
        }
        let metadata = open::parse(&path, &footer, self.statistics)?;
        let place = Arc::new(Place { file: index as u32, key, stamp });
        let file = RemoteFile::new(Arc::clone(&self.parts), place, &metadata, &self.columns, self.part_bytes);
        Ok(Arc::new(OpenFile::new(path, Source::Remote(file), metadata)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_on_where_others_ended_and_are_new_elsewhere() {
        let mut planned = Planned::default();
        let mut is_new = |group, rows| planned.is_new(group, &rows, 100);
        assert!(is_new(0, 0..40));
        assert!(!is_new(0, 40..60));
        assert!(is_new(0, 50..70), "another shard, from the middle on");
        assert!(is_new(1, 60..80));
        assert!(!is_new(0, 60..100));
        assert!(!is_new(0, 70..100));
        assert!(is_new(0, 0..100), "again from its start");
        assert!(is_new(0, 40..60), "what it went on from was read to its end");
        assert_eq!(planned.ends.len(), 2);
    }
}
