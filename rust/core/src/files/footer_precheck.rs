//! A check of a footer's Thrift before it is parsed, for what the parser takes on trust or ignores.
//!
//! `parquet` (60.1) reserves memory for as many children as a schema element claims to have, up to 2³¹, and descends
//! into them by recursion: a few flipped bits could end the process, and that is not an error that can be caught. This
//! walks the schema's elements and looks at nothing but their numbers of children. It also sees whether columns are
//! encrypted under a plain footer, which the parser, built without decryption, does not say.

/// How deep a schema may nest. Writers stay far below; Arrow's schema format, which plans are saved with, is verified
/// to 62.
const MAX_DEPTH: usize = 60;
/// How deep Thrift structs may nest in what is skipped.
const MAX_SKIP: u32 = 32;

type Found<T> = Result<T, &'static str>;

/// What was seen in a footer.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct FooterFacts {
    /// Whether the file's columns are encrypted.
    pub(super) encrypted: bool,
    /// Where the schema ends; 0 where there is none.
    pub(super) schema_end: usize,
}

/// Checks that the one schema in a footer is a tree whose elements' children exist, nested no deeper than is read
/// safely.
pub(crate) fn precheck(footer: &[u8]) -> Found<FooterFacts> {
    let mut input = CompactProtocol(footer);
    let mut last = 0;
    let mut seen = FooterFacts::default();
    while let Some((id, kind)) = input.field(&mut last)? {
        if id == 2 {
            if seen.schema_end > 0 {
                return Err("it has two schemas");
            }
            if kind != LIST {
                return Err("its schema is not a list");
            }
            let (count, element) = input.list()?;
            if element != STRUCT && count > 0 {
                return Err("its schema is not a list of elements");
            }
            check_elements(&mut input, count)?;
            seen.schema_end = footer.len() - input.0.len();
        } else {
            seen.encrypted |= id == 8;
            input.skip(kind, MAX_SKIP)?;
        }
    }
    Ok(seen)
}

fn check_elements(input: &mut CompactProtocol<'_>, count: u64) -> Found<()> {
    // The children still to come at each depth.
    let mut open: Vec<u64> = Vec::new();
    for index in 0..count {
        while open.last() == Some(&0) {
            open.pop();
        }
        if let Some(left) = open.last_mut() {
            *left -= 1;
        }
        let mut children = 0;
        let mut last = 0;
        while let Some((id, kind)) = input.field(&mut last)? {
            // The parser takes a field for what its number says, whatever its type is said to be.
            if known_kind(id).is_some_and(|known| known != kind) {
                return Err("its schema has a field of another type than Parquet's");
            }
            if id == 5 {
                children = input.zigzag()?;
            } else {
                input.skip(kind, MAX_SKIP)?;
            }
        }
        let children = u64::try_from(children).map_err(|_| "its schema has a negative number of children")?;
        if children > count - index - 1 {
            return Err("its schema has fewer elements than it says");
        }
        if children > 0 {
            open.push(children);
        }
        if open.len() > MAX_DEPTH {
            return Err("its schema nests too deep");
        }
    }
    Ok(())
}

/// The type of a schema element's field.
fn known_kind(id: i16) -> Option<u8> {
    match id {
        4 => Some(BINARY),
        1..=9 => Some(I32),
        10 => Some(STRUCT),
        _ => None,
    }
}

const I32: u8 = 5;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// Thrift's compact protocol.
struct CompactProtocol<'a>(&'a [u8]);

impl CompactProtocol<'_> {
    fn byte(&mut self) -> Found<u8> {
        let (&first, rest) = self.0.split_first().ok_or("it ends too early")?;
        self.0 = rest;
        Ok(first)
    }

    fn pass(&mut self, bytes: u64) -> Found<()> {
        let rest = usize::try_from(bytes).ok().and_then(|bytes| self.0.get(bytes..));
        self.0 = rest.ok_or("it ends too early")?;
        Ok(())
    }

    fn varint(&mut self) -> Found<u64> {
        if let Some((&only, rest)) = self.0.split_first()
            && only < 0x80
        {
            self.0 = rest;
            return Ok(u64::from(only));
        }
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number in it has no end")
    }

    fn pass_varint(&mut self) -> Found<()> {
        let last = self.0.iter().take(10).position(|&byte| byte < 0x80).ok_or("a number in it has no end")?;
        self.0 = &self.0[last + 1..];
        Ok(())
    }

    fn zigzag(&mut self) -> Found<i64> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// The next field's number and type; `None` at the struct's end.
    fn field(&mut self, last: &mut i16) -> Found<Option<(i16, u8)>> {
        let header = self.byte()?;
        if header & 0xf == 0 {
            return Ok(None);
        }
        let id = match header >> 4 {
            0 => i16::try_from(self.zigzag()?).map_err(|_| "a field number in it is out of range")?,
            delta => last.checked_add(i16::from(delta)).ok_or("a field number in it is out of range")?,
        };
        *last = id;
        Ok(Some((id, header & 0xf)))
    }

    /// A list's length and the type of its elements.
    fn list(&mut self) -> Found<(u64, u8)> {
        let header = self.byte()?;
        let count = match header >> 4 {
            15 => self.varint()?,
            short => u64::from(short),
        };
        // Every element has a byte at least.
        if count > self.0.len() as u64 {
            return Err("a list in it is longer than the footer");
        }
        Ok((count, header & 0xf))
    }

    fn skip(&mut self, kind: u8, depth: u32) -> Found<()> {
        let depth = depth.checked_sub(1).ok_or("it nests too deep")?;
        match kind {
            1 | 2 => Ok(()),
            3 => self.pass(1),
            4..=6 => self.pass_varint(),
            7 => self.pass(8),
            BINARY => {
                let length = self.varint()?;
                self.pass(length)
            }
            LIST | 10 => {
                let (count, element) = self.list()?;
                for _ in 0..count {
                    self.skip_element(element, depth)?;
                }
                Ok(())
            }
            11 => {
                let count = self.varint()?;
                let kinds = if count > 0 { self.byte()? } else { 0 };
                for _ in 0..count {
                    self.skip_element(kinds >> 4, depth)?;
                    self.skip_element(kinds & 0xf, depth)?;
                }
                Ok(())
            }
            STRUCT => {
                let mut last = 0;
                while let Some((_, kind)) = self.field(&mut last)? {
                    self.skip(kind, depth)?;
                }
                Ok(())
            }
            13 => self.pass(16),
            _ => Err("a field in it has no known type"),
        }
    }

    /// In a collection a bool takes a byte; as a field it stands in the header.
    fn skip_element(&mut self, kind: u8, depth: u32) -> Found<()> {
        if matches!(kind, 1 | 2) { self.pass(1) } else { self.skip(kind, depth) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A footer with one field: a schema of elements with these numbers of children.
    fn schema(children: &[i64]) -> Vec<u8> {
        let mut bytes = vec![0x29, 0xfc];
        let varint = |bytes: &mut Vec<u8>, mut value: u64| {
            while value >= 0x80 {
                bytes.push(value as u8 | 0x80);
                value >>= 7;
            }
            bytes.push(value as u8);
        };
        varint(&mut bytes, children.len() as u64);
        for &children in children {
            bytes.push(0x55);
            varint(&mut bytes, ((children << 1) ^ (children >> 63)).cast_unsigned());
            bytes.push(0);
        }
        bytes.push(0);
        bytes
    }

    #[test]
    fn shapes() {
        let plain = |bytes: &[u8]| FooterFacts { schema_end: bytes.len() - 1, encrypted: false };
        for children in [&[2, 0, 1, 0], [].as_slice()] {
            assert_eq!(precheck(&schema(children)), Ok(plain(&schema(children))));
        }
        assert!(precheck(&schema(&[2, 0])).is_err());
        assert!(precheck(&schema(&[i64::from(i32::MAX)])).is_err());
        assert!(precheck(&schema(&[-1])).is_err());
        assert!(precheck(&schema(&[1; 100])).is_err());
        // Another type, or another field: a name that is a number.
        for header in [0x56, 0x45] {
            let other: Vec<u8> = schema(&[2, 0]).iter().map(|&b| if b == 0x55 { header } else { b }).collect();
            assert_eq!(precheck(&other), Err("its schema has a field of another type than Parquet's"));
        }
        let deep: Vec<i64> = (0..100_000).map(|i| i64::from(i < 99_999)).collect();
        assert_eq!(precheck(&schema(&deep)), Err("its schema nests too deep"));
        let wide: Vec<i64> = (0..100_000).map(|i| if i == 0 { 99_999 } else { 0 }).collect();
        assert_eq!(precheck(&schema(&wide)), Ok(plain(&schema(&wide))));
        assert!(precheck(&[]).is_err());
    }
}
