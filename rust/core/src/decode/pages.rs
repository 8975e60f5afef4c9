//! The pages of a column chunk, decompressed into memory that is used again.
//!
//! The parquet crate decompresses every page into fresh memory, and for Snappy fills it with zeros before. Here it is made
//! to hand Snappy pages over as they are stored, and they are decompressed into blocks of [`crate::memory`].

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::reader::ChunkReader;
use parquet::file::serialized_reader::SerializedPageReader;
use snap::raw::{Decoder, decompress_len};

use crate::memory;

/// A stored byte becomes fewer than this many: Snappy's best is 64 bytes for three.
const MAX_RATIO: usize = 22;

/// The pages of a chunk of a row group of so many rows; `places`: where they begin, where that is known.
pub fn pages<R: ChunkReader + 'static>(
    reader: Arc<R>,
    chunk: &ColumnChunkMetaData,
    rows: usize,
    places: Option<Vec<PageLocation>>,
) -> Result<Box<dyn PageReader>> {
    if chunk.compression() != Compression::SNAPPY {
        return Ok(Box::new(SerializedPageReader::new(reader, chunk, rows, places)?));
    }
    let stored = chunk.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build()?;
    Ok(Box::new(SnappyPages {
        stored: SerializedPageReader::new(reader, &stored, rows, places)?,
        decoder: Decoder::new(),
    }))
}

struct SnappyPages<P> {
    stored: P,
    decoder: Decoder,
}

impl<P> SnappyPages<P> {
    fn unpacked(&mut self, mut page: Page) -> Result<Page> {
        let (bytes, plain) = match &mut page {
            Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => (buf, 0),
            Page::DataPageV2 { is_compressed: false, .. } => return Ok(page),
            Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, .. } => {
                (buf, *def_levels_byte_len as usize + *rep_levels_byte_len as usize)
            }
        };
        *bytes = self.decompressed(bytes, plain)?;
        Ok(page)
    }

    /// The first `plain` bytes as they are, and what the rest stands for.
    fn decompressed(&mut self, stored: &[u8], plain: usize) -> Result<Bytes> {
        let Some((head, packed)) = stored.split_at_checked(plain) else {
            return Err(ParquetError::EOF(format!("{plain} bytes of levels in a page of {} bytes", stored.len())));
        };
        // Nothing stands for nothing: a page of nulls alone.
        let length = if packed.is_empty() { 0 } else { decompress_len(packed).map_err(corrupt)? };
        if length > packed.len().saturating_mul(MAX_RATIO) {
            return Err(corrupt(format!("{length} bytes cannot have become {}", packed.len())));
        }
        let mut bytes = memory::scratch(plain + length);
        bytes[..plain].copy_from_slice(head);
        if length > 0 {
            self.decoder.decompress(packed, &mut bytes[plain..]).map_err(corrupt)?;
        }
        Ok(memory::bytes(bytes))
    }
}

fn corrupt(detail: impl std::fmt::Display) -> ParquetError {
    ParquetError::General(format!("a page that Snappy did not write: {detail}"))
}

impl<P: PageReader> PageReader for SnappyPages<P> {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let stored = self.stored.get_next_page()?;
        stored.map(|page| self.unpacked(page)).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.stored.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.stored.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.stored.at_record_boundary()
    }
}

impl<P: PageReader> Iterator for SnappyPages<P> {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_comes_back_after_what_was_not() {
        for length in [0, 1, 100, 100_000] {
            let plain: Vec<u8> = (0..length).map(|i: u32| (i / 7) as u8).collect();
            let stored = [b"levels".as_slice(), &snap::raw::Encoder::new().compress_vec(&plain).unwrap()].concat();
            let mut pages = SnappyPages { stored: (), decoder: Decoder::new() };
            assert_eq!(pages.decompressed(&stored, 6).unwrap(), [b"levels".as_slice(), &plain].concat());
            assert!(pages.decompressed(&stored[..5], 6).is_err());
            if length > 0 {
                assert!(pages.decompressed(&stored[..stored.len() - 1], 6).is_err());
            }
        }
    }

    #[test]
    fn a_page_of_a_few_bytes_cannot_ask_for_gigabytes() {
        let mut pages = SnappyPages { stored: (), decoder: Decoder::new() };
        let error = pages.decompressed(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0], 0).unwrap_err();
        assert!(error.to_string().contains("4294967295 bytes cannot have become 6"), "{error}");
        let zeros = snap::raw::Encoder::new().compress_vec(&vec![0; 1 << 20]).unwrap();
        assert_eq!(pages.decompressed(&zeros, 0).unwrap().len(), 1 << 20);
    }
}
