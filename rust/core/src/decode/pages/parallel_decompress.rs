//! Pages that are decompressed before their turn, by threads that have no other work.
//!
//! One thread reads a column of a row group, page by page. Where a row group is large and has few columns, the others
//! would wait for it, and most of what it does is to decompress.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};

use crate::error::panic_words;
use crate::sync::{lock, wait};
use crate::third_party;

/// Bytes of pages that are made before their turn, in all and for each thread that could make them: no more are of use.
const MAX_BYTES: usize = 8 << 20;
const THREAD_BYTES: usize = 2 << 20;

/// Where threads without work wait, and the pages that they may decompress meanwhile.
#[derive(Debug)]
pub struct DecompressPool {
    pub(super) threads: AtomicUsize,
    pages: Mutex<VecDeque<Weak<DecompressTask>>>,
    /// What the pages that were offered become, until they are used.
    bytes: AtomicUsize,
    /// And may become at the most.
    limit: usize,
    work: Condvar,
}

impl DecompressPool {
    /// `limit`: the bytes that pages made before their turn may take.
    pub fn new(limit: usize) -> Self {
        let (threads, pages, bytes, work) = Default::default();
        Self { threads, pages, bytes, limit, work }
    }

    /// The bytes that they take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many pages one reader may offer: as many as threads wait or decompress such pages, while there is memory for
    /// them.
    pub(super) fn room(&self) -> usize {
        let threads = self.threads.load(Ordering::Relaxed);
        if self.bytes() < self.limit.min(MAX_BYTES + threads * THREAD_BYTES) { threads } else { 0 }
    }

    /// Decompresses a page that somebody will want, for so long, or waits for work. What the guard guards tells whether
    /// there is other work.
    pub(crate) fn help_or_wait<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        lock: impl FnOnce() -> MutexGuard<'a, T>,
    ) -> (MutexGuard<'a, T>, Duration) {
        self.threads.fetch_add(1, Ordering::Relaxed);
        let (guard, busy) = match self.next() {
            Some(page) => {
                drop(guard);
                let begin = Instant::now();
                page.run();
                // Perhaps nobody wants it any longer: its memory is not let go of under the lock.
                drop(page);
                let busy = begin.elapsed();
                (lock(), busy)
            }
            None => (wait(&self.work, guard), Duration::ZERO),
        };
        self.threads.fetch_sub(1, Ordering::Relaxed);
        (guard, busy)
    }

    /// Says that there is work for one of those who wait.
    pub(crate) fn wake_one(&self) {
        self.work.notify_one();
    }

    /// Says that there is work for all, or none ever again.
    pub(crate) fn wake_all(&self) {
        self.work.notify_all();
    }

    /// Offers a page that becomes so many bytes. One who is about to wait may miss this: then it is decompressed in its
    /// turn.
    pub(super) fn offer(
        self: &Arc<Self>,
        bytes: usize,
        make: impl FnOnce() -> Result<Bytes> + Send + 'static,
    ) -> Arc<DecompressTask> {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let (state, done) = (Mutex::new(TaskState::Waiting(Box::new(make))), Condvar::new());
        let page = Arc::new(DecompressTask { state, done, bytes, pool: Arc::clone(self) });
        lock(&self.pages).push_back(Arc::downgrade(&page));
        self.wake_one();
        page
    }

    /// The next page that somebody still wants.
    pub(super) fn next(&self) -> Option<Arc<DecompressTask>> {
        let mut pages = lock(&self.pages);
        std::iter::from_fn(|| pages.pop_front()).find_map(|page| page.upgrade().filter(|page| page.is_waiting()))
    }
}

/// A page that is decompressed by the thread that comes first.
pub(super) struct DecompressTask {
    state: Mutex<TaskState>,
    done: Condvar,
    bytes: usize,
    pool: Arc<DecompressPool>,
}

type Make = Box<dyn FnOnce() -> Result<Bytes> + Send>;

enum TaskState {
    Waiting(Make),
    /// A thread is at it.
    Taken,
    Done(Result<Bytes>),
}

impl DecompressTask {
    fn is_waiting(&self) -> bool {
        matches!(*lock(&self.state), TaskState::Waiting(_))
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(*lock(&self.state), TaskState::Done(_))
    }

    /// Decompresses it, unless a thread did or is at it: whether it was this one.
    pub(super) fn run(&self) -> bool {
        let mut state = lock(&self.state);
        let make = match std::mem::replace(&mut *state, TaskState::Taken) {
            TaskState::Waiting(make) => make,
            other => {
                *state = other;
                return false;
            }
        };
        drop(state);
        let made =
            third_party::guarded(make).unwrap_or_else(|panic| Err(ParquetError::General(panic_words(panic.as_ref()))));
        *lock(&self.state) = TaskState::Done(made);
        self.done.notify_all();
        true
    }

    /// Its content, waiting for the thread that is at it: somebody has begun. Once.
    pub(super) fn take(&self) -> Result<Bytes> {
        let mut state = lock(&self.state);
        loop {
            match std::mem::replace(&mut *state, TaskState::Taken) {
                TaskState::Done(made) => return made,
                other => *state = other,
            }
            state = wait(&self.done, state);
        }
    }
}

impl Drop for DecompressTask {
    fn drop(&mut self) {
        self.pool.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_are_still_wanted_are_made_once_and_in_order() {
        let pool = Arc::new(DecompressPool::new(usize::MAX));
        let [begun, first, gone, second] =
            [b"0", b"1", b"2", b"3"].map(|content| pool.offer(1, || Ok(Bytes::from_static(content))));
        assert!(begun.run() && !begun.run());
        drop(gone);
        for wanted in [&first, &second] {
            let next = pool.next().unwrap();
            assert!(Arc::ptr_eq(&next, wanted) && !next.is_done() && next.run() && next.is_done());
        }
        assert!(pool.next().is_none());
        assert_eq!([begun, first, second].map(|page| page.take().unwrap()), [b"0".as_slice(), b"1", b"3"]);
    }

    #[test]
    fn there_is_no_room_for_more_bytes_than_threads_are_worth() {
        let pool = Arc::new(DecompressPool::new(usize::MAX));
        assert_eq!(pool.room(), 0);
        pool.threads.store(2, Ordering::Relaxed);
        let page = pool.offer(MAX_BYTES, || Ok(Bytes::new()));
        assert_eq!(pool.room(), 2);
        let more = pool.offer(2 * THREAD_BYTES, || Ok(Bytes::new()));
        assert_eq!(pool.room(), 0);
        drop(page);
        assert_eq!(pool.room(), 2);
        drop(more);
        assert_eq!(pool.bytes(), 0);
        let none = DecompressPool::new(0);
        none.threads.store(2, Ordering::Relaxed);
        assert_eq!(none.room(), 0);
    }

    #[test]
    fn who_needs_a_page_waits_for_the_thread_that_is_at_it() {
        let (begin, begun) = std::sync::mpsc::channel();
        let page = Arc::new(DecompressPool::new(usize::MAX)).offer(4, move || {
            begin.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(20));
            Ok(Bytes::from_static(b"late"))
        });
        let other = Arc::clone(&page);
        let thread = std::thread::spawn(move || other.run());
        begun.recv().unwrap();
        assert!(!page.run() && !page.is_done());
        assert_eq!(page.take().unwrap(), b"late".as_slice());
        assert!(thread.join().unwrap());
    }

    #[test]
    fn a_panic_is_an_error() {
        let page = Arc::new(DecompressPool::new(usize::MAX)).offer(0, || panic!("a decoder's fault"));
        assert!(page.run());
        assert!(page.take().unwrap_err().to_string().contains("a decoder's fault"));
    }
}
