//! Listing: page by page, prefixes side by side.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{self, TryStreamExt};
use object_store::list::PaginatedListOptions;

use super::StoreMetrics;
use super::client::{Client, Object};
use super::retry::{Request, within};
use crate::{Error, Result};

/// Prefixes are opened level by level until there are this many to list side by side.
const SIDE_BY_SIDE: usize = 16;
/// Or this many levels were opened.
const LEVELS: usize = 4;

/// A page of a listing.
struct Page {
    objects: Vec<Object>,
    /// With a delimiter: the prefixes under the one that is listed.
    prefixes: Vec<String>,
    /// What leads to the next one, if there is one.
    next: Option<String>,
}

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
        metrics: &Arc<StoreMetrics>,
    ) -> Result<Vec<Object>> {
        let mut objects = Vec::new();
        let mut prefixes = vec![prefix.trim_end_matches('/').to_owned()];
        if self.pages.is_some() {
            for _ in 0..LEVELS {
                if prefixes.is_empty() || prefixes.len() >= SIDE_BY_SIDE {
                    break;
                }
                let levels = self.each(
                    prefixes,
                    |client, prefix, metrics| async move { client.pages(&prefix, true, &metrics).await },
                    metrics,
                );
                prefixes = Vec::new();
                for (found, under) in levels.await? {
                    objects.extend(found);
                    prefixes.extend(under.into_iter().filter(|path| enters(path)));
                }
            }
        }
        let rest = self.each(
            prefixes,
            |client, prefix, metrics| async move { client.pages(&prefix, false, &metrics).await },
            metrics,
        );
        objects.extend(rest.await?.into_iter().flat_map(|(found, _)| found));
        Ok(objects)
    }

    /// All objects under a prefix, as one list, for few of them: a request for every page.
    ///
    /// # Errors
    /// Whatever the store says; a web server that lists nothing.
    pub async fn list_all(&self, prefix: &str, metrics: &Arc<StoreMetrics>) -> Result<Vec<Object>> {
        Ok(self.pages(prefix, false, metrics).await?.0)
    }

    /// The prefixes directly under a prefix, by one request; None where that does not show all of them.
    ///
    /// # Errors
    /// Whatever the store says.
    pub(crate) async fn list_folders(&self, prefix: &str, metrics: &Arc<StoreMetrics>) -> Result<Option<Vec<String>>> {
        let page = self.page(prefix, true, None, metrics).await?;
        let is_whole = page.next.is_none();
        Ok(is_whole.then_some(page.prefixes))
    }

    /// Whether an object under a prefix has a key that is wanted: a request for every page up to the first such key.
    ///
    /// # Errors
    /// Whatever the store says.
    pub(crate) async fn any_under(
        &self,
        prefix: &str,
        is_wanted: impl Fn(&str) -> bool,
        metrics: &Arc<StoreMetrics>,
    ) -> Result<bool> {
        let mut next = None;
        loop {
            let page = self.page(prefix, false, next, metrics).await?;
            if page.objects.iter().any(|object| is_wanted(&object.key)) {
                return Ok(true);
            }
            if page.next.is_none() {
                return Ok(false);
            }
            next = page.next;
        }
    }

    async fn each<T, F>(
        self: &Arc<Self>,
        prefixes: Vec<String>,
        run: impl Fn(Arc<Self>, String, Arc<StoreMetrics>) -> F,
        metrics: &Arc<StoreMetrics>,
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

    /// All pages under a prefix: its objects, and with a delimiter the prefixes under it instead of what is in them.
    async fn pages(
        &self,
        prefix: &str,
        delimited: bool,
        metrics: &Arc<StoreMetrics>,
    ) -> Result<(Vec<Object>, Vec<String>)> {
        let (mut objects, mut prefixes) = (Vec::new(), BTreeSet::new());
        let mut next = None;
        loop {
            let page = self.page(prefix, delimited, next, metrics).await?;
            objects.extend(page.objects);
            prefixes.extend(page.prefixes);
            if page.next.is_none() {
                return Ok((objects, prefixes.into_iter().collect()));
            }
            next = page.next;
        }
    }

    /// The page that a token leads to, or the first one. Each is tried on its own.
    async fn page(
        &self,
        prefix: &str,
        delimited: bool,
        token: Option<String>,
        metrics: &Arc<StoreMetrics>,
    ) -> Result<Page> {
        let Some(store) = &self.pages else {
            return Ok(Page { objects: self.whole(prefix, metrics).await?, prefixes: Vec::new(), next: None });
        };
        let (url, path) = (self.url(prefix), self.path(prefix)?);
        let request = Request { url: &url, what: "listing", tuning: &self.tuning, metrics, answered: &self.answered };
        let under = (!path.is_root()).then(|| format!("{path}/"));
        let delimiter = delimited.then_some(Cow::Borrowed("/"));
        let _slot = self.slots.acquire().await.map_err(|_| Error::Closed)?;
        let asked = request.run(|attempt| {
            let options = PaginatedListOptions {
                delimiter: delimiter.clone(),
                page_token: token.clone(),
                ..PaginatedListOptions::default()
            };
            let (url, under) = (&url, under.as_deref());
            async move {
                let page = within(&self.tuning, "the listing", store.list_paginated(under, options)).await?;
                page.map_err(|error| self.fault(url, &error, &attempt))
            }
        });
        let page = asked.await?;
        // Some servers end with an empty one.
        let next = page.page_token.filter(|token| !token.is_empty());
        if next.is_some() && next == token {
            return Err(self.io(&url, "the store lists the same page again and again"));
        }
        let objects = page.result.objects.iter().map(Object::of).collect();
        let prefixes = page.result.common_prefixes.iter().map(|path| path.as_ref().to_owned()).collect();
        Ok(Page { objects, prefixes, next })
    }

    /// What a web server lists: one page.
    async fn whole(&self, prefix: &str, metrics: &Arc<StoreMetrics>) -> Result<Vec<Object>> {
        let (url, path) = (self.url(prefix), self.path(prefix)?);
        let request = Request { url: &url, what: "listing", tuning: &self.tuning, metrics, answered: &self.answered };
        let _slot = self.slots.acquire().await.map_err(|_| Error::Closed)?;
        request
            .run(|attempt| {
                let (path, url) = (&path, &url);
                async move {
                    let (mut objects, mut found) =
                        (Vec::new(), self.store.list(Some(path).filter(|path| !path.is_root())));
                    while let Some(object) = within(&self.tuning, "the listing", found.next()).await? {
                        objects.push(Object::of(&object.map_err(|error| self.fault(url, &error, &attempt))?));
                    }
                    Ok(objects)
                }
            })
            .await
    }
}
