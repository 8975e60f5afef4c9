//! Credentials provided by the caller: requested when they are needed, and again before they expire.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use object_store::azure::{AzureAccessKey, AzureCredential};
use object_store::gcp::GcpCredential;
use tokio::sync::Mutex;

/// Keys are asked for again this long before they expire.
const MARGIN: Duration = Duration::from_secs(60);

/// A source that failed is asked again after this long, while the last keys serve.
const AGAIN: Duration = Duration::from_secs(5);

/// Whoever knows keys.
pub trait KeySource: fmt::Debug + Send + Sync {
    /// The keys by object_store's names, and `expires_at` in seconds since 1970 where they expire. May block.
    ///
    /// # Errors
    /// Why there are none, in words without a secret.
    fn keys(&self) -> Result<HashMap<String, String>, String>;
}

/// Keys from a source, kept until they expire.
pub(super) struct CachedKeys<T> {
    source: Arc<dyn KeySource>,
    read: fn(&HashMap<String, String>) -> Option<T>,
    wanted: &'static str,
    kept: Mutex<Option<ExpiringKeys<T>>>,
}

struct ExpiringKeys<T> {
    keys: Arc<T>,
    /// When others are asked for, and when these are of no more use; None for never.
    until: Option<(SystemTime, SystemTime)>,
}

impl<T> fmt::Debug for CachedKeys<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("credential_provider")
    }
}

impl<T> CachedKeys<T> {
    fn new(
        source: Arc<dyn KeySource>,
        wanted: &'static str,
        read: fn(&HashMap<String, String>) -> Option<T>,
    ) -> Arc<Self> {
        Arc::new(Self { source, read, wanted, kept: Mutex::new(None) })
    }
}

fn of(keys: &HashMap<String, String>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| keys.get(*name)).cloned()
}

pub(super) fn aws(source: Arc<dyn KeySource>) -> Arc<CachedKeys<AwsCredential>> {
    CachedKeys::new(source, "access_key_id and secret_access_key, and session_token if there is one", |keys| {
        Some(AwsCredential {
            key_id: of(keys, &["access_key_id", "aws_access_key_id", "key"])?,
            secret_key: of(keys, &["secret_access_key", "aws_secret_access_key", "secret"])?,
            token: of(keys, &["session_token", "aws_session_token", "token"]),
        })
    })
}

pub(super) fn gcp(source: Arc<dyn KeySource>) -> Arc<CachedKeys<GcpCredential>> {
    CachedKeys::new(source, "bearer_token", |keys| {
        Some(GcpCredential { bearer: of(keys, &["bearer_token", "token"])? })
    })
}

pub(super) fn azure(source: Arc<dyn KeySource>) -> Arc<CachedKeys<AzureCredential>> {
    CachedKeys::new(source, "bearer_token or account_key", |keys| match of(keys, &["bearer_token", "token"]) {
        Some(token) => Some(AzureCredential::BearerToken(token)),
        None => {
            Some(AzureCredential::AccessKey(AzureAccessKey::try_new(&of(keys, &["account_key", "access_key"])?).ok()?))
        }
    })
}

#[async_trait]
impl<T: Send + Sync + 'static> CredentialProvider for CachedKeys<T> {
    type Credential = T;

    async fn get_credential(&self) -> object_store::Result<Arc<T>> {
        let mut kept = self.kept.lock().await;
        if let Some(kept) = kept.as_ref()
            && kept.until.is_none_or(|(renew, _)| SystemTime::now() < renew)
        {
            return Ok(Arc::clone(&kept.keys));
        }
        // While these still open the store, nobody else asks meanwhile, nor soon again if the source fails or hangs.
        let serve = kept.as_mut().and_then(|ExpiringKeys { keys, until }| {
            let (renew, expires) = until.as_mut()?;
            *renew = (SystemTime::now() + AGAIN).min(*expires);
            Some((Arc::clone(keys), *expires))
        });
        let failed = |why: String| object_store::Error::Unauthenticated { path: String::new(), source: why.into() };
        let source = Arc::clone(&self.source);
        let asked = tokio::task::spawn_blocking(move || source.keys())
            .await
            .map_err(|_| failed("credential_provider: its thread ended".to_owned()))?;
        // It may have taken long.
        let now = SystemTime::now();
        let keys = match (asked, serve) {
            (Ok(keys), _) => keys,
            (Err(_), Some((keys, expires))) if now < expires => return Ok(keys),
            (Err(why), _) => return Err(failed(format!("credential_provider: {why}"))),
        };
        let expires = keys.get("expires_at").map(|at| {
            let seconds = at.parse::<f64>().ok().filter(|at| (0.0..1e11).contains(at));
            seconds.map(|at| UNIX_EPOCH + Duration::from_secs_f64(at)).ok_or_else(|| {
                failed("credential_provider: expires_at must be a datetime or seconds since 1970".to_owned())
            })
        });
        let expires = expires.transpose()?;
        // Keys of a short life are used for half of it, not asked for with every request.
        let margin = |at: SystemTime| MARGIN.min(at.duration_since(now).unwrap_or_default() / 2);
        let found = (self.read)(&keys)
            .ok_or_else(|| failed(format!("credential_provider: what it returned lacks {}", self.wanted)))?;
        let found = Arc::new(found);
        *kept = Some(ExpiringKeys { keys: Arc::clone(&found), until: expires.map(|at| (at - margin(at), at)) });
        Ok(found)
    }
}
