//! A footer that `parquet` refuses, made one that it reads, where what is wrong says nothing about the data.
//!
//! Other readers take such footers: statistics that are damaged, annotations of columns that came after this reader or
//! lack a number which has a default, codecs and encodings that it does not know. The Thrift structs are read into a
//! tree, mended, and written again. What cannot be decoded for it is named, for the columns concerned only.

/// A Thrift value, with the type that it has in a list or as a field.
#[derive(Debug, Clone, PartialEq)]
enum Value<'a> {
    Bool(bool),
    Byte(u8),
    /// i16, i32 and i64.
    Int(u8, i64),
    Double(&'a [u8]),
    Binary(&'a [u8]),
    /// A list or a set, and the type of its items.
    List(u8, u8, Vec<Value<'a>>),
    /// The types of keys and values.
    Map(u8, Vec<(Value<'a>, Value<'a>)>),
    Struct(Vec<(i16, Value<'a>)>),
    Uuid(&'a [u8]),
}

use Value::{Int, List, Struct};

const I32: u8 = 5;
const DECIMAL: i64 = 5;
/// Converted types are below this.
const CONVERTED_TYPES: i64 = 22;
/// Codecs are below this.
const CODECS: i64 = 8;
/// How deep structs nest in footers that passed the precheck.
const MAX_DEPTH: u32 = 32;

/// A footer that may be read, and for some leaves what of them is not supported.
pub(super) struct Repaired {
    pub(super) footer: Vec<u8>,
    pub(super) unsupported: Vec<(usize, String)>,
}

/// The footer mended; None where it is not Thrift.
pub(super) fn repair(footer: &[u8]) -> Option<Repaired> {
    let mut rest = footer;
    let Struct(mut file) = read(&mut rest, 12, MAX_DEPTH)? else { return None };
    // Bytes after its end are of a footer that was damaged.
    if !rest.is_empty() {
        return None;
    }
    // The order of columns is about statistics only.
    file.retain(|(id, _)| *id != 7);
    let mut unsupported = Vec::new();
    for (id, value) in &mut file {
        match (id, value) {
            (2, List(_, _, elements)) => elements.iter_mut().for_each(mend_element),
            (4, List(_, _, groups)) => groups.iter_mut().for_each(|group| mend_group(group, &mut unsupported)),
            _ => {}
        }
    }
    unsupported.sort();
    unsupported.dedup_by_key(|(leaf, _)| *leaf);
    let mut out = Vec::with_capacity(footer.len());
    write(&Struct(file), &mut out);
    Some(Repaired { footer: out, unsupported })
}

/// A schema element: converted types that are not known are left out, and a decimal has a scale.
fn mend_element(element: &mut Value<'_>) {
    let Struct(fields) = element else { return };
    fields.retain(|field| !matches!(field, (6, Int(_, kind)) if !(0..CONVERTED_TYPES).contains(kind)));
    let has = |fields: &[(i16, Value<'_>)], of: i16| fields.iter().any(|(id, _)| *id == of);
    let is_decimal = fields.iter().any(|field| matches!(field, (6, Int(_, DECIMAL))));
    if is_decimal && has(fields, 8) && !has(fields, 7) {
        put(fields, 7, Int(I32, 0));
    } else if is_decimal && !has(fields, 8) {
        // Of no precision: its integers or bytes.
        fields.retain(|(id, _)| *id != 6);
    }
    for (id, logical) in fields {
        if let (10, Struct(union)) = (id, logical)
            && let [(DECIMAL_TYPE, Struct(decimal))] = union.as_mut_slice()
            && has(decimal, 2)
            && !has(decimal, 1)
        {
            put(decimal, 1, Int(I32, 0));
        }
    }
}

/// The number of decimals among logical types.
const DECIMAL_TYPE: i16 = 5;

fn put<'a>(fields: &mut Vec<(i16, Value<'a>)>, id: i16, value: Value<'a>) {
    let at = fields.iter().position(|(other, _)| *other > id).unwrap_or(fields.len());
    fields.insert(at, (id, value));
}

/// A row group: statistics of its columns are left out, and so are codecs and encodings that are not known.
fn mend_group(group: &mut Value<'_>, unsupported: &mut Vec<(usize, String)>) {
    let Struct(fields) = group else { return };
    let columns = fields.iter_mut().find(|(id, _)| *id == 1);
    let Some((_, List(_, _, columns))) = columns else { return };
    for (leaf, column) in columns.iter_mut().enumerate() {
        let Struct(column) = column else { continue };
        let Some((_, Struct(chunk))) = column.iter_mut().find(|(id, _)| *id == 3) else { continue };
        chunk.retain(|(id, _)| !matches!(id, 12 | 13 | 16 | 17));
        for (id, value) in chunk {
            match (id, value) {
                (4, Int(_, codec)) if !(0..CODECS).contains(codec) => {
                    unsupported.push((leaf, format!("its codec has the number {codec}, which is not known")));
                    *codec = 0;
                }
                (2, List(_, _, encodings)) => {
                    let known = |value: &Value<'_>| matches!(value, Int(_, 0 | 2..=9));
                    if let Some(Int(_, other)) = encodings.iter().find(|value| !known(value)) {
                        unsupported.push((leaf, format!("its encoding has the number {other}, which is not known")));
                    }
                    encodings.retain(known);
                }
                _ => {}
            }
        }
    }
}

fn take<'a>(input: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = input.split_at_checked(length)?;
    *input = rest;
    Some(taken)
}

fn byte(input: &mut &[u8]) -> Option<u8> {
    take(input, 1).map(|byte| byte[0])
}

fn varint(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = byte(input)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn zigzag(input: &mut &[u8]) -> Option<i64> {
    let value = varint(input)?;
    Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

/// Bools of fields are in their type.
fn read<'a>(input: &mut &'a [u8], kind: u8, depth: u32) -> Option<Value<'a>> {
    let depth = depth.checked_sub(1)?;
    let item = |input: &mut &'a [u8], kind: u8| match kind {
        1 | 2 => byte(input).map(|byte| Value::Bool(byte == 1)),
        kind => read(input, kind, depth),
    };
    Some(match kind {
        1 | 2 => Value::Bool(kind == 1),
        3 => Value::Byte(byte(input)?),
        4..=6 => Int(kind, zigzag(input)?),
        7 => Value::Double(take(input, 8)?),
        8 => {
            let length = usize::try_from(varint(input)?).ok()?;
            Value::Binary(take(input, length)?)
        }
        9 | 10 => {
            let header = byte(input)?;
            let count = if header >> 4 == 15 { varint(input)? } else { u64::from(header >> 4) };
            // Every item has a byte at least.
            let count = usize::try_from(count).ok().filter(|count| *count <= input.len())?;
            let items = (0..count).map(|_| item(input, header & 0xf)).collect::<Option<_>>()?;
            List(kind, header & 0xf, items)
        }
        11 => {
            let count = usize::try_from(varint(input)?).ok().filter(|count| *count <= input.len())?;
            let kinds = if count > 0 { byte(input)? } else { 0 };
            let pair = |_| Some((item(input, kinds >> 4)?, item(input, kinds & 0xf)?));
            Value::Map(kinds, (0..count).map(pair).collect::<Option<_>>()?)
        }
        12 => {
            let (mut fields, mut last) = (Vec::new(), 0_i16);
            loop {
                let header = byte(input)?;
                if header & 0xf == 0 {
                    break Struct(fields);
                }
                last = match header >> 4 {
                    0 => i16::try_from(zigzag(input)?).ok()?,
                    delta => last.checked_add(i16::from(delta))?,
                };
                fields.push((last, read(input, header & 0xf, depth)?));
            }
        }
        13 => Value::Uuid(take(input, 16)?),
        _ => return None,
    })
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_zigzag(value: i64, out: &mut Vec<u8>) {
    put_varint(((value << 1) ^ (value >> 63)).cast_unsigned(), out);
}

fn kind_of(value: &Value<'_>) -> u8 {
    match value {
        Value::Bool(true) => 1,
        Value::Bool(false) => 2,
        Value::Byte(_) => 3,
        Int(kind, _) | List(kind, ..) => *kind,
        Value::Double(_) => 7,
        Value::Binary(_) => 8,
        Value::Map(..) => 11,
        Struct(_) => 12,
        Value::Uuid(_) => 13,
    }
}

fn write(value: &Value<'_>, out: &mut Vec<u8>) {
    fn item(value: &Value<'_>, out: &mut Vec<u8>) {
        match value {
            Value::Bool(value) => out.push(if *value { 1 } else { 2 }),
            value => write(value, out),
        }
    }
    match value {
        Value::Bool(_) => {}
        Value::Byte(byte) => out.push(*byte),
        Int(_, value) => put_zigzag(*value, out),
        Value::Double(bytes) | Value::Uuid(bytes) => out.extend_from_slice(bytes),
        Value::Binary(bytes) => {
            put_varint(bytes.len() as u64, out);
            out.extend_from_slice(bytes);
        }
        List(_, kind, items) => {
            match u8::try_from(items.len()) {
                Ok(count @ ..15) => out.push(count << 4 | kind),
                _ => {
                    out.push(0xf0 | kind);
                    put_varint(items.len() as u64, out);
                }
            }
            items.iter().for_each(|value| item(value, out));
        }
        Value::Map(kinds, pairs) => {
            put_varint(pairs.len() as u64, out);
            if !pairs.is_empty() {
                out.push(*kinds);
            }
            for (key, value) in pairs {
                item(key, out);
                item(value, out);
            }
        }
        Struct(fields) => {
            let mut last = 0_i16;
            for (id, value) in fields {
                match u8::try_from(i32::from(*id) - i32::from(last)) {
                    Ok(delta @ 1..=15) => out.push(delta << 4 | kind_of(value)),
                    _ => {
                        out.push(kind_of(value));
                        put_zigzag(i64::from(*id), out);
                    }
                }
                last = *id;
                write(value, out);
            }
            out.push(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_again() {
        let long = Struct((0..20).map(|id| (id * 9, Value::Binary(b"x"))).collect());
        let of = Struct(vec![
            (1, Value::Bool(true)),
            (2, Value::Bool(false)),
            (3, Int(6, i64::MIN)),
            (40, List(9, 1, vec![Value::Bool(true), Value::Bool(false)])),
            (41, List(10, 5, (0..20).map(|i| Int(5, i)).collect())),
            (42, Value::Map(0x85, vec![(Value::Binary(b"k"), Int(5, -1))])),
            (43, long),
            (44, Value::Double(&[7; 8])),
            (45, Value::Byte(9)),
        ]);
        let mut out = Vec::new();
        write(&of, &mut out);
        assert_eq!(read(&mut out.as_slice(), 12, MAX_DEPTH), Some(of));
        for length in 0..out.len() {
            assert_eq!(read(&mut &out[..length], 12, MAX_DEPTH), None);
        }
    }

    #[test]
    fn elements_and_chunks_are_mended() {
        let mut decimal = Struct(vec![(1, Int(5, 1)), (6, Int(5, 5)), (8, Int(5, 9))]);
        mend_element(&mut decimal);
        assert_eq!(decimal, Struct(vec![(1, Int(5, 1)), (6, Int(5, 5)), (7, Int(5, 0)), (8, Int(5, 9))]));
        let mut unknown = Struct(vec![(6, Int(5, 24)), (9, Int(5, 1))]);
        mend_element(&mut unknown);
        assert_eq!(unknown, Struct(vec![(9, Int(5, 1))]));
        let chunk = Struct(vec![(2, List(9, 5, vec![Int(5, 0), Int(5, 42)])), (4, Int(5, 16)), (12, Struct(vec![]))]);
        let mut group = Struct(vec![(1, List(9, 12, vec![Struct(vec![(3, chunk)])]))]);
        let mut found = Vec::new();
        mend_group(&mut group, &mut found);
        let chunk = Struct(vec![(2, List(9, 5, vec![Int(5, 0)])), (4, Int(5, 0))]);
        assert_eq!(group, Struct(vec![(1, List(9, 12, vec![Struct(vec![(3, chunk)])]))]));
        assert_eq!(found.iter().map(|(leaf, _)| *leaf).collect::<Vec<_>>(), [0, 0]);
    }
}
