//! The bytes of an open file, wherever it is.

use std::io::{self, BufReader, Read};
use std::mem::MaybeUninit;

use bytes::Bytes;
use parquet::errors::Result;
use parquet::file::reader::{ChunkReader, Length};

use super::input::{Input, copy};
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

impl Input for Source {
    fn some(&self, start: u64, length: usize) -> Result<Bytes> {
        match self {
            Self::Local(file) => file.some(start, length),
            Self::Remote(file) => file.get_some(start, length),
        }
    }

    fn is_near(&self) -> bool {
        matches!(self, Self::Local(_))
    }

    fn fill(&self, start: u64, into: &mut [MaybeUninit<u8>]) -> Result<()> {
        match self {
            Self::Local(file) => file.fill(start, into),
            Self::Remote(file) => copy(&file.get_bytes(start, into.len())?, into),
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
