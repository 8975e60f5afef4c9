//! The parquet crate's pages, of which what old writers say wrongly is not believed.

use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;

use super::writer::rows_of;
use crate::decode::dense::DensePages;

/// Pages of a codec that this module does not decompress itself.
pub(super) struct CheckedPages<P> {
    pages: P,
    /// Whether the column has lists.
    repeated: bool,
    /// Whether pages may be flagged as not compressed that are.
    flags_lie: bool,
}

impl<P: PageReader> CheckedPages<P> {
    pub(super) fn new(pages: P, chunk: &ColumnChunkMetaData, flags_lie: bool) -> Self {
        Self { pages, repeated: chunk.column_descr().max_rep_level() > 0, flags_lie }
    }
}

impl<P: PageReader> PageReader for CheckedPages<P> {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        if let Some(Page::DataPageV2 { is_compressed: false, .. }) = &page
            && self.flags_lie
        {
            return Err(ParquetError::General(
                "a compressed page is flagged as not compressed, as Arrow before 3.0 did: write the file again".into(),
            ));
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        let next = self.pages.peek_next_page()?;
        Ok(next.map(|next| match (next.num_rows, next.num_levels) {
            (Some(rows), Some(values)) => {
                PageMetadata { num_rows: rows_of(rows as u32, values as u32, self.repeated), ..next }
            }
            _ => next,
        }))
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }
}

impl<P: PageReader> DensePages for CheckedPages<P> {}

impl<P: PageReader> Iterator for CheckedPages<P> {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}
