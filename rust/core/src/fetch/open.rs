//! The files that are open: their descriptors and parsed footers, the least recently used closed first.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::{ParquetMetaDataOptions, ParquetMetaDataReader, ParquetStatisticsPolicy};

use super::LocalFile;
use crate::files::{FileTable, footer};
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
    pub source: LocalFile,
    /// Its footer and Arrow schema.
    pub metadata: ArrowReaderMetadata,
}

/// A place in the cache: locked by the thread that opens the file, so that it is opened once.
type Place = Arc<Mutex<Option<Arc<OpenFile>>>>;

/// All files of a plan, opened when they are needed.
#[derive(Debug)]
pub struct Files {
    table: Arc<FileTable>,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    places: HashMap<usize, (Place, u64, usize)>,
    clock: u64,
    footer_bytes: usize,
}

impl Files {
    /// The files of this plan.
    pub fn new(table: Arc<FileTable>) -> Self {
        Self { table, cache: Mutex::default() }
    }

    /// The plan.
    pub fn table(&self) -> &Arc<FileTable> {
        &self.table
    }

    /// Opens a file and checks that its footer is the one that was planned.
    ///
    /// # Errors
    /// The file vanished, changed, or cannot be read.
    pub fn open(&self, index: usize) -> Result<Arc<OpenFile>> {
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
        let planned = self.table.file(index);
        let path = self.table.path(index);
        let changed = |what: &str| Error::Changed {
            path: path.clone(),
            detail: format!("{what} since the plan was made; restore the file, or plan anew and start the epoch again"),
        };
        let file = File::open(&path).map_err(|error| match Error::io(&path, &error) {
            Error::NotFound { .. } => changed("the file vanished"),
            other => other,
        })?;
        let (footer, size) = footer::read_bytes(&path, &file).map_err(|error| match error {
            Error::Corrupt { detail, .. } => changed(&format!("the file changed ({detail})")),
            other => other,
        })?;
        if size != planned.size {
            return Err(changed(&format!("the file's size changed from {} to {size} bytes", planned.size)));
        }
        // The same bytes were checked when the plan was made.
        if footer::hash(&footer) != planned.hash {
            return Err(changed("the file's footer changed"));
        }
        let options = ParquetMetaDataOptions::new()
            .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll)
            .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll)
            .with_encoding_stats_policy(ParquetStatisticsPolicy::SkipAll);
        let metadata = ParquetMetaDataReader::decode_metadata_with_options(&footer, Some(&options))
            .and_then(|metadata| ArrowReaderMetadata::try_new(Arc::new(metadata), ArrowReaderOptions::new()))
            .map_err(|error| Error::corrupt(&path, error.to_string()))?;
        Ok(OpenFile { path, source: LocalFile::new(file, size), metadata })
    }
}
