//! The runtime of a process: created by the first reader of a store, dropped by the last.
//!
//! A runtime's threads do not survive a fork. So planning drops it before it returns, and a child that was forked while
//! somebody read is told so ([`Error::ForkedStore`]) instead of waiting for threads that it does not have.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, TryLockError, Weak};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use tokio::runtime::{Builder, Handle};

use super::{Client, Location, Options};
use crate::sync::lock;
use crate::{Error, Result};

/// Threads for requests: they copy and decrypt, and decode nothing.
const THREADS: usize = 2;
/// How long a name that is being looked up may hold the end of a runtime up.
const SHUTDOWN: Duration = Duration::from_secs(1);
/// How long another thread may take to make or drop the runtime.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a wait looks whether it was cancelled.
const SLICE: Duration = Duration::from_millis(20);

/// The process whose runtime lives; 0 where none does. Read before any lock, which a fork may have left locked.
static OWNER: AtomicU32 = AtomicU32::new(0);
static LIVE: Mutex<Weak<Runtime>> = Mutex::new(Weak::new());

/// Threads and connections, of one process.
pub struct Runtime {
    tokio: Option<tokio::runtime::Runtime>,
    clients: Mutex<Vec<(String, Options, Arc<Client>)>>,
    pid: u32,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("pid", &self.pid).finish_non_exhaustive()
    }
}

impl Runtime {
    /// The runtime of this process: the one that lives, or a new one.
    ///
    /// # Errors
    /// This process was forked while the runtime of its parent lived.
    pub fn get() -> Result<Arc<Self>> {
        let pid = std::process::id();
        if !matches!(OWNER.load(Ordering::SeqCst), 0) && OWNER.load(Ordering::SeqCst) != pid {
            return Err(Error::ForkedStore);
        }
        let begin = Instant::now();
        let mut live = loop {
            match LIVE.try_lock() {
                Ok(live) => break live,
                Err(TryLockError::Poisoned(live)) => break live.into_inner(),
                // Held by another thread for a moment, or for ever where this is a fork of the moment.
                Err(TryLockError::WouldBlock) if begin.elapsed() > PATIENCE => return Err(Error::ForkedStore),
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        if let Some(runtime) = live.upgrade() {
            return Ok(runtime);
        }
        let tokio = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("shardline-io")
            .enable_all()
            .build()
            .map_err(|error| Error::io("starting threads for a store", &error))?;
        let runtime = Arc::new(Self { tokio: Some(tokio), clients: Mutex::default(), pid });
        *live = Arc::downgrade(&runtime);
        OWNER.store(pid, Ordering::SeqCst);
        Ok(runtime)
    }

    /// The client of a store with these options: one for each in a process.
    pub fn client(&self, location: &Location, options: &Options) -> Result<Arc<Client>> {
        let mut clients = lock(&self.clients);
        if let Some((_, _, client)) = clients.iter().find(|(base, of, _)| *base == location.base && of == options) {
            return Ok(Arc::clone(client));
        }
        // Making one may read files and look at certificates, and wants to be on a runtime.
        let _on = self.handle()?.enter();
        let client = Arc::new(Client::new(location, options)?);
        clients.push((location.base.clone(), options.clone(), Arc::clone(&client)));
        Ok(client)
    }

    /// Where tasks are started.
    pub fn handle(&self) -> Result<&Handle> {
        self.tokio.as_ref().map(tokio::runtime::Runtime::handle).ok_or(Error::Closed)
    }

    /// Waits for a task on a thread that is none of the runtime's, until it is cancelled.
    ///
    /// # Errors
    /// The task's, and [`Error::Closed`].
    pub fn wait<T>(&self, cancel: &Cancel, task: impl Future<Output = Result<T>>) -> Result<T> {
        self.handle()?.block_on(cancel.or(task))
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // In a forked child the threads are not there to be ended: leave all of it where it is.
        let Some(tokio) = self.tokio.take() else { return };
        if self.pid != std::process::id() {
            std::mem::forget(tokio);
            return;
        }
        if let Ok(clients) = self.clients.get_mut() {
            clients.clear();
        }
        tokio.shutdown_timeout(SHUTDOWN);
        // A newer one may live by now: then the lock says so.
        if let Ok(live) = LIVE.lock()
            && live.strong_count() == 0
        {
            OWNER.store(0, Ordering::SeqCst);
        }
    }
}

/// Says that nobody waits any longer.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Whoever waits gives up.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// What comes of a task, or [`Error::Closed`] soon after nobody waits any longer.
    pub(crate) async fn or<T>(&self, task: impl Future<Output = Result<T>>) -> Result<T> {
        let cancelled = async {
            while !self.is_cancelled() {
                tokio::time::sleep(SLICE).await;
            }
        };
        match select(std::pin::pin!(task), std::pin::pin!(cancelled)).await {
            Either::Left((done, _)) => done,
            Either::Right(_) => Err(Error::Closed),
        }
    }

    /// Whether nobody waits any longer.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
