//! The objects of a plan: opened when they are needed, and fetched ahead of their reading.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use super::backend::Backend;
use super::column_chunk::{ReadPurpose, RowsAhead};
use super::connection::Connection;
use super::fault::take_fault;
use super::prefetch_ends::PrefetchEnds;
use super::{Demand, FileHandle, OpenFile};
use crate::files::Plan;
use crate::files::remote::StoreAccess;
use crate::files::schema_cache::StatisticsKept;
use crate::order::RowSet;
use crate::sync::lock;
use crate::{Error, Result};

/// The objects of a plan, for one reader. It connects when it first reads, in the process that does.
pub(super) struct RemoteFiles {
    plan: Arc<Plan>,
    store: StoreAccess,
    demand: Demand,
    statistics: StatisticsKept,
    connection: Mutex<Option<Connection>>,
    prefetched: Mutex<PrefetchEnds>,
}

impl std::fmt::Debug for RemoteFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteFiles").field("root", &self.plan.root()).finish_non_exhaustive()
    }
}

impl RemoteFiles {
    pub(super) fn new(plan: Arc<Plan>, store: StoreAccess, demand: Demand, statistics: StatisticsKept) -> Self {
        Self { plan, store, demand, statistics, connection: Mutex::new(None), prefetched: Mutex::default() }
    }

    fn connection(&self) -> Result<Connection> {
        let mut connection = lock(&self.connection);
        if let Some(connection) = connection.as_ref() {
            return Ok(connection.clone());
        }
        if self.store.cancel.is_cancelled() {
            return Err(Error::Closed);
        }
        let made = Connection::new(&self.plan, &self.store, &self.demand, self.statistics)?;
        *connection = Some(made.clone());
        Ok(made)
    }

    /// Begins to fetch rows of a file. Does not wait, and reports no errors: whoever reads the rows gets them.
    fn fetch(&self, index: usize, slices: Vec<RowsAhead>, turn: u64, purpose: ReadPurpose) {
        let Ok(Connection { objects, runtime }) = self.connection() else { return };
        let Ok(handle) = runtime.handle() else { return };
        handle.spawn(async move {
            let Ok(file) = objects.open(index).await else { return };
            let FileHandle::Remote(remote) = &file.handle else { return };
            let needs_index = |ahead: &RowsAhead| {
                remote.is_paged(ahead.group) == Some(true)
                    || (ahead.is_new && remote.is_far(ahead.group, ahead.rows.start))
            };
            if purpose == ReadPurpose::Deliver {
                for ahead in &slices {
                    file.choose_pages(remote, ahead.group, None).await;
                }
            }
            // The offset index takes one more request.
            let metadata = if slices.iter().any(needs_index) { file.indexed(remote).await } else { file.known() };
            remote.prefetch(&slices, metadata, turn, purpose);
            objects.weigh(index, &file);
        });
    }

    /// Where a read begins that is to deliver a row group's rows from this one on: packed sequences are counted from the
    /// first document on.
    fn first_row(&self, row: u64) -> u64 {
        if self.plan.token_line().is_some() { 0 } else { row }
    }
}

impl Backend for RemoteFiles {
    fn open(&self, index: usize) -> Result<Arc<OpenFile>> {
        take_fault();
        let Connection { objects, runtime } = self.connection()?;
        if let Some(file) = objects.opened(index) {
            return Ok(file);
        }
        runtime.wait(&self.store.cancel, async { objects.open(index).await })
    }

    fn check(&self, _index: usize, _open: &OpenFile) -> Result<()> {
        take_fault().map_or(Ok(()), Err)
    }

    fn store(&self) -> Option<&StoreAccess> {
        Some(&self.store)
    }

    fn begin(&self, turn: u64) {
        if let Ok(Connection { objects, .. }) = self.connection() {
            objects.fetcher.begin(turn);
        }
    }

    fn finish(&self, turn: u64) {
        if let Some(Connection { objects, .. }) = &*lock(&self.connection) {
            objects.fetcher.finish(turn);
        }
    }

    fn prefetch(&self, turn: u64, slices: &mut dyn Iterator<Item = (usize, Range<u64>)>) {
        let mut files: Vec<(usize, Vec<RowsAhead>)> = Vec::new();
        let mut prefetched = lock(&self.prefetched);
        for (group, rows) in slices.filter(|(_, rows)| !rows.is_empty()) {
            let index = self.plan.file_of_group(group);
            let all = self.plan.group_rows()[group];
            let is_new = prefetched.is_new(group, &rows, all);
            let rows = if is_new { self.first_row(rows.start)..rows.end } else { rows };
            let ahead = RowsAhead { group: group - self.plan.groups(index).start, rows, all, is_new };
            match files.last_mut() {
                Some((last, slices)) if *last == index => slices.push(ahead),
                _ => files.push((index, vec![ahead])),
            }
        }
        drop(prefetched);
        self.begin(turn);
        files.into_iter().for_each(|(index, slices)| self.fetch(index, slices, turn, ReadPurpose::Deliver));
    }

    fn prefetch_filter(&self, turn: u64, group: usize) {
        let (index, all) = (self.plan.file_of_group(group), self.plan.group_rows()[group]);
        let ahead = RowsAhead { group: group - self.plan.groups(index).start, rows: 0..all, all, is_new: true };
        self.fetch(index, vec![ahead], turn, ReadPurpose::Filter);
    }

    fn prefetch_set(&self, turn: u64, group: usize, set: &RowSet, rows: Range<u64>) {
        if rows.is_empty() {
            return;
        }
        let (index, all) = (self.plan.file_of_group(group), set.rows());
        let is_new = lock(&self.prefetched).is_new(group, &rows, set.len());
        // A read that is continued stands behind the row before.
        let start = if is_new { set.row(self.first_row(rows.start)) } else { set.row(rows.start - 1) + 1 };
        let rows = start..set.row(rows.end - 1) + 1;
        let ahead = RowsAhead { group: group - self.plan.groups(index).start, rows, all, is_new };
        self.fetch(index, vec![ahead], turn, ReadPurpose::Deliver);
    }

    fn closed(&self, group: usize, row: u64) {
        lock(&self.prefetched).forget(group, row);
    }

    fn warm(&self, index: usize) {
        let Ok(Connection { objects, runtime }) = self.connection() else { return };
        let Ok(handle) = runtime.handle() else { return };
        handle.spawn(async move { objects.open(index).await.map(drop) });
    }

    fn close(&self) {
        self.store.cancel.cancel();
    }

    fn release(&self) {
        drop(lock(&self.connection).take());
    }
}
