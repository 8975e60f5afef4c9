//! The pages of a chunk of byte strings, of which large ones are handed out in parts.

use parquet::basic::Type;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::Result;
use parquet::file::metadata::ColumnChunkMetaData;

use super::large_page::LargePage;
use super::page_reader::ChunkPages;
use crate::decode::dense::DensePages;
use crate::fetch::ReadAt;

/// Reads a chunk's pages in their order.
pub(super) struct PartedPages<I> {
    pages: ChunkPages<I>,
    /// The level of a value that is not null.
    max_def: u8,
    /// The page that is being handed out in parts.
    large: Option<LargePage>,
    /// Its next part, and the values in it.
    part: Option<(Page, usize)>,
}

/// The definition levels of a column whose pages may come in parts: of byte strings, without lists.
pub(super) fn levels_of(chunk: &ColumnChunkMetaData) -> Option<u8> {
    let column = chunk.column_descr();
    let is_flat = column.physical_type() == Type::BYTE_ARRAY && column.max_rep_level() == 0;
    u8::try_from(column.max_def_level()).ok().filter(|max_def| is_flat && *max_def <= 3)
}

impl<I: ReadAt> PartedPages<I> {
    pub(super) fn new(pages: ChunkPages<I>, max_def: u8) -> Self {
        Self { pages, max_def, large: None, part: None }
    }

    /// Makes the next part, if a page is being handed out in parts; or begins to, if the next page is `wanted`.
    fn open_part(&mut self, wanted: bool) -> Result<()> {
        while self.part.is_none() {
            if self.large.is_none() && wanted {
                let max_def = self.max_def;
                self.large =
                    self.pages.take_if(|input, at, page, codec| LargePage::open(input, at, page, codec, max_def))?;
            }
            let Some(large) = &mut self.large else { break };
            self.part = large.next()?;
            if self.part.is_none() {
                self.large = None;
            }
        }
        Ok(())
    }
}

impl<I: ReadAt> PageReader for PartedPages<I> {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        self.open_part(true)?;
        match self.part.take() {
            Some((page, _)) => Ok(Some(page)),
            None => self.pages.get_next_page(),
        }
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.open_part(false)?;
        match self.part {
            Some((_, values)) => {
                Ok(Some(PageMetadata { num_rows: Some(values), num_levels: Some(values), is_dict: false }))
            }
            None => self.pages.peek_next_page(),
        }
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.open_part(false)?;
        if self.part.take().is_some() { Ok(()) } else { self.pages.skip_next_page() }
    }
}

impl<I: ReadAt> DensePages for PartedPages<I> {}

impl<I: ReadAt> Iterator for PartedPages<I> {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}
