//! A column chunk of an object, cut into parts that are requests, or into the pages that rows of a set are on.

use std::ops::Range;
use std::sync::OnceLock;

use parquet::file::page_index::offset_index::PageLocation;

use super::page_ranges::range_of_rows;

/// Most writers' pages are no larger.
const PAGE_BYTES: u64 = 1 << 20;

/// Rows of a row group, numbered in its file, that will be read.
#[derive(Debug, Clone)]
pub(super) struct RowsAhead {
    pub(super) group: usize,
    pub(super) rows: Range<u64>,
    /// The rows of the row group.
    pub(super) all: u64,
    /// Whether they do not continue a read: what is stored before them may be gone, or is not needed.
    pub(super) is_new: bool,
}

/// Why a column is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadPurpose {
    /// To find the rows that pass.
    Filter,
    /// To be delivered.
    Deliver,
}

#[derive(Debug)]
pub(super) struct ColumnChunk {
    /// The column, numbered among the leaves.
    pub(super) leaf: usize,
    pub(super) bytes: Range<u64>,
    pub(super) filters: bool,
    pub(super) delivers: bool,
    /// Bytes of a part; the last one may have less.
    pub(super) part: u64,
    /// The page ranges that hold the rows of a set, if these alone are read.
    pub(super) pages: OnceLock<Vec<Range<u64>>>,
}

impl ColumnChunk {
    pub(super) fn is_for(&self, purpose: ReadPurpose) -> bool {
        match purpose {
            ReadPurpose::Filter => self.filters,
            ReadPurpose::Deliver => self.delivers,
        }
    }

    /// Whether single pages may be read: not of a chunk that is read as a whole to find the rows.
    pub(super) fn may_be_paged(&self) -> bool {
        self.delivers && !self.filters
    }

    /// Where a row's share of the bytes ends, if all rows have equal shares.
    pub(super) fn share(&self, row: u64, all: u64) -> u64 {
        let length = self.bytes.end - self.bytes.start;
        (u128::from(length) * u128::from(row) / u128::from(all.max(1))) as u64
    }

    /// How many parts, from the first on, rows up to this one are likely stored in: a page is read as a whole.
    fn upto(&self, row: u64, all: u64) -> u64 {
        let page = PAGE_BYTES.min(2 * self.part).max(self.part / 2);
        (self.share(row, all) + page).div_ceil(self.part)
    }

    /// The parts of these numbers, as far as they exist.
    pub(super) fn parts(&self, numbers: Range<u64>) -> impl Iterator<Item = Range<u64>> + use<'_> {
        let all = (self.bytes.end - self.bytes.start).div_ceil(self.part);
        (numbers.start..numbers.end.min(all)).map(|number| {
            let start = self.bytes.start + number * self.part;
            start..self.bytes.end.min(start + self.part)
        })
    }

    /// The ranges that rows are likely stored in, into `wanted`; into `known` those that an earlier prefetch of the
    /// rows before them has requested. `pages`: the chunk's offset index, or none.
    pub(super) fn ranges_of(
        &self,
        ahead: &RowsAhead,
        pages: &[PageLocation],
        wanted: &mut Vec<Range<u64>>,
        known: &mut Vec<Range<u64>>,
    ) {
        let RowsAhead { rows, all, is_new, .. } = ahead;
        if let Some(ranges) = self.pages.get() {
            let of_rows = range_of_rows(pages, rows);
            let dictionary = pages.first().map_or(0, |first| first.offset.unsigned_abs());
            let is_read = |range: &&Range<u64>| {
                range.start < dictionary || (range.start < of_rows.end && of_rows.start < range.end)
            };
            wanted.extend(ranges.iter().filter(is_read).cloned());
            return;
        }
        let count = if rows.end >= *all { u64::MAX } else { self.upto(rows.end, *all) };
        let before = pages.partition_point(|page| page.first_row_index <= rows.start as i64);
        if !is_new {
            // The rows before were likely to need parts of these rows, and requested them.
            let requested = self.upto(rows.start, *all);
            known.extend(self.parts(self.share(rows.start, *all) / self.part..requested));
            wanted.extend(self.parts(requested..count));
        } else if let (Some(first), Some(page)) = (pages.first(), before.checked_sub(1).and_then(|at| pages.get(at))) {
            // The dictionary, and the page that the first row is on.
            let part = |byte: i64| byte.unsigned_abs().saturating_sub(self.bytes.start) / self.part;
            let dictionary = part(first.offset - 1) + u64::from(first.offset.unsigned_abs() > self.bytes.start);
            wanted.extend(self.parts(0..dictionary.min(part(page.offset))));
            wanted.extend(self.parts(part(page.offset)..count));
        } else {
            wanted.extend(self.parts(0..count));
        }
    }
}
