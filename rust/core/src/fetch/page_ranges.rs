//! The byte ranges of the pages that hold certain rows of a column chunk, by its offset index.

use std::ops::Range;

use parquet::file::page_index::offset_index::PageLocation;

use crate::order::RowSet;

/// The ranges of the pages that hold rows of the set, neighbours joined up to `most` bytes; first that of the
/// dictionary, if `chunk` begins with one.
pub(super) fn page_ranges(pages: &[PageLocation], chunk: &Range<u64>, set: &RowSet, most: u64) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let dictionary = pages.first().map(|first| chunk.start..first.offset.unsigned_abs());
    ranges.extend(dictionary.filter(|dictionary| !dictionary.is_empty()));
    for (number, page) in pages.iter().enumerate() {
        let next = pages.get(number + 1).map_or(set.rows(), |next| next.first_row_index.unsigned_abs());
        if !set.has(page.first_row_index.unsigned_abs()..next) {
            continue;
        }
        let bytes = span(page);
        match ranges.last_mut() {
            Some(last) if last.end == bytes.start && bytes.end - last.start <= most => last.end = bytes.end,
            _ => ranges.push(bytes),
        }
    }
    ranges
}

/// The bytes of the pages that hold these rows.
pub(super) fn range_of_rows(pages: &[PageLocation], rows: &Range<u64>) -> Range<u64> {
    let upto = |row: u64| pages.partition_point(|page| page.first_row_index.unsigned_abs() <= row);
    let first = pages.get(upto(rows.start).saturating_sub(1)).map_or(0, |page| page.offset.unsigned_abs());
    let last = pages.get(upto(rows.end.saturating_sub(1)).saturating_sub(1)).map_or(0, |page| span(page).end);
    first..last
}

fn span(page: &PageLocation) -> Range<u64> {
    let start = page.offset.unsigned_abs();
    start..start + u64::from(page.compressed_page_size.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_pages_of_the_rows_and_no_others(
            sizes in proptest::collection::vec((1_u64..30, 1_i32..50), 1..20),
            dictionary in 0_u64..2,
            words in proptest::collection::vec(prop_oneof![Just(0), any::<u64>(), Just(1 << 40)], 10),
            most in 1_u64..200,
        ) {
            let (mut pages, mut rows, mut at) = (Vec::new(), 0, 100 + 7 * dictionary);
            for (count, bytes) in sizes {
                pages.push(PageLocation { offset: at as i64, compressed_page_size: bytes, first_row_index: rows as i64 });
                rows += count;
                at += bytes as u64;
            }
            let set = RowSet::from_words(rows, words);
            let ranges = page_ranges(&pages, &(100..at), &set, most);
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start));
            let mut held: Vec<u64> = ranges.iter().cloned().flatten().collect();
            if dictionary > 0 {
                prop_assert_eq!(held.drain(..7).collect::<Vec<_>>(), (100..107).collect::<Vec<_>>());
            }
            let mut wanted: Vec<u64> = Vec::new();
            for row in set.runs(0..set.len()).flatten() {
                let bytes = range_of_rows(&pages, &(row..row + 1));
                if wanted.last().is_none_or(|&last| last < bytes.start) {
                    wanted.extend(bytes);
                }
            }
            prop_assert_eq!(held, wanted);
            let is_page = |range: &Range<u64>| pages.iter().any(|page| span(page) == *range);
            let fits = ranges.iter().all(|range| range.end - range.start <= most || is_page(range) || range.end == 107);
            prop_assert!(fits);
            prop_assert_eq!(range_of_rows(&pages, &(0..rows)), 100 + 7 * dictionary..at);
        }
    }
}
