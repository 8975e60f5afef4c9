//! Codecs of pages: each decompresses by one call into memory that is reused.

use std::io::Cursor;

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::errors::{ParquetError, Result};

use crate::buffer_pool;

/// A codec that pages are decompressed with here.
pub(super) enum Codec {
    Snappy(snap::raw::Decoder),
    Zstd(zstd::bulk::Decompressor<'static>),
    Lz4,
}

impl Codec {
    /// Whether pages so compressed are for this module; if they are, what decompresses them, unless they are stored as
    /// they are.
    pub(super) fn of(compression: Compression) -> Result<Option<Option<Self>>> {
        Ok(Some(Some(match compression {
            Compression::UNCOMPRESSED => return Ok(Some(None)),
            Compression::SNAPPY => Self::Snappy(snap::raw::Decoder::new()),
            Compression::ZSTD(_) => Self::Zstd(zstd::bulk::Decompressor::new()?),
            Compression::LZ4_RAW => Self::Lz4,
            _ => return Ok(None),
        })))
    }

    /// `size` bytes: the first `plain` of the stored ones as they are, and what the rest stands for.
    pub(super) fn decompressed(&mut self, stored: &[u8], plain: usize, size: usize) -> Result<Bytes> {
        let Some((head, packed)) = stored.split_at_checked(plain).filter(|_| plain <= size) else {
            return Err(ParquetError::EOF(format!(
                "{plain} bytes of levels in a page of {} bytes",
                stored.len().min(size)
            )));
        };
        self.check_size(packed.len(), size - plain)?;
        // Nothing stands for nothing: a page of nulls alone.
        if size == plain {
            return Ok(Bytes::copy_from_slice(head));
        }
        let (length, bytes) = match self {
            Self::Zstd(decoder) => {
                let mut bytes = buffer_pool::vec::<u8>(size);
                bytes.extend_from_slice(head);
                let mut into = Cursor::new(bytes);
                into.set_position(plain as u64);
                (decoder.decompress_to_buffer(packed, &mut into).map_err(corrupt)?, into.into_inner())
            }
            _ => {
                let mut bytes = buffer_pool::scratch(size);
                let (levels, into) = bytes.split_at_mut(plain);
                levels.copy_from_slice(head);
                (self.decompress(packed, into)?, bytes)
            }
        };
        if length != size - plain {
            return Err(corrupt(format!("{length} bytes where its header says {}", size - plain)));
        }
        Ok(buffer_pool::bytes(bytes))
    }

    fn decompress(&mut self, packed: &[u8], into: &mut [u8]) -> Result<usize> {
        match self {
            Self::Snappy(decoder) => decoder.decompress(packed, into).map_err(corrupt),
            Self::Zstd(decoder) => decoder.decompress_to_buffer(packed, into).map_err(corrupt),
            Self::Lz4 => lz4_flex::block::decompress_into(packed, into).map_err(corrupt),
        }
    }

    /// Checks that so many bytes can have become `packed` ones.
    pub(super) fn check_size(&self, packed: usize, size: usize) -> Result<()> {
        if size <= self.most(packed) {
            return Ok(());
        }
        Err(corrupt(format!("{size} bytes cannot have become {packed}")))
    }

    /// More than so many bytes cannot come of `packed` ones, so that a page of a few bytes does not ask for gigabytes.
    fn most(&self, packed: usize) -> usize {
        packed.saturating_mul(match self {
            Self::Snappy(_) => 22,      // 64 bytes for three
            Self::Zstd(_) => 128 << 10, // a block, which is four bytes at least
            Self::Lz4 => 256,           // 255 for each byte of a length
        })
    }
}

fn corrupt(detail: impl std::fmt::Display) -> ParquetError {
    ParquetError::General(format!("a page that cannot be decompressed: {detail}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    type Pack = fn(&[u8]) -> Vec<u8>;

    fn codecs() -> [(Codec, Pack); 3] {
        let of = |compression| Codec::of(compression).unwrap().flatten().unwrap();
        [
            (of(Compression::SNAPPY), |plain| snap::raw::Encoder::new().compress_vec(plain).unwrap()),
            (of(Compression::ZSTD(Default::default())), |plain| zstd::bulk::compress(plain, 1).unwrap()),
            (of(Compression::LZ4_RAW), lz4_flex::block::compress),
        ]
    }

    #[test]
    fn what_was_packed_comes_back_after_what_was_not() {
        for (mut codec, pack) in codecs() {
            for length in [0, 1, 100, 100_000] {
                let plain: Vec<u8> = (0..length).map(|i: u32| (i / 7) as u8).collect();
                let stored = [b"levels".as_slice(), &pack(&plain)].concat();
                let whole = [b"levels".as_slice(), &plain].concat();
                assert_eq!(codec.decompressed(&stored, 6, whole.len()).unwrap(), whole);
                assert!(codec.decompressed(&stored[..5], 6, whole.len()).is_err());
                assert!(codec.decompressed(&stored, 6, 5).is_err());
                if length > 1 {
                    assert!(codec.decompressed(&stored, 6, whole.len() - 1).is_err());
                }
                if length > 0 {
                    assert!(codec.decompressed(&stored[..stored.len() - 1], 6, whole.len()).is_err());
                    assert!(codec.decompressed(&stored, 6, whole.len() + 1).is_err());
                }
            }
        }
    }

    #[test]
    fn a_page_of_a_few_bytes_cannot_ask_for_gigabytes() {
        for (mut codec, pack) in codecs() {
            let error = codec.decompressed(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0], 0, 1 << 31).unwrap_err();
            assert!(error.to_string().contains("2147483648 bytes cannot have become 6"), "{error}");
            let zeros = pack(&vec![0; 1 << 20]);
            assert_eq!(codec.decompressed(&zeros, 0, 1 << 20).unwrap().len(), 1 << 20);
        }
    }
}
