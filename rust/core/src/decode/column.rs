//! One column of one row group, read from any row on.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef};
use arrow_schema::Field;
use parquet::file::serialized_reader::SerializedPageReader;

use super::dense::{DenseColumn, Read};
use super::retype::retyped;
use super::stock::StockColumn;
use super::{Column, Where};
use crate::fetch::OpenFile;
use crate::order::RowSet;
use crate::{Error, Result};

/// A column of a row group.
#[derive(Debug, Clone, Copy)]
pub struct GroupColumn<'a> {
    /// The file.
    pub file: &'a OpenFile,
    /// The row group, numbered in the file.
    pub group: usize,
    /// The first row of the row group, numbered in the file.
    pub first_row: u64,
    /// The column's place among the file's top-level fields.
    pub root: usize,
}

impl<'a> GroupColumn<'a> {
    /// The column of that name, wherever it stands in this file.
    ///
    /// # Errors
    /// There is none, or the row group is not in the footer.
    pub fn find(file: &'a OpenFile, group: usize, column: &Column) -> Result<Self> {
        let groups = file.metadata.metadata().row_groups();
        let first_row = groups.get(..group).map(|before| before.iter().map(|g| g.num_rows() as u64).sum());
        let root = file.metadata.schema().fields().iter().position(|field| field.name() == &column.name);
        match (first_row, root) {
            (Some(first_row), Some(root)) if group < groups.len() => Ok(Self { file, group, first_row, root }),
            _ => {
                Err(Error::internal(format!("{}: row group {group}, column {:?} is not there", file.path, column.name)))
            }
        }
    }

    /// Its field in this file's schema.
    pub fn field(&self) -> &'a Field {
        self.file.metadata.schema().field(self.root)
    }

    /// Pages of it that cannot be read.
    pub(crate) fn corrupt(&self, what: &dyn std::fmt::Display) -> Error {
        let detail = format!(
            "column {:?}, row group {}: {what}; if the file is damaged, write or copy it again",
            self.field().name(),
            self.group
        );
        Error::corrupt(&self.file.path, detail)
    }
}

/// Reads a column of a row group on from a row.
pub struct ColumnReader {
    pub(super) decoder: Decoder,
    pub(super) next_row: u64,
}

pub(super) enum Decoder {
    /// Pages without nulls, PLAIN or dictionary encoded.
    Dense(Box<DenseColumn>),
    /// All others: from the first page on that is of another kind.
    Stock(Box<StockColumn>),
    /// The same, of the rows of a set only.
    Set(Box<StockColumn>),
}

impl ColumnReader {
    /// Opens the column at a row of its row group.
    ///
    /// # Errors
    /// Pages that cannot be read.
    pub fn open(of: &GroupColumn<'_>, row: u64) -> Result<Self> {
        let decoder = match dense(of)? {
            Some(mut dense) => {
                dense.skip(row as usize).map_err(|error| of.corrupt(&error))?;
                Decoder::Dense(Box::new(dense))
            }
            None => Decoder::Stock(Box::new(StockColumn::open(of, row)?)),
        };
        Ok(Self { decoder, next_row: row })
    }

    /// The next `rows` rows, in the form that the column is delivered in.
    ///
    /// # Errors
    /// Pages that cannot be read, or values that the form does not hold.
    pub fn read(&mut self, of: &GroupColumn<'_>, column: &Column, rows: usize) -> Result<ArrayRef> {
        let array = self.decode(of, rows)?;
        self.next_row += rows as u64;
        self.deliver(array, of, column, None)
    }

    /// Brings the rows that were just decoded, which end before `next_row`, into the column's form. `set`: the set that they
    /// are of, and which of it the first one is.
    pub(super) fn deliver(
        &self,
        array: ArrayRef,
        of: &GroupColumn<'_>,
        column: &Column,
        set: Option<(&RowSet, u64)>,
    ) -> Result<ArrayRef> {
        let array = retyped(array, column.field.data_type())?;
        let first_row = match set {
            None => of.first_row + self.next_row - array.len() as u64,
            Some(_) => of.first_row,
        };
        column.form.apply(array, Where { path: &of.file.path, column: &column.name, first_row, set })
    }

    fn decode(&mut self, of: &GroupColumn<'_>, rows: usize) -> Result<ArrayRef> {
        if let Decoder::Dense(dense) = &mut self.decoder {
            match dense.read(rows).map_err(|error| of.corrupt(&error))? {
                Read::Array(array) => return Ok(array),
                Read::NotDense => self.decoder = Decoder::Stock(Box::new(StockColumn::open(of, self.next_row)?)),
            }
        }
        match &mut self.decoder {
            Decoder::Stock(stock) => stock.read(of, rows),
            Decoder::Set(_) => Err(Error::internal("rows of a set are read with it")),
            Decoder::Dense(_) => Err(Error::internal("a dense decoder gave nothing")),
        }
    }
}

/// The dense decoder of a column, if it is of its kind.
fn dense(of: &GroupColumn<'_>) -> Result<Option<DenseColumn>> {
    let schema = of.file.metadata.parquet_schema();
    let leaves = schema.num_columns();
    // Leaves stand in the order of their roots, each of which has one at least.
    let mut of_root = (of.root..leaves).skip_while(|&leaf| schema.get_column_root_idx(leaf) < of.root);
    let Some(first) = of_root.next() else { return Ok(None) };
    let is_alone = of_root.next().is_none_or(|next| schema.get_column_root_idx(next) != of.root);
    if !is_alone || !DenseColumn::takes(&schema.column(first), of.field()) {
        return Ok(None);
    }
    let group = of.file.metadata.metadata().row_group(of.group);
    let chunk = group.column(first);
    let pages = SerializedPageReader::new(Arc::new(of.file.source.clone()), chunk, group.num_rows() as usize, None)
        .map_err(|error| of.corrupt(&error))?;
    let dense = DenseColumn::try_new(Box::new(pages), &schema.column(first), of.field());
    Ok(dense.map(|dense| dense.with_num_values(chunk.num_values().unsigned_abs())))
}

/// Parts of a column as one array.
pub(crate) fn joined(mut parts: Vec<ArrayRef>) -> Result<ArrayRef> {
    if parts.len() == 1 {
        return Ok(parts.remove(0));
    }
    let parts: Vec<&dyn arrow_array::Array> = parts.iter().map(AsRef::as_ref).collect();
    arrow_select::concat::concat(&parts).map_err(|error| Error::internal(error.to_string()))
}
