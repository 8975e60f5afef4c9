//! Calls into Python by threads that are not its own: its end waits for those under way, and lets in no more.
//!
//! Before 3.14, Python ends a thread that asks for the GIL too late by unwinding it, and C++ on its stack aborts then.

use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

/// The process, whether its Python has ended, and how many threads call: 32, 1 and 31 bits.
static CALLS: AtomicU64 = AtomicU64::new(0);

const ENDED: u64 = 1 << 31;

/// Why a call was not made.
pub(crate) const ENDING: &str = "Python is shutting down";

/// The state of this process: a fork brings along the number of its parent's threads, but not the threads.
fn of(pid: u64, calls: u64) -> u64 {
    if calls >> 32 == pid { calls } else { pid << 32 }
}

/// A call under way, of a process.
struct Call(u64);

impl Call {
    fn begin() -> Option<Self> {
        let pid = u64::from(process::id());
        let begin = |calls| Some(of(pid, calls)).filter(|calls| calls & ENDED == 0).map(|calls| calls + 1);
        CALLS.fetch_update(Ordering::AcqRel, Ordering::Acquire, begin).is_ok().then_some(Self(pid))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let end = |calls| (calls >> 32 == self.0).then(|| calls - 1);
        // Of another process: a call forked, and this is its child.
        _ = CALLS.fetch_update(Ordering::AcqRel, Ordering::Acquire, end);
    }
}

/// Runs `call` in Python, or returns None if that is about to end.
pub(crate) fn call<T>(call: impl FnOnce(Python<'_>) -> T) -> Option<T> {
    let _under_way = Call::begin()?;
    Python::try_attach(call)
}

/// No call begins from now on; waits for those under way, `patience` seconds at most.
#[pyfunction]
pub(crate) fn end_calls(py: Python<'_>, patience: f64) {
    let pid = u64::from(process::id());
    let deadline = Duration::try_from_secs_f64(patience).ok().and_then(|patience| Instant::now().checked_add(patience));
    let ended = |calls| Some(of(pid, calls) | ENDED);
    _ = CALLS.fetch_update(Ordering::AcqRel, Ordering::Acquire, ended);
    py.detach(|| {
        while CALLS.load(Ordering::Acquire) & (ENDED - 1) != 0 && deadline.is_some_and(|end| Instant::now() < end) {
            thread::sleep(Duration::from_millis(1));
        }
    });
}
