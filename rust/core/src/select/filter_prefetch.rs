//! A look ahead for the rows that pass, of objects: they are found before they are decoded, and only what holds them is
//! fetched.

use std::collections::VecDeque;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex};

use super::Selections;
use crate::fetch::Files;
use crate::order::GroupSlice;
use crate::sync::{lock, wait};

/// Rows that will be read.
#[derive(Debug, Clone)]
struct Wanted {
    turn: u64,
    group: usize,
    /// Of those that pass.
    rows: Range<u64>,
}

/// Row groups whose rows are to be found.
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
    /// Asks for what rows are stored in to be fetched, held until the turn is finished.
    pub fn ask<'a>(&self, files: &Files, turn: u64, slices: impl Iterator<Item = &'a GroupSlice>) {
        files.begin(turn);
        let mut last = None;
        let mut queue = lock(&self.queue);
        for slice in slices {
            let group = slice.group as usize;
            let index = files.plan().file_of_group(group);
            if last.replace(index) != Some(index) {
                files.warm(index);
            }
            queue.wanted.push_back(Wanted { turn, group, rows: slice.rows.clone() });
        }
        self.came.notify_one();
    }

    /// Finds the rows of one row group after the other, until it is closed. Says nothing of faults: who reads the rows meets
    /// them.
    pub fn run(&self, files: &Files, selections: &Selections) {
        // Those whose filter's columns were asked for.
        let mut coming: VecDeque<Wanted> = VecDeque::new();
        while let Some(new) = self.take(coming.is_empty()) {
            for wanted in new {
                if selections.is_read(files, wanted.group) {
                    files.prefetch_filter(wanted.turn, wanted.group);
                }
                coming.push_back(wanted);
            }
            let Some(Wanted { turn, group, rows }) = coming.pop_front() else { continue };
            // A decoder that is not ours may panic.
            drop(catch_unwind(AssertUnwindSafe(|| {
                let index = files.plan().file_of_group(group);
                let (Ok(set), Ok(file)) = (selections.rows(files, group), files.open(index)) else { return };
                file.restrict_to(group - files.plan().groups(index).start, &set);
                files.prefetch_set(turn, group, &set, rows);
            })));
        }
    }

    /// What was asked for since, waited for if there is `nothing` else to do; None once it is closed.
    fn take(&self, nothing: bool) -> Option<VecDeque<Wanted>> {
        let mut queue = lock(&self.queue);
        while nothing && queue.wanted.is_empty() && !queue.closed {
            queue = wait(&self.came, queue);
        }
        (!queue.closed).then(|| std::mem::take(&mut queue.wanted))
    }

    /// Ends the looking.
    pub fn close(&self) {
        lock(&self.queue).closed = true;
        self.came.notify_all();
    }
}
