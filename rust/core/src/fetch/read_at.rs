//! Reading by position: the bytes that are available, or all bytes straight into the memory where they are used.

use std::mem::MaybeUninit;

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::ChunkReader;

/// A source of bytes that are read by position.
///
/// # Safety
/// [`fill`](Self::fill) has initialised all of its memory where it returns no error.
pub unsafe trait ReadAt: ChunkReader<T: Send + 'static> + Clone + 'static {
    /// Bytes from `start` on: at least one and at most `length`, as many as are available at once. `start` is before
    /// the end.
    ///
    /// # Errors
    /// Bytes that cannot be read.
    fn some(&self, start: u64, length: usize) -> Result<Bytes> {
        let left = usize::try_from(self.len().saturating_sub(start)).unwrap_or(usize::MAX);
        self.get_bytes(start, length.min(left))
    }

    /// Whether reading costs a system call and no round trip: then small pieces are read together, and large ones
    /// straight to where they are used.
    fn is_near(&self) -> bool {
        false
    }

    /// Fills all of `into` with the bytes from `start` on.
    ///
    /// # Errors
    /// Bytes that cannot be read.
    fn fill(&self, start: u64, into: &mut [MaybeUninit<u8>]) -> Result<()> {
        copy(&self.get_bytes(start, into.len())?, into)
    }

    /// Appends the `length` bytes from `start` on.
    ///
    /// # Errors
    /// Bytes that cannot be read.
    fn append(&self, start: u64, length: usize, to: &mut Vec<u8>) -> Result<()> {
        to.reserve(length);
        self.fill(start, &mut to.spare_capacity_mut()[..length])?;
        // SAFETY: `fill` initialised these bytes, as the trait demands.
        unsafe { to.set_len(to.len() + length) };
        Ok(())
    }
}

/// Fills all of `into` with these bytes.
pub(super) fn copy(bytes: &[u8], into: &mut [MaybeUninit<u8>]) -> Result<()> {
    if bytes.len() != into.len() {
        return Err(ParquetError::EOF(format!("{} bytes instead of {}", bytes.len(), into.len())));
    }
    for (to, byte) in into.iter_mut().zip(bytes) {
        to.write(*byte);
    }
    Ok(())
}

// SAFETY: `fill` is that of the trait.
unsafe impl ReadAt for Bytes {
    fn is_near(&self) -> bool {
        true
    }
}
