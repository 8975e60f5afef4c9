//! An object as a file: its column chunks in parts, read ahead and read by position.

use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parquet::errors::ParquetError;

use super::FileMetadata;
use super::page_ranges::{cuts, pages_of};
use super::range_fetcher::{ObjectRef, RangeFetcher};
use super::remote_files::{Demand, keep_fault};
use crate::order::RowSet;
use crate::{Error, Result};

/// Room for a page header.
const HEADER_BYTES: usize = 512;
/// Most writers' pages are no larger.
const PAGE_BYTES: u64 = 1 << 20;

/// Rows of a row group, numbered in its file, that will be read; `all` that it has.
#[derive(Debug, Clone)]
pub(super) struct RowsAhead {
    pub(super) group: usize,
    pub(super) rows: Range<u64>,
    pub(super) all: u64,
    /// Whether nobody reads up to their first: what came before may be gone, or is not wanted.
    pub(super) is_new: bool,
}

/// For what a column is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadPurpose {
    /// To find the rows that pass.
    Filter,
    /// To be delivered.
    Deliver,
}

/// Parts in a row, and the one after them.
type PartRun = (Vec<Range<u64>>, Option<Range<u64>>);

/// An object that any number of threads read at once.
#[derive(Debug, Clone)]
pub struct RemoteFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    parts: Arc<RangeFetcher>,
    place: Arc<ObjectRef>,
    /// The column chunks, those of a row group one after the other, in the order of the file.
    chunks: Vec<Chunk>,
    /// How many of them a row group has.
    columns: usize,
    groups: Vec<Group>,
    /// The chunks by their first byte: row groups need not stand in the order of the file.
    by_start: Vec<u32>,
}

#[derive(Debug)]
struct Group {
    rows: u64,
    /// Whether of some chunks only pages are fetched, once that is known.
    is_cut: OnceLock<bool>,
}

#[derive(Debug)]
struct Chunk {
    /// The column, numbered among the leaves.
    leaf: usize,
    bytes: Range<u64>,
    filters: bool,
    delivers: bool,
    /// Bytes of a part; the last one may have less.
    part: u64,
    /// The parts that hold the rows of a set, if these alone are read.
    cuts: OnceLock<Vec<Range<u64>>>,
}

impl RemoteFile {
    pub(super) fn new(
        parts: Arc<RangeFetcher>,
        place: Arc<ObjectRef>,
        metadata: &FileMetadata,
        demand: &Demand,
        part_bytes: u64,
    ) -> Self {
        let leaves = metadata.parquet_schema().num_columns();
        let (filters, delivers) = (demand.filters.of(metadata), demand.columns.of(metadata));
        // Of a chunk in parts two are here at a time: one of two parts is no larger as a whole.
        let most = (2 * part_bytes).min(parts.limits().request.max(part_bytes));
        let mut chunks = Vec::new();
        for group in metadata.metadata().row_groups() {
            let first = chunks.len();
            chunks.extend((0..leaves).map(|leaf| {
                let (start, length) = group.column(leaf).byte_range();
                // Parts of a chunk are of one size, so that none is too small to be a request.
                let part = if length <= most { length } else { length.div_ceil(length.div_ceil(part_bytes)) }.max(1);
                let (bytes, cuts) = (start..start + length, OnceLock::new());
                Chunk { leaf, bytes, filters: filters[leaf], delivers: delivers[leaf], part, cuts }
            }));
            chunks[first..].sort_by_key(|chunk| (chunk.bytes.start, chunk.bytes.end));
        }
        let mut by_start: Vec<u32> = (0..chunks.len() as u32).collect();
        by_start.sort_by_key(|&at| (chunks[at as usize].bytes.start, chunks[at as usize].bytes.end));
        // Chunks that overlap are those of a damaged footer: who reads them anyway gets what stands there.
        let apart = |pair: &[u32]| chunks[pair[0] as usize].bytes.end <= chunks[pair[1] as usize].bytes.start;
        if !by_start.windows(2).all(apart) {
            by_start.clear();
            chunks.clear();
        }
        let group = |rows: i64| Group { rows: rows.unsigned_abs(), is_cut: OnceLock::new() };
        let groups = metadata.metadata().row_groups().iter().map(|of| group(of.num_rows())).collect();
        Self(Arc::new(Inner { parts, place, chunks, columns: leaves, groups, by_start }))
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
        let Inner { chunks, columns, .. } = &*self.0;
        chunks.get(group * columns..(group + 1) * columns).unwrap_or_default()
    }

    fn rows(&self, group: usize) -> u64 {
        self.0.groups.get(group).map_or(0, |group| group.rows)
    }

    /// Whether a row lies so far inside its row group that to know where its pages begin spares parts of what is before it.
    pub(super) fn is_far(&self, group: usize, row: u64) -> bool {
        let all = self.rows(group);
        self.chunks(group).iter().any(|chunk| chunk.is_for(ReadPurpose::Deliver) && chunk.share(row, all) >= chunk.part)
    }

    /// Whether rows of the set lie so far apart that to know their pages spares a request's worth of what is between.
    /// Whole columns were read to find the set: these are here.
    pub(super) fn is_sparse(&self, group: usize, set: &RowSet) -> bool {
        let (all, gap) = (self.rows(group), self.0.parts.limits().gap);
        let longest = set.longest_gap();
        self.chunks(group).iter().any(|chunk| chunk.may_be_cut() && chunk.share(longest, all) > gap)
    }

    /// Whether of some chunks of a row group only pages are read; None where that was not looked at.
    pub(super) fn is_cut(&self, group: usize) -> Option<bool> {
        self.0.groups.get(group).and_then(|group| group.is_cut.get().copied())
    }

    /// Reads of a row group only the pages that hold rows of the set, where they are known (`metadata`).
    pub(super) fn cut(&self, group: usize, cut: Option<(&RowSet, &FileMetadata)>) {
        let mut is_cut = false;
        if let Some((set, metadata)) = cut {
            let pages = metadata.metadata().page_index_for_row_group(group);
            for chunk in self.chunks(group).iter().filter(|chunk| chunk.may_be_cut()) {
                if let Some(pages) = pages.page_locations(chunk.leaf) {
                    is_cut = true;
                    chunk.cuts.get_or_init(|| cuts(pages, &chunk.bytes, set, chunk.part));
                }
            }
        }
        if let Some(group) = self.0.groups.get(group) {
            group.is_cut.get_or_init(|| is_cut);
        }
    }

    /// Begins to fetch what the rows are likely stored in: their pages, where these alone are read; else from their pages
    /// on, where `metadata` knows these, up to where their share of a chunk's bytes ends. `turn`: how early they are needed.
    pub(super) fn prefetch(&self, slices: &[RowsAhead], metadata: &FileMetadata, turn: u64, purpose: ReadPurpose) {
        let (mut wanted, mut held) = (Vec::new(), Vec::new());
        for RowsAhead { group, rows, all, is_new } in slices {
            let pages = metadata.metadata().page_index_for_row_group(*group);
            for chunk in self.chunks(*group).iter().filter(|chunk| chunk.is_for(purpose)) {
                let pages = pages.page_locations(chunk.leaf).map(Vec::as_slice).unwrap_or_default();
                if let Some(cuts) = chunk.cuts.get() {
                    let of_rows = pages_of(pages, rows);
                    let dictionary = pages.first().map_or(0, |first| first.offset.unsigned_abs());
                    let is_read = |cut: &&Range<u64>| {
                        cut.start < dictionary || (cut.start < of_rows.end && of_rows.start < cut.end)
                    };
                    wanted.extend(cuts.iter().filter(is_read).cloned());
                    continue;
                }
                let count = if rows.end >= *all { u64::MAX } else { chunk.upto(rows.end, *all) };
                let before = pages.partition_point(|page| page.first_row_index <= rows.start as i64);
                if !is_new {
                    // The rows before were likely to need parts of these rows, and asked for them.
                    let asked = chunk.upto(rows.start, *all);
                    held.extend(chunk.parts(chunk.share(rows.start, *all) / chunk.part..asked));
                    wanted.extend(chunk.parts(asked..count));
                } else if let (Some(first), Some(page)) =
                    (pages.first(), before.checked_sub(1).and_then(|at| pages.get(at)))
                {
                    // The dictionary, and the page that the first row is on.
                    let part = |byte: i64| byte.unsigned_abs().saturating_sub(chunk.bytes.start) / chunk.part;
                    let dictionary =
                        part(first.offset - 1) + u64::from(first.offset.unsigned_abs() > chunk.bytes.start);
                    wanted.extend(chunk.parts(0..dictionary.min(part(page.offset))));
                    wanted.extend(chunk.parts(part(page.offset)..count));
                } else {
                    wanted.extend(chunk.parts(0..count));
                }
            }
        }
        self.0.parts.want(&self.0.place, wanted, held, turn);
    }

    /// The parts that hold the bytes of a chunk from `at` on, up to `end` or as far as parts are in a row; and the next one.
    fn parts_of(&self, at: u64, end: u64) -> Option<PartRun> {
        let Inner { chunks, by_start, .. } = &*self.0;
        let after = by_start.partition_point(|&chunk| chunks[chunk as usize].bytes.start <= at);
        let chunk = &chunks[*by_start.get(after.checked_sub(1)?)? as usize];
        if !chunk.bytes.contains(&at) {
            return None;
        }
        if let Some(cuts) = chunk.cuts.get() {
            let upto = cuts.partition_point(|cut| cut.start <= at);
            if let Some(cut) = upto.checked_sub(1).and_then(|last| cuts.get(last)).filter(|cut| cut.contains(&at)) {
                return Some((vec![cut.clone()], None));
            }
        }
        let number = |byte: u64| (byte - chunk.bytes.start) / chunk.part;
        let last = number(end.min(chunk.bytes.end).max(at + 1) - 1);
        Some((chunk.parts(number(at)..last + 1).collect(), chunk.parts(last + 1..last + 2).next()))
    }

    /// What is here of the bytes from `at` on, before `end`, in a row: at least one; all that one chunk has if it is to be `whole`.
    fn some(&self, at: u64, end: u64, whole: bool) -> Result<Vec<Bytes>> {
        let Inner { parts, place, .. } = &*self.0;
        let Some((held, next)) = self.parts_of(at, if whole { end } else { at + 1 }) else {
            let found = parts.wait(parts.get_once(place, at..end.min(self.len())));
            return found.map(|bytes| vec![bytes]).inspect_err(keep_fault);
        };
        let found = parts.get(place, &held, next, end).inspect_err(keep_fault)?;
        let slice = |(part, bytes): (&Range<u64>, Bytes)| {
            bytes.slice((at.max(part.start) - part.start) as usize..(end.min(part.end) - part.start) as usize)
        };
        Ok(held.iter().zip(found).map(slice).collect())
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
        let mut whole = crate::buffer_pool::vec::<u8>(length);
        found.iter().for_each(|bytes| whole.extend_from_slice(bytes));
        while whole.len() < length {
            let found = self.some(start + whole.len() as u64, end, true).map_err(failed)?;
            found.iter().for_each(|bytes| whole.extend_from_slice(bytes));
        }
        Ok(crate::buffer_pool::bytes(whole))
    }
}

fn failed(error: Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

fn past_the_end(start: u64, length: usize) -> ParquetError {
    ParquetError::EOF(format!("{length} bytes at {start} reach past the object's end"))
}

impl Chunk {
    fn is_for(&self, purpose: ReadPurpose) -> bool {
        match purpose {
            ReadPurpose::Filter => self.filters,
            ReadPurpose::Deliver => self.delivers,
        }
    }

    /// Whether it may be read in pages: not one that is read as a whole to find the rows.
    fn may_be_cut(&self) -> bool {
        self.delivers && !self.filters
    }

    /// Where a row's share of the bytes ends, if all rows have equal ones.
    fn share(&self, row: u64, all: u64) -> u64 {
        let length = self.bytes.end - self.bytes.start;
        (u128::from(length) * u128::from(row) / u128::from(all.max(1))) as u64
    }

    /// How many parts, from the first on, rows up to this one are likely stored in: a page is read as a whole.
    fn upto(&self, row: u64, all: u64) -> u64 {
        let page = PAGE_BYTES.min(2 * self.part).max(self.part / 2);
        (self.share(row, all) + page).div_ceil(self.part)
    }

    /// These parts, as far as there are any.
    fn parts(&self, numbers: Range<u64>) -> impl Iterator<Item = Range<u64>> + use<'_> {
        let all = (self.bytes.end - self.bytes.start).div_ceil(self.part);
        (numbers.start..numbers.end.min(all)).map(|number| {
            let start = self.bytes.start + number * self.part;
            start..self.bytes.end.min(start + self.part)
        })
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
        let found = self.file.some(self.position, end, false).map_err(io::Error::other)?;
        let Some(bytes) = found.first() else { return Ok(0) };
        into[..bytes.len()].copy_from_slice(bytes);
        self.position += bytes.len() as u64;
        Ok(bytes.len())
    }
}
