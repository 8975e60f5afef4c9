//! One column of one row group, read from any row on.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow_select::take::take;
use parquet::arrow::ProjectionMask;

use super::arrow_fallback::FallbackColumn;
use super::dense::{DenseColumn, Read};
use super::pages::{DecompressPool, pages};
use super::schema_adapter::adapt;
use super::{Path, RowLocation, SourceColumn};
use crate::error::panic_words;
use crate::fetch::{FileHandle, FileMetadata, Leaves, OpenFile};
use crate::files::Plan;
use crate::order::RowSet;
use crate::{Error, Result};

/// A source in a row group.
#[derive(Debug, Clone, Copy)]
pub struct GroupColumn<'a> {
    /// The file.
    pub file: &'a OpenFile,
    /// Where its bytes come from.
    pub bytes: &'a FileHandle,
    /// The row group, numbered in the file.
    pub group: usize,
    /// The first row of the row group, numbered in the file.
    pub first_row: u64,
    /// What is read.
    pub source: &'a SourceColumn,
    /// Its column's place among the file's top-level fields; None in a file that does not have it.
    pub root: Option<usize>,
    /// What the file's folders say, once a row, if it is no column of the files.
    pub(crate) folder: Option<Folder<'a>>,
    /// Who may decompress pages before their turn.
    pub(crate) idle: Option<&'a Arc<DecompressPool>>,
}

/// A value of a file's folders.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Folder<'a> {
    values: &'a RecordBatch,
    column: usize,
    file: usize,
}

impl Folder<'_> {
    fn rows(&self, rows: usize) -> Result<ArrayRef> {
        let indices = UInt32Array::from(vec![self.file as u32; rows]);
        take(self.values.column(self.column), &indices, None).map_err(|error| Error::internal(error.to_string()))
    }
}

impl<'a> GroupColumn<'a> {
    /// The source, wherever it stands in this file, which is the plan's `index`-th. `group`: numbered in the file.
    ///
    /// # Errors
    /// The row group is not in the footer, or the plan has no such partition column.
    pub fn find(
        plan: &'a Plan,
        index: usize,
        file: &'a OpenFile,
        group: usize,
        source: &'a SourceColumn,
    ) -> Result<Self> {
        if group >= file.metadata.metadata().num_row_groups() {
            return Err(Error::internal(format!("{}: row group {group} is not there", file.path)));
        }
        let start = plan.groups(index).start;
        let first_row = plan.group_rows()[start..start + group].iter().sum();
        let folder = match (source.partition, plan.partitions()) {
            (None, _) => None,
            (Some(column), Some(values)) => Some(Folder { values, column, file: index }),
            (Some(_), None) => return Err(Error::internal("a partition column without values")),
        };
        let root = root(&file.metadata, &source.path, source.index).filter(|_| folder.is_none());
        Ok(Self { file, bytes: &file.handle, group, first_row, source, root, folder, idle: None })
    }

    /// The leaves in this file that hold the source.
    fn leaves(&self, root: usize) -> Result<Vec<usize>> {
        leaves(&self.file.metadata, &self.source.path, root)?.ok_or_else(|| self.corrupt(&"it has no leaves"))
    }

    /// Where its chunks lie in the file.
    pub(crate) fn place(&self) -> Result<Option<Range<u64>>> {
        let Some(root) = self.root else { return Ok(None) };
        let group = self.file.metadata.metadata().row_group(self.group);
        let chunks = self.leaves(root)?.into_iter().map(|leaf| group.column(leaf).byte_range());
        let ranges = chunks.map(|(start, length)| start..start.saturating_add(length));
        Ok(ranges.reduce(|one, other| one.start.min(other.start)..one.end.max(other.end)))
    }

    /// What is to be read of a column at this place.
    pub(crate) fn mask(&self, root: usize) -> Result<ProjectionMask> {
        let schema = self.file.metadata.parquet_schema();
        if self.source.path.is_whole() {
            return Ok(ProjectionMask::roots(schema, [root]));
        }
        Ok(ProjectionMask::leaves(schema, self.leaves(root)?))
    }

    /// What is not in the pages: nulls, or what the folders say.
    pub(crate) fn constant(&self, rows: usize) -> Result<ArrayRef> {
        match &self.folder {
            Some(folder) => folder.rows(rows),
            None => Ok(new_null_array(self.source.field.data_type(), rows)),
        }
    }

    /// What comes of reading it: damaged pages make decoders panic that are not ours.
    pub(crate) fn guarded<T>(&self, read: impl FnOnce() -> Result<T>) -> Result<T> {
        catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
            Err(self.corrupt(&format_args!("a decoder gave up ({})", panic_words(panic.as_ref()))))
        })
    }

    /// Pages of it that cannot be read.
    pub(crate) fn corrupt(&self, what: &dyn std::fmt::Display) -> Error {
        let detail = format!(
            "column {:?}, row group {}: {what}; if the file is damaged, write or copy it again",
            self.source.name, self.group
        );
        Error::corrupt(&self.file.path, detail)
    }
}

/// Where the path's column stands among a file's top-level fields: most likely at `index`, as in the plan.
fn root(metadata: &FileMetadata, path: &Path, index: usize) -> Option<usize> {
    let fields = metadata.schema().fields();
    let named = |index: &usize| fields.get(*index).is_some_and(|field| *field.name() == path.root);
    Some(index).filter(named).or_else(|| (0..fields.len()).find(named))
}

/// The leaves of a column of a file that hold what the path names; None where the column has none.
fn leaves(metadata: &FileMetadata, path: &Path, root: usize) -> Result<Option<Vec<usize>>> {
    let schema = metadata.parquet_schema();
    // Leaves stand in the order of their roots, each of which has one at least.
    let first = (root..schema.num_columns()).find(|&leaf| schema.get_column_root_idx(leaf) == root);
    let (within, _) = path.resolve(metadata.schema().field(root).data_type())?;
    Ok(first.map(|first| within.map(|leaf| first + leaf).filter(|&leaf| leaf < schema.num_columns()).collect()))
}

/// What is fetched for these sources: their leaves. Of a file that is not as it was planned none; to read it says so.
pub(crate) fn wanted<'a>(sources: impl Iterator<Item = &'a SourceColumn>) -> Leaves {
    let sources = sources.filter(|source| source.partition.is_none());
    let paths: Vec<(Path, usize)> = sources.map(|source| (source.path.clone(), source.index)).collect();
    Leaves::new(move |metadata| {
        let of = |(path, index): &(Path, usize)| leaves(metadata, path, root(metadata, path, *index)?).ok().flatten();
        paths.iter().filter_map(of).flatten().collect()
    })
}

/// Reads a source of a row group on from a row.
pub(crate) struct SourceReader {
    pub(super) decoder: Decoder,
    pub(super) next_row: u64,
}

pub(super) enum Decoder {
    /// Pages without nulls, PLAIN or dictionary encoded.
    Dense(Box<DenseColumn>),
    /// All others: from the first page on that is of another kind.
    Fallback(Box<FallbackColumn>),
    /// The same, of the rows of a set only.
    Set(Box<FallbackColumn>),
    /// A file that does not have the column, or whose folders say it.
    Missing,
}

impl SourceReader {
    /// Opens the source at a row of its row group, or of the set, where there is one.
    pub(crate) fn at(of: &GroupColumn<'_>, set: Option<&RowSet>, row: u64) -> Result<Self> {
        match set {
            None => Self::open(of, row),
            Some(set) => Self::open_set(of, set, row),
        }
    }

    pub(crate) fn open(of: &GroupColumn<'_>, row: u64) -> Result<Self> {
        let Some(root) = of.root else { return Ok(Self { decoder: Decoder::Missing, next_row: row }) };
        let decoder = match dense(of, root, row)? {
            Some(mut dense) => {
                dense.skip(row as usize).map_err(|error| of.corrupt(&error))?;
                Decoder::Dense(Box::new(dense))
            }
            None => Decoder::Fallback(Box::new(FallbackColumn::open(of, root, row)?)),
        };
        Ok(Self { decoder, next_row: row })
    }

    /// The next rows as they stand in the file, of the type that the plan gives all files.
    pub(crate) fn values(&mut self, of: &GroupColumn<'_>, rows: usize) -> Result<ArrayRef> {
        let array = self.decode(of, rows)?;
        self.next_row += rows as u64;
        adapt(array, of.source.field.data_type())
    }

    /// The next rows, in the form that they are delivered in. `rows`: of the row group, or of the set, where there is one.
    pub(crate) fn read(&mut self, of: &GroupColumn<'_>, set: Option<&RowSet>, rows: Range<u64>) -> Result<ArrayRef> {
        let from = RowLocation { path: &of.file.path, column: &of.source.name, first_row: of.first_row, set: None };
        let (array, from) = match set {
            None => {
                let from = RowLocation { first_row: of.first_row + self.next_row, ..from };
                (self.values(of, (rows.end - rows.start) as usize)?, from)
            }
            Some(set) => {
                let from = RowLocation { set: Some((set, rows.start)), ..from };
                (adapt(self.decode_set(of, set, rows)?, of.source.field.data_type())?, from)
            }
        };
        of.source.form.apply(&array, from)
    }

    fn decode(&mut self, of: &GroupColumn<'_>, rows: usize) -> Result<ArrayRef> {
        if let (Decoder::Dense(dense), Some(root)) = (&mut self.decoder, of.root) {
            match dense.read(rows).map_err(|error| of.corrupt(&error))? {
                Read::Array(array) => return Ok(array),
                Read::NotDense => {
                    self.decoder = Decoder::Fallback(Box::new(FallbackColumn::open(of, root, self.next_row)?))
                }
            }
        }
        match &mut self.decoder {
            Decoder::Fallback(fallback) => fallback.read(of, rows).and_then(|array| of.source.path.take(array)),
            Decoder::Missing => of.constant(rows),
            Decoder::Set(_) => Err(Error::internal("rows of a set are read with it")),
            Decoder::Dense(_) => Err(Error::internal("a dense decoder gave nothing")),
        }
    }
}

/// The dense decoder of a column, if it is of its kind; it will be read from a row on.
fn dense(of: &GroupColumn<'_>, root: usize, row: u64) -> Result<Option<DenseColumn>> {
    if !of.source.path.is_whole() {
        return Ok(None);
    }
    let schema = of.file.metadata.parquet_schema();
    let field = of.file.metadata.schema().field(root);
    let leaves = schema.num_columns();
    // Leaves stand in the order of their roots, each of which has one at least.
    let mut of_root = (root..leaves).skip_while(|&leaf| schema.get_column_root_idx(leaf) < root);
    let Some(first) = of_root.next() else { return Ok(None) };
    let is_alone = of_root.next().is_none_or(|next| schema.get_column_root_idx(next) != root);
    if !is_alone || !DenseColumn::takes(&schema.column(first), field) {
        return Ok(None);
    }
    let group = of.file.metadata.metadata().row_group(of.group);
    let chunk = group.column(first);
    let places = of.file.metadata_from(of.group, row).metadata().page_index_for_row_group(of.group);
    let places = places.page_locations(first).cloned();
    let source = of.bytes.clone();
    let pages = pages(source, chunk, group.num_rows() as usize, places, of.idle).map_err(|error| of.corrupt(&error))?;
    let dense = DenseColumn::try_new(pages, &schema.column(first), field);
    Ok(dense.map(|dense| dense.with_num_values(chunk.num_values().unsigned_abs())))
}

/// Parts of a column as one array.
pub(crate) fn joined(mut parts: Vec<ArrayRef>) -> Result<ArrayRef> {
    if parts.len() == 1 {
        return Ok(parts.remove(0));
    }
    let parts: Vec<&dyn arrow_array::Array> = parts.iter().map(AsRef::as_ref).collect();
    arrow_select::concat::concat(&parts).map_err(|error| Error::internal(error.to_string()))
}
