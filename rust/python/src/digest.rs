//! The digest of rows.

use arrow_array::cast::AsArray;
use pyo3::prelude::*;
use shardline_core::{Error, digest as core};

use crate::error::{OrRaise, raise};
use crate::spec::array_of;

/// The number of a batch's rows, and the two halves of their digest.
#[pyfunction]
pub(crate) fn digest(py: Python<'_>, batch: &Bound<'_, PyAny>) -> PyResult<(u64, u64, u64)> {
    let rows = array_of(batch)?;
    let rows = rows.as_struct_opt().ok_or_else(|| raise(Error::Argument("not a record batch".into())))?;
    let found = py.detach(|| core::digest(rows)).or_raise()?;
    Ok((found.rows, found.low, found.high))
}
