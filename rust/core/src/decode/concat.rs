//! The concatenation of decoded arrays.

use arrow_array::ArrayRef;

use super::dictionaries::concat_shared;
use crate::{Error, Result};

/// Consecutive rows of a column as one array.
pub(super) fn concat(mut parts: Vec<ArrayRef>) -> Result<ArrayRef> {
    if parts.len() == 1 {
        return Ok(parts.remove(0));
    }
    concat_shared(&parts).map_err(Error::from)
}
