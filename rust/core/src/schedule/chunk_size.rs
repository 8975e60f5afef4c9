//! How much is decoded, or made ready for the caller, at a time.

use std::fmt;
use std::sync::Arc;

use crate::order::GroupSlice;

/// The rows and bytes of a chunk. Row groups of one data set may have rows of very different widths, so that bytes are
/// counted by the row group.
#[derive(Clone)]
pub struct ChunkSize {
    /// Never more rows than these, unless a batch has.
    pub(super) rows: u64,
    bytes: u64,
    row_bytes: Arc<dyn Fn(u32) -> u64 + Send + Sync>,
}

impl ChunkSize {
    /// At most so many rows, or so many bytes, where a row of a row group takes `row_bytes`.
    pub fn new(rows: u64, bytes: u64, row_bytes: impl Fn(u32) -> u64 + Send + Sync + 'static) -> Self {
        Self { rows: rows.max(1), bytes, row_bytes: Arc::new(row_bytes) }
    }

    /// Bytes of a row of a row group; at least one.
    pub fn row_bytes(&self, group: u32) -> u64 {
        (self.row_bytes)(group).max(1)
    }

    /// Bytes of some rows.
    pub fn bytes_of<'a>(&self, slices: impl IntoIterator<Item = &'a GroupSlice>) -> u64 {
        let of = |slice: &GroupSlice| (slice.rows.end - slice.rows.start).saturating_mul(self.row_bytes(slice.group));
        slices.into_iter().map(of).fold(0, u64::saturating_add)
    }

    /// How many of these rows a chunk has, from the first on; at least one.
    pub(super) fn rows_of(&self, slices: &[GroupSlice]) -> u64 {
        let (mut rows, mut left) = (0_u64, self.bytes);
        for slice in slices {
            let width = self.row_bytes(slice.group);
            let taken = (slice.rows.end - slice.rows.start).min(left / width);
            rows += taken;
            left -= taken * width;
            if taken < slice.rows.end - slice.rows.start {
                break;
            }
        }
        rows.clamp(1, self.rows)
    }

    /// How many rows a chunk of them has where they are mixed; at least one.
    pub(super) fn mean_rows<'a>(&self, slices: impl Iterator<Item = &'a GroupSlice> + Clone) -> u64 {
        let rows: u64 = slices.clone().map(|slice| slice.rows.end - slice.rows.start).sum();
        let of_all = u128::from(rows) * u128::from(self.bytes) / u128::from(self.bytes_of(slices).max(1));
        u64::try_from(of_all).unwrap_or(u64::MAX).clamp(1, self.rows)
    }
}

impl fmt::Debug for ChunkSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkSize").field("rows", &self.rows).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
