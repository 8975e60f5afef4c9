//! Listing: page by page, prefixes side by side.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{self, TryStreamExt};
use object_store::ListResult;
use tokio::sync::Mutex;

use super::client::{Client, Object};
use super::retry::{Request, within};
use super::{Metrics, Scheme};
use crate::{Error, Result};

/// Prefixes are opened level by level until there are this many to list side by side.
const SIDE_BY_SIDE: usize = 16;
/// Or this many levels were opened.
const LEVELS: usize = 4;

impl Client {
    /// All objects under a prefix, which ends at a slash (or is empty, for all of the bucket). In any order.
    ///
    /// `enters` is asked of every prefix that is opened on the way whether anything under it is wanted.
    ///
    /// # Errors
    /// Whatever the store says; a web server that lists nothing.
    pub async fn list(
        self: &Arc<Self>,
        prefix: &str,
        enters: impl Fn(&str) -> bool,
        metrics: &Arc<Metrics>,
    ) -> Result<Vec<Object>> {
        let mut objects = Vec::new();
        let mut prefixes = vec![prefix.trim_end_matches('/').to_owned()];
        if self.scheme != Scheme::Http {
            for _ in 0..LEVELS {
                if prefixes.is_empty() || prefixes.len() >= SIDE_BY_SIDE {
                    break;
                }
                let levels = self.each(
                    prefixes,
                    |client, prefix, metrics| async move { client.level(&prefix, &metrics).await },
                    metrics,
                );
                prefixes = Vec::new();
                for level in levels.await? {
                    objects.extend(level.objects.iter().map(Object::of));
                    prefixes.extend(
                        level.common_prefixes.iter().map(|path| path.as_ref().to_owned()).filter(|path| enters(path)),
                    );
                }
            }
        }
        let rest =
            self.each(prefixes, |client, prefix, metrics| async move { client.flat(&prefix, &metrics).await }, metrics);
        objects.extend(rest.await?.into_iter().flatten());
        Ok(objects)
    }

    async fn each<T, F>(
        self: &Arc<Self>,
        prefixes: Vec<String>,
        run: impl Fn(Arc<Self>, String, Arc<Metrics>) -> F,
        metrics: &Arc<Metrics>,
    ) -> Result<Vec<T>>
    where
        F: Future<Output = Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        stream::iter(prefixes)
            .map(|prefix| {
                let task = tokio::spawn(run(Arc::clone(self), prefix, Arc::clone(metrics)));
                async move { task.await.unwrap_or_else(|_| Err(Error::internal("a task that listed panicked"))) }
            })
            .buffer_unordered(self.tuning.max_requests)
            .try_collect()
            .await
    }

    /// One level: its objects, and the prefixes under it.
    async fn level(&self, prefix: &str, metrics: &Arc<Metrics>) -> Result<ListResult> {
        let (url, path) = (self.url(prefix), self.path(prefix)?);
        let request = Request { url: &url, what: "listing", tuning: &self.tuning, metrics };
        let _slot = self.slots.acquire().await.map_err(|_| Error::Closed)?;
        request
            .run(|attempt| {
                let (path, url) = (&path, &url);
                async move {
                    // One answer of many pages: it may take longer than a page does.
                    let found = self.store.list_with_delimiter(Some(path).filter(|path| !path.is_root()));
                    found.await.map_err(|error| self.fault(url, &error, &attempt))
                }
            })
            .await
    }

    /// Everything under a prefix. A page that fails is asked for again, from the last key that came.
    async fn flat(&self, prefix: &str, metrics: &Arc<Metrics>) -> Result<Vec<Object>> {
        let (url, path) = (self.url(prefix), self.path(prefix)?);
        let request = Request { url: &url, what: "listing", tuning: &self.tuning, metrics };
        let _slot = self.slots.acquire().await.map_err(|_| Error::Closed)?;
        let objects = Mutex::new(Vec::<Object>::new());
        request
            .run(|attempt| {
                let (path, url, objects) = (&path, &url, &objects);
                async move {
                    let mut objects = objects.lock().await;
                    let last = objects.last().map(|object| object.key.clone());
                    let under = Some(path).filter(|path| !path.is_root());
                    let mut pages = match last.and_then(|key| self.path(&key).ok()) {
                        // A web server has one page.
                        Some(last) if self.scheme != Scheme::Http => self.store.list_with_offset(under, &last),
                        _ => {
                            objects.clear();
                            self.store.list(under)
                        }
                    };
                    while let Some(found) = within(&self.tuning, "the listing", pages.next()).await? {
                        objects.push(Object::of(&found.map_err(|error| self.fault(url, &error, &attempt))?));
                    }
                    Ok(())
                }
            })
            .await?;
        Ok(objects.into_inner())
    }
}
