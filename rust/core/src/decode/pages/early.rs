//! Pages that are decompressed before their turn, by threads that have no other work.
//!
//! One thread reads a column of a row group, page by page. Where a row group is large and has few columns, the others would
//! wait for it, and most of what it does is to decompress.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};

use crate::error::panic_words;

/// Where threads without work wait, and the pages that they may decompress meanwhile.
#[derive(Debug, Default)]
pub struct Idle {
    pub(super) threads: AtomicUsize,
    pages: Mutex<VecDeque<Weak<Early>>>,
    work: Condvar,
}

impl Idle {
    /// Threads that wait, or decompress pages before their turn.
    pub fn threads(&self) -> usize {
        self.threads.load(Ordering::Relaxed)
    }

    /// Decompresses a page that somebody will want, or waits for work. What the guard guards tells whether there is other work.
    pub(crate) fn help_or_wait<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        lock: impl FnOnce() -> MutexGuard<'a, T>,
    ) -> MutexGuard<'a, T> {
        self.threads.fetch_add(1, Ordering::Relaxed);
        let guard = match self.next() {
            Some(page) => {
                drop(guard);
                page.run();
                lock()
            }
            None => self.work.wait(guard).unwrap_or_else(PoisonError::into_inner),
        };
        self.threads.fetch_sub(1, Ordering::Relaxed);
        guard
    }

    /// Says that there is work for one of those who wait.
    pub(crate) fn wake_one(&self) {
        self.work.notify_one();
    }

    /// Says that there is work for all, or none ever again.
    pub(crate) fn wake_all(&self) {
        self.work.notify_all();
    }

    /// Offers a page. One who is about to wait may miss this: then it is decompressed in its turn.
    pub(super) fn offer(&self, page: &Arc<Early>) {
        lock(&self.pages).push_back(Arc::downgrade(page));
        self.wake_one();
    }

    /// The next page that somebody still wants.
    pub(super) fn next(&self) -> Option<Arc<Early>> {
        let mut pages = lock(&self.pages);
        std::iter::from_fn(|| pages.pop_front()).find_map(|page| page.upgrade().filter(|page| page.is_waiting()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A page that is decompressed by the thread that comes first.
pub(super) struct Early {
    state: Mutex<State>,
    done: Condvar,
}

type Make = Box<dyn FnOnce() -> Result<Bytes> + Send>;

enum State {
    Waiting(Make),
    /// A thread is at it.
    Taken,
    Done(Result<Bytes>),
}

impl Early {
    pub(super) fn new(make: impl FnOnce() -> Result<Bytes> + Send + 'static) -> Self {
        Self { state: Mutex::new(State::Waiting(Box::new(make))), done: Condvar::new() }
    }

    fn is_waiting(&self) -> bool {
        matches!(*lock(&self.state), State::Waiting(_))
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(*lock(&self.state), State::Done(_))
    }

    /// Decompresses it, unless a thread did or is at it: whether it was this one.
    pub(super) fn run(&self) -> bool {
        let mut state = lock(&self.state);
        let make = match std::mem::replace(&mut *state, State::Taken) {
            State::Waiting(make) => make,
            other => {
                *state = other;
                return false;
            }
        };
        drop(state);
        let made = catch_unwind(AssertUnwindSafe(make))
            .unwrap_or_else(|panic| Err(ParquetError::General(panic_words(panic.as_ref()))));
        *lock(&self.state) = State::Done(made);
        self.done.notify_all();
        true
    }

    /// Its content, waiting for the thread that is at it. Once.
    pub(super) fn take(&self) -> Result<Bytes> {
        self.run();
        let mut state = lock(&self.state);
        loop {
            match std::mem::replace(&mut *state, State::Taken) {
                State::Done(made) => return made,
                other => *state = other,
            }
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl fmt::Debug for Early {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Early")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn page(idle: &Idle, content: &'static [u8]) -> Arc<Early> {
        let page = Arc::new(Early::new(move || Ok(Bytes::from_static(content))));
        idle.offer(&page);
        page
    }

    #[test]
    fn pages_that_are_still_wanted_are_made_once_and_in_order() {
        let idle = Idle::default();
        let [begun, first, gone, second] = [b"0", b"1", b"2", b"3"].map(|content| page(&idle, content));
        assert!(begun.run() && !begun.run());
        drop(gone);
        for wanted in [&first, &second] {
            let next = idle.next().unwrap();
            assert!(Arc::ptr_eq(&next, wanted) && !next.is_done() && next.run() && next.is_done());
        }
        assert!(idle.next().is_none());
        assert_eq!([begun, first, second].map(|page| page.take().unwrap()), [b"0".as_slice(), b"1", b"3"]);
    }

    #[test]
    fn who_needs_a_page_waits_for_the_thread_that_is_at_it() {
        let (begin, begun) = std::sync::mpsc::channel();
        let page = Arc::new(Early::new(move || {
            begin.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(20));
            Ok(Bytes::from_static(b"late"))
        }));
        let other = Arc::clone(&page);
        let thread = std::thread::spawn(move || other.run());
        begun.recv().unwrap();
        assert!(!page.run() && !page.is_done());
        assert_eq!(page.take().unwrap(), b"late".as_slice());
        assert!(thread.join().unwrap());
    }

    #[test]
    fn a_panic_is_an_error() {
        let page = Early::new(|| panic!("a decoder's fault"));
        assert!(page.run());
        assert!(page.take().unwrap_err().to_string().contains("a decoder's fault"));
    }
}
