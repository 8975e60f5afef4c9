//! A connection to a store: its client, its open objects and the ranges fetched from it, while somebody reads.

use std::sync::{Arc, Mutex};

use tokio::sync::OnceCell;

use super::object_ref::ObjectRef;
use super::open_file::{changed, parse};
use super::range_cache::Limits;
use super::range_fetcher::{RangeFetcher, vanished};
use super::{Demand, FileHandle, OpenFile, RemoteFile};
use crate::files::remote::{StoreAccess, footer_bytes};
use crate::files::schema_cache::StatisticsKept;
use crate::files::{Plan, footer};
use crate::lru::LruByBytes;
use crate::store::{Client, Location, Runtime, Stamp};
use crate::sync::lock;
use crate::{Error, Result};

/// How much of an object's end is requested to find its footer.
const GUESS: u64 = 64 << 10;
/// How many bytes parsed footers and offset indexes may take.
const MAX_FOOTER_BYTES: usize = 64 << 20;
/// The least bytes of a part of a column chunk: less is not worth a request.
const LEAST_PART: u64 = 64 << 10;
/// What is fetched ahead may be this much more than what may be kept, however little that is: a window, or a chunk.
const SLACK: u64 = 64 << 20;

/// Dropped when nobody reads any longer; the last connection ends the runtime.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) objects: Arc<OpenObjects>,
    pub(super) runtime: Arc<Runtime>,
}

/// What tasks share: not the runtime, which must not be dropped by one of its own threads.
pub(super) struct OpenObjects {
    plan: Arc<Plan>,
    store: StoreAccess,
    client: Arc<Client>,
    pub(super) fetcher: Arc<RangeFetcher>,
    demand: Demand,
    statistics: StatisticsKept,
    part_bytes: u64,
    open: Mutex<LruByBytes<OnceCell<Arc<OpenFile>>>>,
}

impl Connection {
    pub(super) fn new(
        plan: &Arc<Plan>,
        store: &StoreAccess,
        demand: &Demand,
        statistics: StatisticsKept,
    ) -> Result<Self> {
        let runtime = Runtime::get()?;
        let location = Location::of(plan.root())?;
        let client = runtime.client(&location, &store.options)?;
        let (streams, budget) = (demand.streams.max(1), demand.budget);
        let part_bytes = (budget / (2 * streams)).clamp(LEAST_PART, client.tuning().request_bytes.max(LEAST_PART));
        let capacity = budget.max(2 * streams * part_bytes);
        // A gap as large as a part is one that will be read itself.
        let gap = client.tuning().gap_bytes.min(part_bytes * 2 / 5);
        let (request, requests) = (client.tuning().request_bytes, client.tuning().max_requests);
        let limits = Limits { capacity, most: 2 * capacity + SLACK, gap, request, requests };
        let (cancel, metrics) = (store.cancel.clone(), Arc::clone(&store.metrics));
        let fetcher = RangeFetcher::new(Arc::clone(&client), runtime.handle()?.clone(), cancel, metrics, limits);
        let objects = OpenObjects {
            plan: Arc::clone(plan),
            store: store.clone(),
            client,
            fetcher: Arc::new(fetcher),
            demand: demand.clone(),
            statistics,
            part_bytes,
            open: Mutex::new(LruByBytes::new(MAX_FOOTER_BYTES, usize::MAX)),
        };
        Ok(Self { objects: Arc::new(objects), runtime })
    }
}

impl OpenObjects {
    /// An object that is open already.
    pub(super) fn opened(&self, index: usize) -> Option<Arc<OpenFile>> {
        let slot = lock(&self.open).slot(index);
        let file = slot.get().cloned();
        if let Some(file) = &file {
            self.weigh(index, file);
        }
        file
    }

    pub(super) async fn open(&self, index: usize) -> Result<Arc<OpenFile>> {
        let slot = lock(&self.open).slot(index);
        let file = Arc::clone(slot.get_or_try_init(|| self.read(index)).await?);
        self.weigh(index, &file);
        Ok(file)
    }

    /// Counts what was read of an object's metadata so far.
    pub(super) fn weigh(&self, index: usize, file: &OpenFile) {
        lock(&self.open).weigh(index, file.stage(), || file.memory());
    }

    async fn read(&self, index: usize) -> Result<Arc<OpenFile>> {
        let path = self.plan.path(index);
        let key = Location::of(&path)?.key;
        let planned = self.plan.file(index);
        let stamp = Stamp::planned(planned.size, self.plan.tag(index));
        let found = footer_bytes(&self.client, &key, &stamp, GUESS, &self.store.metrics).await;
        let (footer, stamp) = found.map_err(|error| match error {
            Error::NotFound { path } => vanished(&path),
            Error::Corrupt { detail, .. } => changed(&path, &format!("the object changed ({detail})")),
            other => other,
        })?;
        if footer::hash(&footer) != planned.hash {
            return Err(changed(&path, "the object's footer changed"));
        }
        let metadata = parse(&path, &footer, self.statistics, self.plan.table())?;
        let object = Arc::new(ObjectRef { file: index as u32, key, stamp });
        let file = RemoteFile::new(Arc::clone(&self.fetcher), object, &metadata, &self.demand, self.part_bytes);
        Ok(Arc::new(OpenFile::new(path, FileHandle::Remote(file), metadata, None)))
    }
}
