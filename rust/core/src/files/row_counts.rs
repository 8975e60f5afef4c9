//! What a plan knows beside its footers: the values that folders give a file's rows, and how many rows pass.

use std::io::Cursor;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_ipc::{reader::StreamReader, writer::StreamWriter};
use xxhash_rust::xxh3::Xxh3;

use super::Plan;
use crate::{Error, Result};

/// How many rows of every row group stand on the line, under a rule that says which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectedRows {
    /// What rows must pass, in a form that is the same for the same filter and sample.
    pub rule: String,
    /// Each row group's rows that pass.
    pub counts: Vec<u64>,
}

impl Plan {
    /// The same plan, with columns whose values are the same for all rows of a file: one row of `values` a file.
    ///
    /// # Errors
    /// Another number of rows than files.
    pub fn with_partitions(&self, values: RecordBatch) -> Result<Self> {
        if values.num_rows() != self.num_files() {
            return Err(Error::Argument(format!(
                "{} rows of partition values for {} files",
                values.num_rows(),
                self.num_files()
            )));
        }
        let mut plan = self.clone();
        plan.partitions = (values.num_columns() > 0).then(|| Arc::new(values));
        Ok(plan)
    }

    /// The columns whose values are the same for all rows of a file, a row a file; None where there is none.
    pub fn partitions(&self) -> Option<&RecordBatch> {
        self.partitions.as_deref()
    }

    /// The same plan, with the rows that pass counted.
    ///
    /// # Errors
    /// Not a count for each row group, or a larger one than it has rows.
    pub fn with_passing(&self, passing: SelectedRows) -> Result<Self> {
        let counts = &passing.counts;
        if counts.len() != self.num_row_groups() || counts.iter().zip(self.group_rows()).any(|(c, rows)| c > rows) {
            return Err(Error::Argument("the counts of passing rows do not fit the row groups".to_owned()));
        }
        let mut plan = self.clone();
        plan.passing = Some(Arc::new(passing));
        Ok(plan)
    }

    /// How many rows pass, and under which rule; None where all do.
    pub fn passing(&self) -> Option<&SelectedRows> {
        self.passing.as_deref()
    }

    /// Each row group's rows that stand on the line.
    pub fn line_rows(&self) -> &[u64] {
        self.passing().map_or(self.group_rows(), |passing| &passing.counts)
    }
}

impl SelectedRows {
    /// XXH3-128 over the counts, eight little-endian bytes each.
    pub fn digest(&self) -> u128 {
        let mut hasher = Xxh3::new();
        self.counts.iter().for_each(|count| hasher.update(&count.to_le_bytes()));
        hasher.digest128()
    }
}

/// Rows as bytes: an Arrow IPC stream of one batch.
pub fn batch_to_bytes(batch: &RecordBatch) -> Result<Vec<u8>> {
    let internal = |error: arrow_schema::ArrowError| Error::internal(error.to_string());
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).map_err(internal)?;
    writer.write(batch).map_err(internal)?;
    writer.into_inner().map_err(internal)
}

/// The inverse of [`batch_to_bytes`].
///
/// # Errors
/// Bytes that are no stream of one batch.
pub fn batch_from_bytes(bytes: &[u8]) -> Result<RecordBatch> {
    let bad = |error: &dyn std::fmt::Display| Error::State(format!("these bytes are no Arrow rows: {error}"));
    let mut reader = StreamReader::try_new(Cursor::new(bytes), None).map_err(|error| bad(&error))?;
    reader.next().ok_or_else(|| bad(&"there is no batch"))?.map_err(|error| bad(&error))
}
