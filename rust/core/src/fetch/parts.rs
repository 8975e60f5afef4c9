//! Parts of objects: asked for ahead, waited for by those who decode, kept while there is room.
//!
//! Who shares a row group shares its parts, so that nothing is fetched twice while it is here. What was read to its end
//! goes first when room is needed; what was fetched ahead and not yet read goes only when there is far too much of it.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::store::{Cancel, Client, Metrics, Stamp};
use crate::{Error, Result};

/// How often a wait looks whether it was cancelled.
const SLICE: Duration = Duration::from_millis(50);
/// What is fetched ahead may be this much more than what may be kept, however little that is: a window, or a chunk.
const SLACK: u64 = 64 << 20;

/// What parts are fetched with, and those that are here.
pub(super) struct Parts {
    client: Arc<Client>,
    handle: Handle,
    cancel: Cancel,
    metrics: Arc<Metrics>,
    limits: Limits,
    kept: Mutex<Kept>,
    came: Condvar,
    /// Requests that wait for one of the slots, those for rows that are needed first before others.
    asked: Mutex<BinaryHeap<Reverse<Asked>>>,
    slots: Semaphore,
}

/// A request to come, of parts in a row.
struct Asked {
    turn: u64,
    place: Arc<Place>,
    parts: Vec<Range<u64>>,
}

impl Asked {
    fn key(&self) -> (u64, u32, u64) {
        (self.turn, self.place.file, self.parts.first().map_or(0, |part| part.start))
    }
}

impl PartialEq for Asked {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Asked {}

impl PartialOrd for Asked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Asked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("client", &self.client).finish_non_exhaustive()
    }
}

/// How much of what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes that may be kept.
    pub(super) capacity: u64,
    /// Parts that are this near to each other are one request.
    pub(super) gap: u64,
    /// The most that one request asks for.
    pub(super) request: u64,
}

#[derive(Default)]
struct Kept {
    /// By file and first byte.
    parts: HashMap<(u32, u64), Part>,
    bytes: u64,
    clock: u64,
}

enum Part {
    /// Asked for.
    Pending,
    Ready {
        bytes: Bytes,
        read: bool,
        touched: u64,
    },
    /// Says it once; asked again, it is fetched again.
    Failed(Error),
}

/// An object that parts are of.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) file: u32,
    pub(super) key: String,
    pub(super) stamp: Stamp,
}

impl Parts {
    pub(super) fn new(
        client: Arc<Client>,
        handle: Handle,
        cancel: Cancel,
        metrics: Arc<Metrics>,
        limits: Limits,
    ) -> Self {
        let slots = Semaphore::new(client.tuning().max_requests);
        let (kept, asked, came) = (Mutex::default(), Mutex::default(), Condvar::new());
        Self { client, handle, cancel, metrics, limits, kept, came, asked, slots }
    }

    /// The most that one request asks for.
    pub(super) fn request_bytes(&self) -> u64 {
        self.limits.request
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to fetch what is not here: parts that are near to each other by one request. Those of an earlier `turn` first.
    pub(super) fn want(self: &Arc<Self>, place: &Arc<Place>, mut parts: Vec<Range<u64>>, turn: u64) {
        {
            let mut kept = self.lock();
            parts.retain(|part| match kept.parts.entry((place.file, part.start)) {
                std::collections::hash_map::Entry::Occupied(_) => false,
                std::collections::hash_map::Entry::Vacant(free) => {
                    free.insert(Part::Pending);
                    true
                }
            });
        }
        parts.sort_unstable_by_key(|part| part.start);
        let Limits { gap, request: most, .. } = self.limits;
        let mut requests: Vec<Vec<Range<u64>>> = Vec::new();
        for part in parts {
            match requests.last_mut() {
                Some(request)
                    if request.last().is_some_and(|last| part.start.saturating_sub(last.end) <= gap)
                        && request.first().is_some_and(|first| part.end - first.start <= most) =>
                {
                    request.push(part);
                }
                _ => requests.push(vec![part]),
            }
        }
        for request in requests {
            let asked = Asked { turn, place: Arc::clone(place), parts: request };
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(Reverse(asked));
            let parts = Arc::clone(self);
            // As many as there are requests, each for the first of them when its slot is free.
            self.handle.spawn(async move {
                let _slot = parts.slots.acquire().await;
                let first = parts.asked.lock().unwrap_or_else(PoisonError::into_inner).pop();
                if let Some(Reverse(Asked { place, parts: wanted, .. })) = first {
                    parts.fetch(&place, wanted).await;
                }
            });
        }
    }

    /// One request for parts in a row.
    async fn fetch(&self, place: &Place, wanted: Vec<Range<u64>>) {
        let result = if self.cancel.is_cancelled() {
            Err(Error::Closed)
        } else {
            self.client.get_kept(&place.key, wanted.clone(), &place.stamp, &self.metrics).await
        };
        let mut kept = self.lock();
        kept.clock += 1;
        let touched = kept.clock;
        for (number, part) in wanted.into_iter().enumerate() {
            let came = match &result {
                Ok((parts, _)) => {
                    kept.bytes += part.end - part.start;
                    Part::Ready { bytes: parts.get(number).cloned().unwrap_or_default(), read: false, touched }
                }
                Err(Error::NotFound { path }) => Part::Failed(vanished(path)),
                Err(error) => Part::Failed(error.clone()),
            };
            kept.parts.insert((place.file, part.start), came);
        }
        kept.make_room(self.limits.capacity, 2 * self.limits.capacity + SLACK);
        drop(kept);
        self.came.notify_all();
    }

    /// A part, waited for; `to_end` says that it is read to its end, and may go.
    pub(super) fn get(self: &Arc<Self>, place: &Arc<Place>, part: &Range<u64>, to_end: bool) -> Result<Bytes> {
        let at = (place.file, part.start);
        let begin = Instant::now();
        let mut waited = false;
        let mut kept = self.lock();
        let found = loop {
            if self.cancel.is_cancelled() {
                break Err(Error::Closed);
            }
            kept.clock += 1;
            let now = kept.clock;
            match kept.parts.get_mut(&at) {
                Some(Part::Ready { bytes, read, touched }) => {
                    *read |= to_end;
                    *touched = now;
                    break Ok(bytes.clone());
                }
                Some(Part::Failed(error)) => {
                    let error = error.clone();
                    kept.parts.remove(&at);
                    break Err(error);
                }
                Some(Part::Pending) => {
                    waited = true;
                    kept = self.came.wait_timeout(kept, SLICE).unwrap_or_else(PoisonError::into_inner).0;
                }
                None => {
                    drop(kept);
                    self.want(place, vec![part.clone()], 0);
                    kept = self.lock();
                }
            }
        };
        drop(kept);
        if waited {
            self.metrics.waited(begin.elapsed());
        }
        found
    }

    /// Bytes from anywhere, not kept.
    pub(super) async fn get_once(&self, place: &Place, range: Range<u64>) -> Result<Bytes> {
        let got = self.client.get(&place.key, range, &place.stamp, &self.metrics);
        self.cancel.or(got).await.map(|(bytes, _)| bytes)
    }

    /// Waits, on a thread that is none of the runtime's.
    pub(super) fn wait<T>(&self, task: impl Future<Output = T>) -> T {
        self.handle.block_on(task)
    }
}

impl Kept {
    fn make_room(&mut self, capacity: u64, most: u64) {
        while self.bytes > capacity {
            let force = self.bytes > most;
            let oldest = self
                .parts
                .iter()
                .filter_map(|(at, part)| match part {
                    Part::Ready { bytes, read, touched } if *read || force => {
                        Some((!*read, *touched, *at, bytes.len()))
                    }
                    _ => None,
                })
                .min();
            let Some((_, _, at, bytes)) = oldest else { break };
            self.parts.remove(&at);
            self.bytes -= bytes as u64;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_goes_first_and_what_was_not_only_when_it_is_far_too_much() {
        let mut kept = Kept::default();
        let put = |kept: &mut Kept, start: u64, read: bool| {
            kept.clock += 1;
            kept.bytes += 10;
            let part = Part::Ready { bytes: Bytes::from(vec![0; 10]), read, touched: kept.clock };
            kept.parts.insert((0, start), part);
        };
        let left = |kept: &Kept| {
            let mut left: Vec<u64> = kept.parts.keys().map(|(_, start)| *start).collect();
            left.sort_unstable();
            left
        };
        for (start, read) in [(0, false), (1, true), (2, false), (3, true)] {
            put(&mut kept, start, read);
        }
        kept.parts.insert((0, 9), Part::Pending);
        kept.make_room(30, 60);
        assert_eq!(left(&kept), [0, 2, 3, 9]);
        kept.make_room(20, 40);
        assert_eq!(left(&kept), [0, 2, 9]);
        kept.make_room(15, 30);
        assert_eq!((left(&kept), kept.bytes), (vec![0, 2, 9], 20));
        kept.make_room(9, 18);
        assert_eq!((left(&kept), kept.bytes), (vec![2, 9], 10));
        kept.make_room(0, 0);
        assert_eq!((left(&kept), kept.bytes), (vec![9], 0));
    }
}
