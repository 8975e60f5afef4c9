//! A local file with some of its bytes in memory.

use std::ops::Range;

use bytes::Bytes;
use parquet::file::reader::ChunkReader;

use super::LocalFile;

/// A file, and its bytes from `start` on.
#[derive(Debug, Clone)]
pub struct BufferedFile {
    file: LocalFile,
    start: u64,
    bytes: Bytes,
}

impl BufferedFile {
    /// Reads these bytes of a file; None where they cannot be read.
    pub fn read(file: &LocalFile, range: Range<u64>) -> Option<Self> {
        let length = usize::try_from(range.end.checked_sub(range.start)?).ok()?;
        let bytes = file.get_bytes(range.start, length).ok()?;
        Some(Self { file: file.clone(), start: range.start, bytes })
    }

    /// The buffered bytes from `start` on: at least one.
    pub fn from(&self, start: u64) -> Option<Bytes> {
        let offset = usize::try_from(start.checked_sub(self.start)?).ok()?;
        (offset < self.bytes.len()).then(|| self.bytes.slice(offset..))
    }

    /// The file itself.
    pub fn file(&self) -> &LocalFile {
        &self.file
    }
}
