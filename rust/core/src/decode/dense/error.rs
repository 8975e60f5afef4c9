//! Errors of the dense decoder.

use parquet::errors::ParquetError;

/// A page or chunk that cannot be what its headers say, in words. The caller knows the file and the column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DenseError(pub String);

/// The result of the dense decoder.
pub type Result<T, E = DenseError> = std::result::Result<T, E>;

impl From<ParquetError> for DenseError {
    fn from(error: ParquetError) -> Self {
        Self(error.to_string())
    }
}

pub(super) fn corrupt<T>(detail: impl Into<String>) -> Result<T> {
    Err(DenseError(detail.into()))
}
