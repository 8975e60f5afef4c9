//! The dense decoder: columns without nulls, straight from decompressed pages into the memory that becomes the tensor.
//!
//! It decodes what training data is made of (numbers, flat or in one level of list, PLAIN, dictionary or
//! byte-stream-split encoded) and nothing else. That every value is present is checked in each page, never assumed; any
//! other page is given up ([`Read::NotDense`]), and its rows are decoded by arrow-rs instead, with which this decoder
//! agrees bit for bit.
//!
//! A page passes through `page` (its sections), `levels` (all present? where do lists start?), `lists` (rows and
//! offsets) and `values` (a copy, `byte_stream_split`, or `dictionary`, whose indices `unpack` unpacks and
//! `dictionary_gather` looks up). `column` drives it, `kind` tells which columns qualify, `rle` is the encoding that
//! levels and dictionary indices share, and `unpack_avx2` unpacks with AVX2.

mod byte_stream_split;
mod column;
mod dictionary;
mod dictionary_gather;
mod error;
mod kind;
mod levels;
mod lists;
mod page;
mod rle;
mod unpack;
#[cfg(target_arch = "x86_64")]
mod unpack_avx2;
mod values;

use arrow_array::ArrayRef;
use arrow_schema::Field;
use parquet::schema::types::ColumnDescriptor;

pub use self::error::{DenseError, Result};
pub(crate) use self::levels::definition_levels;
pub use self::page::{DensePages, StoredValues};

/// What [`DenseColumn::read`] found.
#[derive(Debug)]
pub enum Read {
    /// The rows.
    Array(ArrayRef),
    /// A page has nulls or an encoding that is not for this decoder. Nothing of this call was delivered: read these
    /// rows, and the rest of the chunk, by other means. Every later call says the same.
    NotDense,
}

/// One column chunk, read from its first row to its last.
pub struct DenseColumn {
    column: column::ChunkDecoder,
}

impl DenseColumn {
    /// A decoder of the chunk behind `pages`; `None` where the column's types or nesting are not for it.
    ///
    /// `field` is the top-level Arrow field that arrow-rs would read the column as.
    pub fn try_new(pages: Box<dyn DensePages>, descr: &ColumnDescriptor, field: &Field) -> Option<Self> {
        let kind = kind::ColumnKind::of(descr, field)?;
        Some(Self { column: column::ChunkDecoder::new(pages, kind) })
    }

    /// Whether [`Self::try_new`] would take this column; needs no pages.
    pub fn takes(descr: &ColumnDescriptor, field: &Field) -> bool {
        kind::ColumnKind::of(descr, field).is_some()
    }

    /// Makes it an error that the pages hold more than `num_values` level slots (the chunk's metadata knows), so that
    /// a corrupt page of a few bytes cannot ask for gigabytes.
    #[must_use]
    pub fn with_num_values(mut self, num_values: u64) -> Self {
        self.column.limit_slots(num_values);
        self
    }

    /// Decodes exactly the next `rows` rows; fewer in the chunk are an error.
    pub fn read(&mut self, rows: usize) -> Result<Read> {
        Ok(self.column.read(rows)?.map_or(Read::NotDense, Read::Array))
    }

    /// Of every run, passes over so many rows and decodes the next so many, into one array of `rows` in all.
    pub fn read_runs(&mut self, runs: impl Iterator<Item = (usize, usize)>, rows: usize) -> Result<Read> {
        Ok(self.column.read_runs(runs, rows)?.map_or(Read::NotDense, Read::Array))
    }

    /// Where each of exactly the next `rows` lists ends, counted from 0 on in values, which are not decoded. None where
    /// [`read`](Self::read) would say [`Read::NotDense`], and where rows are no lists.
    pub fn ends(&mut self, rows: usize) -> Result<Option<Vec<usize>>> {
        self.column.ends(rows)
    }

    /// The bytes that it holds between two calls: the dictionary's, and those of the page in use.
    pub fn held(&self) -> usize {
        self.column.held()
    }

    /// Passes over exactly the next `rows` rows: whole pages without decompressing them where the page headers give
    /// their rows. Nulls and other encodings are no hindrance to it.
    pub fn skip(&mut self, rows: usize) -> Result<()> {
        self.column.skip(rows)
    }
}
