//! A local file, read by position.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::mem::MaybeUninit;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};
use rustix::io::{Errno, pread};

use super::ReadAt;
use crate::buffer_pool;
use crate::descriptors::Descriptor;

/// Room for a page header; the page itself is read with one call of its own.
const HEADER_BYTES: usize = 512;

/// A file that any number of threads read at once: every read names its position, nothing seeks.
#[derive(Debug, Clone)]
pub struct LocalFile {
    descriptor: Arc<Descriptor>,
    size: u64,
}

impl LocalFile {
    /// An open file of a known size.
    ///
    /// # Errors
    /// The system does not say which file it is.
    pub fn new(path: &str, file: File, size: u64) -> io::Result<Self> {
        Ok(Self { descriptor: Descriptor::new(path, file)?, size })
    }

    /// The file itself, opened again if it was closed.
    pub(crate) fn file(&self) -> io::Result<Arc<File>> {
        self.descriptor.file()
    }
}

impl Length for LocalFile {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for LocalFile {
    type T = BufReader<At>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(BufReader::with_capacity(HEADER_BYTES, At { descriptor: Arc::clone(&self.descriptor), position: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        // A length from a corrupt header must not allocate more than the file could fill.
        if start.checked_add(length as u64).is_none_or(|end| end > self.size) {
            return Err(past_the_end(start, length));
        }
        let mut bytes = buffer_pool::scratch(length);
        self.file()?.read_exact_at(&mut bytes, start)?;
        Ok(buffer_pool::bytes(bytes))
    }
}

// SAFETY: `fill` reads until all is filled.
unsafe impl ReadAt for LocalFile {
    fn is_near(&self) -> bool {
        true
    }

    fn fill(&self, start: u64, into: &mut [MaybeUninit<u8>]) -> Result<()> {
        let (mut done, file) = (0, self.file()?);
        while done < into.len() {
            match pread(&*file, &mut into[done..], start + done as u64) {
                Ok(([], _)) => return Err(past_the_end(start, into.len())),
                Ok((read, _)) => done += read.len(),
                Err(Errno::INTR) => {}
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
        Ok(())
    }
}

fn past_the_end(start: u64, length: usize) -> ParquetError {
    ParquetError::EOF(format!("{length} bytes at {start} reach past the file's end"))
}

/// A reader with a position of its own.
#[derive(Debug)]
pub struct At {
    descriptor: Arc<Descriptor>,
    position: u64,
}

impl Read for At {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.descriptor.file()?.read_at(into, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}
