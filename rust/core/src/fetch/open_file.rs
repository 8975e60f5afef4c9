//! An open file whose footer is the one that was planned.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Mutex;

use tokio::sync::OnceCell;

use super::{FileHandle, FileMetadata, RemoteFile, offset_index};
use crate::files::TableColumns;
use crate::files::schema_cache::{self, StatisticsKept};
use crate::order::RowSet;
use crate::{Error, Result};

/// An open file whose footer is the one that was planned.
#[derive(Debug)]
pub struct OpenFile {
    /// Its path, for messages.
    pub path: String,
    /// Its bytes.
    pub handle: FileHandle,
    /// Its footer and Arrow schema.
    pub metadata: FileMetadata,
    /// Of a local file: its state when its footer was last seen to be the planned one. Objects are requested by their
    /// ETag.
    pub(super) stamp: Option<Mutex<FileStamp>>,
    /// Its footer with its offset index; None where the file has none.
    indexed: OnceCell<Option<FileMetadata>>,
}

impl OpenFile {
    pub(super) fn new(path: String, handle: FileHandle, metadata: FileMetadata, stamp: Option<FileStamp>) -> Self {
        Self { path, handle, metadata, stamp: stamp.map(Mutex::new), indexed: OnceCell::new() }
    }

    /// Its footer, with the offset index where that saves reading in a row group (numbered in the file) from a row on.
    /// The index is fetched once, and only of objects that have one. Blocks.
    pub fn metadata_from(&self, group: usize, row: u64) -> &FileMetadata {
        match &self.handle {
            FileHandle::Remote(object) if object.is_paged(group) == Some(true) || object.is_far(group, row) => {
                object.wait(self.indexed(object))
            }
            _ => &self.metadata,
        }
    }

    /// Restricts the reading of a row group to the rows of a set, if there is one: where an object has an offset index
    /// and its rows lie far apart, or are needed at distant times, only their pages are fetched. Blocks.
    pub fn restrict_to(&self, group: usize, set: Option<&RowSet>) {
        let FileHandle::Remote(object) = &self.handle else { return };
        if object.is_paged(group).is_none() {
            object.wait(self.choose_pages(object, group, set));
        }
    }

    /// The same: decided once, by whoever needs rows of the row group first.
    pub(super) async fn choose_pages(&self, object: &RemoteFile, group: usize, set: Option<&RowSet>) {
        if object.is_paged(group).is_some() {
            return;
        }
        let set = set.filter(|set| set.words().is_some());
        let is_worth_it = set.map_or_else(|| object.is_cut(group), |set| object.is_sparse(group, set));
        let metadata = if is_worth_it { Some(self.indexed(object).await) } else { None };
        object.restrict_to(group, set, metadata);
    }

    /// The footer of an object with its offset index; without it, where the object has none.
    pub(super) async fn indexed(&self, object: &RemoteFile) -> &FileMetadata {
        let read = || offset_index::read(object, &self.metadata);
        self.indexed.get_or_init(read).await.as_ref().unwrap_or(&self.metadata)
    }

    /// The footer with the offset index, if that was fetched before.
    pub(super) fn known(&self) -> &FileMetadata {
        self.indexed.get().and_then(Option::as_ref).unwrap_or(&self.metadata)
    }

    /// How much of it was read: 1 for its footer, 2 for its offset index too.
    pub(super) fn stage(&self) -> u32 {
        1 + u32::from(self.indexed.initialized())
    }

    /// The bytes that its metadata take.
    pub(super) fn memory(&self) -> usize {
        let indexed = self.indexed.get().and_then(Option::as_ref);
        [Some(&self.metadata), indexed].into_iter().flatten().map(|read| read.metadata().memory_size()).sum()
    }
}

/// The file system's record of a file: as long as it is the same, so is the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileStamp {
    size: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl From<&fs::Metadata> for FileStamp {
    fn from(of: &fs::Metadata) -> Self {
        Self { size: of.len(), written: (of.mtime(), of.mtime_nsec()), changed: (of.ctime(), of.ctime_nsec()) }
    }
}

/// Parses a planned footer, whose bytes were checked when the plan was made; those of a table's file are read under
/// its names. Statistics are of use to those who count.
pub(super) fn parse(
    path: &str,
    footer: &[u8],
    statistics: StatisticsKept,
    table: Option<&TableColumns>,
) -> Result<FileMetadata> {
    let parsed = match table {
        None => schema_cache::decode_again(footer, statistics),
        Some(table) => schema_cache::decode_of_table(footer, statistics, table),
    };
    parsed.map(|(parquet, schema)| FileMetadata::new(parquet, schema)).map_err(|what| Error::corrupt(path, what))
}

/// The error for a file that is no longer the planned one.
pub(super) fn changed(path: &str, what: &str) -> Error {
    Error::Changed {
        path: path.to_owned(),
        detail: format!("{what} since the plan was made; restore the file, or plan anew and start the epoch again"),
    }
}
