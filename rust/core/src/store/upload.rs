//! The upload of one large object: its bytes are cut into parts as they come, and the parts sent side by side.
//!
//! What is smaller than one part is a single put. Before the first of several parts is sent, a small object beside it
//! (the journal) names the upload, so that whoever finds it can abort what a killed process left unfinished.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use object_store::multipart::{MultipartStore, PartId};
use object_store::{Error as StoreError, PutPayload};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::StoreMetrics;
use super::client::Client;
use super::connect::Attempt;
use super::retry::{Fault, within, within_times};
use super::window::Uploads;
use crate::sync::lock;
use crate::{Error, Result, buffer_pool};

/// Stores take no smaller parts, but for the last.
const SMALLEST_PART: u64 = 5 << 20;
/// Stores take no more parts.
const MOST_PARTS: u64 = 10_000;
/// The end of an upload may take so many times as long as another request: the store puts the parts together meanwhile,
/// and says now and then that it is alive.
const PATIENCE: u32 = 20;

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
        let slot = self.uploads.slot().await?;
        let Some(begun) = &mut self.begun else { return Err(Error::internal("an upload that was not begun")) };
        if let Some(error) = lock(&begun.failed).clone() {
            return Err(error);
        }
        let part = buffer_pool::bytes(std::mem::take(&mut self.part));
        let task = PartTask {
            client: Arc::clone(&self.client),
            metrics: Arc::clone(&self.metrics),
            uploads: self.uploads.clone(),
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
        if let Err(error) = self.client.put(&self.journal, Bytes::from(id.clone()), &self.metrics).await {
            // Nobody else will know its name. What the abort meets does not matter: the error is that of the journal.
            let _ = self.client.abort(&self.key, &id, &self.metrics).await;
            return Err(error);
        }
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
                match within_times(&client.tuning, PATIENCE, "the store", completed).await? {
                    Ok(_) => Ok(()),
                    Err(error) => Err(client.part_fault(url, &error, &attempt)),
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
    uploads: Uploads,
    store: Arc<dyn MultipartStore>,
    key: String,
    id: String,
    index: usize,
    part: Bytes,
    failed: Arc<Mutex<Option<Error>>>,
}

impl PartTask {
    async fn run(self, slot: OwnedSemaphorePermit) -> Result<PartId> {
        // None after a try that took too long: it lets go of the window before it asks for more of it.
        let slot = tokio::sync::Mutex::new(Some(slot));
        let (client, url, path) = (&self.client, self.client.url(&self.key), self.client.path(&self.key)?);
        let request = client.request(&url, "writing a part", &self.metrics);
        let sent = request.run(|attempt| {
            let (url, path, part) = (&url, &path, PutPayload::from_bytes(self.part.clone()));
            let (store, id, index, uploads, slot) = (&self.store, &self.id, self.index, &self.uploads, &slot);
            async move {
                let mut slot = slot.lock().await;
                if slot.is_none() {
                    let asked = Instant::now();
                    *slot = Some(uploads.slot().await.map_err(Fault::Final)?);
                    attempt.waited(asked.elapsed());
                }
                let begun = Instant::now();
                match within(&client.tuning, "the store", store.put_part(path, id, index, part)).await {
                    Err(late) => {
                        uploads.slower(slot.take().map_or(1, |slot| slot.num_permits()));
                        Err(late)
                    }
                    Ok(sent) => {
                        if begun.elapsed() < client.tuning.timeout / 4 {
                            uploads.faster();
                        }
                        sent.map_err(|error| client.part_fault(url, &error, &attempt))
                    }
                }
            }
        });
        let sent = sent.await;
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

    /// What an error of an upload that was begun means: it has a bucket.
    fn part_fault(&self, url: &str, error: &StoreError, attempt: &Attempt) -> Fault {
        match error {
            StoreError::NotFound { .. } => Fault::Final(Error::NotFound {
                path: format!(
                    "{url} ({}): its upload is no longer known; another process, or a rule of the {}, ended it",
                    self.said(error, attempt),
                    self.container()
                ),
            }),
            _ => self.write_fault(url, error, attempt),
        }
    }
}

#[cfg(test)]
mod tests;
