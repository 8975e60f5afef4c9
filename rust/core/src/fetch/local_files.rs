//! The local files of a plan: their parsed footers, of which the least recently used are dropped first.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::backend::Backend;
use super::open_file::{FileStamp, OpenFile, changed, parse};
use super::{FileHandle, LocalFile};
use crate::descriptors::open_file;
use crate::files::schema_cache::StatisticsKept;
use crate::files::{Plan, footer};
use crate::lru::LruByBytes;
use crate::sync::lock;
use crate::{Error, Result};

/// How many parsed footers are kept, and how many bytes those of all readers may take.
const MAX_FOOTERS: usize = 1024;
const MAX_FOOTER_BYTES: usize = 64 << 20;

/// The plans whose files are read.
static READ: AtomicUsize = AtomicUsize::new(0);

/// A slot is locked by the thread that opens the file, so that it is opened once.
type FileSlot = Mutex<Option<Arc<OpenFile>>>;

#[derive(Debug)]
pub(super) struct LocalFiles {
    plan: Arc<Plan>,
    statistics: StatisticsKept,
    open: Mutex<LruByBytes<FileSlot>>,
}

impl LocalFiles {
    pub(super) fn new(plan: Arc<Plan>, statistics: StatisticsKept) -> Self {
        let read = READ.fetch_add(1, Ordering::Relaxed) + 1;
        Self { plan, statistics, open: Mutex::new(LruByBytes::new(MAX_FOOTER_BYTES / read, MAX_FOOTERS)) }
    }

    fn read(&self, index: usize) -> Result<OpenFile> {
        let path = self.plan.path(index);
        let file = open_file(&path).map_err(|error| match Error::io(&path, &error) {
            Error::NotFound { .. } => changed(&path, "the file vanished"),
            other => other,
        })?;
        // Taken before the footer is read, so that a later write is noticed.
        let metadata = file.metadata().map_err(|error| Error::io(&path, &error))?;
        let stamp = FileStamp::from(&metadata);
        let mut tail = footer::no_tail();
        let footer = self.planned_footer(index, &path, &file, &metadata, &mut tail)?;
        let footer = parse(&path, &footer, self.statistics, self.plan.table())?;
        let local =
            LocalFile::new(&path, file, self.plan.file(index).size).map_err(|error| Error::io(&path, &error))?;
        let handle = FileHandle::Local(local);
        Ok(OpenFile::new(path, handle, footer, Some(stamp)))
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

impl Backend for LocalFiles {
    fn open(&self, index: usize) -> Result<Arc<OpenFile>> {
        let slot = lock(&self.open).slot(index);
        let mut open = lock(&slot);
        if let Some(file) = open.as_ref() {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(self.read(index)?);
        *open = Some(Arc::clone(&file));
        drop(open);
        lock(&self.open).weigh(index, file.stage(), || file.memory());
        Ok(file)
    }

    fn check(&self, index: usize, open: &OpenFile) -> Result<()> {
        let (FileHandle::Local(local), Some(stamp)) = (&open.handle, &open.stamp) else { return Ok(()) };
        let file = local.file().map_err(|error| reopened(&open.path, &error))?;
        let metadata = file.metadata().map_err(|error| Error::io(&open.path, &error))?;
        let now = FileStamp::from(&metadata);
        let mut seen = lock(stamp);
        if *seen != now {
            // It may only have been touched, linked or moved: its footer tells.
            self.planned_footer(index, &open.path, &file, &metadata, &mut footer::no_tail())?;
            *seen = now;
        }
        Ok(())
    }
}

impl Drop for LocalFiles {
    fn drop(&mut self) {
        READ.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What became of a file that was closed for others.
fn reopened(path: &str, error: &io::Error) -> Error {
    match Error::io(path, error) {
        Error::NotFound { .. } => changed(path, "the file vanished"),
        _ if error.kind() == io::ErrorKind::Other => changed(path, "the file was replaced"),
        other => other,
    }
}
