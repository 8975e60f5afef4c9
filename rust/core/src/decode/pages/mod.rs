//! The pages of a column chunk, read and decompressed into memory that is reused.
//!
//! The parquet crate's reader allocates memory for every page, and reads its header by two calls. It serves the codecs
//! that `codec` does not.

mod codec;
mod header;
mod page_content;
mod page_index;
mod page_reader;
mod parallel_decompress;
mod snappy_literals;

use std::sync::Arc;

use parquet::errors::Result;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::serialized_reader::SerializedPageReader;

use self::codec::Codec;
use self::page_reader::ChunkPages;
pub use self::parallel_decompress::DecompressPool;
use super::dense::DensePages;
use crate::fetch::ReadAt;

/// The pages of a chunk of a row group of so many rows; `places`: where they begin, where that is known; `pool`: who
/// may decompress some before their turn.
///
/// # Errors
/// A codec that there is not.
pub fn pages<I: ReadAt>(
    input: I,
    chunk: &ColumnChunkMetaData,
    rows: usize,
    places: Option<Vec<PageLocation>>,
    pool: Option<&Arc<DecompressPool>>,
) -> Result<Box<dyn DensePages>> {
    Ok(match Codec::of(chunk.compression())? {
        Some(codec) => Box::new(ChunkPages::new(input, chunk, codec, rows, places, pool.cloned())),
        None => Box::new(SerializedPageReader::new(Arc::new(input), chunk, rows, places)?),
    })
}

#[cfg(test)]
mod tests;
