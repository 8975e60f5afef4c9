//! Snappy, decompressed as it is read: a page of any size takes the memory of what its copies may refer to.

use std::io::{self, Error, ErrorKind, Read};

/// How far back a copy refers at most: writers pack 64 KiB at a time.
const HISTORY: usize = 1 << 16;
/// Bytes that are made before old ones are let go of.
const ROOM: usize = 4 * HISTORY;

/// What a reader of packed bytes stands for.
pub(super) struct SnappyStream<R> {
    from: R,
    /// What was made, the newest last; all before `taken` was handed out.
    made: Vec<u8>,
    taken: usize,
    /// Bytes of a literal that are to come.
    literal: usize,
    /// Bytes that are to be made in all.
    left: usize,
}

impl<R: Read> SnappyStream<R> {
    /// Begins to read; `size`: how many bytes must come of it.
    pub(super) fn new(mut from: R, size: usize) -> io::Result<Self> {
        let mut length = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = byte(&mut from)?;
            length |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        if length != size as u64 {
            return Err(corrupt("it stands for another number of bytes than its header says"));
        }
        Ok(Self { from, made: Vec::with_capacity(ROOM), taken: 0, literal: 0, left: size })
    }

    /// Makes some more bytes.
    fn step(&mut self) -> io::Result<()> {
        if self.made.len() >= ROOM {
            let old = self.taken.min(self.made.len() - HISTORY);
            self.made.drain(..old);
            self.taken -= old;
        }
        if self.literal > 0 {
            return self.literal();
        }
        let tag = byte(&mut self.from)?;
        let (length, offset) = match tag & 3 {
            0 => {
                let length = usize::from(tag >> 2);
                let bytes = length.saturating_sub(59);
                self.literal = 1 + if bytes == 0 { length } else { self.number(bytes)? };
                if self.literal > self.left {
                    return Err(corrupt("a literal goes beyond its end"));
                }
                return self.literal();
            }
            1 => (4 + usize::from(tag >> 2 & 7), usize::from(tag >> 5) << 8 | self.number(1)?),
            2 => (1 + usize::from(tag >> 2), self.number(2)?),
            _ => (1 + usize::from(tag >> 2), self.number(4)?),
        };
        if offset == 0 || offset > self.made.len() || length > self.left {
            return Err(corrupt("a copy of what is not there"));
        }
        self.left -= length;
        let from = self.made.len() - offset;
        if offset >= length {
            self.made.extend_from_within(from..from + length);
        } else {
            // What is copied is copied again.
            for at in from..from + length {
                self.made.push(self.made[at]);
            }
        }
        Ok(())
    }

    /// As much of the literal as there is room for.
    fn literal(&mut self) -> io::Result<()> {
        let taken = self.literal.min(HISTORY);
        let before = self.made.len();
        self.made.resize(before + taken, 0);
        self.from.read_exact(&mut self.made[before..])?;
        self.literal -= taken;
        self.left -= taken;
        Ok(())
    }

    fn number(&mut self, bytes: usize) -> io::Result<usize> {
        let mut number = [0; 8];
        self.from.read_exact(&mut number[..bytes])?;
        Ok(u64::from_le_bytes(number) as usize)
    }
}

impl<R: Read> Read for SnappyStream<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.made.len() && self.left > 0 {
            self.step()?;
        }
        let count = into.len().min(self.made.len() - self.taken);
        into[..count].copy_from_slice(&self.made[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

fn byte(from: &mut impl Read) -> io::Result<u8> {
    let mut byte = [0];
    from.read_exact(&mut byte)?;
    Ok(byte[0])
}

fn corrupt(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("a page that cannot be decompressed: {what}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use snap::raw::{Decoder, Encoder};

    use super::*;

    /// Words of a few bytes and noise, in turns.
    fn text(parts: &[(u8, u16)]) -> Vec<u8> {
        let mut state = 1_u64;
        let mut noise = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (state >> 56) as u8
        };
        parts
            .iter()
            .flat_map(|&(word, count)| {
                (0..count).map(|i| if word < 100 { word ^ (i % 7) as u8 } else { noise() }).collect::<Vec<_>>()
            })
            .collect()
    }

    proptest! {
        #[test]
        fn what_comes_is_what_was_packed(
            parts in proptest::collection::vec((any::<u8>(), any::<u16>()), 0..30), pieces in 1_usize..100_000,
        ) {
            let bytes = text(&parts);
            let packed = Encoder::new().compress_vec(&bytes).unwrap();
            let mut stream = SnappyStream::new(&packed[..], bytes.len()).unwrap();
            let mut found = Vec::new();
            while Read::by_ref(&mut stream).take(pieces as u64).read_to_end(&mut found).unwrap() > 0 {}
            prop_assert!(found == bytes);
            prop_assert!(SnappyStream::new(&packed[..], bytes.len() + 1).is_err());
        }

        /// Whatever the bytes are: no panic, and nothing that the whole decoder would not have made too.
        #[test]
        fn damage_is_an_error(
            parts in proptest::collection::vec((any::<u8>(), 0_u16..300), 1..10),
            flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let bytes = text(&parts);
            let mut packed = Encoder::new().compress_vec(&bytes).unwrap();
            for (at, flip) in flips {
                let at = at.index(packed.len());
                packed[at] ^= flip;
            }
            let mut found = Vec::new();
            let read = SnappyStream::new(&packed[..], bytes.len()).and_then(|mut stream| stream.read_to_end(&mut found));
            let whole = Decoder::new().decompress_vec(&packed).ok();
            if read.is_ok() && found.len() == bytes.len() && let Some(whole) = whole {
                prop_assert!(found == whole);
            }
        }
    }
}
