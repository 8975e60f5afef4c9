//! The files that are open: their descriptors and parsed footers, the least recently used closed first.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::remote_files::{Demand, RemoteFiles, take_fault};
use super::{FileHandle, FileMetadata, LocalFile, RemoteFile, offset_index};
use crate::files::remote::StoreAccess;
use crate::files::{Plan, footer, schema_cache};
use crate::order::RowSet;
use crate::store::{Note, Totals, is_remote};
use crate::{Error, Result};

/// How many files may stay open.
const MAX_OPEN: usize = 128;
/// How many bytes parsed footers may take.
const MAX_FOOTER_BYTES: usize = 64 << 20;

/// An open file whose footer is the one that was planned.
#[derive(Debug)]
pub struct OpenFile {
    /// Its path, for messages.
    pub path: String,
    /// Its bytes.
    pub handle: FileHandle,
    /// Its footer and Arrow schema.
    pub metadata: FileMetadata,
    /// Of a local file: when its footer was last seen to be the planned one. Objects are asked for by their ETag.
    stamp: Option<Mutex<FileStamp>>,
    /// Its footer with the place of every page; None where the file does not have these.
    paged: OnceCell<Option<FileMetadata>>,
}

impl OpenFile {
    pub(super) fn new(path: String, handle: FileHandle, metadata: FileMetadata) -> Self {
        Self { path, handle, metadata, stamp: None, paged: OnceCell::new() }
    }
}

impl OpenFile {
    /// Its footer, with the place of every page where that spares something in reading a row group (numbered in the file)
    /// from a row on: asked for once, of objects only, and only where they have it. Waits.
    pub fn metadata_from(&self, group: usize, row: u64) -> &FileMetadata {
        match &self.handle {
            FileHandle::Remote(object) if object.is_cut(group) == Some(true) || object.is_far(group, row) => {
                object.wait(self.paged(object))
            }
            _ => &self.metadata,
        }
    }

    /// Says that only rows of the set are read of a row group: where it says where its pages are, and the rows lie far
    /// apart, no other pages are fetched. Of objects only. Waits.
    pub fn cut(&self, group: usize, set: &RowSet) {
        let FileHandle::Remote(object) = &self.handle else { return };
        if object.is_cut(group).is_none() {
            let is_sparse = set.words().is_some() && object.is_sparse(group, set);
            object.cut(group, is_sparse.then(|| (set, object.wait(self.paged(object)))));
        }
    }

    /// The same of an object, wherever it is read.
    pub(super) async fn paged(&self, object: &RemoteFile) -> &FileMetadata {
        self.paged.get_or_init(|| offset_index::paged(object, &self.metadata)).await.as_ref().unwrap_or(&self.metadata)
    }

    /// How much of it was read: its footer, and then the places of its pages.
    pub(super) fn depth(&self) -> u32 {
        1 + u32::from(self.paged.initialized())
    }

    /// The bytes that what was read of it takes.
    pub(super) fn memory(&self) -> usize {
        let paged = self.paged.get().and_then(Option::as_ref);
        [Some(&self.metadata), paged].into_iter().flatten().map(|read| read.metadata().memory_size()).sum()
    }
}

/// What the file system says of a file's content: another stamp, and it may be another content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    size: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl From<&fs::Metadata> for FileStamp {
    fn from(of: &fs::Metadata) -> Self {
        Self { size: of.len(), written: (of.mtime(), of.mtime_nsec()), changed: (of.ctime(), of.ctime_nsec()) }
    }
}

/// A place in the cache: locked by the thread that opens the file, so that it is opened once.
type FileSlot = Arc<Mutex<Option<Arc<OpenFile>>>>;

/// All files of a plan, opened when they are needed.
#[derive(Debug)]
pub struct Files {
    plan: Arc<Plan>,
    statistics: bool,
    cache: Mutex<Cache>,
    remote: Option<RemoteFiles>,
}

#[derive(Debug, Default)]
struct Cache {
    places: HashMap<usize, (FileSlot, u64, usize)>,
    clock: u64,
    footer_bytes: usize,
}

impl Files {
    /// The files of this plan; those of a store, as nobody asked for anything in particular.
    pub fn new(plan: Arc<Plan>) -> Self {
        Self { plan, statistics: false, cache: Mutex::default(), remote: None }
            .reading(StoreAccess::default(), Demand::default())
    }

    /// The files of this plan, with the statistics in their footers, which a filter looks at.
    pub fn with_statistics(plan: Arc<Plan>) -> Self {
        let files = Self { statistics: true, ..Self::new(plan) };
        files.reading(StoreAccess::default(), Demand::default())
    }

    /// The same, those of a store read as `store` says and as `demand` needs them.
    #[must_use]
    pub fn reading(mut self, store: StoreAccess, demand: Demand) -> Self {
        if is_remote(self.plan.root()) {
            self.remote = Some(RemoteFiles::new(Arc::clone(&self.plan), store, demand, self.statistics));
        }
        self
    }

    /// Begins to fetch what rows of row groups (counted over all files) are stored in, where that takes long, and holds it
    /// until the turn is finished. Turns are counted from 0, and needed in that order.
    pub fn prefetch(&self, turn: u64, slices: impl Iterator<Item = (usize, Range<u64>)>) {
        if let Some(remote) = &self.remote {
            remote.prefetch(turn, slices);
        }
    }

    /// Begins to fetch all of a row group's columns that a filter reads.
    pub(crate) fn prefetch_filter(&self, turn: u64, group: usize) {
        if let Some(remote) = &self.remote {
            remote.prefetch_filter(turn, group);
        }
    }

    /// As [`prefetch`](Self::prefetch), of rows of a set that is known by now.
    pub(crate) fn prefetch_set(&self, turn: u64, group: usize, set: &RowSet, rows: Range<u64>) {
        if let Some(remote) = &self.remote {
            remote.prefetch_set(turn, group, set, rows);
        }
    }

    /// Begins a turn of which it is not known yet what it needs.
    pub(crate) fn begin(&self, turn: u64) {
        if let Some(remote) = &self.remote {
            remote.begin(turn);
        }
    }

    /// Says that the rows of a turn were read, or that nobody wants them any longer.
    pub(crate) fn finish(&self, turn: u64) {
        if let Some(remote) = &self.remote {
            remote.finish(turn);
        }
    }

    /// Begins to open a file, where that takes long.
    pub(crate) fn warm(&self, index: usize) {
        if let Some(remote) = &self.remote {
            remote.warm(index);
        }
    }

    /// Whether the files are in a store.
    pub(crate) fn are_remote(&self) -> bool {
        self.remote.is_some()
    }

    /// Ends all waiting for a store; nothing is read any more.
    pub fn close(&self) {
        if let Some(remote) = &self.remote {
            remote.close();
        }
    }

    /// Lets go of a store's connections, once those who read are gone.
    pub fn release(&self) {
        if let Some(remote) = &self.remote {
            remote.release();
        }
    }

    /// What was asked of a store; None for local files.
    pub fn totals(&self) -> Option<Totals> {
        self.remote.as_ref().map(|remote| remote.from().metrics.totals())
    }

    /// What is worth a line in the log since the last call.
    pub fn take_notes(&self) -> Vec<Note> {
        self.remote.as_ref().map_or_else(Vec::new, |remote| remote.from().metrics.take_notes())
    }

    /// The plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Opens a file and checks that its footer is the one that was planned.
    ///
    /// # Errors
    /// The file vanished, changed, or cannot be read.
    pub fn open(&self, index: usize) -> Result<Arc<OpenFile>> {
        if let Some(remote) = &self.remote {
            take_fault();
            return remote.open(index);
        }
        let place = {
            let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            cache.clock += 1;
            let now = cache.clock;
            let entry = cache.places.entry(index).or_default();
            entry.1 = now;
            Arc::clone(&entry.0)
        };
        let mut slot = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = slot.as_ref() {
            return Ok(Arc::clone(open));
        }
        let open = Arc::new(self.read(index)?);
        *slot = Some(Arc::clone(&open));
        drop(slot);
        self.account(index, open.metadata.metadata().memory_size());
        Ok(open)
    }

    /// Checks that an open file was not written over since it was opened: what was read before is what was planned.
    ///
    /// # Errors
    /// The file changed. Of a store: whatever this thread met since it opened the file, which decoders show as damage.
    pub fn check(&self, index: usize, open: &OpenFile) -> Result<()> {
        let (FileHandle::Local(local), Some(stamp_seen)) = (&open.handle, &open.stamp) else {
            return take_fault().map_or(Ok(()), Err);
        };
        let file = local.file();
        let metadata = file.metadata().map_err(|error| Error::io(&open.path, &error))?;
        let stamp = FileStamp::from(&metadata);
        let mut seen = stamp_seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen != stamp {
            // Touched, linked or moved away perhaps: its footer tells.
            self.planned_footer(index, &open.path, file, &metadata, &mut footer::no_tail())?;
            *seen = stamp;
        }
        Ok(())
    }

    fn account(&self, index: usize, bytes: usize) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = cache.places.get_mut(&index) {
            entry.2 = bytes;
            cache.footer_bytes += bytes;
        }
        while cache.places.len() > MAX_OPEN || (cache.footer_bytes > MAX_FOOTER_BYTES && cache.places.len() > 1) {
            let Some(oldest) = cache.places.iter().min_by_key(|(_, entry)| entry.1).map(|(&oldest, _)| oldest) else {
                break;
            };
            if let Some((_, _, freed)) = cache.places.remove(&oldest) {
                cache.footer_bytes = cache.footer_bytes.saturating_sub(freed);
            }
        }
    }

    fn read(&self, index: usize) -> Result<OpenFile> {
        let path = self.plan.path(index);
        let file = File::open(&path).map_err(|error| match Error::io(&path, &error) {
            Error::NotFound { .. } => changed(&path, "the file vanished"),
            other => other,
        })?;
        // Taken before the footer is read: what is written from now on is noticed.
        let of_file = file.metadata().map_err(|error| Error::io(&path, &error))?;
        let stamp = FileStamp::from(&of_file);
        let mut tail = footer::no_tail();
        let footer = self.planned_footer(index, &path, &file, &of_file, &mut tail)?;
        let metadata = parse(&path, &footer, self.statistics)?;
        let handle = FileHandle::Local(LocalFile::new(file, self.plan.file(index).size));
        Ok(OpenFile { path, handle, metadata, stamp: Some(Mutex::new(stamp)), paged: OnceCell::new() })
    }

    /// The bytes of an open file's footer, if it is the one that was planned.
    fn planned_footer<'a>(
        &self,
        index: usize,
        path: &str,
        file: &File,
        metadata: &fs::Metadata,
        tail: &'a mut footer::Tail,
    ) -> Result<Cow<'a, [u8]>> {
        let planned = self.plan.file(index);
        let changed_to = |error| match error {
            Error::Corrupt { detail, .. } => changed(path, &format!("the file changed ({detail})")),
            other => other,
        };
        let size = footer::size_of(path, metadata).map_err(changed_to)?;
        if size != planned.size {
            return Err(changed(path, &format!("the file's size changed from {} to {size} bytes", planned.size)));
        }
        let footer = footer::read_planned(path, file, size, tail).map_err(changed_to)?;
        if footer::hash(&footer) != planned.hash {
            return Err(changed(path, "the file's footer changed"));
        }
        Ok(footer)
    }
}

/// A planned footer: its bytes were checked when the plan was made. Statistics are of use to filters only.
pub(super) fn parse(path: &str, footer: &[u8], statistics: bool) -> Result<FileMetadata> {
    let parsed = schema_cache::decode_again(footer, statistics);
    parsed.map(|(parquet, schema)| FileMetadata::new(parquet, schema)).map_err(|what| Error::corrupt(path, what))
}

pub(super) fn changed(path: &str, what: &str) -> Error {
    Error::Changed {
        path: path.to_owned(),
        detail: format!("{what} since the plan was made; restore the file, or plan anew and start the epoch again"),
    }
}
