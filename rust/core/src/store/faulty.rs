//! A store of tests, in memory, whose requests fail as they are told to.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::{Client, Location, Options, Scheme, Tuning};
use crate::sync::lock;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is done.
    Done,
    /// It is not done, and may be tried again.
    Failed,
    /// It is done, and its answer lost.
    Lost,
    /// It is not done, and will not be.
    Refused,
    /// Nobody ever answers.
    Silent,
    /// Another request of its kind is under way, it says.
    Conflict,
    /// The store does not know such requests.
    NotKnown,
}

/// The name of a request, its key or the part's number, and how many of this name there were before.
type Decide = Box<dyn FnMut(&'static str, &str, usize) -> Fate + Send>;

/// The store. `calls`: the names of all requests, in their order.
pub(super) struct Faulty {
    pub(super) memory: InMemory,
    decide: Mutex<Decide>,
    pub(super) calls: Mutex<Vec<&'static str>>,
    /// How long a part takes, for each that is under way.
    pub(super) part_takes: Mutex<Duration>,
    under_way: AtomicUsize,
    pub(super) most_under_way: AtomicUsize,
}

impl std::fmt::Debug for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Faulty")
    }
}

impl std::fmt::Display for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Faulty")
    }
}

impl Faulty {
    /// A store, and its client.
    pub(super) fn new(
        tuning: Tuning,
        decide: impl FnMut(&'static str, &str, usize) -> Fate + Send + 'static,
    ) -> (Arc<Self>, Arc<Client>) {
        let store = Arc::new(Self {
            memory: InMemory::new(),
            decide: Mutex::new(Box::new(decide)),
            calls: Mutex::default(),
            part_takes: Mutex::default(),
            under_way: AtomicUsize::default(),
            most_under_way: AtomicUsize::default(),
        });
        let pairs = [("key", "AK"), ("secret", "SK"), ("region", "r")];
        let options = Options::new(Scheme::S3, pairs).unwrap();
        let mut client = Client::new(&Location::parse("s3://bucket").unwrap(), &options).unwrap();
        client.store = Arc::clone(&store) as _;
        client.parts = Some(Arc::clone(&store) as _);
        client.tuning = tuning;
        (store, Arc::new(client))
    }

    /// What an object holds.
    pub(super) async fn holds(&self, key: &str) -> Option<Bytes> {
        self.memory.get(&Path::from(key)).await.ok()?.bytes().await.ok()
    }

    async fn request<T>(&self, name: &'static str, of: &str, done: impl Future<Output = Result<T>>) -> Result<T> {
        let before = {
            let mut calls = lock(&self.calls);
            calls.push(name);
            calls.iter().filter(|call| **call == name).count() - 1
        };
        let fate = (*lock(&self.decide))(name, of, before);
        match fate {
            Fate::Done => done.await,
            Fate::Failed => Err(failed()),
            Fate::Lost => done.await.and(Err(failed())),
            Fate::Refused => Err(Error::PermissionDenied { path: of.to_owned(), source: "refused".into() }),
            Fate::Silent => std::future::pending().await,
            Fate::Conflict => Err(Error::AlreadyExists { path: of.to_owned(), source: "conflict".into() }),
            Fate::NotKnown => {
                Err(Error::NotImplemented { operation: name.to_owned(), implementer: "Faulty".to_owned() })
            }
        }
    }
}

fn failed() -> Error {
    Error::Generic { store: "Faulty", source: "the connection broke".into() }
}

/// Of an upload that is not known, as stores say it.
fn unknown<T>(result: Result<T>) -> Result<T> {
    result.map_err(|error| Error::NotFound { path: String::new(), source: Box::new(error) })
}

#[async_trait]
impl MultipartStore for Faulty {
    async fn create_multipart(&self, path: &Path) -> Result<String> {
        self.request("begin", path.as_ref(), self.memory.create_multipart(path)).await
    }

    async fn put_part(&self, path: &Path, id: &String, index: usize, data: PutPayload) -> Result<PartId> {
        let count = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_under_way.fetch_max(count, Ordering::SeqCst);
        let left = Left(&self.under_way);
        let takes = *lock(&self.part_takes) * u32::try_from(count).unwrap();
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        let put = async { unknown(self.memory.put_part(path, id, index, data).await) };
        let sent = self.request("part", &index.to_string(), put).await;
        drop(left);
        sent
    }

    async fn complete_multipart(&self, path: &Path, id: &String, parts: Vec<PartId>) -> Result<PutResult> {
        let complete = async { unknown(self.memory.complete_multipart(path, id, parts).await) };
        self.request("end", path.as_ref(), complete).await
    }

    async fn abort_multipart(&self, path: &Path, id: &String) -> Result<()> {
        self.request("abort", path.as_ref(), async { unknown(self.memory.abort_multipart(path, id).await) }).await
    }
}

struct Left<'a>(&'a AtomicUsize);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.request("put", location.as_ref(), self.memory.put_opts(location, payload, opts)).await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(failed())
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.request("get", location.as_ref(), self.memory.get_opts(location, options)).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.memory.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let fate = (*lock(&self.decide))("delete", "", 0);
        match fate {
            Fate::Done | Fate::Lost => self.memory.delete_stream(locations),
            _ => futures_util::stream::once(async { Err(failed()) }).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.memory.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.memory.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.memory.copy_opts(from, to, options).await
    }
}
