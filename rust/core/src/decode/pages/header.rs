//! A page's header: a struct of Thrift's compact protocol, of which only what decoding needs is kept.

use parquet::basic::Encoding;
use parquet::errors::{ParquetError, Result};

/// What a page's header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: PageKind,
    /// Bytes of the page as it is stored.
    pub(super) stored: usize,
    /// Bytes of the page once it is decompressed.
    pub(super) size: usize,
    pub(super) crc: Option<u32>,
}

/// What a page holds, and what is said of it alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PageKind {
    Dictionary { values: u32, encoding: Encoding, is_sorted: bool },
    V1 { values: u32, encoding: Encoding, def: Encoding, rep: Encoding },
    V2 { values: u32, nulls: u32, rows: u32, encoding: Encoding, def_bytes: u32, rep_bytes: u32, is_compressed: bool },
    Other,
}

/// The header that the bytes begin with, and its length. `None`: it goes on after them.
pub(super) fn header(bytes: &[u8]) -> Result<Option<(Header, usize)>> {
    let mut from = Compact { bytes, at: 0 };
    match read(&mut from) {
        Ok(header) => Ok(Some((header, from.at))),
        Err(Stop::Short) => Ok(None),
        Err(Stop::Corrupt(what)) => Err(ParquetError::General(format!("a page header {what}"))),
    }
}

/// Why no header was read.
enum Stop {
    /// The bytes ended.
    Short,
    Corrupt(String),
}

type Parsed<T> = std::result::Result<T, Stop>;

fn corrupt<T>(what: impl Into<String>) -> Parsed<T> {
    Err(Stop::Corrupt(what.into()))
}

fn read(from: &mut Compact<'_>) -> Parsed<Header> {
    let (mut kind, mut size, mut stored, mut crc, mut of_kind) = (None, None, None, None, None);
    from.fields(&mut |from, id, wire| {
        match (id, wire) {
            (1, I32) => kind = Some(from.i32()?),
            (2, I32) => size = Some(from.count()?),
            (3, I32) => stored = Some(from.count()?),
            (4, I32) => crc = Some(from.i32()? as u32),
            (5 | 7 | 8, STRUCT) => of_kind = Some((id, Numbers::read(from)?)),
            _ => from.skip(wire, 0)?,
        }
        Ok(())
    })?;
    let (Some(kind), Some(size), Some(stored)) = (kind, size, stored) else {
        return corrupt("without its type or size");
    };
    let kind = match (kind, of_kind) {
        (0, Some((5, of))) => {
            PageKind::V1 { values: of.count(1)?, encoding: of.encoding(2)?, def: of.encoding(3)?, rep: of.encoding(4)? }
        }
        (2, Some((7, of))) => {
            PageKind::Dictionary { values: of.count(1)?, encoding: of.encoding(2)?, is_sorted: of.get(3) == Some(1) }
        }
        (3, Some((8, of))) => PageKind::V2 {
            values: of.count(1)?,
            nulls: of.count(2)?,
            rows: of.count(3)?,
            encoding: of.encoding(4)?,
            def_bytes: of.count(5)?,
            rep_bytes: of.count(6)?,
            is_compressed: of.get(7) != Some(0),
        },
        (0 | 2 | 3, _) => return corrupt("without what belongs to its type"),
        _ => PageKind::Other,
    };
    Ok(Header { kind, stored: stored as usize, size: size as usize, crc })
}

/// The numbers and booleans among the first fields of a struct.
#[derive(Default)]
struct Numbers([Option<i32>; 8]);

impl Numbers {
    fn read(from: &mut Compact<'_>) -> Parsed<Self> {
        let mut numbers = Self::default();
        from.fields(&mut |from, id, wire| {
            let number = match wire {
                TRUE => 1,
                FALSE => 0,
                I32 => from.i32()?,
                _ => return from.skip(wire, 0),
            };
            if let Some(place) = usize::try_from(id).ok().and_then(|id| numbers.0.get_mut(id)) {
                *place = Some(number);
            }
            Ok(())
        })?;
        Ok(numbers)
    }

    fn get(&self, id: usize) -> Option<i32> {
        self.0[id]
    }

    fn count(&self, id: usize) -> Parsed<u32> {
        match self.get(id).map(u32::try_from) {
            Some(Ok(count)) => Ok(count),
            _ => corrupt(format!("whose count {id} is {:?}", self.get(id))),
        }
    }

    fn encoding(&self, id: usize) -> Parsed<Encoding> {
        Ok(match self.get(id) {
            Some(0) => Encoding::PLAIN,
            Some(2) => Encoding::PLAIN_DICTIONARY,
            Some(3) => Encoding::RLE,
            #[allow(deprecated, reason = "old files have it")]
            Some(4) => Encoding::BIT_PACKED,
            Some(5) => Encoding::DELTA_BINARY_PACKED,
            Some(6) => Encoding::DELTA_LENGTH_BYTE_ARRAY,
            Some(7) => Encoding::DELTA_BYTE_ARRAY,
            Some(8) => Encoding::RLE_DICTIONARY,
            Some(9) => Encoding::BYTE_STREAM_SPLIT,
            Some(other) => return corrupt(format!("has encoding number {other}, which is not known; use another")),
            None => return corrupt("without its encoding"),
        })
    }
}

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const I32: u8 = 5;
const STRUCT: u8 = 12;
/// Structs in structs that are passed over; a header has three levels.
const MAX_DEPTH: u8 = 16;

/// Thrift's compact protocol.
struct Compact<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Compact<'_> {
    fn byte(&mut self) -> Parsed<u8> {
        let byte = self.bytes.get(self.at).ok_or(Stop::Short)?;
        self.at += 1;
        Ok(*byte)
    }

    fn varint(&mut self) -> Parsed<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        corrupt("with a number of more than ten bytes")
    }

    fn zigzag(&mut self) -> Parsed<i64> {
        let number = self.varint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn i32(&mut self) -> Parsed<i32> {
        i32::try_from(self.zigzag()?).or_else(|_| corrupt("with a number of more than 32 bits"))
    }

    fn count(&mut self) -> Parsed<u32> {
        let number = self.i32()?;
        u32::try_from(number).or_else(|_| corrupt(format!("with a size of {number}")))
    }

    /// Shows the fields of a struct to `each`, which reads them: number and type on the wire.
    fn fields(&mut self, each: &mut dyn FnMut(&mut Self, i16, u8) -> Parsed<()>) -> Parsed<()> {
        let mut id = 0_i16;
        loop {
            let byte = self.byte()?;
            let wire = byte & 0x0f;
            if wire == 0 {
                return Ok(());
            }
            id = match byte >> 4 {
                0 => i16::try_from(self.zigzag()?).or_else(|_| corrupt("with a field of no number"))?,
                more => id.saturating_add(i16::from(more)),
            };
            each(self, id, wire)?;
        }
    }

    fn skip(&mut self, wire: u8, depth: u8) -> Parsed<()> {
        if depth > MAX_DEPTH {
            return corrupt("of too many levels");
        }
        match wire {
            TRUE | FALSE => Ok(()),
            3 => self.pass(1),
            4..=6 => self.varint().map(|_| ()),
            7 => self.pass(8),
            8 => {
                let length = self.varint()?;
                self.pass(length)
            }
            9 | 10 => {
                let byte = self.byte()?;
                let count = if byte >> 4 == 15 { self.varint()? } else { u64::from(byte >> 4) };
                self.elements(byte & 0x0f, count, depth)
            }
            11 => match self.varint()? {
                0 => Ok(()),
                count => {
                    let types = self.byte()?;
                    for _ in 0..count {
                        self.elements(types >> 4, 1, depth)?;
                        self.elements(types & 0x0f, 1, depth)?;
                    }
                    Ok(())
                }
            },
            STRUCT => self.fields(&mut |from, _, wire| from.skip(wire, depth + 1)),
            _ => corrupt(format!("with a field of type {wire}")),
        }
    }

    /// Passes over elements of a list: a boolean, which is part of its field's type elsewhere, is a byte here.
    fn elements(&mut self, wire: u8, count: u64, depth: u8) -> Parsed<()> {
        if matches!(wire, TRUE | FALSE) {
            return self.pass(count);
        }
        for _ in 0..count {
            self.skip(wire, depth + 1)?;
        }
        Ok(())
    }

    fn pass(&mut self, length: u64) -> Parsed<()> {
        let left = self.bytes.len() - self.at;
        match usize::try_from(length) {
            Ok(length) if length <= left => {
                self.at += length;
                Ok(())
            }
            _ => Err(Stop::Short),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A data page of version 1 with statistics, as pyarrow writes it.
    const V1: [u8; 34] = [
        0x15, 0x00, 0x15, 0x80, 0x01, 0x15, 0x84, 0x01, 0x2c, 0x15, 0x14, 0x15, 0x10, 0x15, 0x06, 0x15, 0x06, 0x1c,
        0x36, 0x00, 0x28, 0x02, 0x01, 0x02, 0x18, 0x02, 0x03, 0x04, 0x11, 0x12, 0x00, 0x00, 0x00, 0x99,
    ];

    #[test]
    fn a_header_is_read_to_its_end_and_no_further() {
        let (found, length) = header(&V1).unwrap().unwrap();
        let kind =
            PageKind::V1 { values: 10, encoding: Encoding::RLE_DICTIONARY, def: Encoding::RLE, rep: Encoding::RLE };
        assert_eq!(found, Header { kind, stored: 66, size: 64, crc: None });
        assert_eq!(length, V1.len() - 1);
        for short in 0..length {
            assert_eq!(header(&V1[..short]).unwrap(), None, "{short} bytes");
        }
    }

    #[test]
    fn what_is_no_header_is_an_error_or_too_short() {
        assert!(header(&[0]).is_err(), "nothing is said");
        assert!(header(&[0x15, 0x00, 0x15, 0x01, 0x15, 0x02, 0x00]).is_err(), "a negative size");
        assert!(header(&[0x15, 0x00, 0x15, 0x02, 0x15, 0x02, 0x00]).is_err(), "a data page without its header");
        assert!(header(&[0x1d]).is_err(), "a type that there is not");
        assert!(header(&[0x1c; 100]).is_err(), "structs without end");
        assert!(header(&[0xff; 100]).is_err());
        let index = [0x15, 0x02, 0x15, 0x02, 0x15, 0x02, 0x2c, 0x00, 0x00];
        assert_eq!(header(&index).unwrap().unwrap().0.kind, PageKind::Other);
    }
}
