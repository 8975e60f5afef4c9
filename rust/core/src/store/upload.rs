//! The upload of one large object: its bytes are cut into parts as they come, and the parts sent side by side.
//!
//! What is smaller than one part is a single put. Before the first of several parts is sent, a small object beside it
//! (the journal) names the upload, so that whoever finds it can abort what a killed process left unfinished.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use object_store::multipart::{MultipartStore, PartId};
use object_store::{Error as StoreError, PutPayload};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::StoreMetrics;
use super::client::Client;
use super::retry::within;
use crate::sync::lock;
use crate::{Error, Result, buffer_pool};

/// Stores take no smaller parts, but for the last.
const SMALLEST_PART: u64 = 5 << 20;
/// Stores take no more parts.
const MOST_PARTS: u64 = 10_000;
/// Parts under way, of all uploads that share one.
const WINDOW: usize = 16;

/// What the uploads of one save share: the parts that may be under way.
#[derive(Debug, Clone)]
pub struct Uploads(Arc<Semaphore>);

impl Default for Uploads {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(WINDOW)))
    }
}

/// An object that is being written.
pub struct Upload {
    client: Arc<Client>,
    metrics: Arc<StoreMetrics>,
    uploads: Uploads,
    key: String,
    journal: String,
    part_bytes: usize,
    part: Vec<u8>,
    bytes: u64,
    begun: Option<Begun>,
}

struct Begun {
    store: Arc<dyn MultipartStore>,
    id: String,
    parts: Vec<JoinHandle<Result<PartId>>>,
    /// What the first part that failed says.
    failed: Arc<Mutex<Option<Error>>>,
}

impl Upload {
    /// An upload to `key`. `journal`: the key of the object that names it; `about`: how large it will be, about.
    pub fn new(
        client: &Arc<Client>,
        metrics: &Arc<StoreMetrics>,
        uploads: &Uploads,
        key: String,
        journal: String,
        about: u64,
    ) -> Self {
        let least = about.div_ceil(MOST_PARTS * 9 / 10).next_multiple_of(1 << 20);
        let part_bytes = client.tuning().request_bytes.max(SMALLEST_PART).max(least);
        Self {
            client: Arc::clone(client),
            metrics: Arc::clone(metrics),
            uploads: uploads.clone(),
            key,
            journal,
            part_bytes: usize::try_from(part_bytes).unwrap_or(usize::MAX),
            part: Vec::new(),
            bytes: 0,
            begun: None,
        }
    }

    /// How many more bytes [`fill`](Self::fill) takes.
    pub fn room(&self) -> usize {
        self.part_bytes - self.part.len()
    }

    /// Takes bytes, [`room`](Self::room) at most.
    pub fn fill(&mut self, bytes: &[u8]) {
        if self.part.capacity() == 0 {
            self.part = buffer_pool::vec(self.part_bytes);
        }
        self.part.extend_from_slice(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// Sends a full part on its way, as soon as fewer are under way; nothing where there is room.
    ///
    /// # Errors
    /// What the store says of a part, of this or an earlier call.
    pub async fn send(&mut self) -> Result<()> {
        if self.room() > 0 || self.client.parts.is_none() {
            // A store that takes no parts gets all at once.
            if self.room() == 0 {
                self.part_bytes = self.part_bytes.saturating_mul(2);
            }
            return Ok(());
        }
        self.send_part().await
    }

    async fn send_part(&mut self) -> Result<()> {
        if self.begun.is_none() {
            self.begin().await?;
        }
        let slot = Arc::clone(&self.uploads.0).acquire_owned().await.map_err(|_| Error::Closed)?;
        let Some(begun) = &mut self.begun else { return Err(Error::internal("an upload that was not begun")) };
        if let Some(error) = lock(&begun.failed).clone() {
            return Err(error);
        }
        let part = buffer_pool::bytes(std::mem::take(&mut self.part));
        let task = PartTask {
            client: Arc::clone(&self.client),
            metrics: Arc::clone(&self.metrics),
            store: Arc::clone(&begun.store),
            key: self.key.clone(),
            id: begun.id.clone(),
            index: begun.parts.len(),
            part,
            failed: Arc::clone(&begun.failed),
        };
        begun.parts.push(tokio::spawn(task.run(slot)));
        Ok(())
    }

    async fn begin(&mut self) -> Result<()> {
        let Some(store) = self.client.parts.clone() else { return Err(Error::internal("a store without parts")) };
        let (url, path) = (self.client.url(&self.key), self.client.path(&self.key)?);
        let client = &self.client;
        let request = client.request(&url, "the begin of an upload", &self.metrics);
        let created = request.run(|attempt| {
            let (url, path, store) = (&url, &path, &store);
            async move {
                let created = within(&client.tuning, "the store", store.create_multipart(path)).await?;
                created.map_err(|error| client.write_fault(url, &error, &attempt))
            }
        });
        let id = created.await?;
        self.client.put(&self.journal, Bytes::from(id.clone()), &self.metrics).await?;
        self.begun = Some(Begun { store, id, parts: Vec::new(), failed: Arc::default() });
        Ok(())
    }

    /// Sends what is left and puts the object in its place. Returns how many parts it had; 1 for a single put.
    ///
    /// # Errors
    /// What the store says: the object is not there then.
    pub async fn finish(mut self) -> Result<u64> {
        if self.begun.is_none() {
            let data = Bytes::from(std::mem::take(&mut self.part));
            self.client.put(&self.key, data, &self.metrics).await?;
            return Ok(1);
        }
        if !self.part.is_empty() {
            self.send_part().await?;
        }
        let Some(mut begun) = self.begun.take() else { return Err(Error::internal("an upload that was not begun")) };
        let mut parts = Vec::new();
        for part in &mut begun.parts {
            parts.push(part.await.map_err(|_| Error::internal("a task that uploaded ended"))??);
        }
        let count = parts.len() as u64;
        let (client, url, path) = (&self.client, self.client.url(&self.key), self.client.path(&self.key)?);
        let request = client.request(&url, "the end of an upload", &self.metrics);
        let completed = request.run(|attempt| {
            let (url, path, begun, parts) = (&url, &path, (&begun.store, &begun.id), parts.clone());
            async move {
                let completed = begun.0.complete_multipart(path, begun.1, parts);
                match within(&client.tuning, "the store", completed).await? {
                    Ok(_) => Ok(()),
                    Err(error) => Err(client.write_fault(url, &error, &attempt)),
                }
            }
        });
        match completed.await {
            // One whose answer was lost is no longer known when it is asked for again; the object is there then.
            Err(error @ Error::NotFound { .. }) => match client.head(&self.key, &self.metrics).await? {
                Some(object) if object.stamp.size == self.bytes => Ok(count),
                _ => Err(error),
            },
            other => other.map(|()| count),
        }
    }
}

impl Drop for Begun {
    /// Nobody waits for these parts any longer: nothing more is sent.
    fn drop(&mut self) {
        self.parts.iter().for_each(JoinHandle::abort);
    }
}

struct PartTask {
    client: Arc<Client>,
    metrics: Arc<StoreMetrics>,
    store: Arc<dyn MultipartStore>,
    key: String,
    id: String,
    index: usize,
    part: Bytes,
    failed: Arc<Mutex<Option<Error>>>,
}

impl PartTask {
    async fn run(self, slot: OwnedSemaphorePermit) -> Result<PartId> {
        let (client, url, path) = (&self.client, self.client.url(&self.key), self.client.path(&self.key)?);
        let request = client.request(&url, "writing a part", &self.metrics);
        let sent = request.run(|attempt| {
            let (url, path, part) = (&url, &path, PutPayload::from_bytes(self.part.clone()));
            let (store, id, index) = (&self.store, &self.id, self.index);
            async move {
                let sent = within(&client.tuning, "the store", store.put_part(path, id, index, part)).await?;
                sent.map_err(|error| client.write_fault(url, &error, &attempt))
            }
        });
        let sent = sent.await;
        drop(slot);
        if let Err(error) = &sent {
            lock(&self.failed).get_or_insert_with(|| error.clone());
        }
        sent
    }
}

impl Client {
    /// Ends an upload that was begun, by this process or another; one that is not known is no error.
    ///
    /// # Errors
    /// Whatever else the store says.
    pub async fn abort(&self, key: &str, id: &str, metrics: &Arc<StoreMetrics>) -> Result<()> {
        let Some(store) = &self.parts else { return Ok(()) };
        let (url, path, id) = (self.url(key), self.path(key)?, id.to_owned());
        let request = self.request(&url, "the abort of an upload", metrics);
        let aborted = request.run(|attempt| {
            let (url, path, id) = (&url, &path, &id);
            async move {
                match within(&self.tuning, "the store", store.abort_multipart(path, id)).await? {
                    Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
                    Err(error) => Err(self.fault(url, &error, &attempt)),
                }
            }
        });
        aborted.await
    }
}
