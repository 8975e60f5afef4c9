//! Prefetching under a filter, for objects: the rows that pass are found before they are decoded, and only the pages
//! that hold them are fetched.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Condvar, Mutex};

use super::Selections;
use crate::fetch::Files;
use crate::sync::{lock, wait};
use crate::third_party;

/// Rows that will be read, of those that pass.
#[derive(Debug, Clone)]
struct Wanted {
    turn: u64,
    group: usize,
    /// Of those that pass.
    rows: Range<u64>,
}

/// The row groups whose passing rows are to be found and fetched, on a thread of its own.
#[derive(Debug, Default)]
pub struct FilterPrefetch {
    queue: Mutex<Queue>,
    came: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    wanted: VecDeque<Wanted>,
    closed: bool,
}

impl FilterPrefetch {
    /// Queues rows to be fetched; they are kept until the turn is finished.
    pub fn ask(&self, files: &Files, turn: u64, slices: impl Iterator<Item = (usize, Range<u64>)>) {
        files.begin(turn);
        let mut last = None;
        let mut queue = lock(&self.queue);
        for (group, rows) in slices {
            let index = files.plan().file_of_group(group);
            if last.replace(index) != Some(index) {
                files.warm(index);
            }
            queue.wanted.push_back(Wanted { turn, group, rows });
        }
        self.came.notify_one();
    }

    /// Finds and fetches the rows of one row group after the other, until it is closed. Reports no errors: whoever
    /// reads the rows gets them.
    pub fn run(&self, files: &Files, selections: &Selections) {
        // Those whose filter columns are being fetched.
        let mut coming: VecDeque<Wanted> = VecDeque::new();
        while let Some(new) = self.take(coming.is_empty()) {
            for wanted in new {
                if selections.is_read(files, wanted.group) {
                    files.prefetch_filter(wanted.turn, wanted.group);
                }
                coming.push_back(wanted);
            }
            let Some(Wanted { turn, group, rows }) = coming.pop_front() else { continue };
            // A third-party decoder may panic.
            drop(third_party::guarded(|| {
                let index = files.plan().file_of_group(group);
                let (Ok(set), Ok(file)) = (selections.rows(files, group), files.open(index)) else { return };
                file.restrict_to(group - files.plan().groups(index).start, Some(&set));
                files.prefetch_set(turn, group, &set, rows);
            }));
        }
    }

    /// The rows queued since the last call, waited for if there is `nothing` else to do; None once it is closed.
    fn take(&self, nothing: bool) -> Option<VecDeque<Wanted>> {
        let mut queue = lock(&self.queue);
        while nothing && queue.wanted.is_empty() && !queue.closed {
            queue = wait(&self.came, queue);
        }
        (!queue.closed).then(|| std::mem::take(&mut queue.wanted))
    }

    /// Ends [`run`](Self::run).
    pub fn close(&self) {
        lock(&self.queue).closed = true;
        self.came.notify_all();
    }
}
