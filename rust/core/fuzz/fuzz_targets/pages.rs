//! Any bytes as pages, as `tests/dense/hostile.rs` describes it. A find goes to `tests/dense/seeds`.

#![no_main]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

#[path = "../../tests/dense/hostile.rs"]
mod hostile;

use std::panic::{catch_unwind, set_hook};
use std::sync::Once;

static QUIET: Once = Once::new();

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // parquet's own decoder may panic on damaged pages, which the comparison takes as an error: no reason to stop.
    QUIET.call_once(|| set_hook(Box::new(|_| {})));
    if let Err(panic) = catch_unwind(|| hostile::check(data)) {
        eprintln!("{:?}", panic.downcast_ref::<String>());
        std::process::abort();
    }
});
