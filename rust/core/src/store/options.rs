//! The options of a store: `storage_options`, by object_store's names or by fsspec's.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::ClientConfigKey;
use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use object_store::gcp::GoogleConfigKey;

use super::Scheme;
use super::credentials::KeySource;
use super::names::{ALL, AZURE, GCS, HTTP, S3};
use crate::{Error, Result};

/// How often, how long and how much at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuning {
    /// How often a request is tried again.
    pub max_retries: u32,
    /// The first pause before a request is tried again; each is up to twice the one before.
    pub init_backoff: Duration,
    /// The longest pause.
    pub max_backoff: Duration,
    /// No request is tried again after this long.
    pub retry_timeout: Duration,
    /// The same as long as nobody has ever answered there: most often the address is wrong.
    pub first_answer: Duration,
    /// A request that gives nothing for this long is abandoned, and tried again.
    pub timeout: Duration,
    /// Requests under way at once.
    pub max_requests: usize,
    /// Ranges that are this near to each other are one request.
    pub gap_bytes: u64,
    /// The most that one request asks for.
    pub request_bytes: u64,
    /// A request that takes longer is logged.
    pub slow: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            max_retries: 10,
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(15),
            retry_timeout: Duration::from_secs(180),
            first_answer: Duration::from_secs(4),
            timeout: Duration::from_secs(30),
            max_requests: 64,
            gap_bytes: 512 << 10,
            request_bytes: 8 << 20,
            slow: Duration::from_secs(10),
        }
    }
}

/// The options of one store, checked and under object_store's own names.
#[derive(Clone, Default)]
pub struct Options {
    /// By object_store's names.
    pub(super) pairs: BTreeMap<String, String>,
    /// Headers of every request, for HTTP.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) tuning: Tuning,
    /// The folder of a local cache.
    pub(super) cache_dir: Option<PathBuf>,
    /// Bytes that it may hold; None for the default.
    pub(super) cache_bytes: Option<u64>,
    /// Asked for keys instead of object_store's own ways to find them.
    pub(super) keys: Option<Arc<dyn KeySource>>,
}

impl fmt::Debug for Options {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.pairs.keys()).finish()
    }
}

impl PartialEq for Options {
    fn eq(&self, other: &Self) -> bool {
        let same_keys = match (&self.keys, &other.keys) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        let same_cache = self.cache_dir == other.cache_dir && self.cache_bytes == other.cache_bytes;
        same_keys
            && same_cache
            && self.pairs == other.pairs
            && self.headers == other.headers
            && self.tuning == other.tuning
    }
}

impl Options {
    /// Checks and translates what was given: name and value, those of nested mappings as `retry.max_retries`.
    ///
    /// # Errors
    /// A name that is not known, or a value that cannot be one; never shows a value that may be a secret.
    pub fn new<'a>(scheme: Scheme, given: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let mut options = Self::default();
        for (name, value) in given {
            options.take(scheme, name, value)?;
        }
        Ok(options)
    }

    /// These options, with keys from `source`.
    #[must_use]
    pub fn with_keys(mut self, source: Arc<dyn KeySource>) -> Self {
        self.keys = Some(source);
        self
    }

    /// How often, how long and how much at a time.
    pub fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    fn take(&mut self, scheme: Scheme, name: &str, value: &str) -> Result<()> {
        let tuning = &mut self.tuning;
        if name.starts_with("retry.") {
            // Who says how long to try means it from the start.
            tuning.first_answer = Duration::MAX;
        }
        match name {
            "retry.max_retries" => tuning.max_retries = number(name, value, 0.0, 1e6)? as u32,
            "retry.init_backoff" => tuning.init_backoff = seconds(name, value)?,
            "retry.max_backoff" => tuning.max_backoff = seconds(name, value)?,
            "retry.retry_timeout" => tuning.retry_timeout = seconds(name, value)?,
            "cache_dir" => self.cache_dir = Some(PathBuf::from(value)),
            "cache_bytes" => self.cache_bytes = Some(number(name, value, 1.0, 1e18)? as u64),
            "timeout" => tuning.timeout = seconds(name, value)?,
            "slow_request" => tuning.slow = seconds(name, value)?,
            "max_requests" => tuning.max_requests = number(name, value, 1.0, 4096.0)? as usize,
            "gap_bytes" => tuning.gap_bytes = number(name, value, 0.0, 1e12)? as u64,
            "request_bytes" => tuning.request_bytes = number(name, value, 65536.0, 1e12)? as u64,
            _ if name.starts_with("retry.") => {
                let known = ["max_retries", "init_backoff", "max_backoff", "retry_timeout"];
                return Err(unknown("retry", &name[6..], known.iter().copied()));
            }
            _ => return self.take_store(scheme, name.strip_prefix("client_kwargs.").unwrap_or(name), value),
        }
        Ok(())
    }

    fn take_store(&mut self, scheme: Scheme, name: &str, value: &str) -> Result<()> {
        if name == "config_kwargs" {
            return Err(Error::Argument(
                "storage_options has \"config_kwargs\", which is botocore's: connect_timeout stands alone here, read_timeout is \
                 timeout, retries is retry, max_pool_connections is max_requests, proxies is proxy_url, and the addressing_style \
                 \"virtual\" is virtual_hosted_style_request"
                    .to_owned(),
            ));
        }
        if let Some(header) = name.strip_prefix("headers.") {
            self.headers.insert(header.to_owned(), value.to_owned());
            return Ok(());
        }
        let (name, value) = match (scheme, name) {
            (_, "use_ssl") => ("allow_http", if truth(name, value)? { "false" } else { "true" }),
            (Scheme::Http, "anon") => return Ok(()),
            (_, "anon") => ("skip_signature", if truth(name, value)? { "true" } else { "false" }),
            (Scheme::S3, "key") => ("access_key_id", value),
            (Scheme::S3, "secret") => ("secret_access_key", value),
            (Scheme::S3, "endpoint_url") => ("endpoint", value),
            (Scheme::S3, "region_name") => ("region", value),
            (Scheme::S3, "requester_pays") => ("request_payer", value),
            (Scheme::S3, "profile") => {
                return Err(Error::Argument(
                    "storage_options has \"profile\": profiles of ~/.aws are not read; export the profile's credentials to the \
                     environment (aws configure export-credentials --format env), or give a credential_provider"
                        .to_owned(),
                ));
            }
            (Scheme::Gcs, "token") if value == "anon" => ("skip_signature", "true"),
            (Scheme::Gcs, "token") => ("service_account", value),
            (Scheme::Gcs, "endpoint_url") => ("base_url", value),
            (Scheme::Azure, "endpoint_url") => ("endpoint", value),
            (Scheme::Azure, "connection_string") => return self.take_connection_string(value),
            _ => (name, value),
        };
        let lower = name.to_ascii_lowercase();
        let known = match scheme {
            Scheme::S3 => lower.parse::<AmazonS3ConfigKey>().is_ok(),
            Scheme::Gcs => lower.parse::<GoogleConfigKey>().is_ok(),
            Scheme::Azure => lower.parse::<AzureConfigKey>().is_ok(),
            Scheme::Http => lower.parse::<ClientConfigKey>().is_ok(),
        };
        if !known {
            let of = match scheme {
                Scheme::S3 => S3,
                Scheme::Gcs => GCS,
                Scheme::Azure => AZURE,
                Scheme::Http => HTTP,
            };
            return Err(unknown("storage_options", name, of.iter().chain(ALL).copied()));
        }
        self.pairs.insert(lower, value.to_owned());
        Ok(())
    }

    fn take_connection_string(&mut self, text: &str) -> Result<()> {
        for part in text.split(';').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let key = match name {
                "AccountName" => "account_name",
                "AccountKey" => "account_key",
                "BlobEndpoint" => "endpoint",
                "SharedAccessSignature" => "sas_token",
                "DefaultEndpointsProtocol" | "EndpointSuffix" | "QueueEndpoint" | "TableEndpoint" | "FileEndpoint" => {
                    continue;
                }
                _ => {
                    return Err(Error::Argument(
                        "connection_string: a part of it is not known; give account_name and account_key".to_owned(),
                    ));
                }
            };
            self.pairs.insert(key.to_owned(), value.to_owned());
        }
        Ok(())
    }
}

fn unknown<'a>(of: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let near = known.map(|known| (strsim::jaro_winkler(known, name), known)).max_by(|a, b| a.0.total_cmp(&b.0));
    let near =
        near.filter(|(like, _)| *like > 0.7).map(|(_, known)| format!("; did you mean {known:?}?")).unwrap_or_default();
    Error::Argument(format!("{of} has {name:?}, which is not known for this store{near}"))
}

fn number(name: &str, value: &str, least: f64, most: f64) -> Result<f64> {
    match value.parse::<f64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(Error::Argument(format!(
            "storage_options: {name} must be a number from {least} to {most}, not {value:?}"
        ))),
    }
}

fn seconds(name: &str, value: &str) -> Result<Duration> {
    number(name, value, 0.001, 1e6).map(Duration::from_secs_f64)
}

fn truth(name: &str, value: &str) -> Result<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err(Error::Argument(format!("storage_options: {name} must be True or False"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_fsspec_become_those_of_object_store() {
        let given = [
            ("key", "AK"),
            ("secret", "SK"),
            ("token", "T"),
            ("client_kwargs.endpoint_url", "http://h"),
            ("client_kwargs.region_name", "eu"),
            ("anon", "False"),
            ("use_ssl", "false"),
            ("retry.max_retries", "3"),
            ("timeout", "1.5"),
        ];
        let options = Options::new(Scheme::S3, given).unwrap();
        let wanted = [
            ("access_key_id", "AK"),
            ("allow_http", "true"),
            ("endpoint", "http://h"),
            ("region", "eu"),
            ("secret_access_key", "SK"),
            ("skip_signature", "false"),
            ("token", "T"),
        ];
        assert_eq!(options.pairs, wanted.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect());
        assert_eq!((options.tuning.max_retries, options.tuning.timeout), (3, Duration::from_millis(1500)));
        assert!(!format!("{options:?}").contains("SK"));
    }

    #[test]
    fn azure_and_gcs() {
        let text = "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=k==;EndpointSuffix=core.windows.net";
        let options = Options::new(Scheme::Azure, [("connection_string", text)]).unwrap();
        assert_eq!(options.pairs["account_key"], "k==");
        let options = Options::new(Scheme::Gcs, [("token", "anon")]).unwrap();
        assert_eq!(options.pairs["skip_signature"], "true");
        for (scheme, name) in
            [(Scheme::Gcs, "service_account"), (Scheme::Azure, "sas_token"), (Scheme::Http, "user_agent")]
        {
            assert!(Options::new(scheme, [(name, "x")]).is_ok());
        }
        // Every name that is suggested is one that is taken.
        for (scheme, names) in [(Scheme::S3, S3), (Scheme::Gcs, GCS), (Scheme::Azure, AZURE)] {
            for name in names.iter().filter(|name| **name != "client_kwargs") {
                let value = if *name == "connection_string" { "AccountName=a" } else { "true" };
                Options::new(scheme, [(*name, value)]).unwrap();
            }
        }
    }

    #[test]
    fn an_unknown_name_is_told_its_neighbour() {
        for (scheme, name, near) in [
            (Scheme::S3, "acces_key_id", "access_key_id"),
            (Scheme::S3, "endpont_url", "endpoint_url"),
            (Scheme::S3, "retry.max_retry", "max_retries"),
            (Scheme::Gcs, "service_acount", "service_account"),
            (Scheme::Http, "usr_agent", "user_agent"),
        ] {
            let error = Options::new(scheme, [(name, "hunter2")]).unwrap_err().to_string();
            assert!(error.contains(near) && !error.contains("hunter2"), "{error}");
        }
        assert!(Options::new(Scheme::S3, [("profile", "p")]).unwrap_err().to_string().contains("credential_provider"));
        assert!(Options::new(Scheme::S3, [("config_kwargs", "")]).unwrap_err().to_string().contains("retry"));
        assert!(Options::new(Scheme::S3, [("timeout", "-1")]).is_err());
    }
}
