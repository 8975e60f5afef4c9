//! Snappy pages that became no smaller, as pages of random floats and packed indices do: read where they are used,
//! without a copy more.
//!
//! Snappy packs 64 KiB at a time, and what does not become smaller is one literal: a tag, and the bytes as they are.
//! Where each tag of such a page stands, and what it is, follows from the page's size.

use bytes::Bytes;
use parquet::errors::Result;

use super::header::Header;
use crate::buffer_pool;
use crate::fetch::ReadAt;

/// What Snappy packs at a time.
const BLOCK: usize = 1 << 16;

/// The content of the page that is stored from `at` on, after `plain` bytes that are not packed. `None`: it is not
/// literals alone, or does not hold what its header says.
///
/// # Errors
/// Bytes that cannot be read.
pub(super) fn read(input: &impl ReadAt, mut at: u64, page: &Header, plain: usize) -> Result<Option<Bytes>> {
    let is_no_smaller = page.stored > page.size;
    let size = page.size.checked_sub(plain).filter(|&size| is_no_smaller && size > 0);
    let Some(size) = size else { return Ok(None) };
    let blocks = |from: usize| (from..size).step_by(BLOCK).map(move |start| BLOCK.min(size - start));
    let mark = [length(size), tag(BLOCK.min(size))].concat();
    let tags: usize = blocks(BLOCK).map(|block| tag(block).len()).sum();
    if plain + mark.len() + tags + size != page.stored {
        return Ok(None);
    }
    let mut bytes = buffer_pool::vec::<u8>(page.size);
    // Every piece is read with the tag behind it, which the next piece is written over.
    let mut next = |piece: usize, tag: &[u8]| -> Result<bool> {
        let end = bytes.len() + piece;
        input.append(at, piece + tag.len(), &mut bytes)?;
        at += (piece + tag.len()) as u64;
        let is_tag = bytes[end..] == *tag;
        bytes.truncate(end);
        Ok(is_tag)
    };
    let behind = blocks(BLOCK).map(tag).chain([Vec::new()]);
    for (piece, tag) in [(plain, mark)].into_iter().chain(blocks(0).zip(behind)) {
        if !next(piece, &tag)? {
            return Ok(None);
        }
    }
    Ok(Some(buffer_pool::bytes(bytes)))
}

/// How Snappy writes the length of all.
fn length(mut size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(5);
    while size >= 0x80 {
        bytes.push(size as u8 | 0x80);
        size >>= 7;
    }
    bytes.push(size as u8);
    bytes
}

/// The tag of a literal of so many bytes, at the most [`BLOCK`] and at least one.
fn tag(bytes: usize) -> Vec<u8> {
    let last = bytes - 1;
    match last {
        0..60 => vec![(last as u8) << 2],
        60..256 => vec![60 << 2, last as u8],
        _ => vec![61 << 2, last as u8, (last >> 8) as u8],
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use snap::raw::{Decoder, Encoder};

    use super::*;
    use crate::decode::pages::header::PageKind;

    /// So many bytes that do not become smaller.
    fn noise(count: usize, seed: u64) -> Vec<u8> {
        let mut state = seed | 1;
        let byte = |_| {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (state >> 56) as u8
        };
        (0..count).map(byte).collect()
    }

    fn read_page(file: &[u8], at: usize, stored: usize, size: usize, plain: usize) -> Option<Bytes> {
        let page = Header { kind: PageKind::Other, stored, size, crc: None };
        read(&Bytes::copy_from_slice(file), at as u64, &page, plain).unwrap()
    }

    #[test]
    fn what_did_not_become_smaller_is_read_as_it_is() {
        for count in
            [1, 59, 60, 61, 127, 128, 255, 256, 257, 65_535, 65_536, 65_537, 65_600, 131_072, 200_000, 2_100_000]
        {
            let bytes = noise(count, count as u64);
            let packed = Encoder::new().compress_vec(&bytes).unwrap();
            let file = [b"before levels".as_slice(), &packed, b"after"].concat();
            let found = read_page(&file, 7, 6 + packed.len(), 6 + count, 6).unwrap_or_else(|| panic!("{count} bytes"));
            assert_eq!(found, [b"levels".as_slice(), &bytes].concat(), "{count} bytes");
            assert!(read_page(&file, 13, packed.len(), count + 1, 0).is_none(), "another size");
            assert!(read_page(&file, 13, packed.len() - 1, count, 0).is_none(), "another stored size");
        }
    }

    #[test]
    fn what_became_smaller_is_not() {
        let zeros = Encoder::new().compress_vec(&[0; 100_000]).unwrap();
        assert!(read_page(&zeros, 0, zeros.len(), 100_000, 0).is_none());
        assert!(read_page(&zeros, 0, zeros.len(), 0, 0).is_none());
        assert!(read_page(&zeros, 0, zeros.len(), 10, 11).is_none());
    }

    proptest! {
        /// Whatever a page's bytes are: what is read of it is what Snappy makes of it.
        #[test]
        fn what_is_read_is_what_is_packed(
            count in prop_oneof![1_usize..400, 65_000_usize..66_500, 130_000_usize..132_000],
            seed: u64,
            flips in proptest::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 0..3),
            task: bool,
        ) {
            let mut packed = Encoder::new().compress_vec(&noise(count, seed)).unwrap();
            for (at, bit) in flips {
                // Tags are at the beginning and after the first 64 KiB.
                let last = packed.len() - 1;
                let at = if task { at.index(8) } else { BLOCK + at.index(12) };
                packed[at.min(last)] ^= 1 << bit;
            }
            let unpacked = Decoder::new().decompress_vec(&packed).ok().filter(|bytes| bytes.len() == count);
            if let Some(found) = read_page(&packed, 0, packed.len(), count, 0) {
                prop_assert_eq!(Some(found), unpacked.map(Bytes::from));
            }
        }
    }
}
