//! A column without rows, as it is delivered.

use arrow_array::{ArrayRef, new_empty_array};

use super::convert::RowLocation;
use super::matrix::beside;
use super::{Column, SourceColumn};
use crate::{Error, Result};

/// No row of a column.
pub(crate) fn empty(column: &Column) -> Result<ArrayRef> {
    let of_source = |source: &SourceColumn| {
        let from = RowLocation { path: "", column: &source.name, first_row: 0, set: None };
        source.conversion.apply(&new_empty_array(source.field.data_type()), from)
    };
    if let Some(pack) = &column.pack {
        return pack.empty(column);
    }
    let mut arrays = column.sources.iter().map(of_source).collect::<Result<Vec<_>>>()?;
    if column.is_matrix {
        return beside(column, &arrays.into_iter().map(|array| vec![array]).collect::<Vec<_>>());
    }
    arrays.pop().ok_or_else(|| Error::internal("a column of nothing"))
}
