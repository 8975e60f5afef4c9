//! Threads that share a list of tasks: each takes the next task, and the first error, in the order of the tasks, wins.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::sync::{into_inner, lock};
use crate::{Error, Result};

/// How often the caller is told of the progress.
const PATIENCE: Duration = Duration::from_millis(50);

/// The tasks, numbered from 0, that no thread has taken yet.
pub(crate) struct Tasks {
    next: AtomicUsize,
    /// Tasks from this one on are no longer needed.
    needed: AtomicUsize,
    failed: Mutex<Option<(usize, Error)>>,
}

impl Tasks {
    fn new(count: usize) -> Self {
        Self { next: AtomicUsize::new(0), needed: AtomicUsize::new(count), failed: Mutex::new(None) }
    }

    /// Whether the result of a task is still needed: no earlier one failed, and nobody gave up.
    pub(crate) fn is_needed(&self, task: usize) -> bool {
        task < self.needed.load(Ordering::Relaxed)
    }

    /// Takes one task after the other until none is left. A task that was taken is finished, so that all tasks before a
    /// failed one are run.
    fn work<T>(&self, run: impl Fn(usize, &Self) -> Result<T>, mut done: impl FnMut(usize, Option<T>)) {
        loop {
            let task = self.next.fetch_add(1, Ordering::Relaxed);
            if !self.is_needed(task) {
                return;
            }
            match run(task, self) {
                Ok(found) => done(task, Some(found)),
                Err(error) => {
                    self.needed.fetch_min(task, Ordering::Relaxed);
                    let mut failed = lock(&self.failed);
                    if failed.as_ref().is_none_or(|(before, _)| task < *before) {
                        *failed = Some((task, error));
                    }
                    drop(failed);
                    done(task, None);
                }
            }
        }
    }

    /// Gives up on all tasks.
    fn give_up(&self) {
        self.needed.store(0, Ordering::Relaxed);
    }

    fn into_result(self) -> Result<()> {
        into_inner(self.failed).map_or(Ok(()), |(_, error)| Err(error))
    }
}

/// Starts up to `count` threads. One that cannot be started leaves its work to the others; the error, if none could be.
fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    count: usize,
    work: impl Fn() -> T + Send + Clone + 'scope,
) -> (Vec<ScopedJoinHandle<'scope, T>>, Option<Error>) {
    let mut threads = Vec::new();
    for number in 0..count {
        match thread::Builder::new().name(format!("shardline-{name}-{number}")).spawn_scoped(scope, work.clone()) {
            Ok(thread) => threads.push(thread),
            Err(error) => return (threads, Some(Error::io("starting a thread", &error))),
        }
    }
    (threads, None)
}

fn panicked(name: &str) -> Error {
    Error::internal(format!("a thread shardline-{name} panicked"))
}

/// Runs tasks on up to `num_threads` threads, the caller's among them, which are joined before it returns; gives their
/// results in order.
///
/// # Errors
/// That of the first task, in order, that failed.
pub(crate) fn map<T: Send>(
    name: &str,
    count: usize,
    num_threads: usize,
    run: impl Fn(usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let tasks = Tasks::new(count);
    let work = || {
        let mut found = Vec::new();
        tasks.work(|task, _| run(task), |task, result| found.extend(result.map(|result| (task, result))));
        found
    };
    let mut found = thread::scope(|scope| {
        let (others, _) = spawn(scope, name, num_threads.saturating_sub(1), &work);
        let mut found = work();
        for other in others {
            found.extend(other.join().map_err(|_| panicked(name))?);
        }
        Ok::<_, Error>(found)
    })?;
    tasks.into_result()?;
    found.sort_unstable_by_key(|(task, _)| *task);
    Ok(found.into_iter().map(|(_, result)| result).collect())
}

/// Runs tasks on up to `num_threads` threads, which are joined before it returns. The caller's thread takes the results
/// in order, and every 50 ms hears how many tasks are done, by `progress`, whose error ends it all.
///
/// # Errors
/// That of `progress`, or else of the first task, in order, that failed.
pub(crate) fn for_each_in_order<T: Send>(
    name: &str,
    count: usize,
    num_threads: usize,
    run: impl Fn(usize, &Tasks) -> Result<T> + Sync,
    mut take: impl FnMut(T),
    mut progress: impl FnMut(usize) -> Result<()>,
) -> Result<()> {
    let tasks = Tasks::new(count);
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let work = {
            let (tasks, run) = (&tasks, &run);
            // Nobody listens any longer once the caller has given up.
            move || tasks.work(run, |task, result| drop(sender.send((task, result))))
        };
        let (threads, error) = spawn(scope, name, num_threads.clamp(1, count.max(1)), work);
        if let Some(error) = error.filter(|_| threads.is_empty()) {
            return Err(error);
        }
        let (mut early, mut next, mut done) = (BTreeMap::new(), 0, 0);
        let mut told = Instant::now();
        loop {
            if told.elapsed() >= PATIENCE {
                progress(done).inspect_err(|_| tasks.give_up())?;
                told = Instant::now();
            }
            match receiver.recv_timeout(PATIENCE) {
                Ok((task, result)) => {
                    done += 1;
                    early.insert(task, result);
                    while let Some(result) = early.remove(&next) {
                        result.map(&mut take);
                        next += 1;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        for thread in threads {
            thread.join().map_err(|_| panicked(name))?;
        }
        progress(done)
    })?;
    tasks.into_result()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn fails(at: usize) -> impl Fn(usize) -> Result<usize> + Sync {
        move |task| if task >= at { Err(Error::internal(task.to_string())) } else { Ok(task) }
    }

    #[test]
    fn results_come_in_order_and_the_first_error_wins() {
        for threads in [1, 2, 8] {
            assert_eq!(map("test", 100, threads, fails(100)).unwrap(), (0..100).collect::<Vec<_>>());
            assert!(map("test", 0, threads, fails(0)).unwrap().is_empty());
            let mut taken = Vec::new();
            let run = fails(100);
            for_each_in_order("test", 100, threads, |task, _| run(task), |task| taken.push(task), |_| Ok(())).unwrap();
            assert_eq!(taken, (0..100).collect::<Vec<_>>());
            for at in [0, 1, 37] {
                let error = map("test", 100, threads, fails(at)).unwrap_err().to_string();
                assert!(error.contains(&at.to_string()), "{error}");
                let run = fails(at);
                let result = for_each_in_order("test", 100, threads, |task, _| run(task), |_| {}, |_| Ok(()));
                assert_eq!(result.unwrap_err().to_string(), error);
            }
        }
    }

    #[test]
    fn the_caller_can_give_up() {
        let run = |_, tasks: &Tasks| {
            while tasks.is_needed(0) {
                thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        };
        let result = for_each_in_order("test", 10, 3, run, |()| {}, |_| Err(Error::Closed));
        assert!(matches!(result, Err(Error::Closed)));
    }
}
