//! A data page, version 1 or 2, cut into its sections.

use std::mem::MaybeUninit;

use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageReader};
use parquet::file::reader::ChunkReader;
use parquet::file::serialized_reader::SerializedPageReader;

use super::error::{Result, corrupt};
use super::levels::Levels;
use crate::fetch::ReadAt;

/// Pages, of which plain values may be left where they are stored.
pub trait DensePages: PageReader {
    /// The next page, perhaps without its values: then these are told apart, and follow what the page holds.
    ///
    /// # Errors
    /// Those of [`PageReader::get_next_page`].
    fn next_dense(&mut self) -> parquet::errors::Result<Option<(Page, Option<StoredValues>)>> {
        Ok(self.get_next_page()?.map(|page| (page, None)))
    }
}

impl<R: ChunkReader> DensePages for SerializedPageReader<R> {}

type Fill = dyn Fn(u64, &mut [MaybeUninit<u8>]) -> parquet::errors::Result<()> + Send;

/// Values that are read from where they are stored straight to where they are used.
pub struct StoredValues {
    /// The `fill` of a [`ReadAt`], and of nothing else: where it gives no error, it has filled all.
    fill: Box<Fill>,
    at: u64,
    left: usize,
}

impl StoredValues {
    /// The `length` bytes of an input from `at` on.
    ///
    /// Memory is initialised on the input's word, which is why it has to be a [`ReadAt`], an unsafe trait. Safe code
    /// cannot pass a function that fills nothing:
    ///
    /// ```compile_fail,E0277
    /// # use std::mem::MaybeUninit;
    /// # use shardline_core::decode::dense::StoredValues;
    /// let fills_nothing = |_at: u64, _into: &mut [MaybeUninit<u8>]| -> parquet::errors::Result<()> { Ok(()) };
    /// StoredValues::new(fills_nothing, 0, 8).load();
    /// ```
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use shardline_core::decode::dense::StoredValues;
    /// let stored = StoredValues::new(Bytes::from_static(b"PAR1values"), 4, 6);
    /// assert_eq!(stored.load().unwrap(), b"values".as_slice());
    /// ```
    pub fn new(input: impl ReadAt + Send, at: u64, length: usize) -> Self {
        Self { fill: Box::new(move |at, into| input.fill(at, into)), at, left: length }
    }

    /// How many are left.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Passes over so many of them, which are left.
    pub(super) fn skip(&mut self, length: usize) {
        self.at += length as u64;
        self.left -= length;
    }

    /// Fills all of `into` where it gives no error. `into` must not be longer than what is left.
    pub(super) fn take(&mut self, into: &mut [MaybeUninit<u8>]) -> Result<()> {
        (self.fill)(self.at, into)?;
        self.skip(into.len());
        Ok(())
    }

    /// All that is left.
    ///
    /// # Errors
    /// Bytes that cannot be read.
    pub fn load(mut self) -> Result<Bytes> {
        let mut bytes = crate::buffer_pool::vec::<u8>(self.left);
        bytes.reserve_exact(self.left);
        let length = self.left;
        self.take(&mut bytes.spare_capacity_mut()[..length])?;
        // SAFETY: `take` had so many filled by a `ReadAt`, which fills all where it gives no error.
        unsafe { bytes.set_len(length) };
        Ok(crate::buffer_pool::bytes(bytes))
    }
}

/// The values of a page.
pub(super) enum Content {
    Bytes(Bytes),
    Stored(StoredValues),
}

impl Content {
    pub(super) fn load(self) -> Result<Bytes> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Stored(stored) => stored.load(),
        }
    }
}

/// The parts of a data page.
pub(super) struct Sections {
    /// Values, nulls and empty lists, one level each.
    pub(super) slots: usize,
    /// The rows, where the header says.
    pub(super) rows: Option<usize>,
    pub(super) encoding: Encoding,
    /// Repetition levels, definition levels, values; `None` where the levels are in the encoding of old.
    pub(super) bytes: Option<(Bytes, Bytes, Content)>,
}

impl Sections {
    /// `None` for a dictionary page. `stored`: the values, where the page is without them.
    pub(super) fn of(page: Page, stored: Option<StoredValues>, levels: &Levels) -> Result<Option<Self>> {
        let content = |rest| stored.map_or(Content::Bytes(rest), Content::Stored);
        Ok(Some(match page {
            Page::DictionaryPage { .. } => return Ok(None),
            Page::DataPage { mut buf, num_values, encoding, def_level_encoding, rep_level_encoding, .. } => {
                let readable = (!levels.repeated || rep_level_encoding == Encoding::RLE)
                    && (levels.max_def == 0 || def_level_encoding == Encoding::RLE);
                let mut bytes = None;
                if readable {
                    let rep = if levels.repeated { prefixed(&mut buf)? } else { Bytes::new() };
                    let def = if levels.max_def > 0 { prefixed(&mut buf)? } else { Bytes::new() };
                    bytes = Some((rep, def, content(buf)));
                }
                Self { slots: num_values as usize, rows: None, encoding, bytes }
            }
            Page::DataPageV2 {
                buf, num_values, encoding, num_rows, def_levels_byte_len, rep_levels_byte_len, ..
            } => {
                let rep = rep_levels_byte_len as usize;
                let def = rep + def_levels_byte_len as usize;
                if def > buf.len() {
                    return corrupt(format!("{def} bytes of levels in a page of {} bytes", buf.len()));
                }
                let bytes = Some((buf.slice(..rep), buf.slice(rep..def), content(buf.slice(def..))));
                // Old writers gave the number of values in place of that of rows.
                let rows = Some(num_rows as usize).filter(|_| !levels.repeated || num_rows != num_values);
                Self { slots: num_values as usize, rows, encoding, bytes }
            }
        }))
    }
}

/// Cuts a section off the front that is preceded by its length.
fn prefixed(bytes: &mut Bytes) -> Result<Bytes> {
    let Some(length) = bytes.first_chunk::<4>() else { return corrupt("a page ends before its levels") };
    let length = u32::from_le_bytes(*length) as usize;
    if length > bytes.len() - 4 {
        return corrupt(format!("{length} bytes of levels in {} bytes of page", bytes.len() - 4));
    }
    let section = bytes.slice(4..4 + length);
    *bytes = bytes.slice(4 + length..);
    Ok(section)
}
