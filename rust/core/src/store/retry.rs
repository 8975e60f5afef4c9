//! Retries of a request: which errors are retried, after which pause, and how often.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_64;

use super::connect::{ATTEMPT, Attempt};
use super::{StoreMetrics, Tuning};
use crate::{Error, Result};

/// Why a try failed.
pub(super) enum Fault {
    /// Another one may succeed. In words, without a secret.
    Again(String),
    /// Nobody answers: another one may succeed if somebody did before.
    Unreachable(String),
    /// No other one will.
    Final(Error),
}

/// A request to be tried until it succeeds: what it asks for, for messages.
pub(super) struct Request<'a> {
    pub(super) url: &'a str,
    pub(super) what: &'static str,
    pub(super) tuning: &'a Tuning,
    pub(super) metrics: &'a Arc<StoreMetrics>,
    /// Whether the store has ever answered.
    pub(super) answered: &'a AtomicBool,
}

impl Request<'_> {
    /// Tries until it succeeds, fails for good, or was tried often or long enough.
    pub(super) async fn run<T, F>(&self, mut attempt: impl FnMut(Arc<Attempt>) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let tuning = self.tuning;
        let mut begin = Instant::now();
        let mut tries: u32 = 0;
        loop {
            let one = Arc::new(Attempt::new(Arc::clone(self.metrics)));
            let started = Instant::now();
            let result = ATTEMPT.scope(Arc::clone(&one), attempt(Arc::clone(&one))).await;
            // Its turn came late: that is nobody's slowness.
            begin += one.has_waited();
            let took = started.elapsed().saturating_sub(one.has_waited());
            if took > tuning.slow {
                let seconds = took.as_secs_f64();
                self.metrics.note(true, format!("{}: {} took {seconds:.1} s", self.url, self.what));
            }
            if one.status() > 0 {
                self.answered.store(true, Ordering::Relaxed);
            }
            let (why, is_silent) = match result {
                Ok(value) => return Ok(value),
                Err(Fault::Final(error)) => return Err(error),
                Err(Fault::Again(why)) => (why, false),
                Err(Fault::Unreachable(why)) => (why, !self.answered.load(Ordering::Relaxed)),
            };
            let (limit, cure) = if is_silent {
                let cure = "nobody has answered there yet: check the address and the network, or wait longer by \
                            storage_options={\"retry\": {\"retry_timeout\": …}}";
                (tuning.first_answer.min(tuning.retry_timeout), cure)
            } else {
                let cure = "try again later, or allow more by storage_options={\"retry\": {\"max_retries\": …}}";
                (tuning.retry_timeout, cure)
            };
            let pause = one.retry_after().unwrap_or_default().max(backoff(tuning, tries));
            if tries >= tuning.max_retries || begin.elapsed() + pause > limit {
                let silent = why.contains("gave nothing") || why.contains("timed out");
                let kind = if silent { std::io::ErrorKind::TimedOut } else { std::io::ErrorKind::Other };
                let message = format!(
                    "{} failed {} time(s) in {:.1} s, at last with: {why}; {cure}",
                    self.what,
                    tries + 1,
                    begin.elapsed().as_secs_f64()
                );
                return Err(Error::Io { path: self.url.to_owned(), kind, message });
            }
            tries += 1;
            self.metrics.retry();
            let seconds = pause.as_secs_f64();
            self.metrics.note(
                false,
                format!("{}: {} is tried again in {seconds:.2} s (retry {tries}): {why}", self.url, self.what),
            );
            tokio::time::sleep(pause).await;
        }
    }
}

/// The pause before the next try: twice as long each time, from half of it to all of it, so that many do not come back
/// at once.
pub(super) fn backoff(tuning: &Tuning, tries: u32) -> Duration {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let longest = tuning.init_backoff.saturating_mul(1 << tries.min(20)).min(tuning.max_backoff);
    let seed = [DRAWN.fetch_add(1, Ordering::Relaxed), u64::from(std::process::id())].map(u64::to_le_bytes).concat();
    let draw = (xxh3_64(&seed) >> 11) as f64 / (1_u64 << 53) as f64;
    longest.mul_f64(0.5 + 0.5 * draw)
}

/// Gives a future so long, and says what took longer.
pub(super) async fn within<T>(tuning: &Tuning, what: &str, future: impl Future<Output = T>) -> Result<T, Fault> {
    let seconds = tuning.timeout.as_secs_f64();
    tokio::time::timeout(tuning.timeout, future)
        .await
        .map_err(|_| Fault::Again(format!("{what} gave nothing for {seconds} s (timeout)")))
}

/// The same, so many times as long.
pub(super) async fn within_times<T>(
    tuning: &Tuning,
    times: u32,
    what: &str,
    future: impl Future<Output = T>,
) -> Result<T, Fault> {
    within(&Tuning { timeout: tuning.timeout.saturating_mul(times), ..tuning.clone() }, what, future).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn who_has_never_answered_is_not_tried_for_long() {
        let tuning = Tuning {
            max_retries: 3,
            init_backoff: Duration::from_millis(1),
            first_answer: Duration::ZERO,
            ..Tuning::default()
        };
        let metrics = Arc::default();
        for (has_answered, tries) in [(false, 1), (true, 4)] {
            let answered = AtomicBool::new(has_answered);
            let request =
                Request { url: "u", what: "reading", tuning: &tuning, metrics: &metrics, answered: &answered };
            let tried = AtomicU64::new(0);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let result: Result<()> = runtime.block_on(request.run(|_| async {
                tried.fetch_add(1, Ordering::Relaxed);
                Err(Fault::Unreachable("refused".into()))
            }));
            let text = result.unwrap_err().to_string();
            assert_eq!((tried.into_inner(), text.contains("check the address")), (tries, !has_answered), "{text}");
        }
    }

    #[test]
    fn pauses_grow_differ_and_are_bounded() {
        let tuning = Tuning::default();
        let mut seen = Vec::new();
        for tries in 0..40 {
            let pause = backoff(&tuning, tries);
            let most = tuning.init_backoff.saturating_mul(1 << tries.min(20)).min(tuning.max_backoff);
            assert!(pause >= most / 2 && pause <= most, "{tries}: {pause:?}");
            seen.push(pause);
        }
        seen.dedup();
        assert!(seen.len() > 30);
    }
}
