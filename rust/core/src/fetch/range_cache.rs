//! What is here of objects, asked for, or under way; and what goes first when room is needed.
//!
//! Rows that will be read are a turn: what they are stored in is held until they were read, however often turns share it.
//! More is asked for only while there is room for it, except by who waits for it.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::range_fetcher::ObjectRef;
use crate::Error;

/// A part: its file and its bytes.
pub(super) type RangeKey = (u32, u64, u64);
/// Of a request to come: its turn, its file, its first byte, and a number that makes it one.
type RequestKey = (u64, u32, u64, u64);

/// How much of what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes that may be kept.
    pub(super) capacity: u64,
    /// Bytes that may be here, held for turns, or under way.
    pub(super) most: u64,
    /// Parts that are this near to each other are one request.
    pub(super) gap: u64,
    /// The most that one request asks for.
    pub(super) request: u64,
    /// Requests under way.
    pub(super) requests: usize,
}

/// One request for parts in a row.
pub(super) struct RangeRequest {
    pub(super) place: Arc<ObjectRef>,
    pub(super) parts: Vec<Range<u64>>,
}

impl RangeRequest {
    /// From the first part's first byte to the last one's last.
    pub(super) fn bytes(&self) -> u64 {
        let end = self.parts.iter().map(|part| part.end).max().unwrap_or(0);
        end - self.parts.first().map_or(end, |part| part.start)
    }

    /// Whether a part begins where they end, and one request may be so large.
    pub(super) fn goes_on(&self, part: &Range<u64>, most: u64) -> bool {
        self.parts.last().is_some_and(|last| last.end == part.start) && self.bytes() + part.end - part.start <= most
    }

    fn keys(&self) -> impl Iterator<Item = RangeKey> + use<'_> {
        self.parts.iter().map(|part| (self.place.file, part.start, part.end))
    }
}

#[derive(Default)]
pub(super) struct RangeCache {
    parts: HashMap<RangeKey, CachedRange>,
    answers: HashMap<u64, Response>,
    /// Requests to come, those for rows that are needed first before others.
    asked: BTreeMap<RequestKey, RangeRequest>,
    /// What turns hold; None of one that ended before it began.
    turns: HashMap<u64, Option<Vec<Pin>>>,
    /// Bytes of answers that are here.
    bytes: u64,
    /// Of these, what turns hold.
    held: u64,
    /// Bytes of requests under way, and how many these are.
    in_flight: u64,
    running: usize,
    clock: u64,
}

/// That a part is held. It may go nevertheless, read or failed, and another may come of the same bytes, which others hold.
#[must_use]
#[derive(Debug, Clone, Copy)]
pub(super) struct Pin {
    key: RangeKey,
    born: u64,
}

struct CachedRange {
    /// When it was asked for.
    born: u64,
    /// Turns that hold it, and threads that wait for it.
    holders: u32,
    state: State,
}

enum State {
    /// Of a request to come.
    RangeRequest(RequestKey),
    /// Of a request under way.
    InFlight,
    Ready {
        bytes: Bytes,
        answer: u64,
        /// To its end, by a turn that holds it: it is kept for no other.
        read: bool,
    },
    /// Says it once; asked again, it is fetched again.
    Failed(Error),
}

/// The answer to a request: parts of it are its memory as long as one of them is here.
struct Response {
    parts: Vec<RangeKey>,
    bytes: u64,
    touched: u64,
}

/// What a look for a part finds.
pub(super) enum Lookup {
    Ready(Bytes),
    Failed(Error),
    UnderWay,
    Nowhere,
}

impl CachedRange {
    fn is_read(&self) -> bool {
        matches!(self.state, State::Ready { read: true, .. }) && self.holders <= 1
    }

    fn unread(&mut self) {
        if let State::Ready { read, .. } = &mut self.state {
            *read = false;
        }
    }

    fn held(&self) -> u64 {
        match &self.state {
            State::Ready { bytes, .. } if self.holders > 0 && !self.is_read() => bytes.len() as u64,
            _ => 0,
        }
    }
}

impl RangeCache {
    /// Changes a part that there is, and what is counted of it.
    fn change(&mut self, key: RangeKey, change: impl FnOnce(&mut CachedRange)) {
        if let Some(part) = self.parts.get_mut(&key) {
            self.held -= part.held();
            change(part);
            self.held += part.held();
        }
    }

    /// Begins a turn.
    pub(super) fn begin(&mut self, turn: u64) {
        self.turns.entry(turn).or_insert(Some(Vec::new()));
    }

    /// Ends a turn: what it held may go.
    pub(super) fn finish(&mut self, turn: u64) {
        let Some(held) = self.turns.remove(&turn) else {
            self.turns.insert(turn, None);
            return;
        };
        for hold in held.unwrap_or_default() {
            self.release(hold);
            // Who else holds it may not have read it.
            self.change(hold.key, |part| {
                if part.holders > 0 {
                    part.unread();
                }
            });
        }
    }

    /// Asks for parts for a turn, unless it ended: those that are not here, near ones by one request.
    pub(super) fn ask(&mut self, place: &Arc<ObjectRef>, mut parts: Vec<Range<u64>>, turn: u64, limits: &Limits) {
        if !matches!(self.turns.get(&turn), Some(Some(_))) {
            return;
        }
        let mut holds = Vec::with_capacity(parts.len());
        parts.retain(|part| {
            let key = (place.file, part.start, part.end);
            let is_new = self.is_nowhere(key);
            holds.push(self.hold(key));
            is_new
        });
        if let Some(Some(held)) = self.turns.get_mut(&turn) {
            held.append(&mut holds);
        }
        parts.sort_unstable_by_key(|part| part.start);
        let Limits { gap, request: most, .. } = *limits;
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
        for parts in requests {
            self.clock += 1;
            let at = (turn, place.file, parts.first().map_or(0, |part| part.start), self.clock);
            let asked = RangeRequest { place: Arc::clone(place), parts };
            for key in asked.keys() {
                self.change(key, |part| part.state = State::RangeRequest(at));
            }
            self.asked.insert(at, asked);
        }
    }

    /// Holds a part, here or not: it does not go, whoever read it before.
    pub(super) fn hold(&mut self, key: RangeKey) -> Pin {
        let born = self.born(key);
        self.change(key, |part| {
            part.holders += 1;
            part.unread();
        });
        Pin { key, born }
    }

    /// When a part was asked for: now, if it is nowhere.
    fn born(&mut self, key: RangeKey) -> u64 {
        self.clock += 1;
        self.parts.entry(key).or_insert(CachedRange { born: self.clock, holders: 0, state: State::InFlight }).born
    }

    /// Lets go of a part.
    pub(super) fn release(&mut self, Pin { key, born }: Pin) {
        if self.parts.get(&key).is_some_and(|part| part.born == born) {
            self.change(key, |part| part.holders = part.holders.saturating_sub(1));
            self.forget(key);
        }
    }

    /// Forgets a fault that nobody waits to hear of: who comes later asks again.
    fn forget(&mut self, key: RangeKey) {
        if self.parts.get(&key).is_some_and(|part| part.holders == 0 && matches!(part.state, State::Failed(_))) {
            self.parts.remove(&key);
        }
    }

    /// Whether a part is neither here, nor under way, nor asked for.
    pub(super) fn is_nowhere(&self, key: RangeKey) -> bool {
        !self.parts.contains_key(&key)
    }

    /// The next request that there is room for, which is now under way.
    pub(super) fn next(&mut self, limits: &Limits) -> Option<RangeRequest> {
        while self.running < limits.requests {
            let (&at, asked) = self.asked.first_key_value()?;
            let is_wanted = asked.keys().any(|key| self.parts.get(&key).is_some_and(|part| part.holders > 0));
            let busy = self.held + self.in_flight;
            if is_wanted && busy > 0 && busy + asked.bytes() > limits.most {
                return None;
            }
            let asked = self.asked.remove(&at)?;
            if is_wanted {
                return Some(self.start(asked));
            }
            for key in asked.keys() {
                self.parts.remove(&key);
            }
        }
        None
    }

    /// Says that a request is under way.
    pub(super) fn start(&mut self, asked: RangeRequest) -> RangeRequest {
        for key in asked.keys() {
            self.born(key);
            self.change(key, |part| part.state = State::InFlight);
        }
        self.in_flight += asked.bytes();
        self.running += 1;
        asked
    }

    /// The request to come that a part is of, which is now under way.
    pub(super) fn due(&mut self, key: RangeKey) -> Option<RangeRequest> {
        let Some(&State::RangeRequest(at)) = self.parts.get(&key).map(|part| &part.state) else { return None };
        self.asked.remove(&at).map(|asked| self.start(asked))
    }

    /// A part that is here; `to_end` says that it is read to its end.
    pub(super) fn ready(&mut self, key: RangeKey, to_end: bool) -> Option<Bytes> {
        let Some(State::Ready { bytes, answer, .. }) = self.parts.get(&key).map(|part| &part.state) else {
            return None;
        };
        let bytes = bytes.clone();
        self.clock += 1;
        if let Some(answer) = self.answers.get_mut(answer) {
            answer.touched = self.clock;
        }
        if to_end {
            self.change(key, |part| {
                if let State::Ready { read, .. } = &mut part.state {
                    *read = true;
                }
            });
        }
        Some(bytes)
    }

    /// Looks for a part that is held; `to_end` says that it is read to its end.
    pub(super) fn look(&mut self, key: RangeKey, to_end: bool) -> Lookup {
        if let Some(bytes) = self.ready(key, to_end) {
            return Lookup::Ready(bytes);
        }
        match self.parts.get(&key).map(|part| &part.state) {
            None => Lookup::Nowhere,
            Some(State::Failed(error)) => {
                let error = error.clone();
                self.parts.remove(&key);
                Lookup::Failed(error)
            }
            Some(_) => Lookup::UnderWay,
        }
    }

    /// Takes what came of a request.
    pub(super) fn arrived(&mut self, asked: &RangeRequest, result: Result<Vec<Bytes>, Error>, limits: &Limits) {
        self.in_flight -= asked.bytes();
        self.running -= 1;
        self.clock += 1;
        let number = self.clock;
        match result {
            Ok(came) => {
                for (key, bytes) in asked.keys().zip(came) {
                    self.change(key, |part| part.state = State::Ready { bytes, answer: number, read: false });
                }
                self.bytes += asked.bytes();
                let answer = Response { parts: asked.keys().collect(), bytes: asked.bytes(), touched: number };
                self.answers.insert(number, answer);
            }
            Err(error) => {
                for key in asked.keys() {
                    self.change(key, |part| part.state = State::Failed(error.clone()));
                    self.forget(key);
                }
            }
        }
        self.make_room(limits);
    }

    /// Lets go of answers that nobody holds: those that were read first, and of these the one used longest ago.
    fn make_room(&mut self, limits: &Limits) {
        while self.bytes > limits.capacity {
            let oldest = self
                .answers
                .iter()
                .filter_map(|(&number, answer)| {
                    let parts = || answer.parts.iter().filter_map(|key| self.parts.get(key));
                    let is_free = parts().all(|part| part.is_read() || part.holders == 0);
                    is_free.then(|| (!parts().all(CachedRange::is_read), answer.touched, number))
                })
                .min();
            let Some((_, _, number)) = oldest else { break };
            if let Some(answer) = self.answers.remove(&number) {
                self.bytes -= answer.bytes;
                for key in answer.parts {
                    self.parts.remove(&key);
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "range_cache_tests.rs"]
mod tests;
