//! An object as a file: its column chunks in parts, read ahead and read by position.

use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parquet::errors::ParquetError;

use super::FileMetadata;
use super::parts::{Parts, Place};
use super::remote::keep_fault;
use crate::{Error, Result};

/// Room for a page header.
const HEADER_BYTES: usize = 512;

/// Rows of a row group, numbered in its file, that will be read; `all` that it has.
#[derive(Debug)]
pub(super) struct Ahead {
    pub(super) group: usize,
    pub(super) rows: Range<u64>,
    pub(super) all: u64,
    /// Whether nobody reads up to their first: what came before may be gone, or is not wanted.
    pub(super) is_new: bool,
}

/// An object that any number of threads read at once.
#[derive(Debug, Clone)]
pub struct RemoteFile(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    parts: Arc<Parts>,
    place: Arc<Place>,
    /// The column chunks, those of a row group one after the other, in the order of the file.
    chunks: Vec<Chunk>,
    /// How many of them a row group has.
    columns: usize,
    /// Rows of the row groups.
    rows: Vec<u64>,
    /// The chunks by their first byte: row groups need not stand in the order of the file.
    by_start: Vec<u32>,
}

#[derive(Debug)]
struct Chunk {
    /// The column, numbered among the leaves.
    leaf: usize,
    bytes: Range<u64>,
    /// Whether its rows are read ahead; others are when they are asked for.
    is_ahead: bool,
    /// Bytes of a part; the last one may have less.
    part: u64,
    /// Parts that were asked for, from the first on.
    wanted: AtomicU64,
}

impl RemoteFile {
    pub(super) fn new(
        parts: Arc<Parts>,
        place: Arc<Place>,
        metadata: &FileMetadata,
        names: &[String],
        part_bytes: u64,
    ) -> Self {
        let schema = metadata.parquet_schema();
        let leaves = schema.num_columns();
        let ahead: Vec<bool> =
            (0..leaves).map(|leaf| names.iter().any(|name| name == schema.get_column_root(leaf).name())).collect();
        // Of a chunk in parts two are here at a time: one of two parts is no larger as a whole.
        let most = (2 * part_bytes).min(parts.request_bytes().max(part_bytes));
        let mut chunks = Vec::new();
        for group in metadata.metadata().row_groups() {
            let first = chunks.len();
            chunks.extend((0..leaves).map(|leaf| {
                let (start, length) = group.column(leaf).byte_range();
                // Parts of a chunk are of one size, so that none is too small to be a request.
                let part = if length <= most { length } else { length.div_ceil(length.div_ceil(part_bytes)) }.max(1);
                Chunk { leaf, bytes: start..start + length, part, is_ahead: ahead[leaf], wanted: AtomicU64::new(0) }
            }));
            chunks[first..].sort_by_key(|chunk| chunk.bytes.start);
        }
        let mut by_start: Vec<u32> = (0..chunks.len() as u32).collect();
        by_start.sort_by_key(|&at| chunks[at as usize].bytes.start);
        let rows = metadata.metadata().row_groups().iter().map(|group| group.num_rows().unsigned_abs()).collect();
        Self(Arc::new(Inside { parts, place, chunks, columns: leaves, rows, by_start }))
    }

    /// The object's size.
    pub fn len(&self) -> u64 {
        self.0.place.stamp.size
    }

    /// Whether it has no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its bytes from one on.
    pub(super) async fn end(&self, from: u64) -> Result<Bytes> {
        self.0.parts.get_once(&self.0.place, from..self.len()).await
    }

    /// Waits, on a thread that is none of the runtime's.
    pub(super) fn wait<T>(&self, task: impl Future<Output = T>) -> T {
        self.0.parts.wait(task)
    }

    fn chunks(&self, group: usize) -> &[Chunk] {
        let Inside { chunks, columns, .. } = &*self.0;
        chunks.get(group * columns..(group + 1) * columns).unwrap_or_default()
    }

    /// Whether a row lies so far inside its row group that to know where its pages begin spares parts of what is before it.
    pub(super) fn is_far(&self, group: usize, row: u64) -> bool {
        let all = self.0.rows.get(group).copied().unwrap_or(0);
        self.chunks(group).iter().any(|chunk| chunk.is_ahead && chunk.share(row, all) >= chunk.part)
    }

    /// Begins to fetch what the rows are likely stored in: from their pages on, where `metadata` knows these, up to where
    /// their share of a chunk's bytes ends. `turn`: how early they are needed.
    pub(super) fn prefetch(&self, slices: &[Ahead], metadata: &FileMetadata, turn: u64) {
        let mut wanted = Vec::new();
        for Ahead { group, rows, all, is_new } in slices {
            let pages = metadata.metadata().page_index_for_row_group(*group);
            for chunk in self.chunks(*group).iter().filter(|chunk| chunk.is_ahead) {
                let until = chunk.share(rows.end, *all);
                let count = if rows.end >= *all { u64::MAX } else { (until + chunk.part / 2) / chunk.part + 1 };
                if !is_new {
                    chunk.want(chunk.wanted.load(Ordering::Relaxed)..count, &mut wanted);
                    continue;
                }
                let pages = pages.page_locations(chunk.leaf).map(Vec::as_slice).unwrap_or_default();
                let row = rows.start as i64;
                let before = pages.partition_point(|page| page.first_row_index <= row);
                // The dictionary, and the page that the first row is on.
                if let (Some(first), Some(page)) = (pages.first(), before.checked_sub(1).and_then(|at| pages.get(at))) {
                    let part = |byte: i64| byte.unsigned_abs().saturating_sub(chunk.bytes.start) / chunk.part;
                    let dictionary =
                        part(first.offset - 1) + u64::from(first.offset.unsigned_abs() > chunk.bytes.start);
                    chunk.want(0..dictionary.min(part(page.offset)), &mut wanted);
                    chunk.want(part(page.offset)..count, &mut wanted);
                } else {
                    chunk.want(0..count, &mut wanted);
                }
            }
        }
        self.0.parts.want(&self.0.place, wanted, turn);
    }

    /// The chunk that a byte is in, and the part of it.
    fn part_of(&self, at: u64) -> Option<(&Chunk, Range<u64>)> {
        let Inside { chunks, by_start, .. } = &*self.0;
        let after = by_start.partition_point(|&chunk| chunks[chunk as usize].bytes.start <= at);
        let chunk = &chunks[*by_start.get(after.checked_sub(1)?)? as usize];
        if !chunk.bytes.contains(&at) {
            return None;
        }
        let start = at - (at - chunk.bytes.start) % chunk.part;
        Some((chunk, start..chunk.bytes.end.min(start + chunk.part)))
    }

    /// What is here of the bytes from `at` on, before `end`: at least one.
    fn some(&self, at: u64, end: u64) -> Result<Bytes> {
        let Inside { parts, place, .. } = &*self.0;
        let Some((chunk, part)) = self.part_of(at) else {
            return parts.wait(parts.get_once(place, at..end.min(self.len()))).inspect_err(keep_fault);
        };
        // Who reads on finds the next part under way.
        let mut wanted = Vec::new();
        let number = (part.start - chunk.bytes.start) / chunk.part;
        chunk.want(number.max(chunk.wanted.load(Ordering::Relaxed))..number + 2, &mut wanted);
        parts.want(place, wanted, 0);
        let bytes = parts.get(place, &part, end >= part.end).inspect_err(keep_fault)?;
        Ok(bytes.slice((at - part.start) as usize..(end.min(part.end) - part.start) as usize))
    }

    pub(super) fn get_read(&self, start: u64) -> BufReader<RemoteRead> {
        BufReader::with_capacity(HEADER_BYTES, RemoteRead { file: self.clone(), position: start })
    }

    /// What is here of the bytes from `start` on.
    pub(super) fn get_some(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let end = self.len().min(start.saturating_add(length as u64));
        if end <= start {
            return Err(past_the_end(start, length));
        }
        self.some(start, end).map_err(failed)
    }

    pub(super) fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let end = start.checked_add(length as u64).filter(|&end| end <= self.len());
        // A length from a corrupt header must not allocate more than the object could fill.
        let Some(end) = end else { return Err(past_the_end(start, length)) };
        if length == 0 {
            return Ok(Bytes::new());
        }
        let first = self.some(start, end).map_err(failed)?;
        if first.len() == length {
            return Ok(first);
        }
        let mut whole = crate::memory::vec::<u8>(length);
        whole.extend_from_slice(&first);
        while whole.len() < length {
            whole.extend_from_slice(&self.some(start + whole.len() as u64, end).map_err(failed)?);
        }
        Ok(crate::memory::bytes(whole))
    }
}

fn failed(error: Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

fn past_the_end(start: u64, length: usize) -> ParquetError {
    ParquetError::EOF(format!("{length} bytes at {start} reach past the object's end"))
}

impl Chunk {
    /// Where a row's share of the bytes ends, if all rows have equal ones.
    fn share(&self, row: u64, all: u64) -> u64 {
        let length = self.bytes.end - self.bytes.start;
        (u128::from(length) * u128::from(row) / u128::from(all.max(1))) as u64
    }

    /// Adds these parts, whether they were asked for before or not: those that are here are not fetched again.
    fn want(&self, parts: Range<u64>, wanted: &mut Vec<Range<u64>>) {
        let all = (self.bytes.end - self.bytes.start).div_ceil(self.part);
        let count = parts.end.min(all);
        self.wanted.fetch_max(count, Ordering::Relaxed);
        wanted.extend((parts.start..count).map(|part| {
            let start = self.bytes.start + part * self.part;
            start..self.bytes.end.min(start + self.part)
        }));
    }
}

/// Reads on from a position of its own.
#[derive(Debug)]
pub struct RemoteRead {
    file: RemoteFile,
    position: u64,
}

impl Read for RemoteRead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let end = self.file.len().min(self.position + into.len() as u64);
        if end <= self.position {
            return Ok(0);
        }
        let bytes = self.file.some(self.position, end).map_err(io::Error::other)?;
        into[..bytes.len()].copy_from_slice(&bytes);
        self.position += bytes.len() as u64;
        Ok(bytes.len())
    }
}
