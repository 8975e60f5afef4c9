//! Between `object_store` and the network: every response is seen here, for its status and its Retry-After.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};

use super::Metrics;

/// What one try of a request met.
#[derive(Debug)]
pub(super) struct Attempt {
    metrics: Arc<Metrics>,
    status: AtomicU64,
    /// Milliseconds that the server asked to wait.
    after: AtomicU64,
}

tokio::task_local! {
    /// Set around every try.
    pub(super) static ATTEMPT: Arc<Attempt>;
}

impl Attempt {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, status: AtomicU64::new(0), after: AtomicU64::new(0) }
    }

    /// The status of the last response; 0 where there was none.
    pub(super) fn status(&self) -> u64 {
        self.status.load(Ordering::Relaxed)
    }

    /// How long the server asked to wait.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self.after.load(Ordering::Relaxed) {
            0 => None,
            after => Some(Duration::from_millis(after)),
        }
    }
}

/// Makes clients that look at responses.
#[derive(Debug)]
pub(super) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Watched(ReqwestConnector::default().connect(options)?)))
    }
}

#[derive(Debug)]
struct Watched(HttpClient);

#[async_trait]
impl HttpService for Watched {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let attempt = ATTEMPT.try_with(Arc::clone).ok();
        if let Some(attempt) = &attempt {
            attempt.metrics.request();
            attempt.status.store(0, Ordering::Relaxed);
        }
        let response = self.0.execute(request).await?;
        if let Some(attempt) = &attempt {
            attempt.status.store(u64::from(response.status().as_u16()), Ordering::Relaxed);
            // Seconds; a date says no more than "later", which the backoff says too.
            let after =
                response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse::<f64>().ok());
            let after = after.filter(|seconds| seconds.is_finite() && *seconds > 0.0).unwrap_or(0.0);
            attempt.after.store((after * 1000.0) as u64, Ordering::Relaxed);
        }
        Ok(response)
    }
}
