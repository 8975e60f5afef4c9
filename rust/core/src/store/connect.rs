//! The layer between `object_store` and the network, which notes the status and the Retry-After of every response.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, HeaderValue};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};

use super::scrub::Secrets;
use super::{StoreMetrics, decode_percent};
use crate::sync::lock;

/// What one try of a request met.
#[derive(Debug)]
pub(super) struct Attempt {
    metrics: Arc<StoreMetrics>,
    status: AtomicU64,
    /// Milliseconds that the server asked to wait.
    after: AtomicU64,
    /// Milliseconds that it waited for its turn.
    waited: AtomicU64,
    sent: Mutex<Sent>,
}

/// Names in a query whose values prove a right.
const PROVING: [&str; 4] = ["WebIdentityToken", "sig", "X-Amz-Signature", "X-Amz-Security-Token"];

/// Who asked: keys that a provider, an instance or a web identity handed out are seen in requests alone.
#[derive(Debug, Default)]
struct Sent {
    key_id: Option<String>,
    secrets: Secrets,
}

impl Sent {
    fn of(headers: &HeaderMap, query: &str) -> Self {
        let mut sent = Self::default();
        let text =
            |value: Option<&HeaderValue>| value.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        for name in ["x-amz-security-token", "x-aws-ec2-metadata-token"] {
            sent.secrets.add(&text(headers.get(name)));
        }
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            if PROVING.contains(&name) {
                sent.secrets.add(value);
                sent.secrets.add(&decode_percent(value).unwrap_or_default());
            }
        }
        // `AWS4-HMAC-SHA256 Credential=id/date/…, Signature=…`, `Bearer token`, `SharedKey account:signature`.
        let authorization = text(headers.get("authorization"));
        match authorization.split_once("Credential=") {
            Some((_, rest)) => {
                sent.key_id = rest.split('/').next().map(str::to_owned);
                sent.secrets.add(rest.split_once("Signature=").map_or("", |(_, signature)| signature));
            }
            None => sent.secrets.add(authorization.split_once(' ').map_or(&authorization, |(_, secret)| secret)),
        }
        sent
    }
}

tokio::task_local! {
    /// Set around every try.
    pub(super) static ATTEMPT: Arc<Attempt>;
}

impl Attempt {
    pub(super) fn new(metrics: Arc<StoreMetrics>) -> Self {
        let (status, after, waited) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Self { metrics, status, after, waited, sent: Mutex::default() }
    }

    /// It waited for its turn before it was sent.
    pub(super) fn waited(&self, time: Duration) {
        self.waited.fetch_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// So long.
    pub(super) fn has_waited(&self) -> Duration {
        Duration::from_millis(self.waited.load(Ordering::Relaxed))
    }

    fn sent(&self) -> MutexGuard<'_, Sent> {
        lock(&self.sent)
    }

    /// The ID of the key that the last request was signed with, where it says so.
    pub(super) fn key_id(&self) -> Option<String> {
        self.sent().key_id.clone()
    }

    /// The text without what the last request proved its right with: some stores' answers repeat it.
    pub(super) fn scrub(&self, text: &str) -> String {
        self.sent().secrets.scrub(text)
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
            *attempt.sent() = Sent::of(request.headers(), request.uri().query().unwrap_or_default());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_proves_its_right_with_is_known() {
        let sent = |headers: &[(&'static str, &str)]| {
            let values = headers.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap()));
            Sent::of(&values.collect::<HeaderMap>(), "Action=Assume&WebIdentityToken=ey%3DJ0&sig=s%2Fg")
        };
        let signed =
            "AWS4-HMAC-SHA256 Credential=AKID/20260101/r/s3/aws4_request, SignedHeaders=host, Signature=abc123";
        let of = sent(&[("x-amz-security-token", "to+ken=="), ("authorization", signed)]);
        assert_eq!(of.key_id.as_deref(), Some("AKID"));
        assert_eq!(of.secrets.scrub("<Token-0>to+ken==</Token-0> AKID abc123"), "<Token-0>***</Token-0> AKID ***");
        let of = sent(&[("authorization", "Bearer hunter2")]);
        assert_eq!((of.key_id.as_deref(), of.secrets.scrub("hunter2").as_str()), (None, "***"));
        assert_eq!(
            of.secrets.scrub("/?Action=Assume&WebIdentityToken=ey%3DJ0 ey=J0"),
            "/?Action=Assume&WebIdentityToken=*** ***"
        );
        assert_eq!(sent(&[("authorization", "bare-token")]).secrets.scrub("bare-token s/g"), "*** s/g");
        assert_eq!(sent(&[("x-aws-ec2-metadata-token", "AQAE")]).secrets.scrub("token AQAE"), "token ***");
        let of = sent(&[("host", "h")]);
        assert_eq!((of.key_id.as_deref(), of.secrets.scrub("host h").as_str()), (None, "host h"));
    }
}
