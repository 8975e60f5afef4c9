//! Counts of the requests to a store, and notes for the log.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sync::lock;

/// Lines that wait to be logged; older ones give way.
const MAX_NOTES: usize = 256;

/// A line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Whether somebody should look at it.
    pub is_warning: bool,
    /// What happened. No secret is in it.
    pub text: String,
}

/// Counters of one reader, or of one planning.
#[derive(Debug, Default)]
pub struct StoreMetrics {
    requests: AtomicU64,
    bytes: AtomicU64,
    retries: AtomicU64,
    cache_hits: AtomicU64,
    waited: AtomicU64,
    notes: Mutex<VecDeque<Note>>,
}

/// The counters at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Totals {
    /// Requests sent, those tried again counted each time.
    pub requests: u64,
    /// Bytes of bodies that came.
    pub bytes: u64,
    /// Requests that were tried again.
    pub retries: u64,
    /// Ranges and footers that came from the local cache instead.
    pub cache_hits: u64,
    /// Time that decoding threads waited for bytes.
    pub waited: Duration,
}

impl StoreMetrics {
    pub(crate) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn received(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn cache_hit(&self) {
        self.cache_hits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn waited(&self, time: Duration) {
        self.waited.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn note(&self, is_warning: bool, text: String) {
        let mut notes = lock(&self.notes);
        if notes.len() == MAX_NOTES {
            notes.pop_front();
        }
        notes.push_back(Note { is_warning, text });
    }

    /// The lines since the last call.
    pub fn take_notes(&self) -> Vec<Note> {
        lock(&self.notes).drain(..).collect()
    }

    /// The counters now.
    pub fn totals(&self) -> Totals {
        let get = |of: &AtomicU64| of.load(Ordering::Relaxed);
        Totals {
            requests: get(&self.requests),
            bytes: get(&self.bytes),
            retries: get(&self.retries),
            cache_hits: get(&self.cache_hits),
            waited: Duration::from_nanos(get(&self.waited)),
        }
    }
}
