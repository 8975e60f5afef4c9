//! Rows of a column as they are delivered: all of a row group or those of a set, converted.

use std::ops::Range;

use arrow_array::ArrayRef;

use super::convert::RowLocation;
use super::group_column::GroupColumn;
use super::source_reader::SourceReader;
use crate::Result;
use crate::order::RowSet;

impl SourceReader {
    /// Opens the source at a row of its row group, or of the set, where there is one.
    pub(crate) fn at(of: &GroupColumn<'_>, set: Option<&RowSet>, row: u64) -> Result<Self> {
        match set {
            None => Self::open(of, row),
            Some(set) => Self::open_set(of, set, row),
        }
    }

    /// The next rows, converted. `rows`: of the row group, or of the set, where there is one.
    pub(crate) fn read(&mut self, of: &GroupColumn<'_>, set: Option<&RowSet>, rows: Range<u64>) -> Result<ArrayRef> {
        let (array, from) = match set {
            None => {
                let from = of.rows_from(self.next_row);
                (self.values(of, (rows.end - rows.start) as usize)?, from)
            }
            Some(set) => {
                let from = RowLocation { set: Some((set, rows.start)), ..of.rows_from(0) };
                let array = self.decode_set(of, set, rows)?;
                (of.source.adapted(array, of.group, from)?, from)
            }
        };
        of.source.conversion.apply(&array, from)
    }
}
