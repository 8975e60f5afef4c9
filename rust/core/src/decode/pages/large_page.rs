//! A page of byte strings that is large, as several small ones.
//!
//! Writers look at a page's size only after every thousand values or so: a page of images is as large as its row group.
//! To decode it whole takes its memory in each place where it is read. So it is decompressed as it is read, and what
//! comes is handed out as pages of half a megabyte, which decoders take for the file's own.

use std::io::{BufReader, Read};

use parquet::basic::Encoding;
use parquet::column::page::Page;
use parquet::errors::{ParquetError, Result};

use super::codec::Codec;
use super::header::{Header, PageKind};
use super::page_content::check_crc;
use super::snappy_stream::SnappyStream;
use crate::buffer_pool;
use crate::decode::dense::definition_levels;
use crate::fetch::ReadAt;

/// Pages of no fewer bytes are large.
const LARGE_BYTES: usize = 4 << 20;
/// And those of more values are not: to keep their levels would take as much.
const MOST_VALUES: usize = 1 << 24;
/// Bytes of a part, unless one value has more.
const PART_BYTES: usize = 512 << 10;
/// Bytes before the values of a part that are kept free for their levels: those of a few runs of nulls.
const HEAD: usize = 64;
/// Bytes that are read of a file at once.
const READ_BYTES: usize = 128 << 10;

/// What is left of a large page.
pub(super) struct LargePage {
    values: Box<dyn Read + Send>,
    /// Bytes of values that are to come.
    left: usize,
    /// The level of a value that is not null.
    max_def: u8,
    /// The levels of all values; empty where none can be null.
    levels: Vec<u8>,
    /// Values in all, and those that were handed out.
    count: usize,
    next: usize,
    /// The length of the next value, if it was read.
    length: Option<usize>,
}

impl LargePage {
    /// Begins to read the page that is stored from `at` on, of a column without lists; None where it is not large, or of a
    /// kind that is read whole.
    ///
    /// # Errors
    /// Bytes that cannot be read, or are not what their header says.
    pub(super) fn open(
        input: &impl ReadAt,
        at: u64,
        page: &Header,
        codec: Option<&Codec>,
        max_def: u8,
    ) -> Result<Option<Self>> {
        let (count, plain, is_packed) = match page.kind {
            PageKind::V1 { values, encoding: Encoding::PLAIN, def: Encoding::RLE, .. } => (values, None, true),
            PageKind::V2 { values, encoding: Encoding::PLAIN, def_bytes, rep_bytes: 0, is_compressed, .. } => {
                (values, Some(def_bytes as usize), is_compressed)
            }
            _ => return Ok(None),
        };
        let (codec, count, level_bytes) = (codec.filter(|_| is_packed), count as usize, plain.unwrap_or(0));
        let Some(stored) = page.stored.checked_sub(level_bytes) else { return Ok(None) };
        let size = if codec.is_none() { Some(stored) } else { page.size.checked_sub(level_bytes) };
        let Some(size) = size.filter(|&size| size >= LARGE_BYTES && count <= MOST_VALUES) else { return Ok(None) };
        if let Some(codec) = codec {
            codec.check_size(stored, size)?;
        }
        if let Some(crc) = page.crc {
            check_crc(input, at, page.stored, crc)?;
        }
        let from = input.get_read(at + level_bytes as u64)?.take(stored as u64);
        let from = BufReader::with_capacity(READ_BYTES, from);
        let mut values: Box<dyn Read + Send> = match codec {
            None => Box::new(from),
            Some(Codec::Snappy(_)) => Box::new(SnappyStream::new(from, size)?),
            Some(Codec::Zstd(_)) => Box::new(zstd::Decoder::with_buffer(from)?),
            Some(Codec::Lz4) => return Ok(None),
        };
        let (levels, left) = match (max_def, plain) {
            (0, _) => (Vec::new(), size),
            (_, Some(bytes)) => (input.get_bytes(at, bytes)?.into(), size),
            (_, None) => {
                let mut length = [0; 4];
                values.read_exact(&mut length)?;
                let length = u32::from_le_bytes(length) as usize;
                let Some(left) = size.checked_sub(4).and_then(|left| left.checked_sub(length)) else {
                    return Err(corrupt("levels that are longer than it"));
                };
                (exactly(&mut values, length)?, left)
            }
        };
        let levels = match max_def {
            0 => levels,
            _ => definition_levels(&levels, max_def, count).map_err(|error| ParquetError::General(error.0))?,
        };
        Ok(Some(Self { values, left, max_def, levels, count, next: 0, length: None }))
    }

    /// The next part, and its values; None at the end.
    pub(super) fn next(&mut self) -> Result<Option<(Page, usize)>> {
        if self.next == self.count {
            // It must hold no more than its values.
            return if self.left == 0 { Ok(None) } else { Err(corrupt("more bytes than its values take")) };
        }
        let first = self.next;
        let head = if self.max_def > 0 { HEAD } else { 0 };
        // A block of the right size from the first: one that had to grow would fit nobody after it.
        let mut bytes = Vec::new();
        while self.next < self.count {
            if self.levels.get(self.next).is_none_or(|&level| level == self.max_def) {
                let length = match self.length.take() {
                    Some(length) => length,
                    None => self.length()?,
                };
                if bytes.is_empty() {
                    bytes = buffer_pool::vec::<u8>((head + 4 + length).max(PART_BYTES));
                    bytes.resize(head, 0);
                }
                if bytes.len() > head && bytes.len() + 4 + length > PART_BYTES {
                    self.length = Some(length);
                    break;
                }
                bytes.reserve(4 + length);
                bytes.extend_from_slice(&(length as u32).to_le_bytes());
                let from = bytes.len();
                bytes.resize(from + length, 0);
                self.values.read_exact(&mut bytes[from..])?;
                self.left -= length;
            }
            self.next += 1;
        }
        let values = self.next - first;
        bytes.resize(bytes.len().max(head), 0); // where all are null
        if self.max_def > 0 {
            let levels = runs(&self.levels[first..self.next]);
            if levels.len() > HEAD - 4 {
                let more = levels.len() - (HEAD - 4);
                bytes.splice(..0, std::iter::repeat_n(0, more));
            }
            // What is behind the runs is not looked at.
            let head = HEAD.max(levels.len() + 4) - 4;
            bytes[..4].copy_from_slice(&(head as u32).to_le_bytes());
            bytes[4..4 + levels.len()].copy_from_slice(&levels);
        }
        let page = Page::DataPage {
            buf: buffer_pool::bytes(bytes),
            num_values: values as u32,
            encoding: Encoding::PLAIN,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        Ok(Some((page, values)))
    }

    /// Reads the length of the next value.
    fn length(&mut self) -> Result<usize> {
        let mut length = [0; 4];
        self.values.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        match self.left.checked_sub(4).filter(|left| length <= *left) {
            Some(left) => self.left = left,
            None => return Err(corrupt("a value that is longer than it")),
        }
        Ok(length)
    }
}

fn exactly(from: &mut impl Read, length: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if from.take(length as u64).read_to_end(&mut bytes)? < length {
        return Err(corrupt("levels that end early"));
    }
    Ok(bytes)
}

/// Levels as runs of equal ones, as pages have them.
fn runs(levels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for run in levels.chunk_by(|one, other| one == other) {
        let mut header = run.len() << 1;
        while header >= 0x80 {
            bytes.push(header as u8 | 0x80);
            header >>= 7;
        }
        bytes.extend([header as u8, run[0]]);
    }
    bytes
}

fn corrupt(what: &str) -> ParquetError {
    ParquetError::General(format!("a page of {what}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, BinaryArray};
    use bytes::Bytes;
    use parquet::basic::{Compression, ZstdLevel};
    use parquet::column::page::PageReader;
    use parquet::file::metadata::ParquetMetaDataReader;
    use parquet::file::properties::WriterProperties;
    use proptest::prelude::*;

    use super::*;
    use crate::decode::pages::pages;
    use crate::decode::pages::tests::one_column;

    /// A file with one column of one page.
    fn file(values: &ArrayRef, compression: Compression, v2: bool) -> Bytes {
        let properties = WriterProperties::builder()
            .set_dictionary_enabled(false)
            .set_encoding(Encoding::PLAIN)
            .set_data_page_size_limit(1 << 30);
        one_column(values.clone(), properties, compression, v2)
    }

    /// The values of all pages, by the parquet crate's own decoder.
    fn read(file: &Bytes, skipped: usize) -> (Vec<Option<Vec<u8>>>, usize) {
        let metadata = ParquetMetaDataReader::new().parse_and_finish(file).unwrap();
        let chunk = metadata.row_group(0).column(0);
        let rows = metadata.row_group(0).num_rows() as usize;
        let open = || pages(file.clone(), chunk, rows, None, None, None, true).unwrap();
        let mut all = open();
        let largest = std::iter::from_fn(|| all.get_next_page().unwrap()).map(|page| page.buffer().len()).max();
        let pages: Box<dyn PageReader> = open();
        let mut reader = parquet::column::reader::ColumnReaderImpl::<parquet::data_type::ByteArrayType>::new(
            chunk.column_descr_ptr(),
            pages,
        );
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        reader.skip_records(skipped).unwrap();
        reader.read_records(rows - skipped, Some(&mut levels), None, &mut values).unwrap();
        // Without a null in it, the column has no levels.
        levels.resize(rows - skipped, 1);
        let mut values = values.into_iter().map(|value| value.data().to_vec());
        (levels.into_iter().map(|level| if level == 1 { values.next() } else { None }).collect(), largest.unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn a_large_page_is_the_same_in_parts(
            sizes in proptest::collection::vec(
                proptest::option::weighted(0.9, prop_oneof![0_usize..100, 300_000_usize..700_000]), 12..60),
            codec in 0_usize..3, v2: bool, skipped in 0.0..1.0_f64,
        ) {
            let of = |(row, size): (usize, &Option<usize>)| {
                size.map(|size| (0..size).map(|i| ((i * (row + 1)) >> (row % 9)) as u8).collect::<Vec<u8>>())
            };
            let mut expected: Vec<Option<Vec<u8>>> = sizes.iter().enumerate().map(of).collect();
            expected.push(Some(vec![7; LARGE_BYTES]));
            let values: ArrayRef = Arc::new(BinaryArray::from_iter(expected.iter()));
            let compression = [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(ZstdLevel::default())];
            let file = file(&values, compression[codec], v2);
            let skipped = (skipped * expected.len() as f64) as usize;
            let (found, largest) = read(&file, skipped);
            prop_assert!(found == expected[skipped..]);
            prop_assert!(largest <= LARGE_BYTES + HEAD + 4 + PART_BYTES, "{largest}");
        }
    }

    /// What a header claims is not made room for.
    #[test]
    fn a_few_bytes_cannot_ask_for_gigabytes() {
        let codec = || Codec::of(Compression::SNAPPY).unwrap().flatten().unwrap();
        let bytes = Bytes::from(vec![0; 1 << 10]);
        let page = |size, values| Header {
            kind: PageKind::V1 { values, encoding: Encoding::PLAIN, def: Encoding::RLE, rep: Encoding::RLE },
            stored: bytes.len(),
            size,
            crc: None,
        };
        let open = |page: &Header, codec: Option<&Codec>| LargePage::open(&bytes, 0, page, codec, 1);
        assert!(open(&page(1 << 31, 1), Some(&codec())).err().unwrap().to_string().contains("cannot have become"));
        assert!(open(&page(1 << 31, 1), None).unwrap().is_none(), "as large as it is stored");
        assert!(open(&page(1 << 31, u32::MAX), Some(&codec())).unwrap().is_none());
    }
}
