//! What the readers of one process share: how many threads decode at once, and the bytes that are made ahead.
//!
//! A training loader and three of validation, or one with many shards, must not take four times the memory and the cores
//! that one may.

use std::collections::{BTreeMap, VecDeque};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};

use crate::sync::{lock, wait};

/// The readers of one process.
#[derive(Debug)]
struct Process {
    pid: u32,
    readers: Mutex<Readers>,
    /// A thread has stopped decoding.
    free: Condvar,
    /// Bytes that all readers have made ahead.
    bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct Readers {
    next: u64,
    /// Of every reader, the threads and the bytes that it may use.
    allowed: BTreeMap<u64, (usize, u64)>,
    /// Threads that decode.
    busy: usize,
    /// Threads that wait to, by their tickets, the first that came first: those of one reader must not pass by all others.
    waiting: VecDeque<u64>,
    tickets: u64,
}

/// What one reader may use of its process, while it lives.
#[derive(Debug)]
pub(super) struct Quota {
    process: &'static Process,
    number: u64,
    /// Bytes that it has made ahead.
    bytes: AtomicU64,
    budget: u64,
}

/// Leave to decode; until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a>(&'a Process);

impl Process {
    /// That of this process: a forked child has other readers than its parent.
    fn current() -> &'static Self {
        static CURRENT: AtomicPtr<Process> = AtomicPtr::new(ptr::null_mut());
        let pid = std::process::id();
        let found = CURRENT.load(Ordering::Acquire);
        // SAFETY: what is stored there is null, or was leaked below.
        if let Some(process) = unsafe { found.as_ref() }
            && process.pid == pid
        {
            return process;
        }
        let (readers, free, bytes) = Default::default();
        let made = Box::into_raw(Box::new(Self { pid, readers, free, bytes }));
        let stored = CURRENT.compare_exchange(found, made, Ordering::AcqRel, Ordering::Acquire);
        // SAFETY: both were leaked; the one that another thread stored first is this process's too.
        unsafe { &*stored.map_or_else(|other| other, |_| made) }
    }
}

impl Readers {
    /// How many threads may decode at once.
    fn threads(&self) -> usize {
        self.allowed.values().map(|&(threads, _)| threads).max().unwrap_or(1)
    }
}

impl Quota {
    pub(super) fn new(num_threads: usize, budget: u64) -> Self {
        let process = Process::current();
        let mut readers = lock(&process.readers);
        readers.next += 1;
        let number = readers.next;
        readers.allowed.insert(number, (num_threads, budget));
        Self { process, number, bytes: AtomicU64::new(0), budget }
    }

    /// Waits until fewer threads decode than the reader that may use most may use.
    pub(super) fn turn(&self) -> Turn<'_> {
        let mut readers = lock(&self.process.readers);
        let ticket = readers.tickets;
        readers.tickets += 1;
        readers.waiting.push_back(ticket);
        while readers.waiting.front() != Some(&ticket) || readers.busy >= readers.threads() {
            readers = wait(&self.process.free, readers);
        }
        readers.waiting.pop_front();
        readers.busy += 1;
        if !readers.waiting.is_empty() {
            self.process.free.notify_all();
        }
        Turn(self.process)
    }

    /// Says how many bytes it has made ahead.
    pub(super) fn set(&self, bytes: u64) {
        let before = self.bytes.swap(bytes, Ordering::Relaxed);
        self.process.bytes.fetch_add(bytes.wrapping_sub(before), Ordering::Relaxed);
    }

    /// Whether so many bytes more would be too many: more than the reader may make, or, beyond its part of that, more
    /// than all readers of the process may.
    pub(super) fn is_full(&self, more: u64) -> bool {
        let (own, all) = (self.bytes.load(Ordering::Relaxed), self.process.bytes.load(Ordering::Relaxed));
        if own.saturating_add(more) > self.budget {
            return true;
        }
        let readers = lock(&self.process.readers);
        let part = self.budget / readers.allowed.len().max(1) as u64;
        let allowed = readers.allowed.values().map(|&(_, budget)| budget).max().unwrap_or(0);
        own.saturating_add(more) > part && all.saturating_add(more) > allowed
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        self.set(0);
        lock(&self.process.readers).allowed.remove(&self.number);
        self.process.free.notify_all();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut readers = lock(&self.0.readers);
        readers.busy -= 1;
        if !readers.waiting.is_empty() {
            self.0.free.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test: others would share the process with it.
    #[test]
    fn readers_share_threads_and_bytes() {
        let process: &'static Process = Box::leak(Box::new(Process {
            pid: 0,
            readers: Mutex::default(),
            free: Condvar::new(),
            bytes: AtomicU64::new(0),
        }));
        let share = |number, threads, budget| {
            lock(&process.readers).allowed.insert(number, (threads, budget));
            Quota { process, number, bytes: AtomicU64::new(0), budget }
        };
        let one = share(1, 2, 100);
        assert!(!one.is_full(100) && one.is_full(101));
        one.set(90);
        let other = share(2, 1, 60);
        assert!(!other.is_full(30), "its part, whatever the other has");
        assert!(other.is_full(31), "more than the process may");
        one.set(40);
        assert!(!other.is_full(60) && other.is_full(61));
        drop(one);
        assert_eq!(process.bytes.load(Ordering::Relaxed), 0);

        let one = share(1, 2, 100);
        let turns = [one.turn(), other.turn()];
        assert_eq!(lock(&process.readers).busy, 2);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| drop(other.turn()))).collect();
            drop(turns);
            threads.into_iter().for_each(|thread| thread.join().expect("it came"));
        });
        let readers = lock(&process.readers);
        assert!(readers.busy == 0 && readers.waiting.is_empty());
    }
}
