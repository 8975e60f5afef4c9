//! Counting the rows that pass, before the first batch; and which files' folders let any row pass.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use arrow_array::RecordBatch;

use super::Selector;
use super::count_prefetch::CountPrefetch;
use super::predicate::Predicate;
use super::pruning::{self, ColumnStats};
use crate::fetch::Files;
use crate::files::Plan;
use crate::files::remote::StoreAccess;
use crate::{Error, Result};

/// How long the caller goes without a word of the progress.
const PATIENCE: Duration = Duration::from_millis(50);

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
    let lookout = CountPrefetch::new(plan, selector, groups);
    let files = Files::with_statistics(Arc::clone(plan)).reading(store, lookout.demand());
    let (next, done, stop) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let failed: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    let work = || {
        let mut found = Vec::new();
        // What was taken is finished, so that all row groups before a wrong one are looked at.
        while !stop.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(&group) = groups.get(at) else { break };
            lookout.advance(&files, at, &stop);
            match selector.count(&files, group) {
                Ok(rows) => found.push((at, rows)),
                Err(error) => {
                    stop.store(true, Ordering::Relaxed);
                    let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                    if failed.as_ref().is_none_or(|(before, _)| at < *before) {
                        *failed = Some((at, error));
                    }
                }
            }
            lookout.finish(&files, at);
            done.fetch_add(1, Ordering::Relaxed);
        }
        found
    };
    let mut counts = vec![0; groups.len()];
    thread::scope(|scope| {
        let (finished, waiting) = channel::<()>();
        let mut threads = Vec::new();
        for number in 0..num_threads.clamp(1, groups.len().max(1)) {
            let finished = finished.clone();
            let run = move || {
                let found = work();
                drop(finished);
                found
            };
            match thread::Builder::new().name(format!("shardline-count-{number}")).spawn_scoped(scope, run) {
                Ok(thread) => threads.push(thread),
                // Others do its work.
                Err(_) if !threads.is_empty() => break,
                Err(error) => return Err(Error::io("starting a thread", &error)),
            }
        }
        drop(finished);
        while waiting.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            progress(done.load(Ordering::Relaxed)).inspect_err(|_| {
                stop.store(true, Ordering::Relaxed);
                // A store may be silent for long.
                files.close();
            })?;
        }
        for thread in threads {
            let found = thread.join().map_err(|_| Error::internal("a thread that counted rows panicked"))?;
            found.into_iter().for_each(|(at, rows)| counts[at] = rows);
        }
        progress(done.load(Ordering::Relaxed))
    })?;
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, error)) => Err(error),
        None => Ok(counts),
    }
}

/// Whether any row of a file may pass, as far as the values of its folders tell: for each row of `values`.
///
/// Conditions on other columns are steps of [`Unknown`](super::Step::Unknown).
///
/// # Errors
/// A column that is not one of the values.
pub fn may_pass(predicate: &Predicate, values: &RecordBatch) -> Result<Vec<bool>> {
    let columns = predicate
        .names()
        .iter()
        .map(|name| values.schema().index_of(name).map_err(|error| Error::internal(error.to_string())))
        .collect::<Result<Vec<_>>>()?;
    let of = |file| columns.iter().map(|&column| ColumnStats::of_partition(values, column, file)).collect::<Vec<_>>();
    Ok((0..values.num_rows()).map(|file| pruning::outcomes(predicate, &of(file)).may_pass()).collect())
}
