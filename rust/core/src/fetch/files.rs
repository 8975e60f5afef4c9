//! The files of a plan, opened when they are needed.

use std::ops::Range;
use std::sync::Arc;

use super::backend::Backend;
use super::local_files::LocalFiles;
use super::remote_files::RemoteFiles;
use super::{Demand, OpenFile};
use crate::Result;
use crate::files::Plan;
use crate::files::remote::StoreAccess;
use crate::files::schema_cache::StatisticsKept;
use crate::order::RowSet;
use crate::store::{Note, Totals, is_remote};

/// All files of a plan, opened when they are needed. Of local files, whatever is said about fetching ahead does
/// nothing.
#[derive(Debug)]
pub struct Files {
    plan: Arc<Plan>,
    statistics: StatisticsKept,
    backend: Box<dyn Backend>,
}

impl Files {
    /// The files of this plan; those of a store with default options and without a demand.
    pub fn new(plan: Arc<Plan>) -> Self {
        Self::read_by(plan, StatisticsKept::None, StoreAccess::default(), Demand::default())
    }

    /// The files of this plan, with the statistics in their footers, which filters use.
    pub fn with_statistics(plan: Arc<Plan>) -> Self {
        Self::read_by(plan, StatisticsKept::Values, StoreAccess::default(), Demand::default())
    }

    /// The files of this plan, with all that their footers count, levels too.
    pub fn with_sizes(plan: Arc<Plan>) -> Self {
        Self::read_by(plan, StatisticsKept::ValuesAndSizes, StoreAccess::default(), Demand::default())
    }

    /// The same; those of a store are accessed as `store` says, and fetched as `demand` needs them.
    #[must_use]
    pub fn reading(self, store: StoreAccess, demand: Demand) -> Self {
        Self::read_by(self.plan, self.statistics, store, demand)
    }

    fn read_by(plan: Arc<Plan>, statistics: StatisticsKept, store: StoreAccess, demand: Demand) -> Self {
        let backend: Box<dyn Backend> = if is_remote(plan.root()) {
            Box::new(RemoteFiles::new(Arc::clone(&plan), store, demand, statistics))
        } else {
            Box::new(LocalFiles::new(Arc::clone(&plan), statistics))
        };
        Self { plan, statistics, backend }
    }

    /// The plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Opens a file and checks that its footer is the planned one.
    ///
    /// # Errors
    /// The file vanished, changed, or cannot be read.
    pub fn open(&self, index: usize) -> Result<Arc<OpenFile>> {
        self.backend.open(index)
    }

    /// Checks that an open file was not overwritten since it was opened: what was read before is what was planned.
    ///
    /// # Errors
    /// The file changed. Of a store: the first error of this thread since it opened the file, which decoders report as
    /// damage.
    pub fn check(&self, index: usize, open: &OpenFile) -> Result<()> {
        self.backend.check(index, open)
    }

    /// Begins a turn, and to fetch what its rows are stored in, given by row group (counted over all files); this is
    /// kept until the turn is finished. Turns are counted from 0, and needed in that order.
    pub fn prefetch(&self, turn: u64, mut slices: impl Iterator<Item = (usize, Range<u64>)>) {
        self.backend.prefetch(turn, &mut slices);
    }

    /// Begins to fetch all columns of a row group that a filter reads.
    pub(crate) fn prefetch_filter(&self, turn: u64, group: usize) {
        self.backend.prefetch_filter(turn, group);
    }

    /// As [`prefetch`](Self::prefetch), for rows of a set.
    pub(crate) fn prefetch_set(&self, turn: u64, group: usize, set: &RowSet, rows: Range<u64>) {
        self.backend.prefetch_set(turn, group, set, rows);
    }

    /// Begins a turn whose needs are not known yet.
    pub(crate) fn begin(&self, turn: u64) {
        self.backend.begin(turn);
    }

    /// Finishes a turn: its rows were read, or are no longer needed.
    pub(crate) fn finish(&self, turn: u64) {
        self.backend.finish(turn);
    }

    /// Says that the read of a row group (counted over all files) that stood at this row was closed: its dictionaries
    /// are read again with the rows that follow.
    pub(crate) fn closed(&self, group: usize, row: u64) {
        self.backend.closed(group, row);
    }

    /// Begins to open a file.
    pub(crate) fn warm(&self, index: usize) {
        self.backend.warm(index);
    }

    /// Whether the files are in a store.
    pub(crate) fn are_remote(&self) -> bool {
        self.backend.store().is_some()
    }

    /// Ends all waiting for a store; nothing can be read afterwards.
    pub fn close(&self) {
        self.backend.close();
    }

    /// Releases a store's connections, once nobody reads any longer.
    pub fn release(&self) {
        self.backend.release();
    }

    /// The requests to a store so far; None for local files.
    pub fn totals(&self) -> Option<Totals> {
        self.backend.store().map(|store| store.metrics.totals())
    }

    /// The log lines since the last call.
    pub fn take_notes(&self) -> Vec<Note> {
        self.backend.store().map_or_else(Vec::new, |store| store.metrics.take_notes())
    }
}
