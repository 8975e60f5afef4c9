//! The bytes of an open file, wherever it is.

use std::io::{self, BufReader, Cursor, Read};
use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::Bytes;
use parquet::errors::Result;
use parquet::file::reader::{ChunkReader, Length};

use super::buffered_file::BufferedFile;
use super::local::{At, LocalFile};
use super::read_at::{ReadAt, copy};
use super::remote_file::{RemoteFile, RemoteRead};

/// A file that any number of threads read at once, by position.
#[derive(Debug, Clone)]
pub enum FileHandle {
    /// On this machine.
    Local(LocalFile),
    /// The same, with some of its bytes in memory.
    Buffered(BufferedFile),
    /// In a store.
    Remote(RemoteFile),
}

impl FileHandle {
    /// A local file with these bytes of it read by one call. None for objects, whose bytes are in memory already, and
    /// where reading failed: whoever reads the bytes gets the error.
    pub fn buffered(&self, range: Range<u64>) -> Option<Self> {
        let Self::Local(file) = self else { return None };
        BufferedFile::read(file, range).map(Self::Buffered)
    }
}

impl Length for FileHandle {
    fn len(&self) -> u64 {
        match self {
            Self::Local(file) => file.len(),
            Self::Buffered(file) => file.file().len(),
            Self::Remote(file) => file.len(),
        }
    }
}

impl ChunkReader for FileHandle {
    type T = FileHandleRead;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(match self {
            Self::Local(file) => FileHandleRead::Local(file.get_read(start)?),
            Self::Buffered(file) => match file.from(start) {
                Some(bytes) => FileHandleRead::Buffered(Cursor::new(bytes)),
                None => FileHandleRead::Local(file.file().get_read(start)?),
            },
            Self::Remote(file) => FileHandleRead::Remote(file.get_read(start)),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        match self {
            Self::Local(file) => file.get_bytes(start, length),
            Self::Buffered(file) => match file.from(start).filter(|bytes| length <= bytes.len()) {
                Some(bytes) => Ok(bytes.slice(..length)),
                None => file.file().get_bytes(start, length),
            },
            Self::Remote(file) => file.get_bytes(start, length),
        }
    }
}

// SAFETY: `fill` is that of a local file, or a copy of as many bytes.
unsafe impl ReadAt for FileHandle {
    fn some(&self, start: u64, length: usize) -> Result<Bytes> {
        match self {
            Self::Local(file) => file.some(start, length),
            Self::Buffered(file) => match file.from(start) {
                Some(bytes) => Ok(bytes.slice(..length.min(bytes.len()))),
                None => file.file().some(start, length),
            },
            Self::Remote(file) => file.get_some(start, length),
        }
    }

    fn is_near(&self) -> bool {
        !matches!(self, Self::Remote(_))
    }

    fn fill(&self, start: u64, into: &mut [MaybeUninit<u8>]) -> Result<()> {
        match self {
            Self::Local(file) => file.fill(start, into),
            Self::Buffered(file) => match file.from(start).filter(|bytes| into.len() <= bytes.len()) {
                Some(bytes) => copy(&bytes[..into.len()], into),
                None => file.file().fill(start, into),
            },
            Self::Remote(file) => copy(&file.get_bytes(start, into.len())?, into),
        }
    }
}

/// A reader with a position of its own.
#[derive(Debug)]
pub enum FileHandleRead {
    /// Of a local file.
    Local(BufReader<At>),
    /// Of bytes in memory.
    Buffered(Cursor<Bytes>),
    /// Of an object.
    Remote(BufReader<RemoteRead>),
}

impl Read for FileHandleRead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Local(read) => read.read(into),
            Self::Buffered(read) => read.read(into),
            Self::Remote(read) => read.read(into),
        }
    }
}
