//! Object stores (S3, GCS, Azure, HTTP) as bytes: URLs, options, clients, retries.
//!
//! The way of a request: `location` (which store) → `options` → `build` (an `object_store`, with `credentials`) →
//! `client` (retries over `connect`, which sees every response; `cache` on a local disk; `client_fault` says what an answer means) on `runtime` (one for a
//! process, made by whoever reads and dropped by the last), encrypted by `tls`. `write` and `upload` put objects there, with
//! as many parts at once as `window` lets them. Nothing here knows Parquet.

mod build;
mod cache;
mod client;
mod client_fault;
mod connect;
mod credentials;
#[cfg(test)]
mod faulty;
mod listing;
mod location;
mod metrics;
mod names;
mod options;
mod retry;
mod runtime;
mod scrub;
mod stamp;
mod tls;
mod upload;
mod window;
mod write;

pub use cache::{Cache, Entry};
pub use client::{Client, Object};
pub use credentials::KeySource;
pub use location::{Location, is_remote};
pub use metrics::{Note, StoreMetrics, Totals};
pub use options::{Options, Tuning};
pub use runtime::{Cancel, Runtime};
pub use stamp::Stamp;
pub use upload::Upload;
pub use window::Uploads;
pub use write::Created;

/// A kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Amazon S3, and what speaks like it.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
    /// A plain web server that knows ranges.
    Http,
}

/// The text behind percent-encoding; None where it is not UTF-8 or not encoded so.
fn decode_percent(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let digits = str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}
