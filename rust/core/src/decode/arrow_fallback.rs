//! A column of a row group decoded by arrow-rs, where the dense decoder cannot.
//!
//! What arrow-rs would lose without a word is looked at again: timestamps of 96 bits are read a second time as seconds,
//! which hold them all ([`int96`]), and a column with text that is not UTF-8 is read once more as bytes, for
//! `source_text` to say what becomes of it.

use arrow_array::{Array, ArrayRef};
use arrow_schema::{Field, FieldRef, Fields};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowGroups, RowSelection, RowSelector};
use parquet::basic::Type as PhysicalType;
use parquet::column::page::{PageIterator, PageReader};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

use super::concat::concat;
use super::group_column::GroupColumn;
use super::int96;
use super::pages::pages;
use super::source_text::as_bytes;
use super::text_policy::{bytes_type, has_text};
use crate::error::panic_words;
use crate::fetch::FileMetadata;
use crate::files::readable_schema::map_leaves;
use crate::order::RowSet;
use crate::{Result, third_party};

/// Rows that arrow-rs decodes at a time: few enough for the cache.
const STEP_ROWS: u64 = 8192;
/// And about so many bytes at most, unless a row has more.
const STEP_BYTES: u64 = 512 << 10;
/// Rows that turn out wider or narrower than was thought, by so much, are decoded in other steps.
const SURPRISE: u64 = 4;

/// Reads on from a row, any number of rows at a time.
pub(crate) struct FallbackColumn {
    root: usize,
    /// The row, or which row of a set, that the reading began at.
    from: u64,
    readers: Readers,
    /// Rows that were decoded, and rows that were handed out.
    decoded: u64,
    taken: u64,
    /// Decoded rows that nobody asked for yet.
    rest: Option<Part>,
    /// About the bytes of its dictionaries and open pages.
    open_bytes: u64,
}

/// The readers of one column, which go on side by side.
struct Readers {
    values: ParquetRecordBatchReader,
    /// Of timestamps of 96 bits, as seconds.
    seconds: Option<ParquetRecordBatchReader>,
    manner: Manner,
}

/// How readers read.
#[derive(Clone, Copy)]
struct Manner {
    /// Text comes as bytes, which may not be UTF-8.
    text_as_bytes: bool,
    /// Rows that are decoded at a time.
    step: u64,
    /// Large pages come in parts.
    in_parts: bool,
}

/// Some rows, and the same again as seconds.
struct Part {
    values: ArrayRef,
    seconds: Option<ArrayRef>,
}

impl Part {
    fn slice(&self, from: usize, rows: usize) -> Self {
        let of = |array: &ArrayRef| array.slice(from, rows);
        Self { values: of(&self.values), seconds: self.seconds.as_ref().map(of) }
    }
}

impl FallbackColumn {
    /// Opens the column at a row of its row group; of a `set`, at the `from`-th row of it.
    pub(crate) fn open(of: &GroupColumn<'_>, root: usize, set: Option<&RowSet>, from: u64) -> Result<Self> {
        let manner = Manner { text_as_bytes: false, step: step(of.row_bytes), in_parts: true };
        let readers = Readers::open(of, root, set, from, manner).map_err(|error| of.corrupt(&error))?;
        let open_bytes = of.open_bytes(root)?;
        Ok(Self { root, from, readers, decoded: 0, taken: 0, rest: None, open_bytes })
    }

    /// About the bytes that it holds between two calls.
    pub(crate) fn held(&self) -> u64 {
        let rest = self.rest.as_ref().map_or(0, |rest| rest.values.get_buffer_memory_size());
        self.open_bytes + rest as u64
    }

    /// The next `rows` rows (of the set that it was opened with); text may come as bytes.
    pub(crate) fn read(&mut self, of: &GroupColumn<'_>, set: Option<&RowSet>, rows: usize) -> Result<ArrayRef> {
        let mut parts: Vec<ArrayRef> = Vec::new();
        let mut missing = rows;
        while missing > 0 {
            let part = match self.rest.take() {
                Some(rest) => rest,
                None => match self.decode(of, set)? {
                    Some(part) => part,
                    None => return Err(of.corrupt(&format!("it ends {missing} rows before its footer says"))),
                },
            };
            let taken = part.values.len().min(missing);
            if part.values.len() > taken {
                self.rest = Some(part.slice(taken, part.values.len() - taken));
            }
            let part = part.slice(0, taken);
            if let Some(seconds) = &part.seconds
                && let Some((row, second)) = int96::first_wrapped(&part.values, seconds)
            {
                return Err(int96::error(of, self.row(set, self.taken + row as u64), second));
            }
            self.taken += taken as u64;
            parts.push(part.values);
            missing -= taken;
        }
        if self.readers.manner.text_as_bytes {
            parts = parts.iter().map(as_bytes).collect::<Result<_>>()?;
        }
        concat(parts)
    }

    /// The number, in the row group, of one of the rows read.
    fn row(&self, set: Option<&RowSet>, index: u64) -> u64 {
        set.map_or(self.from + index, |set| set.row(self.from + index))
    }

    /// More rows; None at the end.
    fn decode(&mut self, of: &GroupColumn<'_>, set: Option<&RowSet>) -> Result<Option<Part>> {
        let part = loop {
            // Where a dictionary's values overflow, it panics.
            let next = third_party::guarded(|| self.readers.next());
            let error = match next.unwrap_or_else(|panic| Err(ParquetError::General(panic_words(panic.as_ref())))) {
                Ok(part) => break part,
                Err(error) => error,
            };
            // A large page may be packed as none was seen to be. Strings and lists of one step may be too many for their
            // offsets. Or it may be text that is not UTF-8. If it is none of these, the error comes again.
            let manner = self.readers.manner;
            let has_text = has_text(of.file.metadata.schema().field(self.root).data_type());
            let manner = if manner.in_parts {
                Manner { in_parts: false, ..manner }
            } else if manner.step > 1 && is_overflow(&error) {
                Manner { step: manner.step.div_ceil(16), ..manner }
            } else if has_text && !manner.text_as_bytes {
                Manner { text_as_bytes: true, ..manner }
            } else {
                return Err(of.corrupt(&error));
            };
            self.readers = self.reopened(of, set, manner).map_err(|_| of.corrupt(&error))?;
        };
        let Some(part) = part else { return Ok(None) };
        let rows = part.values.len() as u64;
        self.decoded += rows;
        let fitting = step(part.values.get_buffer_memory_size() as u64 / rows.max(1));
        let manner = self.readers.manner;
        if rows == manner.step && (fitting > rows * SURPRISE || fitting * SURPRISE < rows) {
            let manner = Manner { step: fitting, ..manner };
            self.readers = self.reopened(of, set, manner).map_err(|error| of.corrupt(&error))?;
        }
        Ok(Some(part))
    }

    /// Readers of the rows that were not decoded yet.
    fn reopened(&self, of: &GroupColumn<'_>, set: Option<&RowSet>, manner: Manner) -> ParquetResult<Readers> {
        Readers::open(of, self.root, set, self.from + self.decoded, manner)
    }
}

/// How many rows of so many bytes are decoded at a time.
fn step(row_bytes: u64) -> u64 {
    (STEP_BYTES / row_bytes.max(1)).clamp(1, STEP_ROWS)
}

/// Whether the offsets of strings or lists were too few bits.
fn is_overflow(error: &ParquetError) -> bool {
    error.to_string().contains("overflow")
}

impl Readers {
    fn open(of: &GroupColumn<'_>, root: usize, set: Option<&RowSet>, from: u64, manner: Manner) -> ParquetResult<Self> {
        let Manner { text_as_bytes, step, in_parts } = manner;
        let first = match set {
            None => from,
            Some(set) if from < set.len() => set.row(from),
            Some(_) => 0,
        };
        let metadata = of.file.metadata_from(of.group, first);
        let group = OneGroup { of, metadata, in_parts };
        let selection = || match set {
            None => {
                let rows = group.num_rows();
                let skipped = (from as usize).min(rows);
                RowSelection::from(vec![RowSelector::skip(skipped), RowSelector::select(rows - skipped)])
            }
            Some(set) => {
                let runs = set.runs(from..set.len()).map(|run| run.start as usize..run.end as usize);
                RowSelection::from_consecutive_ranges(runs, set.rows() as usize)
            }
        };
        let mask = of.mask(root).map_err(|error| ParquetError::General(error.to_string()))?;
        let mut fields = metadata.schema().fields().clone();
        if text_as_bytes {
            fields = with_field(&fields, root, |field| bytes_type(field.data_type()));
        }
        let reader = |fields: &Fields| {
            let levels = metadata.field_levels(mask.clone(), fields, text_as_bytes)?;
            ParquetRecordBatchReader::try_new_with_row_groups(&levels, &group, step as usize, Some(selection()))
        };
        let seconds = of_seconds(metadata, root, &mask, &fields).map(|fields| reader(&fields)).transpose()?;
        Ok(Self { values: reader(&fields)?, seconds, manner })
    }

    fn next(&mut self) -> ParquetResult<Option<Part>> {
        let next = |reader: &mut ParquetRecordBatchReader| {
            reader.next().transpose().map(|batch| batch.map(|batch| batch.column(0).clone()))
        };
        let Some(values) = next(&mut self.values)? else { return Ok(None) };
        let seconds = match &mut self.seconds {
            None => None,
            Some(reader) => {
                let seconds = next(reader)?.filter(|seconds| seconds.len() == values.len());
                Some(seconds.ok_or_else(|| ParquetError::General("two readings of it differ".into()))?)
            }
        };
        Ok(Some(Part { values, seconds }))
    }
}

/// The fields with timestamps of 96 bits as seconds in one of them; None where it has none that are read.
fn of_seconds(metadata: &FileMetadata, root: usize, mask: &ProjectionMask, fields: &Fields) -> Option<Fields> {
    let schema = metadata.parquet_schema();
    let first = (root..schema.num_columns()).find(|&leaf| schema.get_column_root_idx(leaf) == root)?;
    let is_int96 = |leaf: usize| {
        leaf < schema.num_columns()
            && mask.leaf_included(leaf)
            && schema.column(leaf).physical_type() == PhysicalType::INT96
    };
    let leaves = (first..schema.num_columns()).take_while(|&leaf| schema.get_column_root_idx(leaf) == root);
    leaves.into_iter().any(is_int96).then(|| {
        with_field(fields, root, |field| {
            map_leaves(field.data_type(), &mut 0, &|leaf, data_type| {
                is_int96(first + leaf).then(|| int96::as_seconds(data_type))
            })
        })
    })
}

fn with_field(fields: &Fields, root: usize, to: impl Fn(&Field) -> Option<arrow_schema::DataType>) -> Fields {
    let one = |(index, field): (usize, &FieldRef)| {
        let made = if index == root { to(field) } else { None };
        made.map_or_else(|| field.clone(), |made| field.as_ref().clone().with_data_type(made).into())
    };
    fields.iter().enumerate().map(one).collect()
}

/// The row group of a column, whose pages are read as those of the dense decoder are.
struct OneGroup<'a> {
    of: &'a GroupColumn<'a>,
    metadata: &'a FileMetadata,
    in_parts: bool,
}

impl RowGroups for OneGroup<'_> {
    fn num_rows(&self) -> usize {
        self.metadata.metadata().row_group(self.of.group).num_rows().unsigned_abs() as usize
    }

    fn column_chunks(&self, leaf: usize) -> ParquetResult<Box<dyn PageIterator>> {
        let metadata = self.metadata.metadata();
        let chunk = metadata.row_group(self.of.group).column(leaf);
        let places = metadata.page_index_for_row_group(self.of.group).page_locations(leaf).cloned();
        let created_by = metadata.file_metadata().created_by();
        let pages: Box<dyn PageReader> =
            pages(self.of.bytes.clone(), chunk, self.num_rows(), places, None, created_by, self.in_parts)?;
        Ok(Box::new(OneChunk(Some(pages))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.metadata.metadata().row_group(self.of.group)))
    }

    fn metadata(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }
}

/// The pages of one chunk.
struct OneChunk(Option<Box<dyn PageReader>>);

impl Iterator for OneChunk {
    type Item = ParquetResult<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(Ok)
    }
}

impl PageIterator for OneChunk {}
