//! A record batch as an Arrow IPC stream.

use std::io::Cursor;

use arrow_array::RecordBatch;
use arrow_ipc::{reader::StreamReader, writer::StreamWriter};

use crate::{Error, Result, third_party};

/// Rows as bytes: an Arrow IPC stream of one batch.
pub fn batch_to_bytes(batch: &RecordBatch) -> Result<Vec<u8>> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
    writer.write(batch)?;
    writer.into_inner().map_err(Error::from)
}

/// The inverse of [`batch_to_bytes`].
///
/// # Errors
/// Bytes that are no stream of one batch.
pub fn batch_from_bytes(bytes: &[u8]) -> Result<RecordBatch> {
    let bad = |error: &dyn std::fmt::Display| Error::State(format!("these bytes are no Arrow rows: {error}"));
    let read = || {
        let mut reader = StreamReader::try_new(Cursor::new(bytes), None).map_err(|error| bad(&error))?;
        reader.next().ok_or_else(|| bad(&"there is no batch"))?.map_err(|error| bad(&error))
    };
    // The reader (arrow-ipc 60.1) trusts the offsets in a batch, and panics where they lie outside of it.
    third_party::guarded(read).unwrap_or_else(|_| Err(bad(&"an offset lies outside of them")))
}
