//! Ranges of objects: fetched ahead, awaited by the threads that decode, and kept while there is room.
//!
//! Readers that share a row group share its ranges, so that nothing is fetched twice while it is cached.

use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::runtime::Handle;

use super::object_ref::ObjectRef;
use super::range_cache::{Limits, Lookup, Pin, RangeCache};
use super::range_request::RangeRequest;
use crate::store::{Cancel, Client, StoreMetrics};
use crate::sync::{lock, wait_timeout};
use crate::{Error, Result};

/// How often a wait checks whether it was cancelled.
const SLICE: Duration = Duration::from_millis(50);

/// The client that ranges are fetched with, and the cache of those that were.
pub(super) struct RangeFetcher {
    client: Arc<Client>,
    handle: Handle,
    cancel: Cancel,
    metrics: Arc<StoreMetrics>,
    limits: Limits,
    cache: Mutex<RangeCache>,
    completed: Condvar,
}

impl std::fmt::Debug for RangeFetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RangeFetcher").field("client", &self.client).finish_non_exhaustive()
    }
}

impl RangeFetcher {
    pub(super) fn new(
        client: Arc<Client>,
        handle: Handle,
        cancel: Cancel,
        metrics: Arc<StoreMetrics>,
        limits: Limits,
    ) -> Self {
        Self { client, handle, cancel, metrics, limits, cache: Mutex::default(), completed: Condvar::new() }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Begins a turn: rows that will be read, lower turns first.
    pub(super) fn begin(&self, turn: u64) {
        lock(&self.cache).begin(turn);
    }

    /// Finishes a turn: its rows were read, or are no longer needed.
    pub(super) fn finish(self: &Arc<Self>, turn: u64) {
        let mut cache = lock(&self.cache);
        cache.finish(turn);
        self.launch(&mut cache);
    }

    /// Requests ranges that are not cached, as far as there is room, and pins them until the turn is finished; `known`
    /// ranges are pinned too, unless they are absent.
    pub(super) fn prefetch(
        self: &Arc<Self>,
        object: &Arc<ObjectRef>,
        ranges: Vec<Range<u64>>,
        known: Vec<Range<u64>>,
        turn: u64,
    ) {
        let mut cache = lock(&self.cache);
        let known = known.into_iter().filter(|range| !cache.is_absent((object.file, range.start, range.end)));
        let ranges = known.chain(ranges).collect();
        cache.request(object, ranges, turn, &self.limits);
        self.launch(&mut cache);
    }

    /// Sends the queued requests that there is room for.
    fn launch(self: &Arc<Self>, cache: &mut RangeCache) {
        while let Some(request) = cache.next(&self.limits) {
            self.send(request);
        }
    }

    fn send(self: &Arc<Self>, request: RangeRequest) {
        let fetcher = Arc::clone(self);
        self.handle.spawn(async move { fetcher.fetch(request).await });
    }

    async fn fetch(self: Arc<Self>, request: RangeRequest) {
        let RangeRequest { object, ranges } = &request;
        let result = if self.cancel.is_cancelled() {
            Err(Error::Closed)
        } else {
            let got = self.client.get_kept(&object.key, ranges.clone(), &object.stamp, &self.metrics);
            // A thread may wait for it, whatever happens.
            let panicked = |_| Err(Error::internal("a request for a part of an object panicked"));
            self.cancel.or(AssertUnwindSafe(got).catch_unwind().map(|got| got.unwrap_or_else(panicked))).await
        };
        let result = result.map(|(found, _)| found).map_err(|error| match error {
            Error::NotFound { path } => vanished(&path),
            other => other,
        });
        let mut cache = lock(&self.cache);
        cache.complete(&request, result, &self.limits);
        self.launch(&mut cache);
        drop(cache);
        self.completed.notify_all();
    }

    /// Waits for adjacent ranges, which are read up to the byte before `end`. If the last one has to be requested,
    /// `next` is requested with it.
    pub(super) fn get(
        self: &Arc<Self>,
        object: &Arc<ObjectRef>,
        ranges: &[Range<u64>],
        next: Option<Range<u64>>,
        end: u64,
    ) -> Result<Vec<Bytes>> {
        let key = |range: &Range<u64>| (object.file, range.start, range.end);
        let mut cache = lock(&self.cache);
        if let [only] = ranges
            && let Some(bytes) = cache.ready(key(only), end >= only.end)
        {
            self.launch(&mut cache);
            return Ok(vec![bytes]);
        }
        let begin = Instant::now();
        for request in self.missing(&cache, object, ranges, next) {
            let request = cache.start(request);
            self.send(request);
        }
        let mut pins = Vec::with_capacity(ranges.len());
        for range in ranges {
            if let Some(request) = cache.dequeue(key(range)) {
                self.send(request);
            }
            // None may be evicted before all are in memory.
            pins.push(cache.pin(key(range)));
        }
        let mut found = Vec::with_capacity(ranges.len());
        for range in ranges {
            let one;
            (cache, one) = self.wait_for(cache, object, range, end >= range.end, &mut pins);
            found.push(one);
        }
        pins.into_iter().for_each(|pin| cache.unpin(pin));
        self.launch(&mut cache);
        drop(cache);
        self.metrics.waited(begin.elapsed());
        found.into_iter().collect()
    }

    /// Requests for the absent ones of these ranges.
    fn missing(
        &self,
        cache: &RangeCache,
        object: &Arc<ObjectRef>,
        ranges: &[Range<u64>],
        next: Option<Range<u64>>,
    ) -> Vec<RangeRequest> {
        let is_absent = |range: &Range<u64>| cache.is_absent((object.file, range.start, range.end));
        let mut requests: Vec<RangeRequest> = Vec::new();
        for range in ranges.iter().cloned().chain(next).filter(is_absent) {
            match requests.last_mut() {
                Some(last) if last.continues_with(&range, self.limits.request) => last.ranges.push(range),
                _ => requests.push(RangeRequest { object: Arc::clone(object), ranges: vec![range] }),
            }
        }
        // The next range is not worth a request of its own.
        requests.retain(|request| request.ranges.iter().any(|range| ranges.contains(range)));
        requests
    }

    fn wait_for<'a>(
        self: &Arc<Self>,
        mut cache: MutexGuard<'a, RangeCache>,
        object: &Arc<ObjectRef>,
        range: &Range<u64>,
        to_end: bool,
        pins: &mut Vec<Pin>,
    ) -> (MutexGuard<'a, RangeCache>, Result<Bytes>)
    where
        Self: 'a,
    {
        let key = (object.file, range.start, range.end);
        loop {
            if self.cancel.is_cancelled() {
                return (cache, Err(Error::Closed));
            }
            match cache.look_up(key, to_end) {
                Lookup::Ready(bytes) => return (cache, Ok(bytes)),
                Lookup::Failed(error) => return (cache, Err(error)),
                // It may have been dropped and queued again by a turn that there is no room for.
                Lookup::Pending => match cache.dequeue(key) {
                    Some(request) => self.send(request),
                    None => cache = wait_timeout(&self.completed, cache, SLICE),
                },
                Lookup::Absent => {
                    let request = RangeRequest { object: Arc::clone(object), ranges: vec![range.clone()] };
                    let request = cache.start(request);
                    self.send(request);
                    pins.push(cache.pin(key));
                }
            }
        }
    }

    /// Any bytes of an object, not cached.
    pub(super) async fn get_once(&self, object: &ObjectRef, range: Range<u64>) -> Result<Bytes> {
        let got = self.client.get(&object.key, range, &object.stamp, &self.metrics);
        self.cancel.or(got).await.map(|(bytes, _)| bytes)
    }

    /// Waits for a task, on a thread that is not one of the runtime's.
    pub(super) fn wait<T>(&self, task: impl Future<Output = T>) -> T {
        self.handle.block_on(task)
    }
}

/// The error for an object that no longer exists.
pub(super) fn vanished(url: &str) -> Error {
    Error::Changed {
        path: url.to_owned(),
        detail: "the object vanished since the plan was made; restore it, or plan anew and start the epoch again"
            .to_owned(),
    }
}
