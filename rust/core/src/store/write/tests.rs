//! Single objects through faults: answered twice, done once.

use std::time::Duration;

use proptest::prelude::*;

use super::super::Tuning;
use super::super::faulty::{Fate, Faulty};
use super::*;

fn tuning() -> Tuning {
    let (init_backoff, max_backoff) = (Duration::from_micros(10), Duration::from_micros(100));
    Tuning { max_retries: 3, init_backoff, max_backoff, ..Tuning::default() }
}

fn on_runtime<T>(task: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(task)
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    prop::collection::vec(prop_oneof![Just(Fate::Done), Just(Fate::Failed), Just(Fate::Lost)], 0..4)
}

proptest! {
    #[test]
    fn of_two_that_create_one_does(fates in fates(), same: bool) {
        let (store, client) = Faulty::new(tuning(), move |call, _, before| {
            let fate = fates.get(before).copied().filter(|_| call == "put");
            fate.unwrap_or(Fate::Done)
        });
        let metrics = Arc::default();
        let other = if same { "first" } else { "other" };
        let (first, second, held) = on_runtime(async {
            let first = client.create("key", "first".into(), &metrics).await;
            let second = client.create("key", other.into(), &metrics).await;
            (first, second, store.holds("key").await)
        });
        prop_assert_eq!(first.unwrap(), Created::Yes);
        prop_assert_eq!(second.unwrap(), if same { Created::Yes } else { Created::Exists });
        prop_assert_eq!(held.unwrap(), "first");
    }

    #[test]
    fn what_is_put_last_is_there(fates in fates()) {
        let (store, client) = Faulty::new(tuning(), move |_, _, before| fates.get(before).copied().unwrap_or(Fate::Done));
        let metrics = Arc::default();
        on_runtime(async {
            client.put("key", "old".into(), &metrics).await.unwrap();
            client.put("key", "new".into(), &metrics).await.unwrap();
            assert_eq!(store.holds("key").await.unwrap(), "new");
        });
    }
}

#[test]
fn what_is_read_is_all_of_it_or_nothing() {
    let (_, client) = Faulty::new(tuning(), |_, _, before| if before == 1 { Fate::Failed } else { Fate::Done });
    let metrics = Arc::default();
    on_runtime(async {
        assert!(client.read("key", &metrics).await.unwrap().is_none());
        client.put("key", "bytes".into(), &metrics).await.unwrap();
        let (bytes, stamp) = client.read("key", &metrics).await.unwrap().unwrap();
        assert_eq!((&bytes[..], stamp.size), (&b"bytes"[..], 5));
        client.delete(&["key".to_owned(), "not there".to_owned()], &metrics).await.unwrap();
        assert!(client.read("key", &metrics).await.unwrap().is_none());
    });
}

#[test]
fn what_cannot_be_deleted_is_an_error() {
    let (store, client) = Faulty::new(tuning(), |call, _, _| if call == "delete" { Fate::Failed } else { Fate::Done });
    let metrics = Arc::default();
    on_runtime(async {
        client.put("key", "bytes".into(), &metrics).await.unwrap();
        let error = client.delete(&["key".to_owned()], &metrics).await.unwrap_err().to_string();
        assert!(error.contains("s3://bucket/key") && error.contains("4 time(s)"), "{error}");
        assert!(store.holds("key").await.is_some());
    });
}

/// A store says that another put is under way, until that one is over: it may be an earlier try of this one.
#[test]
fn a_put_that_meets_another_waits_for_it() {
    for (refusals, there_is) in [(2, true), (99, false)] {
        let (store, client) =
            Faulty::new(
                tuning(),
                move |call, _, before| {
                    if call == "put" && before < refusals { Fate::Conflict } else { Fate::Done }
                },
            );
        let created = on_runtime(client.create("key", "bytes".into(), &Arc::default()));
        assert_eq!(created.is_ok_and(|created| created == Created::Yes), there_is);
        assert_eq!(on_runtime(store.holds("key")).is_some(), there_is);
    }
}

#[test]
fn a_store_without_conditional_puts_says_so_and_writes_nothing() {
    let (store, client) = Faulty::new(tuning(), |call, _, _| if call == "put" { Fate::NotKnown } else { Fate::Done });
    let created = on_runtime(client.create("key", "bytes".into(), &Arc::default())).unwrap();
    assert_eq!((created, on_runtime(store.holds("key"))), (Created::Unsupported, None));
}
