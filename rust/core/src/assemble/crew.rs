//! Threads that work for several schedulers: those of a mixture's sources.

use std::sync::{Arc, Condvar, Mutex};

use super::scheduler::Scheduler;
use crate::sync::{lock, wait};

/// What the threads share.
#[derive(Default)]
pub(crate) struct Crew {
    state: Mutex<CrewState>,
    work: Condvar,
}

#[derive(Default)]
struct CrewState {
    schedulers: Vec<Arc<Scheduler>>,
    /// The one that the caller waits for.
    first: usize,
    /// Counts what may have made work.
    changes: u64,
    closed: bool,
}

impl Crew {
    /// Adds a scheduler; its number.
    pub(crate) fn add(&self, scheduler: Arc<Scheduler>) -> usize {
        let mut state = lock(&self.state);
        state.schedulers.push(scheduler);
        state.schedulers.len() - 1
    }

    /// There may be work.
    pub(crate) fn wake(&self) {
        lock(&self.state).changes += 1;
        self.work.notify_all();
    }

    /// The caller waits for this one.
    pub(crate) fn prefer(&self, number: usize) {
        lock(&self.state).first = number;
    }

    /// The schedulers, the one that is waited for first, and what `wait` takes; None once the crew is closed.
    pub(crate) fn schedulers(&self) -> Option<(u64, Vec<Arc<Scheduler>>)> {
        let state = lock(&self.state);
        let mut all = state.schedulers.clone();
        let first = state.first.min(all.len());
        all.rotate_left(first);
        (!state.closed).then_some((state.changes, all))
    }

    /// Waits until there may be work that was not there when `seen` was.
    pub(crate) fn wait(&self, seen: u64) {
        let mut state = lock(&self.state);
        while state.changes == seen && !state.closed {
            state = wait(&self.work, state);
        }
    }

    /// No thread begins anything more.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        let schedulers = std::mem::take(&mut state.schedulers);
        drop(state);
        self.work.notify_all();
        schedulers.iter().for_each(|scheduler| scheduler.close());
    }
}
