//! Uploads through faults: what is written is what is there, and nothing is left that has no name.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::Tuning;
use super::super::faulty::{Fate, Faulty};
use super::*;

const RETRIES: u32 = 3;

fn tuning() -> Tuning {
    Tuning {
        max_retries: RETRIES,
        init_backoff: Duration::from_micros(10),
        max_backoff: Duration::from_micros(100),
        timeout: Duration::from_secs(20),
        ..Tuning::default()
    }
}

fn on_runtime<T>(task: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap().block_on(task)
}

/// An upload in parts of a few bytes, which a real store would not take.
fn upload(client: &Arc<Client>, uploads: &Uploads, key: &str, part_bytes: usize) -> Upload {
    let mut one = Upload::new(client, &Arc::default(), uploads, key.to_owned(), format!("{key}.journal"), 0);
    one.part_bytes = part_bytes;
    one
}

async fn write(mut one: Upload, pieces: &[Vec<u8>]) -> Result<u64> {
    for piece in pieces {
        let mut rest = piece.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(one.room()));
            one.fill(now);
            rest = later;
            one.send().await?;
        }
    }
    one.finish().await
}

/// No request fails more often in a row than it is tried again.
fn bearable(mut fates: Vec<Fate>) -> impl FnMut(&'static str, &str, usize) -> Fate {
    let mut failed: HashMap<(&'static str, String), u32> = HashMap::new();
    move |name, of, _| {
        let in_a_row = failed.entry((name, of.to_owned())).or_default();
        let fate = fates.pop().unwrap_or(Fate::Done);
        if fate == Fate::Done || *in_a_row == RETRIES {
            *in_a_row = 0;
            return Fate::Done;
        }
        *in_a_row += 1;
        fate
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![4 => Just(Fate::Done), 1 => Just(Fate::Failed), 1 => Just(Fate::Lost)]
}

proptest! {
    #[test]
    fn what_was_written_is_there(
        pieces in vec(vec(any::<u8>(), 0..40), 0..12), part_bytes in 1_usize..30, fates in vec(fate(), 0..40),
    ) {
        let (store, client) = Faulty::new(tuning(), bearable(fates));
        let whole = pieces.concat();
        let (parts, held, journal) = on_runtime(async {
            let parts = write(upload(&client, &Uploads::default(), "key", part_bytes), &pieces).await;
            (parts, store.holds("key").await, store.holds("key.journal").await)
        });
        prop_assert_eq!(held.as_deref(), Some(whole.as_slice()));
        prop_assert_eq!(parts.unwrap(), whole.len().div_ceil(part_bytes).max(1) as u64);
        // The upload has a name before anything of it is sent; what is small has none.
        let calls = lock(&store.calls).clone();
        let first = |name| calls.iter().position(|call| *call == name);
        let in_parts = whole.len() >= part_bytes;
        prop_assert_eq!(journal.is_some(), in_parts);
        prop_assert_eq!(first("part").is_some(), in_parts);
        prop_assert!(!in_parts || (first("begin") < first("put") && first("put") < first("part")), "{calls:?}");
    }

    /// However far it came: the object is there in whole, or not at all, and the error says that it is not.
    #[test]
    fn what_could_not_be_written_is_said(
        bytes in vec(any::<u8>(), 30..100), name in prop_oneof![Just("begin"), Just("put"), Just("part"), Just("end")],
        at in 0_usize..4, fate in prop_oneof![Just(Fate::Failed), Just(Fate::Lost), Just(Fate::Refused)],
    ) {
        let (store, client) = Faulty::new(tuning(), move |call, _, before| {
            if call == name && before >= at { fate } else { Fate::Done }
        });
        let (written, held, aborted) = on_runtime(async {
            let written = write(upload(&client, &Uploads::default(), "key", 10), std::slice::from_ref(&bytes)).await;
            let id = store.holds("key.journal").await;
            let id = id.map(|id| String::from_utf8(id.to_vec()).unwrap());
            // Whoever finds the journal can end the upload, though it may be over.
            let aborted = match &id {
                Some(id) => client.abort("key", id, &Arc::default()).await,
                None => Ok(()),
            };
            (written, store.holds("key").await, aborted)
        });
        let calls = lock(&store.calls).clone();
        let count = calls.iter().filter(|call| **call == name).count();
        prop_assert!(aborted.is_ok());
        match &written {
            Ok(_) => prop_assert!(count <= at || (name == "end" && fate == Fate::Lost), "{calls:?}"),
            Err(_) => prop_assert!(count > at),
        }
        prop_assert_eq!(written.is_ok(), held.is_some());
        prop_assert!(held.is_none_or(|held| held == bytes));
    }
}

#[test]
fn a_begun_upload_that_cannot_be_named_is_ended() {
    let (store, client) = Faulty::new(tuning(), |call, _, _| if call == "put" { Fate::Refused } else { Fate::Done });
    let written = on_runtime(write(upload(&client, &Uploads::default(), "key", 4), &[vec![1; 9]]));
    assert!(matches!(written, Err(Error::Denied { .. })));
    assert_eq!(*lock(&store.calls), ["begin", "put", "abort"]);
}

#[test]
fn no_more_parts_are_under_way_than_the_window_has() {
    let (store, client) = Faulty::new(tuning(), |_, _, _| Fate::Done);
    *lock(&store.part_takes) = Duration::from_millis(1);
    let uploads = Uploads::default();
    on_runtime(async {
        let bytes = [vec![1; 40]];
        let one = write(upload(&client, &uploads, "one", 1), &bytes);
        let other = write(upload(&client, &uploads, "other", 1), &bytes);
        let (one, other) = futures_util::future::join(one, other).await;
        assert_eq!((one.unwrap(), other.unwrap()), (40, 40));
    });
    assert_eq!(store.most_under_way.load(Ordering::SeqCst), 16);
}

#[test]
fn on_a_slow_link_fewer_are_under_way() {
    // All sixteen take 1.6 s each, one alone 0.1 s.
    let quick = Tuning { timeout: Duration::from_millis(250), max_retries: 20, ..tuning() };
    let (store, client) = Faulty::new(quick, |_, _, _| Fate::Done);
    *lock(&store.part_takes) = Duration::from_millis(100);
    let (written, held) = on_runtime(async {
        let written = write(upload(&client, &Uploads::default(), "key", 1), &[vec![1; 20]]).await;
        (written, store.holds("key").await)
    });
    assert_eq!(written.unwrap(), 20);
    assert_eq!(held.unwrap(), vec![1; 20]);
}

#[test]
fn an_upload_that_nobody_wants_sends_no_more() {
    let (store, client) = Faulty::new(tuning(), |call, _, _| if call == "part" { Fate::Silent } else { Fate::Done });
    on_runtime(async {
        let mut one = upload(&client, &Uploads::default(), "key", 1);
        for byte in [1, 2, 3] {
            one.fill(&[byte]);
            one.send().await.unwrap();
        }
        while store.most_under_way.load(Ordering::SeqCst) < 3 {
            tokio::task::yield_now().await;
        }
        drop(one);
        // Its tasks hold the client as long as they live.
        while Arc::strong_count(&client) > 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(store.holds("key").await, None);
    });
}

#[test]
fn an_upload_that_another_one_ended_is_said_to_be() {
    let (store, client) = Faulty::new(tuning(), |_, _, _| Fate::Done);
    let error = on_runtime(async {
        let mut one = upload(&client, &Uploads::default(), "key", 2);
        one.fill(&[1, 2]);
        one.send().await.unwrap();
        let id = store.holds("key.journal").await.unwrap();
        while lock(&store.calls).last() != Some(&"part") {
            tokio::task::yield_now().await;
        }
        client.abort("key", str::from_utf8(&id).unwrap(), &Arc::default()).await.unwrap();
        one.fill(&[3]);
        one.finish().await.unwrap_err()
    });
    assert!(error.to_string().contains("no longer known"), "{error}");
    assert!(matches!(error, Error::NotFound { .. }));
}

#[test]
fn parts_are_as_large_as_the_object_needs() {
    let (_, client) = Faulty::new(Tuning { request_bytes: 1, ..tuning() }, |_, _, _| Fate::Done);
    let bytes = |about| {
        let one = Upload::new(&client, &Arc::default(), &Uploads::default(), String::new(), String::new(), about);
        one.part_bytes as u64
    };
    assert_eq!(bytes(0), SMALLEST_PART);
    for about in [1 << 30, 80 << 30, 5 << 40_u64] {
        assert!(bytes(about) >= SMALLEST_PART && about.div_ceil(bytes(about)) <= MOST_PARTS * 9 / 10);
    }
}
