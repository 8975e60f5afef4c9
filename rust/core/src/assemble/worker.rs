//! A thread of the pool: takes the lane whose chunk is needed first, decodes its next piece, finishes what that completes.

use std::cmp::Reverse;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use arrow_array::ArrayRef;

use super::chunk_builder::array_bytes;
use super::cursor_decoder::CursorDecoder;
use super::scheduler::Scheduler;
use super::task::{CursorKey, Task};
use crate::error::panic_words;
use crate::{Error, Result};

/// Works until the engine is closed.
pub(crate) fn work(scheduler: &Scheduler) {
    let mut state = scheduler.lock();
    while let Some((mut locked, cursor)) = scheduler.next_cursor(state) {
        let Some((key, task, mut decoders)) = locked.cursors.start(cursor) else {
            state = locked;
            continue;
        };
        let wanted = locked.jobs.get(&task.job).is_some_and(|job| !job.has_failed());
        scheduler.notify_work(&locked);
        drop(locked);

        let begin = Instant::now();
        let result = if wanted { guarded(|| piece(scheduler, &key, &task, &mut decoders)) } else { Ok(()) };
        let group_rows = scheduler.files.plan().line_rows()[key.group as usize];
        if !wanted || result.is_err() || task.rows.end == group_rows {
            // These stand at another row now, and the lane's next task opens its own; or there is none. To let go of them
            // takes a while, with small row groups as long as reading: not under the lock.
            decoders = CursorDecoder::default();
        }
        let busy = begin.elapsed();

        state = scheduler.lock();
        state.metrics.busy += busy;
        if let Err(error) = result
            && let Some(job) = state.jobs.get_mut(&task.job)
        {
            job.fail(error);
            scheduler.notify_done(task.job);
        }
        if let Some(job) = state.cursors.stop(cursor, decoders, group_rows) {
            state.ready.push(Reverse((job, cursor)));
        }
    }
}

/// Decodes a piece of some sources, and finishes those columns that it was the last piece of.
fn piece(scheduler: &Scheduler, key: &CursorKey, task: &Task, decoders: &mut CursorDecoder) -> Result<()> {
    let arrays = decoders.read(scheduler.reading(), key, &task.rows)?;
    let mut complete: Vec<(usize, Vec<Vec<ArrayRef>>)> = Vec::new();
    let work = {
        let mut state = scheduler.lock();
        let Some(job) = state.jobs.get_mut(&task.job) else { return Ok(()) };
        for (source, array) in key.sources.clone().zip(arrays) {
            let (column, place) = scheduler.projection.place(source);
            if let Some(sources) = job.put_piece(column, place, task.piece, array) {
                complete.push((column, sources));
            }
        }
        job.work.clone()
    };
    for (column, sources) in complete {
        let outputs = work.finish(&scheduler.projection.columns()[column], sources, &scheduler.line)?;
        let bytes: u64 = outputs.iter().map(|array| array_bytes(array.as_ref())).sum();
        let mut state = scheduler.lock();
        state.metrics.bytes += bytes;
        let Some(job) = state.jobs.get_mut(&task.job) else { return Ok(()) };
        job.actual_bytes += bytes;
        if job.put_column(column, outputs) {
            let bytes = job.actual_bytes;
            state.account(task.job, bytes);
            state.metrics.chunks += 1;
            state.metrics.rows += work.chunk.rows();
            scheduler.notify_done(task.job);
        }
    }
    Ok(())
}

/// A panic must reach the side that waits, as an error.
fn guarded(task: impl FnOnce() -> Result<()>) -> Result<()> {
    catch_unwind(AssertUnwindSafe(task)).unwrap_or_else(|panic| Err(Error::internal(panic_words(panic.as_ref()))))
}
