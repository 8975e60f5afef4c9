//! Writing of single objects: put, put if absent, delete; each is tried again as reads are, and answered twice it is
//! done once.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use object_store::{GetOptions, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use super::client::Client;
use super::connect::Attempt;
use super::retry::{Fault, Request, backoff, within};
use super::{Stamp, StoreMetrics};
use crate::{Error, Result};

/// What became of a put that must not replace anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The object is there, with these bytes.
    Yes,
    /// Another one was there before.
    Exists,
    /// The store has no conditional puts: nothing was written.
    Unsupported,
}

impl Client {
    pub(super) fn request<'a>(
        &'a self,
        url: &'a str,
        what: &'static str,
        metrics: &'a Arc<StoreMetrics>,
    ) -> Request<'a> {
        Request { url, what, tuning: &self.tuning, metrics, answered: &self.answered }
    }

    /// Writes an object, in place of any other.
    ///
    /// # Errors
    /// Whatever the store says after all tries.
    pub async fn put(&self, key: &str, data: Bytes, metrics: &Arc<StoreMetrics>) -> Result<()> {
        self.put_as(key, data, &PutMode::Overwrite, metrics).await.map(drop)
    }

    /// Writes an object where there is none of this key.
    ///
    /// # Errors
    /// Whatever the store says after all tries.
    pub async fn create(&self, key: &str, data: Bytes, metrics: &Arc<StoreMetrics>) -> Result<Created> {
        for tries in 0..=self.tuning.max_retries {
            match self.put_as(key, data.clone(), &PutMode::Create, metrics).await? {
                // A put whose answer was lost is refused when it is sent again: it was this one then.
                Created::Exists => match self.read(key, metrics).await? {
                    Some((there, _)) if there == data => return Ok(Created::Yes),
                    Some(_) => return Ok(Created::Exists),
                    // Refused because of another put that is under way, which may be an earlier try of this one.
                    None => tokio::time::sleep(backoff(&self.tuning, tries)).await,
                },
                other => return Ok(other),
            }
        }
        let url = self.url(key);
        Err(self.io(&url, "the store refuses to write it because it is there, and does not find it when it is read"))
    }

    async fn put_as(&self, key: &str, data: Bytes, mode: &PutMode, metrics: &Arc<StoreMetrics>) -> Result<Created> {
        let (url, path) = (self.url(key), self.path(key)?);
        let _slot = self.slots.acquire().await.map_err(|_| Error::Closed)?;
        let create = *mode == PutMode::Create;
        self.request(&url, "writing", metrics)
            .run(|attempt| {
                let (url, path, data) = (&url, &path, data.clone());
                async move {
                    let options = PutOptions::from(mode.clone());
                    let put = self.store.put_opts(path, PutPayload::from_bytes(data), options);
                    match within(&self.tuning, "the store", put).await? {
                        Ok(_) => Ok(Created::Yes),
                        Err(object_store::Error::AlreadyExists { .. }) if create => Ok(Created::Exists),
                        Err(object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. })
                            if create =>
                        {
                            Ok(Created::Unsupported)
                        }
                        Err(_) if create && attempt.status() == 501 => Ok(Created::Unsupported),
                        Err(error) => Err(self.write_fault(url, &error, &attempt)),
                    }
                }
            })
            .await
    }

    /// A whole object and its stamp; None where there is none of that key.
    ///
    /// # Errors
    /// Whatever else the store says.
    pub async fn read(&self, key: &str, metrics: &Arc<StoreMetrics>) -> Result<Option<(Bytes, Stamp)>> {
        let (url, path) = (self.url(key), self.path(key)?);
        let _slot = self.slots.acquire().await.map_err(|_| Error::Closed)?;
        let request = self.request(&url, "reading", metrics);
        let read = request.run(|attempt| {
            let (url, path) = (&url, &path);
            async move {
                let found = within(&self.tuning, "the store", self.store.get_opts(path, GetOptions::default())).await?;
                let found = found.map_err(|error| self.fault(url, &error, &attempt))?;
                let stamp = Stamp::of(&found.meta);
                let mut data = Vec::new();
                let mut stream = found.into_stream();
                while let Some(piece) = within(&self.tuning, "the connection", stream.next()).await? {
                    data.extend_from_slice(&piece.map_err(|error| self.fault(url, &error, &attempt))?);
                }
                if data.len() as u64 != stamp.size {
                    return Err(Fault::Again(format!("the answer had {} bytes of {}", data.len(), stamp.size)));
                }
                metrics.received(stamp.size);
                Ok((Bytes::from(data), stamp))
            }
        });
        match read.await {
            Ok(found) => Ok(Some(found)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes objects, many at a time; those that are not there are no error.
    ///
    /// # Errors
    /// Whatever the store says of the first that stays.
    pub async fn delete(&self, keys: &[String], metrics: &Arc<StoreMetrics>) -> Result<()> {
        let mut deleting: FuturesUnordered<_> = keys.iter().map(|key| self.delete_one(key, metrics)).collect();
        while let Some(deleted) = deleting.next().await {
            deleted?;
        }
        Ok(())
    }

    async fn delete_one(&self, key: &str, metrics: &Arc<StoreMetrics>) -> Result<()> {
        let (url, path) = (self.url(key), self.path(key)?);
        let _slot = self.slots.acquire().await.map_err(|_| Error::Closed)?;
        let request = self.request(&url, "deleting", metrics);
        let deleted = request.run(|attempt| {
            let (url, path) = (&url, &path);
            async move {
                let deleted = within(&self.tuning, "the store", self.store.delete(path)).await?;
                deleted.map_err(|error| self.fault(url, &error, &attempt))
            }
        });
        match deleted.await {
            Err(Error::NotFound { .. }) => Ok(()),
            other => other,
        }
    }

    /// What an error of a write means: a key need not be there, but its bucket must.
    pub(super) fn write_fault(&self, url: &str, error: &object_store::Error, attempt: &Attempt) -> Fault {
        match error {
            object_store::Error::NotFound { .. } => {
                let said = self.said(error, attempt);
                Fault::Final(Error::NotFound {
                    path: format!(
                        "{url} ({said}): the {} {:?} must be there before it is written to",
                        self.container(),
                        self.bucket
                    ),
                })
            }
            // Two writes of one key at the same moment: the store asks to try again.
            object_store::Error::AlreadyExists { .. } if attempt.status() == 409 => {
                Fault::Again(format!("the store answered 409: {}", self.said(error, attempt)))
            }
            _ => self.fault(url, error, attempt),
        }
    }
}

#[cfg(test)]
mod tests;
