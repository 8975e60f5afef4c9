use proptest::prelude::*;

use super::*;
use crate::store::Stamp;

const LIMITS: Limits = Limits { capacity: 100, most: 300, gap: 5, request: 60, requests: 4 };

fn object(file: u32) -> Arc<ObjectRef> {
    Arc::new(ObjectRef { file, key: String::new(), stamp: Stamp::default() })
}

fn one(range: Range<u64>) -> Vec<Range<u64>> {
    std::iter::once(range).collect()
}

fn response(request: &RangeRequest) -> Result<Vec<Bytes>, Error> {
    Ok(request.ranges.iter().map(|range| Bytes::from(vec![0; (range.end - range.start) as usize])).collect())
}

impl RangeCache {
    /// Compares the counts with what is cached.
    fn check(&self) {
        assert_eq!(self.pinned, self.ranges.values().map(CachedRange::pinned_bytes).sum::<u64>());
        assert_eq!(self.bytes, self.responses.values().map(|response| response.bytes).sum::<u64>());
        let ready = self.ranges.values().filter(|range| matches!(range.state, RangeState::Ready { .. })).count();
        assert_eq!(ready, self.responses.values().map(|response| response.ranges.len()).sum::<usize>());
        let mut pins: HashMap<(RangeKey, u64), u32> = HashMap::new();
        for pin in self.turns.values().flatten().flatten() {
            *pins.entry((pin.key, pin.born)).or_default() += 1;
        }
        for (key, range) in &self.ranges {
            assert_eq!(range.pins, pins.get(&(*key, range.born)).copied().unwrap_or(0), "{key:?}");
        }
    }

    fn is_here(&self, key: RangeKey) -> bool {
        self.ranges.get(&key).is_some_and(|range| matches!(range.state, RangeState::Ready { .. }))
    }
}

#[test]
fn near_ranges_share_a_request_and_its_memory_is_counted_as_a_whole() {
    let mut cache = RangeCache::default();
    cache.begin(0);
    cache.request(&object(0), vec![0..10, 14..20, 40..50, 90..95], 0, &LIMITS);
    let requests: Vec<RangeRequest> = std::iter::from_fn(|| cache.next(&LIMITS)).collect();
    assert_eq!(requests.iter().map(RangeRequest::bytes).collect::<Vec<_>>(), [20, 10, 5]);
    for request in &requests {
        cache.complete(request, response(request), &LIMITS);
        cache.check();
    }
    assert_eq!((cache.bytes, cache.pinned), (35, 31));
    assert!(cache.ready((0, 0, 10), true).is_some());
    assert_eq!(cache.pinned, 21, "one turn pins it, and has read it");
    cache.finish(0);
    cache.check();
    assert_eq!((cache.bytes, cache.pinned), (35, 0));
}

#[test]
fn a_range_of_two_turns_stays_until_both_have_read_it() {
    let mut cache = RangeCache::default();
    let mut limits = LIMITS;
    for turn in 0..2 {
        cache.begin(turn);
        cache.request(&object(0), one(0..50), turn, &LIMITS);
    }
    let request = cache.next(&LIMITS).unwrap();
    assert!(cache.next(&LIMITS).is_none(), "requested once");
    cache.complete(&request, response(&request), &LIMITS);
    limits.capacity = 0;
    for turn in 0..2 {
        cache.evict(&limits);
        assert!(cache.ready((0, 0, 50), true).is_some(), "turn {turn}");
        cache.finish(turn);
        cache.check();
    }
    cache.evict(&limits);
    assert_eq!(cache.bytes, 0);
}

#[test]
fn an_unpinned_range_is_not_fetched_and_an_awaited_one_is_at_once() {
    let mut cache = RangeCache::default();
    for turn in 0..3 {
        cache.begin(turn);
    }
    cache.request(&object(0), one(0..50), 0, &LIMITS);
    cache.request(&object(1), one(0..50), 1, &LIMITS);
    let narrow = Limits { most: 60, ..LIMITS };
    cache.request(&object(2), one(0..50), 2, &LIMITS);
    let first = cache.next(&narrow).unwrap();
    assert!(cache.next(&narrow).is_none(), "there is room for one");
    cache.finish(1);
    let last = cache.dequeue((2, 0, 50)).unwrap();
    cache.complete(&first, response(&first), &narrow);
    cache.complete(&last, response(&last), &narrow);
    assert!(cache.next(&narrow).is_none());
    cache.finish(0);
    assert!(cache.next(&narrow).is_none(), "turn 1 has ended");
    assert!(cache.is_absent((1, 0, 50)) && cache.is_here((2, 0, 50)));
    cache.finish(9);
    cache.begin(9);
    cache.request(&object(3), one(0..50), 9, &LIMITS);
    assert!(cache.is_absent((3, 0, 50)), "a turn that ended before it began");
}

#[test]
fn a_pinned_range_is_not_evicted_though_a_turn_has_read_it() {
    let mut cache = RangeCache::default();
    cache.begin(0);
    cache.request(&object(0), one(0..50), 0, &LIMITS);
    let request = cache.next(&LIMITS).unwrap();
    cache.complete(&request, response(&request), &LIMITS);
    assert!(cache.ready((0, 0, 50), true).is_some());
    let pin = cache.pin((0, 0, 50));
    cache.evict(&Limits { capacity: 0, ..LIMITS });
    assert!(cache.is_here((0, 0, 50)));
    cache.unpin(pin);
    cache.finish(0);
    cache.evict(&Limits { capacity: 0, ..LIMITS });
    assert!(!cache.is_here((0, 0, 50)));
    cache.check();
}

#[test]
fn a_fault_that_nobody_waits_for_is_forgotten() {
    let mut cache = RangeCache::default();
    cache.begin(0);
    cache.request(&object(0), one(0..50), 0, &LIMITS);
    let request = cache.next(&LIMITS).unwrap();
    cache.complete(&request, Err(Error::Closed), &LIMITS);
    assert!(!cache.is_absent((0, 0, 50)), "its turn may come to it");
    cache.finish(0);
    assert!(cache.is_absent((0, 0, 50)));
    let request = cache.start(RangeRequest { object: object(0), ranges: one(0..50) });
    cache.complete(&request, Err(Error::Closed), &LIMITS);
    assert!(cache.is_absent((0, 0, 50)));
    cache.check();
}

#[test]
fn a_turn_unpins_only_what_it_pinned() {
    let mut cache = RangeCache::default();
    for turn in 0..2 {
        cache.begin(turn);
    }
    cache.request(&object(0), one(0..50), 0, &LIMITS);
    let request = cache.next(&LIMITS).unwrap();
    cache.complete(&request, Err(Error::Closed), &LIMITS);
    assert!(matches!(cache.look_up((0, 0, 50), true), Lookup::Failed(_)));
    cache.request(&object(0), one(0..50), 1, &LIMITS);
    cache.finish(0);
    assert!(cache.next(&LIMITS).is_some(), "turn 1 still wants it");
    cache.check();
}

proptest! {
    #[test]
    fn pinned_ranges_stay_and_the_counts_are_right(
        steps in proptest::collection::vec((0_u8..6, 0_u64..12, 0_u64..30), 0..200),
    ) {
        let mut cache = RangeCache::default();
        let mut in_flight: Vec<RangeRequest> = Vec::new();
        let mut requested: HashMap<u64, Vec<(RangeKey, bool)>> = HashMap::new();
        for (what, turn, at) in steps {
            let range = at * 10..at * 10 + 10;
            let key = (0, range.start, range.end);
            match what {
                0 => {
                    cache.begin(turn);
                    requested.entry(turn).or_default();
                }
                1 if requested.contains_key(&turn) => {
                    cache.request(&object(0), one(range), turn, &LIMITS);
                    requested.entry(turn).or_default().push((key, false));
                }
                2 if requested.remove(&turn).is_some() => cache.finish(turn),
                3 => {
                    in_flight.extend(cache.dequeue(key));
                    if cache.ready(key, at % 2 == 0).is_some() && at % 2 == 0 {
                        requested.values_mut().flatten().filter(|of| of.0 == key).for_each(|of| of.1 = true);
                    }
                }
                4 if !in_flight.is_empty() => {
                    let request = in_flight.swap_remove(at as usize % in_flight.len());
                    let result = if at == 7 { Err(Error::Closed) } else { response(&request) };
                    cache.complete(&request, result, &LIMITS);
                    // Whoever waits for it gets the error.
                    for key in request.keys() {
                        if at == 7 {
                            let is_held = cache.ranges.get(&key).is_some_and(|range| range.pins > 0);
                            let found = cache.look_up(key, false);
                            let is_right = match found {
                                Lookup::Failed(_) => is_held,
                                Lookup::Absent => !is_held,
                                _ => false,
                            };
                            prop_assert!(is_right);
                            requested.values_mut().for_each(|of| of.retain(|(other, _)| *other != key));
                        }
                    }
                }
                _ => in_flight.extend(cache.next(&LIMITS)),
            }
            cache.check();
            prop_assert_eq!(cache.in_flight, in_flight.iter().map(RangeRequest::bytes).sum::<u64>());
            prop_assert_eq!(cache.running, in_flight.len());
            for (key, read) in requested.values().flatten() {
                prop_assert!(*read || !cache.is_absent(*key), "{key:?} is pinned and unread");
            }
        }
    }
}
