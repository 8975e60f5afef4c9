//! The content of a page: read, checked and decompressed.

use std::io::{self, Read};

use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::page::Page;
use parquet::errors::{ParquetError, Result};

use super::codec::Codec;
use super::header::{Header, PageKind};
use super::snappy_literals;
use crate::fetch::ReadAt;

/// Pages of so many bytes, decompressed, are worth the attention of another thread; larger ones would take too much
/// memory.
const EARLY_BYTES: std::ops::RangeInclusive<usize> = 64 << 10..=8 << 20;

/// Bytes that are summed up at once.
const CRC_BYTES: usize = 128 << 10;

/// Whether a page is large enough for another thread to decompress it.
pub(super) fn is_worth_it(page: &Header) -> bool {
    let is_packed_data = match page.kind {
        PageKind::V1 { .. } => true,
        PageKind::V2 { is_compressed, .. } => is_compressed,
        PageKind::Dictionary { .. } | PageKind::Other => false,
    };
    is_packed_data && EARLY_BYTES.contains(&page.size) && page.stored <= *EARLY_BYTES.end()
}

/// The content of a page that is stored from `at` on, decompressed. `held`: what is at hand of it, and of what follows.
pub(super) fn content(
    input: &impl ReadAt,
    at: u64,
    page: &Header,
    codec: Option<&mut Codec>,
    held: Bytes,
) -> Result<Bytes> {
    let (plain, is_compressed) = match page.kind {
        PageKind::V2 { def_bytes, rep_bytes, is_compressed, .. } => {
            (def_bytes.saturating_add(rep_bytes) as usize, is_compressed)
        }
        _ => (0, true),
    };
    let codec = codec.filter(|_| is_compressed);
    let is_held = held.len() >= page.stored;
    if page.crc.is_none()
        && !is_held
        && input.is_near()
        && let Some(Codec::Snappy(_)) = codec
        && let Some(content) = snappy_literals::read(input, at, page, plain)?
    {
        return Ok(content);
    }
    let bytes = if is_held { held.slice(..page.stored) } else { input.get_bytes(at, page.stored)? };
    if page.crc.is_some_and(|crc| crc != crc32fast::hash(&bytes)) {
        return Err(mismatch());
    }
    codec.map_or(Ok(bytes.clone()), |codec| codec.decompressed(&bytes, plain, page.size))
}

/// How many bytes of a plain page that is stored as it is come before its values; None of any other page. `levels`: whether
/// the column has repetition levels, and definition levels; `bytes`: gives the page's first ones.
pub(super) fn levels_before_values(
    page: &Header,
    is_packed: bool,
    levels: [bool; 2],
    bytes: impl Fn(usize) -> Result<Bytes>,
) -> Result<Option<usize>> {
    match page.kind {
        PageKind::V2 { encoding: Encoding::PLAIN, def_bytes, rep_bytes, is_compressed, .. }
            if !is_packed || !is_compressed =>
        {
            Ok(Some(def_bytes as usize + rep_bytes as usize).filter(|&levels| levels <= page.stored))
        }
        PageKind::V1 { encoding: Encoding::PLAIN, def: Encoding::RLE, rep: Encoding::RLE, .. } if !is_packed => {
            let mut end = 0;
            for _ in levels.into_iter().filter(|is_there| *is_there) {
                let held = bytes((end + 4).min(page.stored))?;
                let Some(length) = held.get(end..).and_then(<[u8]>::first_chunk).copied() else { return Ok(None) };
                end += 4 + u32::from_le_bytes(length) as usize;
                if end > page.stored {
                    return Ok(None);
                }
            }
            Ok(Some(end))
        }
        _ => Ok(None),
    }
}

/// Compares the bytes of a page that is not read at once with their checksum.
pub(super) fn check_crc(input: &impl ReadAt, at: u64, length: usize, crc: u32) -> Result<()> {
    let mut from = input.get_read(at)?.take(length as u64);
    let mut hasher = crc32fast::Hasher::new();
    let mut piece = vec![0; CRC_BYTES];
    loop {
        match from.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => hasher.update(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    if hasher.finalize() == crc { Ok(()) } else { Err(mismatch()) }
}

fn mismatch() -> ParquetError {
    ParquetError::General("Page CRC checksum mismatch".into())
}

/// The page of this kind and content.
pub(super) fn with_content(kind: PageKind, buf: Bytes) -> Result<Page> {
    let statistics = None;
    Ok(match kind {
        PageKind::Dictionary { values: num_values, encoding, is_sorted } => {
            Page::DictionaryPage { buf, num_values, encoding, is_sorted }
        }
        PageKind::V1 { values: num_values, encoding, def: def_level_encoding, rep: rep_level_encoding } => {
            Page::DataPage { buf, num_values, encoding, def_level_encoding, rep_level_encoding, statistics }
        }
        PageKind::V2 { values, nulls, rows, encoding, def_bytes, rep_bytes, is_compressed } => Page::DataPageV2 {
            buf,
            num_values: values,
            encoding,
            num_nulls: nulls,
            num_rows: rows,
            def_levels_byte_len: def_bytes,
            rep_levels_byte_len: rep_bytes,
            is_compressed,
            statistics,
        },
        PageKind::Other => return Err(ParquetError::General("a page of an unknown type".into())),
    })
}
