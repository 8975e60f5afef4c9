//! The bytes of an open file, wherever it is.

use std::io::{self, BufReader, Read};

use bytes::Bytes;
use parquet::errors::Result;
use parquet::file::reader::{ChunkReader, Length};

use super::local::{At, LocalFile};
use super::object::{RemoteFile, RemoteRead};

/// A file that any number of threads read at once, by position.
#[derive(Debug, Clone)]
pub enum Source {
    /// On this machine.
    Local(LocalFile),
    /// In a store.
    Remote(RemoteFile),
}

impl Length for Source {
    fn len(&self) -> u64 {
        match self {
            Self::Local(file) => file.len(),
            Self::Remote(file) => file.len(),
        }
    }
}

impl ChunkReader for Source {
    type T = SourceRead;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(match self {
            Self::Local(file) => SourceRead::Local(file.get_read(start)?),
            Self::Remote(file) => SourceRead::Remote(file.get_read(start)),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        match self {
            Self::Local(file) => file.get_bytes(start, length),
            Self::Remote(file) => file.get_bytes(start, length),
        }
    }
}

/// Reads on from a position of its own.
#[derive(Debug)]
pub enum SourceRead {
    /// Of a local file.
    Local(BufReader<At>),
    /// Of an object.
    Remote(BufReader<RemoteRead>),
}

impl Read for SourceRead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Local(read) => read.read(into),
            Self::Remote(read) => read.read(into),
        }
    }
}
