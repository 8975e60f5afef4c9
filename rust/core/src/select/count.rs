//! The count of the rows that pass, before the first batch; and the files of which no row can pass, by their folders.

use std::sync::Arc;

use arrow_array::RecordBatch;

use super::Selector;
use super::count_prefetch::CountPrefetch;
use super::predicate::Predicate;
use super::pruning::{self, ColumnStats};
use crate::fetch::Files;
use crate::files::Plan;
use crate::files::remote::StoreAccess;
use crate::parallel::{self, Tasks};
use crate::{Error, Result};

/// How many rows of each of these row groups (ascending) pass, found on up to `num_threads` threads, which are joined
/// before it returns. `progress`, of how many row groups are done, may stop it by an error.
///
/// # Errors
/// That of the first row group, in order, that cannot be counted.
pub fn count(
    plan: &Arc<Plan>,
    store: StoreAccess,
    selector: &Selector,
    groups: &[usize],
    num_threads: usize,
    mut progress: impl FnMut(usize) -> Result<()>,
) -> Result<Vec<u64>> {
    if !selector.is_filter() {
        return groups.iter().map(|&group| selector.sampled(plan, group)).collect();
    }
    let prefetch = CountPrefetch::new(plan, selector, groups);
    let files = Files::with_statistics(Arc::clone(plan)).reading(store, prefetch.demand());
    let run = |at: usize, tasks: &Tasks| {
        prefetch.advance(&files, at, || tasks.is_needed(at));
        let counted = selector.count(&files, groups[at]);
        prefetch.finish(&files, at);
        counted
    };
    let mut counts = Vec::with_capacity(groups.len());
    parallel::for_each_in_order(
        "count",
        groups.len(),
        num_threads,
        run,
        |rows| counts.push(rows),
        // A store may be silent for long.
        |done| progress(done).inspect_err(|_| files.close()),
    )?;
    Ok(counts)
}

/// Whether any row of a file may pass, as far as its bounds tell: for each row of `low` and `high`, between whose values
/// those of its rows are, and which are both the value where there is one, or null where all are.
///
/// Conditions on other columns are steps of [`Unknown`](super::FilterOp::Unknown).
///
/// # Errors
/// A column that is not one of the bounds', or bounds of other columns or numbers of files.
pub fn may_pass(predicate: &Predicate, low: &RecordBatch, high: &RecordBatch) -> Result<Vec<bool>> {
    if low.schema().fields() != high.schema().fields() || low.num_rows() != high.num_rows() {
        return Err(Error::Argument("the lower bounds are not of the same columns and files as the upper".to_owned()));
    }
    let columns = predicate
        .names()
        .iter()
        .map(|name| low.schema().index_of(name).map_err(Error::from))
        .collect::<Result<Vec<_>>>()?;
    let of = |file| {
        let of = |&column: &usize| ColumnStats::between(low.column(column), high.column(column), file);
        columns.iter().map(of).collect::<Vec<_>>()
    };
    Ok((0..low.num_rows()).map(|file| pruning::outcomes(predicate, &of(file)).may_pass()).collect())
}
