//! The digest of a multiset of rows: equal rows in any order and in any physical layout have an equal digest.
//!
//! A row's hash is a multilinear one over its columns: each value is taken to 64 bits, mixed, multiplied by a constant of
//! its column's name, and added. The digest is the sum of the rows' hashes, finished in two ways: 128 bits. A value is
//! its own, whatever stores it: integers of all widths, floats of all widths (NaN is one value, and -0.0 is not 0.0),
//! text and bytes, dictionaries and their values, lists of all kinds, times in all units. It finds mistakes, not
//! forgeries.

mod hash;
mod values;

use arrow_array::{Array, StructArray};

use crate::{Error, Result};
use hash::{A, B, finish, of_name, weigh};

/// Rows whose values, of a column, stay in a core's cache.
const BLOCK_ROWS: usize = 8_192;

/// The digest of some rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Digest {
    /// How many.
    pub rows: u64,
    /// The sum of their hashes, finished in one way.
    pub low: u64,
    /// The sum of their hashes, finished in another way.
    pub high: u64,
}

/// The digest of a batch's rows; an error names a column of a type that has no canonical value.
pub fn digest(batch: &StructArray) -> Result<Digest> {
    let mut found = Digest { rows: batch.len() as u64, ..Digest::default() };
    let factors: Vec<u64> = batch.column_names().iter().map(|name| of_name(name)).collect();
    let mut rows = Vec::with_capacity(BLOCK_ROWS);
    for start in (0..batch.len()).step_by(BLOCK_ROWS) {
        let length = BLOCK_ROWS.min(batch.len() - start);
        rows.clear();
        rows.resize(length, 0_u64);
        for ((column, name), &factor) in batch.columns().iter().zip(batch.column_names()).zip(&factors) {
            let values = values::of(&column.slice(start, length)).map_err(|kind| {
                Error::Unsupported(format!("column '{name}': {kind} has no digest; leave it out by columns="))
            })?;
            for (row, value) in rows.iter_mut().zip(values) {
                *row = row.wrapping_add(weigh(value, factor));
            }
        }
        for &row in &rows {
            found.low = found.low.wrapping_add(finish(row, A));
            found.high = found.high.wrapping_add(finish(row, B));
        }
    }
    Ok(found)
}
