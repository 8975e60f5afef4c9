//! A column of a row group decoded by arrow-rs, where the dense decoder cannot.

use arrow_array::ArrayRef;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection};

use super::concat::concat;
use super::group_column::GroupColumn;
use crate::Result;
use crate::fetch::FileHandle;
use crate::order::RowSet;

type Builder = ParquetRecordBatchReaderBuilder<FileHandle>;

/// Rows that arrow-rs decodes at a time: few enough for the cache.
const DECODE_ROWS: usize = 8192;

/// Reads on from a row, any number of rows at a time.
pub(crate) struct FallbackColumn {
    reader: ParquetRecordBatchReader,
    /// Decoded rows that nobody asked for yet.
    rest: Option<ArrayRef>,
}

impl FallbackColumn {
    /// Opens the column at a row of its row group.
    pub(crate) fn open(of: &GroupColumn<'_>, root: usize, row: u64) -> Result<Self> {
        Self::build(of, root, row, |builder| builder.with_offset(row as usize))
    }

    /// Opens the rows of a set, from the `from`-th of them on.
    pub(crate) fn open_set(of: &GroupColumn<'_>, root: usize, set: &RowSet, from: u64) -> Result<Self> {
        let first = if from < set.len() { set.row(from) } else { 0 };
        let runs = set.runs(from..set.len()).map(|run| run.start as usize..run.end as usize);
        let selection = RowSelection::from_consecutive_ranges(runs, set.rows() as usize);
        Self::build(of, root, first, |builder| builder.with_row_selection(selection))
    }

    fn build(of: &GroupColumn<'_>, root: usize, row: u64, select: impl FnOnce(Builder) -> Builder) -> Result<Self> {
        let metadata = of.file.metadata_from(of.group, row).arrow().map_err(|error| of.corrupt(&error))?;
        let mask = of.mask(root)?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(of.bytes.clone(), metadata.clone())
            .with_row_groups(vec![of.group])
            .with_projection(mask)
            .with_batch_size(DECODE_ROWS);
        let reader = select(builder).build().map_err(|error| of.corrupt(&error))?;
        Ok(Self { reader, rest: None })
    }

    /// The next `rows` rows.
    pub(crate) fn read(&mut self, of: &GroupColumn<'_>, rows: usize) -> Result<ArrayRef> {
        let mut parts: Vec<ArrayRef> = Vec::new();
        let mut missing = rows;
        while missing > 0 {
            let part = match self.rest.take() {
                Some(rest) => rest,
                None => match self.reader.next() {
                    Some(Ok(batch)) => batch.column(0).clone(),
                    Some(Err(error)) => return Err(of.corrupt(&error)),
                    None => {
                        return Err(of.corrupt(&format!("it ends {missing} rows before its footer says")));
                    }
                },
            };
            if part.len() > missing {
                self.rest = Some(part.slice(missing, part.len() - missing));
            }
            let taken = part.len().min(missing);
            parts.push(part.slice(0, taken));
            missing -= taken;
        }
        concat(parts)
    }
}
