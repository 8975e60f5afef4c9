//! A thread of the pool: does what is needed first. It decodes the next piece of a cursor and finishes the columns that
//! this completes, or picks an output of a window.

use std::cmp::Reverse;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::MutexGuard;
use std::time::Instant;

use arrow_array::ArrayRef;

use super::crew::Crew;
use super::cursor_decoder::CursorDecoder;
use super::scheduler::Scheduler;
use super::state::SchedulerState;
use super::task::{CursorKey, Job, Task};
use crate::error::panic_words;
use crate::{Error, Result};

/// Works until the scheduler is closed.
pub(crate) fn work(scheduler: &Scheduler) {
    let mut state = scheduler.lock();
    while let Some((locked, number, job)) = scheduler.next_job(state) {
        state = run(scheduler, locked, number, job);
    }
}

/// Works for all schedulers of a crew until it is closed: first for the one that is waited for.
pub(crate) fn work_for_all(crew: &Crew) {
    while let Some((seen, schedulers)) = crew.schedulers() {
        let job =
            schedulers.iter().find_map(|scheduler| scheduler.try_job(scheduler.lock()).map(|job| (scheduler, job)));
        match job {
            Some((scheduler, (locked, number, job))) => drop(run(scheduler, locked, number, job)),
            None => crew.wait(seen),
        }
    }
}

fn run<'a>(
    scheduler: &'a Scheduler,
    state: MutexGuard<'a, SchedulerState>,
    number: u64,
    job: Job,
) -> MutexGuard<'a, SchedulerState> {
    match job {
        Job::Decode(cursor) => decode(scheduler, state, cursor),
        Job::Pick(output) => pick(scheduler, state, number, output),
    }
}

/// Picks an output of a window.
fn pick<'a>(
    scheduler: &'a Scheduler,
    state: MutexGuard<'a, SchedulerState>,
    number: u64,
    output: usize,
) -> MutexGuard<'a, SchedulerState> {
    let found = state.builders.get(&number).filter(|builder| !builder.has_failed());
    let Some((window, work)) = found.and_then(|builder| builder.window().zip(Some(builder.work.clone()))) else {
        return state;
    };
    scheduler.notify_work(&state);
    drop(state);
    let turn = scheduler.turn();
    let begin = Instant::now();
    let picked = guarded(|| work.pick(output, &window, scheduler.projection.columns(), &scheduler.line));
    let busy = begin.elapsed();
    drop(turn);
    let mut state = scheduler.lock();
    state.metrics.busy += busy;
    if let Some(builder) = state.builders.get_mut(&number) {
        match picked {
            Ok(columns) => builder.put_output(output, columns),
            Err(error) => builder.fail(error),
        }
    }
    scheduler.notify_output();
    drop(state);
    // After the last output the window's memory is let go of here, not under the lock.
    drop(window);
    scheduler.lock()
}

/// Decodes the next piece of a cursor.
fn decode<'a>(
    scheduler: &'a Scheduler,
    mut locked: MutexGuard<'a, SchedulerState>,
    cursor: u64,
) -> MutexGuard<'a, SchedulerState> {
    let Some((key, task, mut decoder)) = locked.cursors.start(cursor) else { return locked };
    let wanted = locked.builders.get(&task.chunk).is_some_and(|builder| !builder.has_failed());
    scheduler.notify_work(&locked);
    drop(locked);

    let turn = scheduler.turn();
    let begin = Instant::now();
    let result = if wanted { guarded(|| piece(scheduler, &key, &task, &mut decoder)) } else { Ok(()) };
    let group_rows = scheduler.files.plan().line_rows()[key.group as usize];
    if !wanted || result.is_err() || task.rows.end == group_rows {
        // These stand at another row now: the cursor's next task opens its own, if there is one. Dropping them
        // takes as long as reading a small row group, and so is not done under the lock.
        decoder = CursorDecoder::default();
    }
    let busy = begin.elapsed();
    drop(turn);

    let held = decoder.held();
    let mut state = scheduler.lock();
    state.metrics.busy += busy;
    if !state.cursors.may_hold(cursor, held, scheduler.most_held()) {
        // Of cursors that are read in turn, to close those that come last keeps as many open as can be.
        drop(state);
        decoder.close(&scheduler.files);
        for (group, read) in scheduler.rows_read(key.group, &task.rows) {
            scheduler.files.closed(group, read.end);
        }
        state = scheduler.lock();
    }
    if let Err(error) = result
        && let Some(builder) = state.builders.get_mut(&task.chunk)
    {
        builder.fail(error);
        scheduler.notify_done(task.chunk);
    }
    if let Some(chunk) = state.cursors.stop(cursor, decoder, group_rows) {
        state.ready.push(Reverse((chunk, Job::Decode(cursor))));
    }
    state
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
        let assembled = work.assemble(&scheduler.projection.columns()[column], sources, &scheduler.line)?;
        let bytes = assembled.bytes();
        let mut state = scheduler.lock();
        state.metrics.bytes += bytes;
        let Some(builder) = state.builders.get_mut(&task.chunk) else { return Ok(()) };
        builder.actual_bytes += bytes;
        if builder.put_column(column, assembled) {
            let bytes = builder.actual_bytes;
            state.account(task.chunk, bytes);
            state.metrics.chunks += 1;
            state.metrics.rows += work.chunk.rows();
            if work.chunk.window.is_some() {
                work.slots().for_each(|slot| state.pick_ahead(slot));
                scheduler.notify_work(&state);
            }
            scheduler.notify_done(task.chunk);
        }
    }
    Ok(())
}

/// A panic must reach the side that waits, as an error.
fn guarded<T>(task: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(task)).unwrap_or_else(|panic| Err(Error::internal(panic_words(panic.as_ref()))))
}
