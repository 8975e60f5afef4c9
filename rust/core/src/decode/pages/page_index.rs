//! A chunk's offset index, page by page.

use std::collections::VecDeque;

use parquet::column::page::PageMetadata;
use parquet::file::page_index::offset_index::PageLocation;

/// The pages to come. An index has data pages only; a dictionary page comes before them.
pub(super) struct PageIndex {
    dictionary: bool,
    pages: VecDeque<PageLocation>,
    rows: usize,
}

impl PageIndex {
    /// The pages of a chunk that begins at `start`, of a row group of so many rows.
    pub(super) fn new(start: u64, pages: Vec<PageLocation>, rows: usize) -> Self {
        // Before the first data page there can only be a dictionary.
        let dictionary = pages.first().is_some_and(|first| first.offset.unsigned_abs() != start);
        Self { dictionary, pages: pages.into(), rows }
    }

    /// Whether the next page is the dictionary.
    pub(super) fn is_dictionary(&self) -> bool {
        self.dictionary
    }

    /// The next data page.
    pub(super) fn next(&self) -> Option<&PageLocation> {
        self.pages.front()
    }

    /// What is known of the next page.
    pub(super) fn peek(&self) -> Option<PageMetadata> {
        if self.dictionary {
            return Some(PageMetadata { num_rows: None, num_levels: None, is_dict: true });
        }
        let row = |page: &PageLocation| page.first_row_index.unsigned_abs() as usize;
        let page = self.pages.front()?;
        let next = self.pages.get(1).map_or(self.rows, row);
        Some(PageMetadata { num_rows: Some(next.saturating_sub(row(page))), num_levels: None, is_dict: false })
    }

    /// Goes on to the page after the next.
    pub(super) fn pass(&mut self) {
        if !std::mem::take(&mut self.dictionary) {
            self.pages.pop_front();
        }
    }
}
