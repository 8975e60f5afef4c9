//! Where rows and values come from, for messages.

use crate::Error;
use crate::order::RowSet;

/// Where some rows come from, for messages.
#[derive(Debug, Clone, Copy)]
pub struct RowLocation<'a> {
    /// The file.
    pub path: &'a str,
    /// The column.
    pub column: &'a str,
    /// The first of the rows, numbered in the file; of a set, the row group's first.
    pub first_row: u64,
    /// The set that the rows are of, and which of it the first one is.
    pub set: Option<(&'a RowSet, u64)>,
}

impl RowLocation<'_> {
    /// The number, in the file, of one of the rows.
    pub(crate) fn row(&self, index: usize) -> u64 {
        self.first_row + self.set.map_or(index as u64, |(set, first)| set.row(first + index as u64))
    }
}

/// Where the values of an array come from, for messages.
pub(super) struct ValueLocation<'a> {
    pub(super) from: RowLocation<'a>,
    /// The row of a value, counted from the first of `from`.
    pub(super) row: &'a dyn Fn(usize) -> usize,
    /// The policies that its nulls could have had.
    pub(super) policies: Policies,
}

/// What `nulls=` may be, for messages.
pub(crate) type Policies = &'static [&'static str];

impl ValueLocation<'_> {
    /// A value that breaks a promise.
    pub(super) fn error(&self, index: usize, what: &str, cure: &str) -> Error {
        Error::Data {
            path: self.from.path.to_owned(),
            detail: format!(
                "column {:?} has {what} at row {}{}{cure}",
                self.from.column,
                self.from.row((self.row)(index)),
                if cure.is_empty() { "" } else { "; " }
            ),
        }
    }
}
