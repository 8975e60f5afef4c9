use proptest::prelude::*;

use super::*;
use crate::store::Stamp;

const LIMITS: Limits = Limits { capacity: 100, most: 300, gap: 5, request: 60, requests: 4 };

fn place(file: u32) -> Arc<ObjectRef> {
    Arc::new(ObjectRef { file, key: String::new(), stamp: Stamp::default() })
}

fn one(part: Range<u64>) -> Vec<Range<u64>> {
    std::iter::once(part).collect()
}

fn came(asked: &RangeRequest) -> Result<Vec<Bytes>, Error> {
    Ok(asked.parts.iter().map(|part| Bytes::from(vec![0; (part.end - part.start) as usize])).collect())
}

impl RangeCache {
    /// What is counted is what is there.
    fn check(&self) {
        assert_eq!(self.held, self.parts.values().map(CachedRange::held).sum::<u64>());
        assert_eq!(self.bytes, self.answers.values().map(|answer| answer.bytes).sum::<u64>());
        let ready = self.parts.values().filter(|part| matches!(part.state, State::Ready { .. })).count();
        assert_eq!(ready, self.answers.values().map(|answer| answer.parts.len()).sum::<usize>());
        let mut holders: HashMap<(RangeKey, u64), u32> = HashMap::new();
        for hold in self.turns.values().flatten().flatten() {
            *holders.entry((hold.key, hold.born)).or_default() += 1;
        }
        for (key, part) in &self.parts {
            assert_eq!(part.holders, holders.get(&(*key, part.born)).copied().unwrap_or(0), "{key:?}");
        }
    }

    fn is_here(&self, key: RangeKey) -> bool {
        self.parts.get(&key).is_some_and(|part| matches!(part.state, State::Ready { .. }))
    }
}

#[test]
fn near_parts_are_one_request_and_its_memory_is_counted_as_a_whole() {
    let mut kept = RangeCache::default();
    kept.begin(0);
    kept.ask(&place(0), vec![0..10, 14..20, 40..50, 90..95], 0, &LIMITS);
    let asked: Vec<RangeRequest> = std::iter::from_fn(|| kept.next(&LIMITS)).collect();
    assert_eq!(asked.iter().map(RangeRequest::bytes).collect::<Vec<_>>(), [20, 10, 5]);
    for asked in &asked {
        kept.arrived(asked, came(asked), &LIMITS);
        kept.check();
    }
    assert_eq!((kept.bytes, kept.held), (35, 31));
    assert!(kept.ready((0, 0, 10), true).is_some());
    assert_eq!(kept.held, 21, "one turn holds it, and has read it");
    kept.finish(0);
    kept.check();
    assert_eq!((kept.bytes, kept.held), (35, 0));
}

#[test]
fn a_part_of_two_turns_stays_until_both_have_read_it() {
    let mut kept = RangeCache::default();
    let mut limits = LIMITS;
    for turn in 0..2 {
        kept.begin(turn);
        kept.ask(&place(0), one(0..50), turn, &LIMITS);
    }
    let asked = kept.next(&LIMITS).unwrap();
    assert!(kept.next(&LIMITS).is_none(), "asked for once");
    kept.arrived(&asked, came(&asked), &LIMITS);
    limits.capacity = 0;
    for turn in 0..2 {
        kept.make_room(&limits);
        assert!(kept.ready((0, 0, 50), true).is_some(), "turn {turn}");
        kept.finish(turn);
        kept.check();
    }
    kept.make_room(&limits);
    assert_eq!(kept.bytes, 0);
}

#[test]
fn what_nobody_wants_any_longer_is_not_fetched_and_what_is_waited_for_is_at_once() {
    let mut kept = RangeCache::default();
    for turn in 0..3 {
        kept.begin(turn);
    }
    kept.ask(&place(0), one(0..50), 0, &LIMITS);
    kept.ask(&place(1), one(0..50), 1, &LIMITS);
    let narrow = Limits { most: 60, ..LIMITS };
    kept.ask(&place(2), one(0..50), 2, &LIMITS);
    let first = kept.next(&narrow).unwrap();
    assert!(kept.next(&narrow).is_none(), "there is room for one");
    kept.finish(1);
    let last = kept.due((2, 0, 50)).unwrap();
    kept.arrived(&first, came(&first), &narrow);
    kept.arrived(&last, came(&last), &narrow);
    assert!(kept.next(&narrow).is_none());
    kept.finish(0);
    assert!(kept.next(&narrow).is_none(), "turn 1 has ended");
    assert!(kept.is_nowhere((1, 0, 50)) && kept.is_here((2, 0, 50)));
    kept.finish(9);
    kept.begin(9);
    kept.ask(&place(3), one(0..50), 9, &LIMITS);
    assert!(kept.is_nowhere((3, 0, 50)), "a turn that ended before it began");
}

#[test]
fn what_is_waited_for_with_others_does_not_go_though_a_turn_has_read_it() {
    let mut kept = RangeCache::default();
    kept.begin(0);
    kept.ask(&place(0), one(0..50), 0, &LIMITS);
    let asked = kept.next(&LIMITS).unwrap();
    kept.arrived(&asked, came(&asked), &LIMITS);
    assert!(kept.ready((0, 0, 50), true).is_some());
    let hold = kept.hold((0, 0, 50));
    kept.make_room(&Limits { capacity: 0, ..LIMITS });
    assert!(kept.is_here((0, 0, 50)));
    kept.release(hold);
    kept.finish(0);
    kept.make_room(&Limits { capacity: 0, ..LIMITS });
    assert!(!kept.is_here((0, 0, 50)));
    kept.check();
}

#[test]
fn a_fault_that_nobody_waits_to_hear_of_is_forgotten() {
    let mut kept = RangeCache::default();
    kept.begin(0);
    kept.ask(&place(0), one(0..50), 0, &LIMITS);
    let asked = kept.next(&LIMITS).unwrap();
    kept.arrived(&asked, Err(Error::Closed), &LIMITS);
    assert!(!kept.is_nowhere((0, 0, 50)), "its turn may come to it");
    kept.finish(0);
    assert!(kept.is_nowhere((0, 0, 50)));
    let asked = kept.start(RangeRequest { place: place(0), parts: one(0..50) });
    kept.arrived(&asked, Err(Error::Closed), &LIMITS);
    assert!(kept.is_nowhere((0, 0, 50)));
    kept.check();
}

#[test]
fn a_turn_lets_go_only_of_what_it_held() {
    let mut kept = RangeCache::default();
    for turn in 0..2 {
        kept.begin(turn);
    }
    kept.ask(&place(0), one(0..50), 0, &LIMITS);
    let asked = kept.next(&LIMITS).unwrap();
    kept.arrived(&asked, Err(Error::Closed), &LIMITS);
    assert!(matches!(kept.look((0, 0, 50), true), Lookup::Failed(_)));
    kept.ask(&place(0), one(0..50), 1, &LIMITS);
    kept.finish(0);
    assert!(kept.next(&LIMITS).is_some(), "turn 1 still wants it");
    kept.check();
}

proptest! {
    #[test]
    fn what_a_turn_holds_stays_and_the_counts_are_right(
        steps in proptest::collection::vec((0_u8..6, 0_u64..12, 0_u64..30), 0..200),
    ) {
        let mut kept = RangeCache::default();
        let mut in_flight: Vec<RangeRequest> = Vec::new();
        let mut asked_for: HashMap<u64, Vec<(RangeKey, bool)>> = HashMap::new();
        for (what, turn, at) in steps {
            let part = at * 10..at * 10 + 10;
            let key = (0, part.start, part.end);
            match what {
                0 => {
                    kept.begin(turn);
                    asked_for.entry(turn).or_default();
                }
                1 if asked_for.contains_key(&turn) => {
                    kept.ask(&place(0), one(part), turn, &LIMITS);
                    asked_for.entry(turn).or_default().push((key, false));
                }
                2 if asked_for.remove(&turn).is_some() => kept.finish(turn),
                3 => {
                    in_flight.extend(kept.due(key));
                    if kept.ready(key, at % 2 == 0).is_some() && at % 2 == 0 {
                        asked_for.values_mut().flatten().filter(|of| of.0 == key).for_each(|of| of.1 = true);
                    }
                }
                4 if !in_flight.is_empty() => {
                    let asked = in_flight.swap_remove(at as usize % in_flight.len());
                    let result = if at == 7 { Err(Error::Closed) } else { came(&asked) };
                    kept.arrived(&asked, result, &LIMITS);
                    // Who waits for it meets the error.
                    for key in asked.keys() {
                        if at == 7 {
                            let is_held = kept.parts.get(&key).is_some_and(|part| part.holders > 0);
                            let found = kept.look(key, false);
                            let is_right = match found {
                                Lookup::Failed(_) => is_held,
                                Lookup::Nowhere => !is_held,
                                _ => false,
                            };
                            prop_assert!(is_right);
                            asked_for.values_mut().for_each(|of| of.retain(|(other, _)| *other != key));
                        }
                    }
                }
                _ => in_flight.extend(kept.next(&LIMITS)),
            }
            kept.check();
            prop_assert_eq!(kept.in_flight, in_flight.iter().map(RangeRequest::bytes).sum::<u64>());
            prop_assert_eq!(kept.running, in_flight.len());
            for (key, read) in asked_for.values().flatten() {
                prop_assert!(*read || !kept.is_nowhere(*key), "{key:?} is held and unread");
            }
        }
    }
}
