//! The rows of a column of a row group, read on from any row.

use arrow_array::ArrayRef;

use super::arrow_fallback::FallbackColumn;
use super::dense::{DenseColumn, Read};
use super::group_column::GroupColumn;
use super::pages::pages;
use crate::{Error, Result};

/// Reads a source column of a row group on from a row.
pub(crate) struct SourceReader {
    pub(super) decoder: Decoder,
    pub(super) next_row: u64,
}

pub(super) enum Decoder {
    /// Pages without nulls, PLAIN or dictionary encoded.
    Dense(Box<DenseColumn>),
    /// All others: from the first page on that is of another kind.
    Fallback(Box<FallbackColumn>),
    /// The same, of the rows of a set only.
    Set(Box<FallbackColumn>),
    /// A file that does not have the column, or whose folders say it.
    Missing,
}

impl SourceReader {
    pub(crate) fn open(of: &GroupColumn<'_>, row: u64) -> Result<Self> {
        let Some(root) = of.root else { return Ok(Self { decoder: Decoder::Missing, next_row: row }) };
        let decoder = match dense(of, root, row)? {
            Some(mut dense) => {
                dense.skip(row as usize).map_err(|error| of.corrupt(&error))?;
                Decoder::Dense(Box::new(dense))
            }
            None => Decoder::Fallback(Box::new(FallbackColumn::open(of, root, None, row)?)),
        };
        Ok(Self { decoder, next_row: row })
    }

    /// The bytes that it holds between two readings, at least.
    pub(crate) fn held(&self) -> u64 {
        match &self.decoder {
            Decoder::Dense(dense) => dense.held() as u64,
            Decoder::Fallback(fallback) | Decoder::Set(fallback) => fallback.held(),
            Decoder::Missing => 0,
        }
    }

    /// Where each of the next lists ends, without their values; None where they have to be read, and were not passed.
    pub(crate) fn ends(&mut self, of: &GroupColumn<'_>, rows: usize) -> Result<Option<Vec<usize>>> {
        let Decoder::Dense(dense) = &mut self.decoder else { return Ok(None) };
        let ends = dense.ends(rows).map_err(|error| of.corrupt(&error))?;
        self.next_row += if ends.is_some() { rows as u64 } else { 0 };
        Ok(ends)
    }

    /// The next rows as they stand in the file, of the type that the plan gives all files.
    pub(crate) fn values(&mut self, of: &GroupColumn<'_>, rows: usize) -> Result<ArrayRef> {
        let array = self.decode(of, rows)?;
        let from = of.rows_from(self.next_row);
        self.next_row += rows as u64;
        of.source.adapted(array, of.group, from)
    }

    fn decode(&mut self, of: &GroupColumn<'_>, rows: usize) -> Result<ArrayRef> {
        if let (Decoder::Dense(dense), Some(root)) = (&mut self.decoder, of.root) {
            match dense.read(rows).map_err(|error| of.corrupt(&error))? {
                Read::Array(array) => return Ok(array),
                Read::NotDense => {
                    self.decoder = Decoder::Fallback(Box::new(FallbackColumn::open(of, root, None, self.next_row)?));
                }
            }
        }
        match &mut self.decoder {
            Decoder::Fallback(fallback) => fallback.read(of, None, rows).and_then(|array| of.source.path.take(array)),
            Decoder::Missing => of.not_in_pages(None, self.next_row..self.next_row + rows as u64),
            Decoder::Set(_) => Err(Error::internal("rows of a set are read with it")),
            Decoder::Dense(_) => Err(Error::internal("a dense decoder gave nothing")),
        }
    }
}

/// The dense decoder of a column, if it is of its kind; it will be read from a row on.
fn dense(of: &GroupColumn<'_>, root: usize, row: u64) -> Result<Option<DenseColumn>> {
    if !of.source.path.is_whole() {
        return Ok(None);
    }
    let schema = of.file.metadata.parquet_schema();
    let field = of.file.metadata.schema().field(root);
    let leaves = schema.num_columns();
    // Leaves stand in the order of their roots, each of which has one at least.
    let mut of_root = (root..leaves).skip_while(|&leaf| schema.get_column_root_idx(leaf) < root);
    let Some(first) = of_root.next() else { return Ok(None) };
    let is_alone = of_root.next().is_none_or(|next| schema.get_column_root_idx(next) != root);
    if !is_alone || !DenseColumn::takes(&schema.column(first), field) {
        return Ok(None);
    }
    let group = of.file.metadata.metadata().row_group(of.group);
    let chunk = group.column(first);
    let places = of.file.metadata_from(of.group, row).metadata().page_index_for_row_group(of.group);
    let places = places.page_locations(first).cloned();
    let source = of.bytes.clone();
    let created_by = of.file.metadata.metadata().file_metadata().created_by();
    let rows = group.num_rows() as usize;
    let pages = pages(source, chunk, rows, places, of.pool, created_by, false).map_err(|error| of.corrupt(&error))?;
    let dense = DenseColumn::try_new(pages, &schema.column(first), field);
    Ok(dense.map(|dense| dense.with_num_values(chunk.num_values().unsigned_abs())))
}
