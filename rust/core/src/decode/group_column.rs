//! One column of one row group: where it is in its file, and what is not in its pages.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, UInt32Array, new_null_array};
use arrow_select::take::take;
use parquet::arrow::ProjectionMask;

use super::convert::RowLocation;
use super::pages::DecompressPool;
use super::path::Path;
use super::source_column::{SourceColumn, VirtualColumn};
use crate::error::panic_words;
use crate::fetch::{FileHandle, FileMetadata, Leaves, OpenFile};
use crate::files::Plan;
use crate::order::RowSet;
use crate::{Error, Result, third_party};

/// Most writers' pages are no larger.
const PAGE_BYTES: u64 = 1 << 20;

/// A source column in a row group.
#[derive(Debug, Clone, Copy)]
pub struct GroupColumn<'a> {
    /// The file.
    pub file: &'a OpenFile,
    /// Where its bytes come from.
    pub bytes: &'a FileHandle,
    /// The row group, numbered in the file.
    pub group: usize,
    /// The file, numbered in the plan.
    pub number: usize,
    /// The first row of the row group, numbered in the file.
    pub first_row: u64,
    /// The bytes of a row, decoded, of all columns and in the mean.
    pub row_bytes: u64,
    /// What is read.
    pub source: &'a SourceColumn,
    /// Its column's place among the file's top-level fields; None in a file that does not have it.
    pub root: Option<usize>,
    /// Its value where it is the same for every row and in no page: by the names of the file's folders, or by the table.
    pub(crate) constant: Option<Constant<'a>>,
    /// The pool that may decompress pages before their turn.
    pub(crate) pool: Option<&'a Arc<DecompressPool>>,
}

/// A value that all rows of a file have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Constant<'a> {
    values: &'a ArrayRef,
    /// Its place among them.
    at: u32,
}

impl Constant<'_> {
    fn rows(&self, rows: usize) -> Result<ArrayRef> {
        take(self.values, &UInt32Array::from(vec![self.at; rows]), None).map_err(Error::from)
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
        let folder = match (source.virtual_column, plan.partitions()) {
            (Some(VirtualColumn::Partition(column)), Some(values)) => {
                Some(Constant { values: values.column(column), at: index as u32 })
            }
            (Some(VirtualColumn::Partition(_)), None) => {
                return Err(Error::internal("a partition column without values"));
            }
            _ => None,
        };
        let is_virtual = source.virtual_column.is_some();
        let root = root(&file.metadata, &source.path, source.index).filter(|_| !is_virtual);
        let root = if plan.table().is_some() { in_table(file, source, root)? } else { root };
        let by_table = || plan.table()?.default_of(&source.path.root).map(|values| Constant { values, at: 0 });
        let lacks = root.is_none() && !is_virtual && source.path.is_whole();
        let constant = folder.or_else(|| by_table().filter(|_| lacks));
        let row_bytes = plan.row_bytes(start + group).max(1);
        Ok(Self {
            file,
            bytes: &file.handle,
            group,
            number: index,
            first_row,
            row_bytes,
            source,
            root,
            constant,
            pool: None,
        })
    }

    /// The leaves in this file that hold the source.
    fn leaves(&self, root: usize) -> Result<Vec<usize>> {
        leaves(&self.file.metadata, &self.source.path, root)?.ok_or_else(|| self.corrupt(&"it has no leaves"))
    }

    /// The first leaf that holds it; None in a file that does not have the column.
    pub(crate) fn leaf(&self) -> Result<Option<usize>> {
        self.root
            .map(|root| self.leaves(root))
            .transpose()
            .map(|leaves| leaves.and_then(|leaves| leaves.first().copied()))
    }

    /// The range of the file that its chunks are in.
    pub(crate) fn place(&self) -> Result<Option<Range<u64>>> {
        let Some(root) = self.root else { return Ok(None) };
        let group = self.file.metadata.metadata().row_group(self.group);
        let chunks = self.leaves(root)?.into_iter().map(|leaf| group.column(leaf).byte_range());
        let ranges = chunks.map(|(start, length)| start..start.saturating_add(length));
        Ok(ranges.reduce(|one, other| one.start.min(other.start)..one.end.max(other.end)))
    }

    /// About the bytes of the dictionaries, and of a page of every leaf, of a column at this place.
    pub(super) fn open_bytes(&self, root: usize) -> Result<u64> {
        let group = self.file.metadata.metadata().row_group(self.group);
        let of = |leaf: usize| {
            let column = group.column(leaf);
            let (start, length) = column.byte_range();
            let data = u64::try_from(column.data_page_offset()).unwrap_or(start).saturating_sub(start).min(length);
            data + (length - data).min(PAGE_BYTES)
        };
        Ok(self.leaves(root)?.into_iter().map(of).sum())
    }

    /// Where the rows from this one of the row group on come from, for messages.
    pub(super) fn rows_from(&self, row: u64) -> RowLocation<'a> {
        RowLocation { path: &self.file.path, column: &self.source.name, first_row: self.first_row + row, set: None }
    }

    /// What is to be read of a column at this place.
    pub(crate) fn mask(&self, root: usize) -> Result<ProjectionMask> {
        let schema = self.file.metadata.parquet_schema();
        if self.source.path.is_whole() {
            return Ok(ProjectionMask::roots(schema, [root]));
        }
        Ok(ProjectionMask::leaves(schema, self.leaves(root)?))
    }

    /// Values that are not in pages: nulls, a constant, or where the rows are. `rows`: of the row group, or of
    /// the set, where there is one.
    pub(crate) fn not_in_pages(&self, set: Option<&RowSet>, rows: Range<u64>) -> Result<ArrayRef> {
        let count = (rows.end - rows.start) as usize;
        let numbers = |row: u64| (self.first_row + row) as i64;
        Ok(match (self.source.virtual_column, &self.constant) {
            (Some(VirtualColumn::File), _) => Arc::new(Int64Array::from_value(self.number as i64, count)),
            (Some(VirtualColumn::Row), _) => Arc::new(match set {
                None => Int64Array::from_iter_values(rows.map(numbers)),
                Some(set) => Int64Array::from_iter_values(set.runs(rows).flatten().map(numbers)),
            }),
            (_, Some(constant)) => constant.rows(count)?,
            (_, None) => new_null_array(self.source.field.data_type(), count),
        })
    }

    /// The result of reading it: damaged pages make third-party decoders panic.
    pub(crate) fn guarded<T>(&self, read: impl FnOnce() -> Result<T>) -> Result<T> {
        third_party::guarded(read).unwrap_or_else(|panic| {
            Err(self.corrupt(&format_args!("a decoder gave up ({})", panic_words(panic.as_ref()))))
        })
    }

    /// The error for pages that cannot be read.
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

/// The same in a table's file, whose structs may lack fields that the table got later: their values are null.
fn in_table(file: &OpenFile, source: &SourceColumn, root: Option<usize>) -> Result<Option<usize>> {
    let lacks = |root: &usize| !source.path.is_in(file.metadata.schema().field(*root).data_type());
    if root.as_ref().is_none_or(|root| !lacks(root)) {
        return Ok(root);
    }
    if source.path.has_items() {
        return Err(Error::Schema {
            path: file.path.clone(),
            detail: format!(
                "column {:?}: the lists in this file have no such field, which the table got later; read the column \
                 as a whole (columns=[{:?}])",
                source.name, source.path.root
            ),
        });
    }
    Ok(None)
}

/// The leaves of a column of a file that hold what the path names; None where the column has none.
fn leaves(metadata: &FileMetadata, path: &Path, root: usize) -> Result<Option<Vec<usize>>> {
    let schema = metadata.parquet_schema();
    // Leaves stand in the order of their roots, each of which has one at least.
    let first = (root..schema.num_columns()).find(|&leaf| schema.get_column_root_idx(leaf) == root);
    let (within, _) = path.resolve(metadata.schema().field(root).data_type())?;
    Ok(first.map(|first| within.map(|leaf| first + leaf).filter(|&leaf| leaf < schema.num_columns()).collect()))
}

/// The leaves to fetch for these sources. None of a file that changed since it was planned: reading it reports that.
pub(crate) fn wanted<'a>(sources: impl Iterator<Item = &'a SourceColumn>) -> Leaves {
    let sources = sources.filter(|source| source.virtual_column.is_none());
    let paths: Vec<(Path, usize)> = sources.map(|source| (source.path.clone(), source.index)).collect();
    Leaves::new(move |metadata| {
        let of = |(path, index): &(Path, usize)| leaves(metadata, path, root(metadata, path, *index)?).ok().flatten();
        paths.iter().filter_map(of).flatten().collect()
    })
}
