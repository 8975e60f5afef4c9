//! Any bytes as a column chunk, as `tests/dense/chunk.rs` describes it. A find goes to `tests/dense/chunks`.

#![no_main]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

#[path = "../../tests/dense/chunk.rs"]
mod chunk;

use std::panic::{catch_unwind, set_hook};
use std::sync::Once;

static QUIET: Once = Once::new();

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // parquet's own reader may panic on damage, which the comparison leaves: no reason to stop.
    QUIET.call_once(|| set_hook(Box::new(|_| {})));
    if let Err(panic) = catch_unwind(|| chunk::check(data)) {
        eprintln!("{:?}", panic.downcast_ref::<String>());
        std::process::abort();
    }
});
