//! The ranges of objects that are in memory, in flight or queued, and the order in which they are evicted.
//!
//! A turn is a set of rows that will be read. It pins the ranges that its rows are stored in until it has finished, and
//! several turns may pin the same range. Requests are sent while there is room for their bytes; a range that a thread
//! waits for is requested regardless.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::cached_range::{CachedRange, RangeState};
use super::object_ref::ObjectRef;
use super::range_request::{RangeKey, RangeRequest, RequestKey};
use crate::Error;

/// The limits of the cache and of its requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes that may be kept.
    pub(super) capacity: u64,
    /// Bytes that may be pinned or in flight.
    pub(super) most: u64,
    /// Ranges with no more bytes between them share a request.
    pub(super) gap: u64,
    /// The most bytes of one request.
    pub(super) request: u64,
    /// The most requests in flight.
    pub(super) requests: usize,
}

#[derive(Default)]
pub(super) struct RangeCache {
    ranges: HashMap<RangeKey, CachedRange>,
    responses: HashMap<u64, Response>,
    /// Requests not sent yet, in the order of their turns.
    queue: BTreeMap<RequestKey, RangeRequest>,
    /// What each turn pins; None for a turn that finished before it began.
    turns: HashMap<u64, Option<Vec<Pin>>>,
    /// Bytes of all responses.
    bytes: u64,
    /// Bytes of ranges that turns pin.
    pinned: u64,
    /// Bytes of requests in flight, and how many these are.
    in_flight: u64,
    running: usize,
    clock: u64,
}

/// A pinned range. A failed or read range may be dropped nevertheless, and requested again by others: `born` tells the
/// two apart.
#[must_use]
#[derive(Debug, Clone, Copy)]
pub(super) struct Pin {
    key: RangeKey,
    born: u64,
}

/// The response to a request: its memory is freed once none of its ranges is cached.
struct Response {
    ranges: Vec<RangeKey>,
    bytes: u64,
    touched: u64,
}

/// What a lookup finds.
pub(super) enum Lookup {
    Ready(Bytes),
    Failed(Error),
    /// Queued or in flight.
    Pending,
    Absent,
}

impl RangeCache {
    /// Changes a cached range, and the count of pinned bytes with it.
    fn change(&mut self, key: RangeKey, change: impl FnOnce(&mut CachedRange)) {
        if let Some(range) = self.ranges.get_mut(&key) {
            self.pinned -= range.pinned_bytes();
            change(range);
            self.pinned += range.pinned_bytes();
        }
    }

    /// Begins a turn.
    pub(super) fn begin(&mut self, turn: u64) {
        self.turns.entry(turn).or_insert(Some(Vec::new()));
    }

    /// Finishes a turn: what it pinned may be evicted.
    pub(super) fn finish(&mut self, turn: u64) {
        let Some(pins) = self.turns.remove(&turn) else {
            self.turns.insert(turn, None);
            return;
        };
        for pin in pins.unwrap_or_default() {
            self.unpin(pin);
            // Other turns that pin it may not have read it.
            self.change(pin.key, |range| {
                if range.pins > 0 {
                    range.mark_read(false);
                }
            });
        }
    }

    /// Pins ranges for a turn that has not finished, and queues requests for those that are absent.
    pub(super) fn request(&mut self, object: &Arc<ObjectRef>, mut ranges: Vec<Range<u64>>, turn: u64, limits: &Limits) {
        if !matches!(self.turns.get(&turn), Some(Some(_))) {
            return;
        }
        let mut pins = Vec::with_capacity(ranges.len());
        ranges.retain(|range| {
            let key = (object.file, range.start, range.end);
            let is_new = self.is_absent(key);
            pins.push(self.pin(key));
            is_new
        });
        if let Some(Some(pinned)) = self.turns.get_mut(&turn) {
            pinned.append(&mut pins);
        }
        for request in RangeRequest::group(object, ranges, limits.gap, limits.request) {
            self.clock += 1;
            let at = (turn, object.file, request.ranges.first().map_or(0, |range| range.start), self.clock);
            for key in request.keys() {
                self.change(key, |range| range.state = RangeState::Queued(at));
            }
            self.queue.insert(at, request);
        }
    }

    /// Pins a range, cached or not: it is not evicted, even if others have read it.
    pub(super) fn pin(&mut self, key: RangeKey) -> Pin {
        let born = self.born(key);
        self.change(key, |range| {
            range.pins += 1;
            range.mark_read(false);
        });
        Pin { key, born }
    }

    /// When a range was requested: now, if it is absent.
    fn born(&mut self, key: RangeKey) -> u64 {
        self.clock += 1;
        self.ranges.entry(key).or_insert(CachedRange { born: self.clock, pins: 0, state: RangeState::InFlight }).born
    }

    /// Releases a pin.
    pub(super) fn unpin(&mut self, Pin { key, born }: Pin) {
        if self.ranges.get(&key).is_some_and(|range| range.born == born) {
            self.change(key, |range| range.pins = range.pins.saturating_sub(1));
            self.forget_fault(key);
        }
    }

    /// Drops a failed range that nobody waits for: a later request fetches it again.
    fn forget_fault(&mut self, key: RangeKey) {
        if self.ranges.get(&key).is_some_and(|range| range.pins == 0 && matches!(range.state, RangeState::Failed(_))) {
            self.ranges.remove(&key);
        }
    }

    /// Whether a range is neither cached, nor in flight, nor queued.
    pub(super) fn is_absent(&self, key: RangeKey) -> bool {
        !self.ranges.contains_key(&key)
    }

    /// The next queued request that there is room for; it counts as in flight from now on.
    pub(super) fn next(&mut self, limits: &Limits) -> Option<RangeRequest> {
        while self.running < limits.requests {
            let (&at, request) = self.queue.first_key_value()?;
            let is_wanted = request.keys().any(|key| self.ranges.get(&key).is_some_and(|range| range.pins > 0));
            let busy = self.pinned + self.in_flight;
            if is_wanted && busy > 0 && busy + request.bytes() > limits.most {
                return None;
            }
            let request = self.queue.remove(&at)?;
            if is_wanted {
                return Some(self.start(request));
            }
            for key in request.keys() {
                self.ranges.remove(&key);
            }
        }
        None
    }

    /// Counts a request as in flight.
    pub(super) fn start(&mut self, request: RangeRequest) -> RangeRequest {
        for key in request.keys() {
            self.born(key);
            self.change(key, |range| range.state = RangeState::InFlight);
        }
        self.in_flight += request.bytes();
        self.running += 1;
        request
    }

    /// The queued request that a range is part of; it counts as in flight from now on.
    pub(super) fn dequeue(&mut self, key: RangeKey) -> Option<RangeRequest> {
        let Some(&RangeState::Queued(at)) = self.ranges.get(&key).map(|range| &range.state) else { return None };
        self.queue.remove(&at).map(|request| self.start(request))
    }

    /// The bytes of a range, if they are in memory; `to_end`: it is read to its end.
    pub(super) fn ready(&mut self, key: RangeKey, to_end: bool) -> Option<Bytes> {
        let Some(RangeState::Ready { bytes, response, .. }) = self.ranges.get(&key).map(|range| &range.state) else {
            return None;
        };
        let bytes = bytes.clone();
        self.clock += 1;
        if let Some(response) = self.responses.get_mut(response) {
            response.touched = self.clock;
        }
        if to_end {
            self.change(key, |range| range.mark_read(true));
        }
        Some(bytes)
    }

    /// Looks up a pinned range; `to_end`: it is read to its end.
    pub(super) fn look_up(&mut self, key: RangeKey, to_end: bool) -> Lookup {
        if let Some(bytes) = self.ready(key, to_end) {
            return Lookup::Ready(bytes);
        }
        match self.ranges.get(&key).map(|range| &range.state) {
            None => Lookup::Absent,
            Some(RangeState::Failed(error)) => {
                let error = error.clone();
                self.ranges.remove(&key);
                Lookup::Failed(error)
            }
            Some(_) => Lookup::Pending,
        }
    }

    /// Stores the result of a request, and evicts what is over the capacity.
    pub(super) fn complete(&mut self, request: &RangeRequest, result: Result<Vec<Bytes>, Error>, limits: &Limits) {
        self.in_flight -= request.bytes();
        self.running -= 1;
        self.clock += 1;
        let number = self.clock;
        match result {
            Ok(found) => {
                for (key, bytes) in request.keys().zip(found) {
                    self.change(key, |range| range.state = RangeState::Ready { bytes, response: number, read: false });
                }
                self.bytes += request.bytes();
                let response = Response { ranges: request.keys().collect(), bytes: request.bytes(), touched: number };
                self.responses.insert(number, response);
            }
            Err(error) => {
                for key in request.keys() {
                    self.change(key, |range| range.state = RangeState::Failed(error.clone()));
                    self.forget_fault(key);
                }
            }
        }
        self.evict(limits);
    }

    /// Evicts responses that nobody pins: first those that were read, and of these the least recently used.
    fn evict(&mut self, limits: &Limits) {
        while self.bytes > limits.capacity {
            let oldest = self
                .responses
                .iter()
                .filter_map(|(&number, response)| {
                    let ranges = || response.ranges.iter().filter_map(|key| self.ranges.get(key));
                    let is_free = ranges().all(|range| range.is_read() || range.pins == 0);
                    is_free.then(|| (!ranges().all(CachedRange::is_read), response.touched, number))
                })
                .min();
            let Some((_, _, number)) = oldest else { break };
            if let Some(response) = self.responses.remove(&number) {
                self.bytes -= response.bytes;
                for key in response.ranges {
                    self.ranges.remove(&key);
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "range_cache_tests.rs"]
mod tests;
