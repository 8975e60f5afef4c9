//! One column of one row group, read from any row on.

use arrow_array::ArrayRef;
use arrow_schema::Field;

use super::stock::StockColumn;
use super::{Column, Where};
use crate::fetch::OpenFile;
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
            _ => Err(Error::internal(format!("{}: row group {group}, column {:?} is not there", file.path, column.name))),
        }
    }

    /// Its field in this file's schema.
    pub fn field(&self) -> &'a Field {
        self.file.metadata.schema().field(self.root)
    }
}

/// Reads a column of a row group on from a row.
pub struct ColumnReader {
    decoder: StockColumn,
    next_row: u64,
}

impl ColumnReader {
    /// Opens the column at a row of its row group.
    ///
    /// # Errors
    /// Pages that cannot be read.
    pub fn open(of: &GroupColumn<'_>, row: u64) -> Result<Self> {
        Ok(Self { decoder: StockColumn::open(of, row)?, next_row: row })
    }

    /// The next `rows` rows, in the form that the column is delivered in.
    ///
    /// # Errors
    /// Pages that cannot be read, or values that the form does not hold.
    pub fn read(&mut self, of: &GroupColumn<'_>, column: &Column, rows: usize) -> Result<ArrayRef> {
        let array = self.decoder.read(rows, &of.file.path)?;
        let from = Where { path: &of.file.path, column: &column.name, first_row: of.first_row + self.next_row };
        self.next_row += rows as u64;
        column.form.apply(array, from)
    }
}

/// Parts of a column as one array.
pub(crate) fn joined(mut parts: Vec<ArrayRef>) -> Result<ArrayRef> {
    if parts.len() == 1 {
        return Ok(parts.remove(0));
    }
    let parts: Vec<&dyn arrow_array::Array> = parts.iter().map(AsRef::as_ref).collect();
    arrow_select::concat::concat(&parts).map_err(|error| Error::internal(error.to_string()))
}
