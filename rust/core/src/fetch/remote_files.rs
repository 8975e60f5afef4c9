//! The objects of a plan: opened when they are needed, and what will be read of them asked for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::files::OpenFile;
use super::lru::LruByBytes;
use super::range_cache::Limits;
use super::range_fetcher::{ObjectRef, RangeFetcher, vanished};
use super::remote_file::{ReadPurpose, RemoteFile, RowsAhead};
use super::{FileHandle, FileMetadata, files};
use crate::files::remote::{StoreAccess, footer_bytes};
use crate::files::{Plan, footer};
use crate::order::RowSet;
use crate::store::{Location, Runtime, Stamp};
use crate::{Error, Result};

/// How much of an object's end is asked for to find its footer.
const GUESS: u64 = 64 << 10;
/// How many bytes parsed footers may take, with the places of pages where those were read.
const MAX_FOOTER_BYTES: usize = 64 << 20;
/// Parts are at least this large: less is not worth a request.
const LEAST_PART: u64 = 64 << 10;
/// What is fetched ahead may be this much more than what may be kept, however little that is: a window, or a chunk.
const SLACK: u64 = 64 << 20;

/// What a reader reads at a time, so that parts can be cut to fit the memory they may take.
#[derive(Debug, Clone, Default)]
pub struct Demand {
    /// The leaves that are delivered.
    pub columns: Leaves,
    /// Those that a filter reads.
    pub filters: Leaves,
    /// Columns of row groups that are read side by side.
    pub streams: u64,
    /// Bytes that may be kept.
    pub budget: u64,
}

/// Leaves of a file, by its own footer: files of a plan need not have them in one order.
#[derive(Clone)]
pub struct Leaves(Arc<Find>);

type Find = dyn Fn(&FileMetadata) -> Vec<usize> + Send + Sync;

impl Leaves {
    /// Those that `find` tells.
    pub fn new(find: impl Fn(&FileMetadata) -> Vec<usize> + Send + Sync + 'static) -> Self {
        Self(Arc::new(find))
    }

    /// Of each leaf of a file, whether it is one of them.
    pub(super) fn of(&self, metadata: &FileMetadata) -> Vec<bool> {
        let mut found = vec![false; metadata.parquet_schema().num_columns()];
        for leaf in (self.0)(metadata) {
            found[leaf] = true;
        }
        found
    }
}

impl Default for Leaves {
    fn default() -> Self {
        Self::new(|_| Vec::new())
    }
}

impl std::fmt::Debug for Leaves {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Leaves")
    }
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
pub(super) struct RemoteFiles {
    plan: Arc<Plan>,
    from: StoreAccess,
    demand: Demand,
    statistics: bool,
    live: Mutex<Option<Connection>>,
    planned: Mutex<Planned>,
}

/// What was asked for ahead so far: of row groups that were asked for in part, the rows up to which they were.
#[derive(Default)]
struct Planned {
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

impl std::fmt::Debug for RemoteFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("root", &self.plan.root()).finish_non_exhaustive()
    }
}

/// What lives while somebody reads.
#[derive(Clone)]
struct Connection {
    shared: Arc<Shared>,
    runtime: Arc<Runtime>,
}

/// What tasks share: not the runtime, which must not be dropped by one of its own threads.
struct Shared {
    plan: Arc<Plan>,
    from: StoreAccess,
    client: Arc<crate::store::Client>,
    parts: Arc<RangeFetcher>,
    demand: Demand,
    statistics: bool,
    part_bytes: u64,
    open: Mutex<LruByBytes<Arc<OpenFile>>>,
}

impl RemoteFiles {
    pub(super) fn new(plan: Arc<Plan>, from: StoreAccess, demand: Demand, statistics: bool) -> Self {
        Self { plan, from, demand, statistics, live: Mutex::new(None), planned: Mutex::default() }
    }

    fn live(&self) -> Result<Connection> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = live.as_ref() {
            return Ok(live.clone());
        }
        if self.from.cancel.is_cancelled() {
            return Err(Error::Closed);
        }
        let runtime = Runtime::get()?;
        let location = Location::of(self.plan.root())?;
        let client = runtime.client(&location, &self.from.options)?;
        let demand = self.demand.clone();
        let (streams, budget) = (demand.streams.max(1), demand.budget);
        let part_bytes = (budget / (2 * streams)).clamp(LEAST_PART, client.tuning().request_bytes.max(LEAST_PART));
        let capacity = budget.max(2 * streams * part_bytes);
        let (cancel, metrics) = (self.from.cancel.clone(), Arc::clone(&self.from.metrics));
        // A gap that is a part itself is one that will be wanted.
        let gap = client.tuning().gap_bytes.min(part_bytes * 2 / 5);
        let (request, requests) = (client.tuning().request_bytes, client.tuning().max_requests);
        let limits = Limits { capacity, most: 2 * capacity + SLACK, gap, request, requests };
        let parts = RangeFetcher::new(Arc::clone(&client), runtime.handle()?.clone(), cancel, metrics, limits);
        let (plan, from) = (Arc::clone(&self.plan), self.from.clone());
        let (parts, statistics) = (Arc::new(parts), self.statistics);
        let open = Mutex::new(LruByBytes::new(MAX_FOOTER_BYTES));
        let shared = Shared { plan, from, client, parts, demand, statistics, part_bytes, open };
        let made = Connection { shared: Arc::new(shared), runtime };
        *live = Some(made.clone());
        Ok(made)
    }

    pub(super) fn open(&self, index: usize) -> Result<Arc<OpenFile>> {
        let Connection { shared, runtime } = self.live()?;
        if let Some(file) = shared.opened(index) {
            return Ok(file);
        }
        runtime.wait(&self.from.cancel, async { shared.open(index).await })
    }

    /// Begins to fetch what rows of row groups (counted over all files) are stored in. Does not wait, and says nothing of
    /// faults: who reads the rows meets them.
    pub(super) fn prefetch(&self, turn: u64, slices: impl Iterator<Item = (usize, Range<u64>)>) {
        let mut files: Vec<(usize, Vec<RowsAhead>)> = Vec::new();
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        for (group, rows) in slices {
            let index = self.plan.file_of_group(group);
            let all = self.plan.group_rows()[group];
            let is_new = planned.is_new(group, &rows, all);
            let ahead = RowsAhead { group: group - self.plan.groups(index).start, rows, all, is_new };
            match files.last_mut() {
                Some((last, slices)) if *last == index => slices.push(ahead),
                _ => files.push((index, vec![ahead])),
            }
        }
        drop(planned);
        self.begin(turn);
        files.into_iter().for_each(|(index, slices)| self.ahead(index, slices, turn, ReadPurpose::Deliver));
    }

    pub(super) fn prefetch_filter(&self, turn: u64, group: usize) {
        let (index, all) = (self.plan.file_of_group(group), self.plan.group_rows()[group]);
        let ahead = RowsAhead { group: group - self.plan.groups(index).start, rows: 0..all, all, is_new: true };
        self.ahead(index, vec![ahead], turn, ReadPurpose::Filter);
    }

    /// `rows`: of the set.
    pub(super) fn prefetch_set(&self, turn: u64, group: usize, set: &RowSet, rows: Range<u64>) {
        if rows.is_empty() {
            return;
        }
        let (index, all) = (self.plan.file_of_group(group), set.rows());
        let is_new = self.planned.lock().unwrap_or_else(PoisonError::into_inner).is_new(group, &rows, set.len());
        // Who goes on stands behind the row before.
        let start = if is_new { set.row(rows.start) } else { set.row(rows.start - 1) + 1 };
        let rows = start..set.row(rows.end - 1) + 1;
        let ahead = RowsAhead { group: group - self.plan.groups(index).start, rows, all, is_new };
        self.ahead(index, vec![ahead], turn, ReadPurpose::Deliver);
    }

    fn ahead(&self, index: usize, slices: Vec<RowsAhead>, turn: u64, purpose: ReadPurpose) {
        let Ok(Connection { shared, runtime }) = self.live() else { return };
        let Ok(handle) = runtime.handle() else { return };
        handle.spawn(async move {
            let Ok(file) = shared.open(index).await else { return };
            let FileHandle::Remote(remote) = &file.handle else { return };
            let knows = |ahead: &RowsAhead| {
                remote.is_cut(ahead.group) == Some(true)
                    || (ahead.is_new && remote.is_far(ahead.group, ahead.rows.start))
            };
            // Where its pages begin is one request more.
            let metadata = if slices.iter().any(knows) { file.paged(remote).await } else { &file.metadata };
            remote.prefetch(&slices, metadata, turn, purpose);
            shared.places().weigh(index, file.depth(), || file.memory());
        });
    }

    pub(super) fn begin(&self, turn: u64) {
        if let Ok(Connection { shared, .. }) = self.live() {
            shared.parts.begin(turn);
        }
    }

    pub(super) fn finish(&self, turn: u64) {
        if let Some(Connection { shared, .. }) = &*self.live.lock().unwrap_or_else(PoisonError::into_inner) {
            shared.parts.finish(turn);
        }
    }

    /// Begins to open a file. Says nothing of faults either.
    pub(super) fn warm(&self, index: usize) {
        let Ok(Connection { shared, runtime }) = self.live() else { return };
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

    pub(super) fn from(&self) -> &StoreAccess {
        &self.from
    }
}

impl Shared {
    fn places(&self) -> MutexGuard<'_, LruByBytes<Arc<OpenFile>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file that is open.
    fn opened(&self, index: usize) -> Option<Arc<OpenFile>> {
        let mut places = self.places();
        let file = places.place(index).get().cloned();
        if let Some(file) = &file {
            places.weigh(index, file.depth(), || file.memory());
        }
        file
    }

    async fn open(&self, index: usize) -> Result<Arc<OpenFile>> {
        let place = self.places().place(index);
        let file = Arc::clone(place.get_or_try_init(|| self.read(index)).await?);
        self.places().weigh(index, file.depth(), || file.memory());
        Ok(file)
    }

    async fn read(&self, index: usize) -> Result<Arc<OpenFile>> {
        let path = self.plan.path(index);
        let key = Location::of(&path)?.key;
        let planned = self.plan.file(index);
        let stamp = Stamp::planned(planned.size, self.plan.tag(index));
        let found = footer_bytes(&self.client, &key, &stamp, GUESS, &self.from.metrics).await;
        let (footer, stamp) = found.map_err(|error| match error {
            Error::NotFound { path } => vanished(&path),
            Error::Corrupt { detail, .. } => files::changed(&path, &format!("the object changed ({detail})")),
            other => other,
        })?;
        if footer::hash(&footer) != planned.hash {
            return Err(files::changed(&path, "the object's footer changed"));
        }
        let metadata = files::parse(&path, &footer, self.statistics)?;
        let place = Arc::new(ObjectRef { file: index as u32, key, stamp });
        let file = RemoteFile::new(Arc::clone(&self.parts), place, &metadata, &self.demand, self.part_bytes);
        Ok(Arc::new(OpenFile::new(path, FileHandle::Remote(file), metadata)))
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
