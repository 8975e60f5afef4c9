//! Prefetching of the columns that are read to count rows in a store.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Selector;
use crate::decode::wanted;
use crate::fetch::{Demand, Files};
use crate::files::Plan;

/// Bytes that may be here before they are counted.
const BUDGET: u64 = 128 << 20;
/// Row groups ahead, at most.
const MOST: u64 = 64;

/// The row groups to come of those that are counted.
pub(super) struct CountPrefetch<'a> {
    plan: &'a Arc<Plan>,
    selector: &'a Selector,
    groups: &'a [usize],
    /// How many row groups are looked ahead.
    depth: usize,
    /// Those whose files were opened ahead, and those whose columns were fetched ahead.
    warmed: AtomicUsize,
    asked: AtomicUsize,
}

impl<'a> CountPrefetch<'a> {
    pub(super) fn new(plan: &'a Arc<Plan>, selector: &'a Selector, groups: &'a [usize]) -> Self {
        let rows = groups.iter().map(|&group| plan.group_rows()[group]).max().unwrap_or(0);
        let depth = (BUDGET / (rows * selector.row_bytes()).max(1)).clamp(2, MOST) as usize;
        let (warmed, asked) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { plan, selector, groups, depth, warmed, asked }
    }

    pub(super) fn demand(&self) -> Demand {
        let columns = self.selector.columns();
        let streams = (self.depth * columns.len()) as u64;
        let filters = wanted(columns.iter().flat_map(|column| &column.sources));
        Demand { filters, streams, budget: BUDGET, ..Demand::default() }
    }

    /// Asks for what is needed soon after the `at`-th row group: footers first, then the columns of row groups whose
    /// footers do not tell how many rows pass. It stops once these are not needed any longer.
    pub(super) fn advance(&self, files: &Files, at: usize, is_needed: impl Fn() -> bool) {
        if !files.are_remote() {
            return;
        }
        let mut last = None;
        for turn in self.claim(&self.warmed, at + 2 * self.depth) {
            let index = self.plan.file_of_group(self.groups[turn]);
            if last.replace(index) != Some(index) {
                files.warm(index);
            }
        }
        for turn in self.claim(&self.asked, at + self.depth) {
            if !is_needed() {
                return;
            }
            if self.selector.is_read(files, self.groups[turn]) {
                files.begin(turn as u64);
                files.prefetch_filter(turn as u64, self.groups[turn]);
            }
        }
    }

    /// Releases what was fetched for a row group that was counted.
    pub(super) fn finish(&self, files: &Files, at: usize) {
        files.finish(at as u64);
    }

    /// The row groups up to the `until`-th that no thread has claimed yet.
    fn claim(&self, claimed: &AtomicUsize, until: usize) -> Range<usize> {
        let until = until.min(self.groups.len());
        claimed.fetch_max(until, Ordering::Relaxed).min(until)..until
    }
}
