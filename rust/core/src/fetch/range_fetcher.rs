//! Parts of objects: asked for ahead, waited for by those who decode, kept while there is room.
//!
//! Who shares a row group shares its parts, so that nothing is fetched twice while it is here.

use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::runtime::Handle;

use super::range_cache::{Limits, Lookup, Pin, RangeCache, RangeRequest};
use crate::store::{Cancel, Client, Metrics, Stamp};
use crate::{Error, Result};

/// How often a wait looks whether it was cancelled.
const SLICE: Duration = Duration::from_millis(50);

/// What parts are fetched with, and those that are here.
pub(super) struct RangeFetcher {
    client: Arc<Client>,
    handle: Handle,
    cancel: Cancel,
    metrics: Arc<Metrics>,
    limits: Limits,
    kept: Mutex<RangeCache>,
    came: Condvar,
}

impl std::fmt::Debug for RangeFetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("client", &self.client).finish_non_exhaustive()
    }
}

/// An object that parts are of.
#[derive(Debug)]
pub(super) struct ObjectRef {
    pub(super) file: u32,
    pub(super) key: String,
    pub(super) stamp: Stamp,
}

impl RangeFetcher {
    pub(super) fn new(
        client: Arc<Client>,
        handle: Handle,
        cancel: Cancel,
        metrics: Arc<Metrics>,
        limits: Limits,
    ) -> Self {
        Self { client, handle, cancel, metrics, limits, kept: Mutex::default(), came: Condvar::new() }
    }

    /// How much of what.
    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    fn lock(&self) -> MutexGuard<'_, RangeCache> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a turn: rows that will be read, the earlier ones first.
    pub(super) fn begin(&self, turn: u64) {
        self.lock().begin(turn);
    }

    /// Ends a turn: its rows were read, or nobody wants them any longer.
    pub(super) fn finish(self: &Arc<Self>, turn: u64) {
        let mut kept = self.lock();
        kept.finish(turn);
        self.launch(&mut kept);
    }

    /// Begins to fetch what is not here, as far as there is room, and holds it until the turn ends; `held` too, as far as it
    /// is here.
    pub(super) fn want(
        self: &Arc<Self>,
        place: &Arc<ObjectRef>,
        parts: Vec<Range<u64>>,
        held: Vec<Range<u64>>,
        turn: u64,
    ) {
        let mut kept = self.lock();
        let held = held.into_iter().filter(|part| !kept.is_nowhere((place.file, part.start, part.end)));
        let parts = held.chain(parts).collect();
        kept.ask(place, parts, turn, &self.limits);
        self.launch(&mut kept);
    }

    /// Sends the requests that there is room for.
    fn launch(self: &Arc<Self>, kept: &mut RangeCache) {
        while let Some(asked) = kept.next(&self.limits) {
            self.send(asked);
        }
    }

    fn send(self: &Arc<Self>, asked: RangeRequest) {
        let parts = Arc::clone(self);
        self.handle.spawn(async move { parts.fetch(asked).await });
    }

    /// One request for parts in a row.
    async fn fetch(self: Arc<Self>, asked: RangeRequest) {
        let RangeRequest { place, parts } = &asked;
        let result = if self.cancel.is_cancelled() {
            Err(Error::Closed)
        } else {
            let got = self.client.get_kept(&place.key, parts.clone(), &place.stamp, &self.metrics);
            // Somebody waits for it, whatever happens.
            let panicked = |_| Err(Error::internal("a request for a part of an object panicked"));
            self.cancel.or(AssertUnwindSafe(got).catch_unwind().map(|got| got.unwrap_or_else(panicked))).await
        };
        let result = result.map(|(parts, _)| parts).map_err(|error| match error {
            Error::NotFound { path } => vanished(&path),
            other => other,
        });
        let mut kept = self.lock();
        kept.arrived(&asked, result, &self.limits);
        self.launch(&mut kept);
        drop(kept);
        self.came.notify_all();
    }

    /// Parts in a row, waited for, which are read up to the byte before `end`. Where nobody asked for the last one, `next`
    /// comes with it.
    pub(super) fn get(
        self: &Arc<Self>,
        place: &Arc<ObjectRef>,
        parts: &[Range<u64>],
        next: Option<Range<u64>>,
        end: u64,
    ) -> Result<Vec<Bytes>> {
        let key = |part: &Range<u64>| (place.file, part.start, part.end);
        let mut kept = self.lock();
        if let [only] = parts
            && let Some(bytes) = kept.ready(key(only), end >= only.end)
        {
            self.launch(&mut kept);
            return Ok(vec![bytes]);
        }
        let begin = Instant::now();
        for asked in self.missing(&kept, place, parts, next) {
            let asked = kept.start(asked);
            self.send(asked);
        }
        let mut holds = Vec::with_capacity(parts.len());
        for part in parts {
            if let Some(asked) = kept.due(key(part)) {
                self.send(asked);
            }
            // Not to go before all are here.
            holds.push(kept.hold(key(part)));
        }
        let mut found = Vec::with_capacity(parts.len());
        for part in parts {
            let one;
            (kept, one) = self.wait_for(kept, place, part, end >= part.end, &mut holds);
            found.push(one);
        }
        holds.into_iter().for_each(|hold| kept.release(hold));
        self.launch(&mut kept);
        drop(kept);
        self.metrics.waited(begin.elapsed());
        found.into_iter().collect()
    }

    /// Requests for those of the parts that nobody asked for.
    fn missing(
        &self,
        kept: &RangeCache,
        place: &Arc<ObjectRef>,
        parts: &[Range<u64>],
        next: Option<Range<u64>>,
    ) -> Vec<RangeRequest> {
        let is_nowhere = |part: &Range<u64>| kept.is_nowhere((place.file, part.start, part.end));
        let mut requests: Vec<RangeRequest> = Vec::new();
        for part in parts.iter().cloned().chain(next).filter(is_nowhere) {
            match requests.last_mut() {
                Some(last) if last.goes_on(&part, self.limits.request) => last.parts.push(part),
                _ => requests.push(RangeRequest { place: Arc::clone(place), parts: vec![part] }),
            }
        }
        // The next one is not worth a request of its own.
        requests.retain(|asked| asked.parts.iter().any(|part| parts.contains(part)));
        requests
    }

    fn wait_for<'a>(
        self: &Arc<Self>,
        mut kept: MutexGuard<'a, RangeCache>,
        place: &Arc<ObjectRef>,
        part: &Range<u64>,
        to_end: bool,
        holds: &mut Vec<Pin>,
    ) -> (MutexGuard<'a, RangeCache>, Result<Bytes>)
    where
        Self: 'a,
    {
        let key = (place.file, part.start, part.end);
        loop {
            if self.cancel.is_cancelled() {
                return (kept, Err(Error::Closed));
            }
            match kept.look(key, to_end) {
                Lookup::Ready(bytes) => return (kept, Ok(bytes)),
                Lookup::Failed(error) => return (kept, Err(error)),
                // It may have gone meanwhile, and have been asked for anew by a turn, for which there is no room.
                Lookup::UnderWay => match kept.due(key) {
                    Some(asked) => self.send(asked),
                    None => kept = self.came.wait_timeout(kept, SLICE).unwrap_or_else(PoisonError::into_inner).0,
                },
                Lookup::Nowhere => {
                    let asked = kept.start(RangeRequest { place: Arc::clone(place), parts: vec![part.clone()] });
                    self.send(asked);
                    holds.push(kept.hold(key));
                }
            }
        }
    }

    /// Bytes from anywhere, not kept.
    pub(super) async fn get_once(&self, place: &ObjectRef, range: Range<u64>) -> Result<Bytes> {
        let got = self.client.get(&place.key, range, &place.stamp, &self.metrics);
        self.cancel.or(got).await.map(|(bytes, _)| bytes)
    }

    /// Waits, on a thread that is none of the runtime's.
    pub(super) fn wait<T>(&self, task: impl Future<Output = T>) -> T {
        self.handle.block_on(task)
    }
}

/// An object that is no longer there.
pub(super) fn vanished(url: &str) -> Error {
    Error::Changed {
        path: url.to_owned(),
        detail: "the object vanished since the plan was made; restore it, or plan anew and start the epoch again"
            .to_owned(),
    }
}
