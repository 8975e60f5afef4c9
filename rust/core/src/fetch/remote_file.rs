//! An object as a file: its column chunks in parts, fetched ahead and read by position.

use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;

use super::column_chunk::{ColumnChunk, ReadPurpose, RowsAhead};
use super::fault::keep_fault;
use super::object_ref::ObjectRef;
use super::page_ranges::page_ranges;
use super::range_fetcher::RangeFetcher;
use super::{Demand, FileMetadata};
use crate::buffer_pool;
use crate::order::RowSet;
use crate::{Error, Result};

/// Room for a page header.
const HEADER_BYTES: usize = 512;

/// Adjacent parts, and the one after them.
type PartRun = (Vec<Range<u64>>, Option<Range<u64>>);

/// An object that any number of threads read at once.
#[derive(Debug, Clone)]
pub struct RemoteFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    fetcher: Arc<RangeFetcher>,
    object: Arc<ObjectRef>,
    /// The column chunks, those of a row group one after the other, in the order of the file.
    chunks: Vec<ColumnChunk>,
    /// How many of them a row group has.
    columns: usize,
    groups: Vec<RowGroup>,
    in_windows: bool,
    /// The chunks by their first byte: row groups need not stand in the order of the file.
    by_start: Vec<u32>,
}

#[derive(Debug)]
struct RowGroup {
    rows: u64,
    /// Whether only single pages are fetched of some chunks, once that is decided.
    is_paged: OnceLock<bool>,
}

impl RemoteFile {
    pub(super) fn new(
        fetcher: Arc<RangeFetcher>,
        object: Arc<ObjectRef>,
        metadata: &FileMetadata,
        demand: &Demand,
        part_bytes: u64,
    ) -> Self {
        let leaves = metadata.parquet_schema().num_columns();
        let (filters, delivers) = (demand.filters.of(metadata), demand.columns.of(metadata));
        // Two parts of a chunk are in memory at a time, so that a chunk of two parts takes no more as a whole.
        let most = (2 * part_bytes).min(fetcher.limits().request.max(part_bytes));
        let mut chunks = Vec::new();
        for group in metadata.metadata().row_groups() {
            let first = chunks.len();
            chunks.extend((0..leaves).map(|leaf| {
                let (start, length) = group.column(leaf).byte_range();
                // Parts of a chunk are of one size, so that none is too small to be a request.
                let part = if length <= most { length } else { length.div_ceil(length.div_ceil(part_bytes)) }.max(1);
                let (bytes, pages) = (start..start + length, OnceLock::new());
                let dictionary = dictionary_bytes(group.column(leaf), &bytes);
                ColumnChunk { leaf, bytes, dictionary, filters: filters[leaf], delivers: delivers[leaf], part, pages }
            }));
            chunks[first..].sort_by_key(|chunk| (chunk.bytes.start, chunk.bytes.end));
        }
        let mut by_start: Vec<u32> = (0..chunks.len() as u32).collect();
        by_start.sort_by_key(|&at| (chunks[at as usize].bytes.start, chunks[at as usize].bytes.end));
        // Chunks overlap only in a damaged footer: they are read as it says, and not fetched ahead.
        let apart = |pair: &[u32]| chunks[pair[0] as usize].bytes.end <= chunks[pair[1] as usize].bytes.start;
        if !by_start.windows(2).all(apart) {
            by_start.clear();
            chunks.clear();
        }
        let group = |rows: i64| RowGroup { rows: rows.unsigned_abs(), is_paged: OnceLock::new() };
        let groups = metadata.metadata().row_groups().iter().map(|of| group(of.num_rows())).collect();
        Self(Arc::new(Inner {
            fetcher,
            object,
            chunks,
            columns: leaves,
            groups,
            in_windows: demand.in_windows,
            by_start,
        }))
    }

    /// The object's size.
    pub fn len(&self) -> u64 {
        self.0.object.stamp.size
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its bytes from one to its end, not cached.
    pub(super) async fn end(&self, from: u64) -> Result<Bytes> {
        self.0.fetcher.get_once(&self.0.object, from..self.len()).await
    }

    /// Waits for a task, on a thread that is not one of the runtime's.
    pub(super) fn wait<T>(&self, task: impl Future<Output = T>) -> T {
        self.0.fetcher.wait(task)
    }

    fn chunks(&self, group: usize) -> &[ColumnChunk] {
        let Inner { chunks, columns, .. } = &*self.0;
        chunks.get(group * columns..(group + 1) * columns).unwrap_or_default()
    }

    fn rows(&self, group: usize) -> u64 {
        self.0.groups.get(group).map_or(0, |group| group.rows)
    }

    /// Whether a row lies so far inside its row group that its offset index saves reading parts before it.
    pub(super) fn is_far(&self, group: usize, row: u64) -> bool {
        let all = self.rows(group);
        self.chunks(group).iter().any(|chunk| chunk.is_for(ReadPurpose::Deliver) && chunk.share(row, all) >= chunk.part)
    }

    /// Whether the rows of a row group are needed at distant times, and its chunks are worth reading page by page.
    pub(super) fn is_cut(&self, group: usize) -> bool {
        let mut chunks = self.chunks(group).iter().filter(|chunk| chunk.may_be_paged());
        self.0.in_windows && chunks.any(|chunk| chunk.bytes.end - chunk.bytes.start > chunk.part)
    }

    /// Whether rows of the set lie so far apart that the offset index saves a request's worth of bytes between them.
    /// Columns that were read as a whole to find the set do not count: they are cached.
    pub(super) fn is_sparse(&self, group: usize, set: &RowSet) -> bool {
        let (all, gap) = (self.rows(group), self.0.fetcher.limits().gap);
        let longest = set.longest_gap();
        self.chunks(group).iter().any(|chunk| chunk.may_be_paged() && chunk.share(longest, all) > gap)
    }

    /// Whether only single pages are read of some chunks of a row group; None where that was not decided yet.
    pub(super) fn is_paged(&self, group: usize) -> Option<bool> {
        self.0.groups.get(group).and_then(|group| group.is_paged.get().copied())
    }

    /// Decides whether only the pages that hold rows of a set are read of a row group: where `metadata` has their
    /// places. No set: all rows.
    pub(super) fn restrict_to(&self, group: usize, set: Option<&RowSet>, metadata: Option<&FileMetadata>) {
        let mut is_paged = false;
        if let Some(metadata) = metadata {
            let all = RowSet::all(self.rows(group));
            let set = set.unwrap_or(&all);
            let pages = metadata.metadata().page_index_for_row_group(group);
            for chunk in self.chunks(group).iter().filter(|chunk| chunk.may_be_paged()) {
                if let Some(pages) = pages.page_locations(chunk.leaf) {
                    is_paged = true;
                    chunk.pages.get_or_init(|| page_ranges(pages, &chunk.bytes, set, chunk.part));
                }
            }
        }
        if let Some(group) = self.0.groups.get(group) {
            group.is_paged.get_or_init(|| is_paged);
        }
    }

    /// Begins to fetch what the rows are likely stored in: their pages, where only these are read; else from their
    /// pages on, where `metadata` has an offset index, up to where their share of a chunk's bytes ends. Lower turns are
    /// needed first.
    pub(super) fn prefetch(&self, slices: &[RowsAhead], metadata: &FileMetadata, turn: u64, purpose: ReadPurpose) {
        let (mut wanted, mut known) = (Vec::new(), Vec::new());
        for ahead in slices {
            let index = metadata.metadata().page_index_for_row_group(ahead.group);
            for chunk in self.chunks(ahead.group).iter().filter(|chunk| chunk.is_for(purpose)) {
                let pages = index.page_locations(chunk.leaf).map(Vec::as_slice).unwrap_or_default();
                chunk.ranges_of(ahead, pages, &mut wanted, &mut known);
            }
        }
        self.0.fetcher.prefetch(&self.0.object, wanted, known, turn);
    }

    /// The adjacent parts of a chunk that hold the bytes from `at` to `end`, as far as they go; and the part after
    /// them.
    fn parts_of(&self, at: u64, end: u64) -> Option<PartRun> {
        let Inner { chunks, by_start, .. } = &*self.0;
        let after = by_start.partition_point(|&chunk| chunks[chunk as usize].bytes.start <= at);
        let chunk = &chunks[*by_start.get(after.checked_sub(1)?)? as usize];
        if !chunk.bytes.contains(&at) {
            return None;
        }
        if let Some(pages) = chunk.pages.get() {
            let upto = pages.partition_point(|range| range.start <= at);
            if let Some(range) =
                upto.checked_sub(1).and_then(|last| pages.get(last)).filter(|range| range.contains(&at))
            {
                return Some((vec![range.clone()], None));
            }
        }
        let number = |byte: u64| (byte - chunk.bytes.start) / chunk.part;
        let last = number(end.min(chunk.bytes.end).max(at + 1) - 1);
        Some((chunk.parts(number(at)..last + 1).collect(), chunk.parts(last + 1..last + 2).next()))
    }

    /// Adjacent bytes from `at` on, before `end`: at least one; with `whole`, all that one chunk has.
    fn some(&self, at: u64, end: u64, whole: bool) -> Result<Vec<Bytes>> {
        let Inner { fetcher, object, .. } = &*self.0;
        let Some((held, next)) = self.parts_of(at, if whole { end } else { at + 1 }) else {
            let found = fetcher.wait(fetcher.get_once(object, at..end.min(self.len())));
            return found.map(|bytes| vec![bytes]).inspect_err(keep_fault);
        };
        let found = fetcher.get(object, &held, next, end).inspect_err(keep_fault)?;
        let slice = |(part, bytes): (&Range<u64>, Bytes)| {
            bytes.slice((at.max(part.start) - part.start) as usize..(end.min(part.end) - part.start) as usize)
        };
        Ok(held.iter().zip(found).map(slice).collect())
    }

    pub(super) fn get_read(&self, start: u64) -> BufReader<RemoteRead> {
        BufReader::with_capacity(HEADER_BYTES, RemoteRead { file: self.clone(), position: start })
    }

    /// Bytes from `start` on: at most `length`, at least one.
    pub(super) fn get_some(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let end = self.len().min(start.saturating_add(length as u64));
        if end <= start {
            return Err(past_the_end(start, length));
        }
        let found = self.some(start, end, false).map_err(failed)?;
        found.into_iter().next().ok_or_else(|| past_the_end(start, length))
    }

    pub(super) fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let end = start.checked_add(length as u64).filter(|&end| end <= self.len());
        // A length from a corrupt header must not allocate more than the object could fill.
        let Some(end) = end else { return Err(past_the_end(start, length)) };
        if length == 0 {
            return Ok(Bytes::new());
        }
        let mut found = self.some(start, end, true).map_err(failed)?;
        if found.len() == 1 && found[0].len() == length {
            return Ok(found.remove(0));
        }
        let mut whole = buffer_pool::vec::<u8>(length);
        found.iter().for_each(|bytes| whole.extend_from_slice(bytes));
        while whole.len() < length {
            let found = self.some(start + whole.len() as u64, end, true).map_err(failed)?;
            found.iter().for_each(|bytes| whole.extend_from_slice(bytes));
        }
        Ok(buffer_pool::bytes(whole))
    }
}

/// The bytes before a chunk's data pages, which some writers do not say.
fn dictionary_bytes(column: &ColumnChunkMetaData, chunk: &Range<u64>) -> u64 {
    let data = u64::try_from(column.data_page_offset()).ok().filter(|data| chunk.contains(data));
    data.map_or(0, |data| data - chunk.start)
}

fn failed(error: Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

fn past_the_end(start: u64, length: usize) -> ParquetError {
    ParquetError::EOF(format!("{length} bytes at {start} reach past the object's end"))
}

/// A reader with a position of its own.
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
        let found = self.file.some(self.position, end, false).map_err(io::Error::other)?;
        let Some(bytes) = found.first() else { return Ok(0) };
        into[..bytes.len()].copy_from_slice(bytes);
        self.position += bytes.len() as u64;
        Ok(bytes.len())
    }
}
