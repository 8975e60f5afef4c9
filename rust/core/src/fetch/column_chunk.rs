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
    /// Bytes of the dictionary that it begins with: all of its rows need it.
    pub(super) dictionary: u64,
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

    /// The bytes of so many rows, without the dictionary, if all rows take the same.
    pub(super) fn share(&self, rows: u64, all: u64) -> u64 {
        let data = self.bytes.end - self.bytes.start - self.dictionary;
        (u128::from(data) * u128::from(rows) / u128::from(all.max(1))) as u64
    }

    /// The part that a byte of the object is in.
    fn part_of(&self, byte: u64) -> u64 {
        byte.saturating_sub(self.bytes.start) / self.part
    }

    /// The parts from the one that a row is likely in to the last that the rows before another are likely in, whose
    /// page is read as a whole. `pages`: the chunk's offset index, or none.
    fn parts_of(&self, rows: &Range<u64>, all: u64, pages: &[PageLocation]) -> Range<u64> {
        let start = self.bytes.start + self.dictionary;
        let from = self.part_of(start + self.share(rows.start, all));
        let until = if rows.end >= all {
            u64::MAX
        } else {
            let page = PAGE_BYTES.min(2 * self.part).max(self.part / 2);
            (self.dictionary + self.share(rows.end, all) + page).div_ceil(self.part)
        };
        if pages.is_empty() {
            return from..until;
        }
        let bytes = range_of_rows(pages, rows);
        self.part_of(bytes.start)..self.part_of(bytes.end.max(bytes.start + 1) - 1) + 1
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
            let data = pages.first().map_or(0, |first| first.offset.unsigned_abs());
            // The rows before have requested the dictionary, and the page that they end on.
            let requested = if *is_new { 0 } else { range_of_rows(pages, &(0..rows.start)).end };
            for range in ranges {
                // The first pages may be one range with the dictionary.
                if *is_new && range.start < data {
                    wanted.push(range.clone());
                } else if range.start < of_rows.end && of_rows.start < range.end {
                    if range.start < requested { &mut *known } else { &mut *wanted }.push(range.clone());
                }
            }
            return;
        }
        let these = self.parts_of(rows, *all, pages);
        if !is_new {
            // The rows before were likely to need parts of these rows, and requested them.
            let requested = self.parts_of(&(0..rows.start), *all, pages).end;
            known.extend(self.parts(these.start..requested));
            wanted.extend(self.parts(requested..these.end));
        } else if pages.is_empty() {
            wanted.extend(self.parts(0..these.end));
        } else {
            let first = pages.first().map_or(0, |first| first.offset.unsigned_abs());
            let dictionary = first.saturating_sub(self.bytes.start).div_ceil(self.part);
            wanted.extend(self.parts(0..dictionary.min(these.start)));
            wanted.extend(self.parts(these));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::page_ranges::page_ranges;
    use super::*;
    use crate::order::RowSet;

    /// A chunk at byte 50 with a dictionary and equal pages, and its offset index.
    fn chunk(dictionary: u64, page: u64, page_rows: u64, pages: u64, part: u64) -> (ColumnChunk, Vec<PageLocation>) {
        let data = 50 + dictionary;
        let places = (0..pages).map(|number| PageLocation {
            offset: (data + number * page) as i64,
            compressed_page_size: page as i32,
            first_row_index: (number * page_rows) as i64,
        });
        let bytes = 50..data + pages * page;
        let (filters, delivers, pages) = (false, true, OnceLock::new());
        (ColumnChunk { leaf: 0, bytes, dictionary, filters, delivers, part, pages }, places.collect())
    }

    fn ranges(
        chunk: &ColumnChunk,
        rows: Range<u64>,
        all: u64,
        is_new: bool,
        pages: &[PageLocation],
    ) -> [Vec<Range<u64>>; 2] {
        let (mut wanted, mut known) = (Vec::new(), Vec::new());
        chunk.ranges_of(&RowsAhead { group: 0, rows, all, is_new }, pages, &mut wanted, &mut known);
        [wanted, known]
    }

    fn has_all(ranges: &[Range<u64>], mut bytes: Range<u64>) -> bool {
        bytes.all(|byte| ranges.iter().any(|range| range.contains(&byte)))
    }

    #[test]
    fn a_page_in_one_range_with_the_dictionary_is_known_to_the_rows_after() {
        let (chunk, places) = chunk(1, 1, 1, 2, 30);
        chunk.pages.set(page_ranges(&places, &chunk.bytes, &RowSet::all(2), 30)).expect("they are set once");
        let whole = std::slice::from_ref(&(50..53)).to_vec();
        assert_eq!(ranges(&chunk, 0..1, 2, true, &places), [whole.clone(), vec![]]);
        assert_eq!(ranges(&chunk, 1..2, 2, false, &places), [vec![], whole]);
    }

    proptest! {
        #[test]
        fn what_the_rows_are_stored_in_is_asked_for_and_little_else(
            dictionary in prop_oneof![Just(0_u64), 1_u64..20, 1_u64..400],
            page in 1_u64..60, page_rows in 1_u64..20, pages in 1_u64..20, part in 30_u64..100,
            from in 0.0..1.0_f64, to in 0.0..1.0_f64, is_indexed: bool, is_paged: bool,
        ) {
            let (chunk, places) = chunk(dictionary, page, page_rows, pages, part);
            let all = pages * page_rows;
            let start = ((all as f64 * from.min(to)) as u64).min(all - 1);
            let end = ((all as f64 * from.max(to)) as u64).max(start + 1);
            let index = if is_indexed || is_paged { places.as_slice() } else { &[] };
            if is_paged {
                let ranges = page_ranges(&places, &chunk.bytes, &RowSet::all(all), part);
                chunk.pages.set(ranges).expect("they are set once");
            }
            let [wanted, known] = ranges(&chunk, start..end, all, true, index);
            prop_assert!(known.is_empty());
            prop_assert!(has_all(&wanted, 50..50 + dictionary), "the dictionary");
            let stored = range_of_rows(&places, &(start..end));
            prop_assert!(has_all(&wanted, stored.clone()), "the pages");
            prop_assert!(wanted.windows(2).all(|pair| pair[0].end <= pair[1].start), "nothing twice");
            let asked: u64 = wanted.iter().map(|range| range.end - range.start).sum();
            if is_paged {
                prop_assert!(asked <= dictionary + stored.end - stored.start + 2 * part, "{asked}");
            } else if is_indexed {
                prop_assert!(asked < dictionary + stored.end - stored.start + 3 * part, "{asked}");
            } else {
                // From the start of the chunk on, and of a page that may be large two parts more.
                prop_assert!(asked < stored.end - 50 + 3 * part, "{asked}");
            }
            // The pages that follow: what was asked for before is not asked for again, and nothing is left out.
            let next = end.div_ceil(page_rows) * page_rows;
            if next < all {
                let [more, known] = ranges(&chunk, end..all, all, false, index);
                prop_assert!(known.iter().all(|range| wanted.contains(range)));
                prop_assert!(more.iter().all(|range| !wanted.contains(range)));
                let both: Vec<_> = known.into_iter().chain(more).collect();
                prop_assert!(has_all(&both, range_of_rows(&places, &(next..all))));
            }
        }
    }
}
