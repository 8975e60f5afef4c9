//! A thread of the pool: takes the cursor whose chunk is needed first, decodes its next piece, and finishes the columns
//! that this completes.

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

/// Works until the scheduler is closed.
pub(crate) fn work(scheduler: &Scheduler) {
    let mut state = scheduler.lock();
    while let Some((mut locked, cursor)) = scheduler.next_cursor(state) {
        let Some((key, task, mut decoder)) = locked.cursors.start(cursor) else {
            state = locked;
            continue;
        };
        let wanted = locked.builders.get(&task.chunk).is_some_and(|builder| !builder.has_failed());
        scheduler.notify_work(&locked);
        drop(locked);

        let begin = Instant::now();
        let result = if wanted { guarded(|| piece(scheduler, &key, &task, &mut decoder)) } else { Ok(()) };
        let group_rows = scheduler.files.plan().line_rows()[key.group as usize];
        if !wanted || result.is_err() || task.rows.end == group_rows {
            // These stand at another row now: the cursor's next task opens its own, if there is one. Dropping them
            // takes as long as reading a small row group, and so is not done under the lock.
            decoder = CursorDecoder::default();
        }
        let busy = begin.elapsed();

        state = scheduler.lock();
        state.metrics.busy += busy;
        if let Err(error) = result
            && let Some(builder) = state.builders.get_mut(&task.chunk)
        {
            builder.fail(error);
            scheduler.notify_done(task.chunk);
        }
        if let Some(chunk) = state.cursors.stop(cursor, decoder, group_rows) {
            state.ready.push(Reverse((chunk, cursor)));
        }
    }
}

/// Decodes a piece of some sources, and finishes those columns that it was the last piece of.
fn piece(scheduler: &Scheduler, key: &CursorKey, task: &Task, decoder: &mut CursorDecoder) -> Result<()> {
    let arrays = decoder.read(scheduler.reading(), key, &task.rows)?;
    let mut complete: Vec<(usize, Vec<Vec<ArrayRef>>)> = Vec::new();
    let work = {
        let mut state = scheduler.lock();
        let Some(builder) = state.builders.get_mut(&task.chunk) else { return Ok(()) };
        for (source, array) in key.sources.clone().zip(arrays) {
            let (column, place) = scheduler.projection.place(source);
            if let Some(sources) = builder.put_piece(column, place, task.piece, array) {
                complete.push((column, sources));
            }
        }
        builder.work.clone()
    };
    for (column, sources) in complete {
        let outputs = work.finish(&scheduler.projection.columns()[column], sources, &scheduler.line)?;
        let bytes: u64 = outputs.iter().map(|array| array_bytes(array.as_ref())).sum();
        let mut state = scheduler.lock();
        state.metrics.bytes += bytes;
        let Some(builder) = state.builders.get_mut(&task.chunk) else { return Ok(()) };
        builder.actual_bytes += bytes;
        if builder.put_column(column, outputs) {
            let bytes = builder.actual_bytes;
            state.account(task.chunk, bytes);
            state.metrics.chunks += 1;
            state.metrics.rows += work.chunk.rows();
            scheduler.notify_done(task.chunk);
        }
    }
    Ok(())
}

/// A panic must reach the side that waits, as an error.
fn guarded(task: impl FnOnce() -> Result<()>) -> Result<()> {
    catch_unwind(AssertUnwindSafe(task)).unwrap_or_else(|panic| Err(Error::internal(panic_words(panic.as_ref()))))
}
