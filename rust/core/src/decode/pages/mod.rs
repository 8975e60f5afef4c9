//! The pages of a column chunk, read and decompressed into memory that is reused.
//!
//! The parquet crate's reader allocates memory for every page, and reads its header by two calls. It serves the codecs
//! that `codec` does not. A `large_page` is handed out in parts (`parted_pages`). Headers of which old writers are known to have got something wrong (`writer`) are put right.

mod checked_pages;
mod codec;
mod header;
mod large_page;
mod page_content;
mod page_index;
mod page_reader;
mod parallel_decompress;
mod parted_pages;
mod snappy_literals;
mod snappy_stream;
mod writer;

use std::sync::Arc;

use parquet::errors::Result;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::serialized_reader::SerializedPageReader;

use self::checked_pages::CheckedPages;
use self::codec::Codec;
use self::page_reader::ChunkPages;
pub use self::parallel_decompress::DecompressPool;
use self::parted_pages::PartedPages;
use super::dense::DensePages;
use crate::fetch::ReadAt;

/// The pages of a chunk of a row group of so many rows; `places`: where they begin, where that is known; `pool`: who
/// may decompress some before their turn; `created_by`: the file's writer, of which some said wrong things of pages;
/// `in_parts`: whether large pages come as several.
///
/// # Errors
/// A codec that there is not.
pub fn pages<I: ReadAt>(
    input: I,
    chunk: &ColumnChunkMetaData,
    rows: usize,
    places: Option<Vec<PageLocation>>,
    pool: Option<&Arc<DecompressPool>>,
    created_by: Option<&str>,
    in_parts: bool,
) -> Result<Box<dyn DensePages>> {
    Ok(match Codec::of(chunk.compression())? {
        Some(codec) => {
            let flags_lie = writer::flags_lie(created_by);
            let pages = ChunkPages::new(input, chunk, codec, rows, places, pool.cloned()).with_flags(flags_lie);
            match parted_pages::levels_of(chunk).filter(|_| in_parts) {
                Some(max_def) => Box::new(PartedPages::new(pages, max_def)),
                None => Box::new(pages),
            }
        }
        None => {
            let pages = SerializedPageReader::new(Arc::new(input), chunk, rows, places)?;
            Box::new(CheckedPages::new(pages, chunk, writer::flags_lie(created_by)))
        }
    })
}

#[cfg(test)]
mod tests;
