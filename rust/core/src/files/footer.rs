//! A file's footer: read by position, parsed and checked.

use std::{
    borrow::Cow,
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    sync::Arc,
};

use arrow_schema::SchemaRef;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use xxhash_rust::xxh3::xxh3_64;

use super::footer_precheck;
use super::schema_cache::{self, StatisticsKept};
use crate::descriptors::open_file;
use crate::{Error, Result};

pub(super) const MAGIC: &[u8; 4] = b"PAR1";
const ENCRYPTED: &[u8; 4] = b"PARE";
/// The footer's length and the magic, at a file's end.
pub(super) const TAIL: u64 = 8;
/// What is read of a file's end before its footer's length is known.
const GUESS: usize = 8 * 1024;

/// Room for a file's end: to ask the allocator for so much takes longer than to read it.
pub type Tail = [u8; GUESS];

/// Nothing read yet.
pub const fn no_tail() -> Tail {
    [0; GUESS]
}

/// A parsed footer.
#[derive(Debug, Clone)]
pub struct Footer {
    /// What the footer says, checked: see [`parse`].
    pub metadata: Arc<ParquetMetaData>,
    /// The file's Arrow schema, hints of the writer taken in, as `parquet`'s own readers see it.
    pub schema: SchemaRef,
    /// See [`hash`].
    pub hash: u64,
    /// The file's size in bytes.
    pub size: u64,
}

/// Reads a file's footer.
pub fn read(path: &str) -> Result<Footer> {
    // Before it is opened: opening a pipe would wait for a writer.
    regular(path, &fs::metadata(path).map_err(|e| Error::io(path, &e))?)?;
    let file = open_file(path).map_err(|e| Error::io(path, &e))?;
    let size = size_of(path, &file.metadata().map_err(|e| Error::io(path, &e))?)?;
    let mut tail = no_tail();
    let bytes = read_bytes(path, &file, size, &mut tail, || read_range(path, &file, 0, size.min(4)))?;
    parse(path, &bytes, size)
}

/// The size of a file of which this is known, if it is a regular one.
pub fn size_of(path: &str, metadata: &fs::Metadata) -> Result<u64> {
    regular(path, metadata).map(|()| metadata.len())
}

/// The bytes of the footer of a file that was planned, of its size then; how it begins was seen then.
pub fn read_planned<'a>(path: &str, file: &File, size: u64, tail: &'a mut Tail) -> Result<Cow<'a, [u8]>> {
    read_bytes(path, file, size, tail, || Ok(MAGIC.to_vec()))
}

/// The bytes of the footer of a file that is open; `start` gives its first four.
fn read_bytes<'a>(
    path: &str,
    file: &File,
    size: u64,
    tail: &'a mut Tail,
    start: impl FnOnce() -> Result<Vec<u8>>,
) -> Result<Cow<'a, [u8]>> {
    let guess = size.min(GUESS as u64);
    let tail = &mut tail[..guess as usize];
    file.read_exact_at(tail, size - guess).map_err(|e| unread(path, &e))?;
    let length = footer_length(path, tail, size, start)?;
    let needed = length + TAIL;
    match guess.checked_sub(needed) {
        Some(before) => Ok(Cow::Borrowed(&tail[before as usize..(guess - TAIL) as usize])),
        None => read_range(path, file, size - needed, length).map(Cow::Owned),
    }
}

/// The hash that a footer is known by: XXH3-64 of its bytes, without the 8 bytes after it.
pub fn hash(footer_bytes: &[u8]) -> u64 {
    xxh3_64(footer_bytes)
}

fn regular(path: &str, metadata: &fs::Metadata) -> Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(Error::corrupt(path, "not a regular file, so not Parquet; leave it out of the paths"))
}

/// The footer's length, or what is wrong with a file whose end does not tell it; `start` gives its first four bytes.
pub(super) fn footer_length(
    path: &str,
    tail: &[u8],
    size: u64,
    start: impl FnOnce() -> Result<Vec<u8>>,
) -> Result<u64> {
    if size == 0 {
        return Err(Error::corrupt(
            path,
            "the file is empty (0 bytes), so not Parquet; write it again or leave it out",
        ));
    }
    let Some((_, end)) = tail.split_last_chunk::<8>() else {
        return Err(Error::corrupt(path, format!("not a Parquet file: it has only {size} bytes; leave it out")));
    };
    let [a, b, c, d, magic @ ..] = *end;
    if &magic == ENCRYPTED {
        let detail = "the footer is encrypted, and shardline cannot decrypt; write the file without encryption";
        return Err(Error::corrupt(path, detail));
    }
    let start = start()?;
    let begins = start == MAGIC;
    if &magic != MAGIC || !begins {
        let detail = if begins || start == ENCRYPTED {
            format!(
                "the file is truncated: it begins as Parquet but has no footer at its end (after {size} bytes); \
                 its writer or a copy did not finish: write or copy it again"
            )
        } else if &magic == MAGIC {
            "the file is corrupt: it ends as Parquet and does not begin so; write or copy it again".to_owned()
        } else {
            "not a Parquet file: it does not begin or end with PAR1; leave it out, or give a glob such as *.parquet"
                .to_owned()
        };
        return Err(Error::corrupt(path, detail));
    }
    let length = u64::from(u32::from_le_bytes([a, b, c, d]));
    // The magic stands at the start too.
    if length + TAIL + 4 > size {
        let detail = format!(
            "the file is truncated or corrupt: it has {size} bytes and its footer should have {length}; \
             write or copy it again"
        );
        return Err(Error::corrupt(path, detail));
    }
    Ok(length)
}

fn read_range(path: &str, file: &File, start: u64, length: u64) -> Result<Vec<u8>> {
    let length = usize::try_from(length).map_err(|_| Error::internal("a footer larger than memory"))?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| unread(path, &io::Error::from(io::ErrorKind::OutOfMemory)))?;
    bytes.resize(length, 0);
    file.read_exact_at(&mut bytes, start).map_err(|e| unread(path, &e))?;
    Ok(bytes)
}

fn unread(path: &str, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            Error::Changed { path: path.to_owned(), detail: "the file shrank while it was read; try again".to_owned() }
        }
        _ => Error::io(path, error),
    }
}

/// Parses a footer's bytes (Thrift, without the 8 bytes after it) as that of a file of `file_size` bytes.
///
/// What a reader would trust without looking is checked here: row counts add up, and every column chunk lies in the
/// file before its footer. Any bytes give a footer or an error, never a panic.
pub fn parse(path: &str, footer_bytes: &[u8], file_size: u64) -> Result<Footer> {
    let bad =
        |what: String| Error::corrupt(path, format!("the footer is corrupt: {what}; write or copy the file again"));
    let seen = footer_precheck::precheck(footer_bytes).map_err(|what| bad(what.to_owned()))?;
    if seen.encrypted {
        let detail = "its columns are encrypted, and shardline cannot decrypt; write the file without encryption";
        return Err(Error::corrupt(path, detail));
    }
    let (metadata, schema) = schema_cache::decode(footer_bytes, &seen, StatisticsKept::ValuesAndSizes).map_err(bad)?;
    let data_end = file_size
        .checked_sub(TAIL + footer_bytes.len() as u64)
        .ok_or_else(|| bad(format!("it is larger than the file ({file_size} bytes)")))?;
    check(&metadata, data_end).map_err(bad)?;
    Ok(Footer { schema, metadata: Arc::new(metadata), hash: hash(footer_bytes), size: file_size })
}

fn check(metadata: &ParquetMetaData, data_end: u64) -> Result<(), String> {
    let mut rows = 0_u64;
    for (index, group) in metadata.row_groups().iter().enumerate() {
        let of_group = check_group(group, data_end).map_err(|what| format!("row group {index}: {what}"))?;
        rows = rows.checked_add(of_group).ok_or("more rows than can be counted")?;
    }
    let said = metadata.file_metadata().num_rows();
    // Some writers leave it at 0, and no reader needs it.
    if said != 0 && u64::try_from(said) != Ok(rows) {
        return Err(format!("it counts {said} rows, and its row groups {rows}"));
    }
    Ok(())
}

fn check_group(group: &RowGroupMetaData, data_end: u64) -> Result<u64, String> {
    let rows = unsigned("rows", group.num_rows())?;
    unsigned("bytes", group.total_byte_size())?;
    for column in group.columns() {
        check_chunk(column, rows, data_end).map_err(|what| format!("column {}: {what}", column.column_path()))?;
    }
    Ok(rows)
}

fn check_chunk(column: &ColumnChunkMetaData, rows: u64, data_end: u64) -> Result<(), String> {
    if let Some(other) = column.file_path().filter(|other| !other.is_empty()) {
        return Err(format!("its data stand in another file ({other}), which is not supported"));
    }
    let values = unsigned("values", column.num_values())?;
    let size = unsigned("compressed bytes", column.compressed_size())?;
    unsigned("uncompressed bytes", column.uncompressed_size())?;
    let data = unsigned("data page offset", column.data_page_offset())?;
    let dictionary = column.dictionary_page_offset().map(|at| unsigned("dictionary page offset", at)).transpose()?;
    let start = dictionary.unwrap_or(data);
    if start.checked_add(size).is_none_or(|end| end > data_end) {
        return Err(format!("{size} bytes from {start} do not lie in the file's {data_end} bytes of data"));
    }
    // Every row has a value, a null or an empty list in every leaf, and a page has less than 2³¹ of them.
    if values < rows || u128::from(rows) > u128::from(size) << 31 {
        return Err(format!("{values} values in {size} bytes cannot make {rows} rows"));
    }
    Ok(())
}

fn unsigned(what: &str, value: i64) -> Result<u64, String> {
    u64::try_from(value).map_err(|_| format!("{what}: {value} is negative"))
}

#[cfg(test)]
#[path = "footer_tests.rs"]
mod tests;
