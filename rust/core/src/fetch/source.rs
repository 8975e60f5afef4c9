//! The bytes of an open file, wherever it is.

use std::io::{self, BufReader, Cursor, Read};
use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::Bytes;
use parquet::errors::Result;
use parquet::file::reader::{ChunkReader, Length};

use super::held::HeldFile;
use super::input::{Input, copy};
use super::local::{At, LocalFile};
use super::object::{RemoteFile, RemoteRead};

/// A file that any number of threads read at once, by position.
#[derive(Debug, Clone)]
pub enum Source {
    /// On this machine.
    Local(LocalFile),
    /// The same, with some of its bytes in memory.
    Held(HeldFile),
    /// In a store.
    Remote(RemoteFile),
}

impl Source {
    /// A local file with these bytes of it read by one call. None for objects, whose bytes are in memory as it is, and where
    /// that failed: who reads them meets the reason.
    pub fn held(&self, range: Range<u64>) -> Option<Self> {
        let Self::Local(file) = self else { return None };
        HeldFile::read(file, range).map(Self::Held)
    }
}

impl Length for Source {
    fn len(&self) -> u64 {
        match self {
            Self::Local(file) => file.len(),
            Self::Held(file) => file.file().len(),
            Self::Remote(file) => file.len(),
        }
    }
}

impl ChunkReader for Source {
    type T = SourceRead;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(match self {
            Self::Local(file) => SourceRead::Local(file.get_read(start)?),
            Self::Held(file) => match file.from(start) {
                Some(bytes) => SourceRead::Held(Cursor::new(bytes)),
                None => SourceRead::Local(file.file().get_read(start)?),
            },
            Self::Remote(file) => SourceRead::Remote(file.get_read(start)),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        match self {
            Self::Local(file) => file.get_bytes(start, length),
            Self::Held(file) => match file.from(start).filter(|bytes| length <= bytes.len()) {
                Some(bytes) => Ok(bytes.slice(..length)),
                None => file.file().get_bytes(start, length),
            },
            Self::Remote(file) => file.get_bytes(start, length),
        }
    }
}

// SAFETY: `fill` is that of a local file, or a copy of as many bytes.
unsafe impl Input for Source {
    fn some(&self, start: u64, length: usize) -> Result<Bytes> {
        match self {
            Self::Local(file) => file.some(start, length),
            Self::Held(file) => match file.from(start) {
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
            Self::Held(file) => match file.from(start).filter(|bytes| into.len() <= bytes.len()) {
                Some(bytes) => copy(&bytes[..into.len()], into),
                None => file.file().fill(start, into),
            },
            Self::Remote(file) => copy(&file.get_bytes(start, into.len())?, into),
        }
    }
}

/// Reads on from a position of its own.
#[derive(Debug)]
pub enum SourceRead {
    /// Of a local file.
    Local(BufReader<At>),
    /// Of bytes in memory.
    Held(Cursor<Bytes>),
    /// Of an object.
    Remote(BufReader<RemoteRead>),
}

impl Read for SourceRead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Local(read) => read.read(into),
            Self::Held(read) => read.read(into),
            Self::Remote(read) => read.read(into),
        }
    }
}
