//! The concatenation of decoded arrays.

use arrow_array::ArrayRef;

use crate::{Error, Result};

/// Consecutive rows of a column as one array.
pub(super) fn concat(mut parts: Vec<ArrayRef>) -> Result<ArrayRef> {
    if parts.len() == 1 {
        return Ok(parts.remove(0));
    }
    let parts: Vec<&dyn arrow_array::Array> = parts.iter().map(AsRef::as_ref).collect();
    arrow_select::concat::concat(&parts).map_err(Error::from)
}
