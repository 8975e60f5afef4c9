//! A client of one store with one set of credentials: looks up objects and reads ranges, with retries.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use futures_util::StreamExt;
use object_store::list::PaginatedListStore;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio::sync::Semaphore;

use super::build::{Built, build};
use super::cache::{Cache, Entry};
use super::client_fault::changed;
use super::connect::Attempt;
use super::retry::{Fault, Request, within};
use super::scrub::Secrets;
use super::{Location, Options, Scheme, Stamp, StoreMetrics, Tuning};
use crate::{Error, Result, buffer_pool};

/// What a cache may hold if nobody says otherwise.
const CACHE_BYTES: u64 = 10 << 30;
/// An object that was listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// What the listing says of its content.
    pub stamp: Stamp,
}

impl Object {
    pub(super) fn of(meta: &ObjectMeta) -> Self {
        Self { key: meta.location.as_ref().to_owned(), stamp: Stamp::of(meta) }
    }
}

/// A client of one store.
pub struct Client {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) pages: Option<Arc<dyn PaginatedListStore>>,
    pub(super) parts: Option<Arc<dyn MultipartStore>>,
    pub(super) scheme: Scheme,
    /// `s3://bucket`.
    pub(super) base: String,
    pub(super) bucket: String,
    pub(super) identity: String,
    pub(super) secrets: Secrets,
    pub(super) tuning: Tuning,
    /// Requests under way.
    pub(super) slots: Semaphore,
    cache: Option<Arc<Cache>>,
    /// Whether the store has ever answered.
    pub(super) answered: AtomicBool,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({})", self.base)
    }
}

impl Client {
    pub(super) fn new(location: &Location, options: &Options) -> Result<Self> {
        let Built { store, pages, parts, identity, secrets } = build(location, options)?;
        let tuning = options.tuning.clone();
        let slots = Semaphore::new(tuning.max_requests);
        let cache_bytes = options.cache_bytes.unwrap_or(CACHE_BYTES);
        let cache = options.cache_dir.as_deref().map(|folder| Arc::new(Cache::new(folder, cache_bytes)));
        let (base, bucket) = (location.base.clone(), location.bucket().to_owned());
        let (scheme, answered) = (location.scheme, AtomicBool::new(false));
        Ok(Self { store, pages, parts, scheme, base, bucket, identity, secrets, tuning, slots, cache, answered })
    }

    /// How often, how long and how much at a time.
    pub fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    /// Which kind of store.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// An object's URL, its key not encoded.
    pub fn url(&self, key: &str) -> String {
        if key.is_empty() { self.base.clone() } else { format!("{}/{key}", self.base) }
    }

    pub(super) fn path(&self, key: &str) -> Result<Path> {
        Path::parse(key).map_err(|error| Error::Argument(format!("{}: {error}", self.url(key))))
    }

    /// An object, or None where there is none of that key.
    ///
    /// # Errors
    /// Whatever else the store says.
    pub async fn head(&self, key: &str, metrics: &Arc<StoreMetrics>) -> Result<Option<Object>> {
        let (url, path) = (self.url(key), self.path(key)?);
        let request = Request {
            url: &url,
            what: "a request for its size",
            tuning: &self.tuning,
            metrics,
            answered: &self.answered,
        };
        let _slot = self.slots.acquire().await.map_err(|_| Error::Closed)?;
        let found = request.run(|attempt| {
            let (path, url) = (&path, &url);
            async move {
                let found = within(&self.tuning, "the store", self.store.head(path)).await?;
                found.map(|meta| Object::of(&meta)).map_err(|error| self.fault(url, &error, &attempt))
            }
        });
        match found.await {
            Ok(object) => Ok(Some(object)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A range of an object, whole, of the content that `stamp` knows; and its stamp as the answers have it.
    ///
    /// # Errors
    /// The object vanished, changed, may not be read, or could not be read in all tries.
    pub async fn get(
        &self,
        key: &str,
        range: Range<u64>,
        stamp: &Stamp,
        metrics: &Arc<StoreMetrics>,
    ) -> Result<(Bytes, Stamp)> {
        let (url, path) = (self.url(key), self.path(key)?);
        let request = Request { url: &url, what: "reading", tuning: &self.tuning, metrics, answered: &self.answered };
        let length =
            usize::try_from(range.end - range.start).map_err(|_| Error::internal("a range larger than memory"))?;
        let _slot = self.slots.acquire().await.map_err(|_| Error::Closed)?;
        // What came before a fault stays: a try goes on where the one before ended.
        let so_far = tokio::sync::Mutex::new((buffer_pool::vec::<u8>(length), stamp.clone()));
        request
            .run(|attempt| {
                let (path, url, range, so_far) = (&path, &url, &range, &so_far);
                async move {
                    let mut so_far = so_far.lock().await;
                    let (bytes, stamp) = &mut *so_far;
                    self.fill(path, url, range, bytes, stamp, &attempt, metrics).await
                }
            })
            .await?;
        let (bytes, stamp) = so_far.into_inner();
        Ok((buffer_pool::bytes(bytes), stamp))
    }

    /// As [`get`](Self::get), of each of some ranges: from the local cache, or together by one request and then kept
    /// there.
    pub async fn get_kept(
        self: &Arc<Self>,
        key: &str,
        ranges: Vec<Range<u64>>,
        stamp: &Stamp,
        metrics: &Arc<StoreMetrics>,
    ) -> Result<(Vec<Bytes>, Stamp)> {
        let url = self.url(key);
        if let Some(cache) = self.cache.clone()
            && let Some(entries) =
                ranges.iter().map(|range| Entry::of(&url, stamp, range.clone())).collect::<Option<Vec<_>>>()
        {
            let found = {
                let (cache, metrics, entries) = (Arc::clone(&cache), Arc::clone(metrics), entries.clone());
                blocking(move || entries.iter().map(|entry| cache.get(entry, &metrics)).collect::<Option<Vec<_>>>())
                    .await?
            };
            if let Some(found) = found {
                return Ok((found, stamp.clone()));
            }
            let (parts, stamp) = self.get_together(key, &ranges, stamp, metrics).await?;
            // By what the answer told too: under a listing's time alone another content of the same second would be
            // found.
            let entries: Vec<_> = ranges.iter().filter_map(|range| Entry::of(&url, &stamp, range.clone())).collect();
            let (kept, metrics) = (parts.clone(), Arc::clone(metrics));
            // Waited for: a runtime that ends forgets what still waits for a thread, and what waits holds memory.
            blocking(move || {
                entries.iter().zip(&kept).for_each(|(entry, bytes)| cache.put(entry, bytes, &metrics));
            })
            .await?;
            return Ok((parts, stamp));
        }
        self.get_together(key, &ranges, stamp, metrics).await
    }

    async fn get_together(
        &self,
        key: &str,
        ranges: &[Range<u64>],
        stamp: &Stamp,
        metrics: &Arc<StoreMetrics>,
    ) -> Result<(Vec<Bytes>, Stamp)> {
        let start = ranges.iter().map(|range| range.start).min();
        let end = ranges.iter().map(|range| range.end).max();
        let (Some(start), Some(end)) = (start, end) else { return Ok((Vec::new(), stamp.clone())) };
        let (bytes, stamp) = self.get(key, start..end, stamp, metrics).await?;
        let part = |range: &Range<u64>| bytes.slice((range.start - start) as usize..(range.end - start) as usize);
        Ok((ranges.iter().map(part).collect(), stamp))
    }

    /// Reads on into `bytes`, up to the range's end.
    #[allow(clippy::too_many_arguments, reason = "one try of `get`, and nothing else")]
    async fn fill(
        &self,
        path: &Path,
        url: &str,
        range: &Range<u64>,
        bytes: &mut Vec<u8>,
        stamp: &mut Stamp,
        attempt: &Attempt,
        metrics: &StoreMetrics,
    ) -> Result<(), Fault> {
        let from = range.start + bytes.len() as u64;
        if from == range.end {
            return Ok(());
        }
        let options = GetOptions { range: Some(GetRange::Bounded(from..range.end)), ..GetOptions::default() };
        let result = within(&self.tuning, "the store", self.store.get_opts(path, options)).await?;
        let result = result.map_err(|error| self.fault(url, &error, attempt))?;
        let found = Stamp::of(&result.meta);
        if !stamp.fits(&found) {
            return Err(Fault::Final(changed(url, stamp, &found)));
        }
        stamp.learn(&found);
        let mut stream = result.into_stream();
        while let Some(piece) = within(&self.tuning, "the connection", stream.next()).await? {
            let piece = piece.map_err(|error| self.fault(url, &error, attempt))?;
            let wanted = usize::try_from(range.end - range.start).unwrap_or(usize::MAX) - bytes.len();
            metrics.received(piece.len() as u64);
            bytes.extend_from_slice(&piece[..piece.len().min(wanted)]);
        }
        match range.end - range.start - bytes.len() as u64 {
            0 => Ok(()),
            missing => Err(Fault::Again(format!("the answer ended {missing} bytes early"))),
        }
    }
}

async fn blocking<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(run).await.map_err(|_| Error::internal("a thread that read the cache panicked"))
}
