//! The plan: what is kept of every footer once the files are listed.

use std::{ops::Range, sync::Arc};

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use xxhash_rust::xxh3::Xxh3;

use super::deleted_rows::DeletedRows;
use super::paths;
use super::row_counts::SelectedRows;
use super::table_columns::TableColumns;
use super::token_line::TokenLine;
use crate::{Error, Result};

/// The parts of a plan, file after file; the row groups of all files stand end to end.
#[derive(Debug, Clone)]
pub struct PlanParts {
    /// The directory that names are relative to.
    pub root: String,
    /// Each file's name, ascending.
    pub names: Vec<String>,
    /// Each file's footer hash.
    pub hashes: Vec<u64>,
    /// Each file's size in bytes.
    pub sizes: Vec<u64>,
    /// How many row groups each file has.
    pub group_counts: Vec<u32>,
    /// Each row group's rows.
    pub group_rows: Vec<u64>,
    /// Each row group's bytes: uncompressed, all columns.
    pub group_bytes: Vec<u64>,
    /// Each row group's bytes once decoded, all columns.
    pub decoded_bytes: Vec<u64>,
    /// The first file's Arrow schema.
    pub schema: SchemaRef,
    /// Of each column of the schema: the first file whose statistics show a null in it.
    pub first_null: Vec<Option<u32>>,
}

/// One file of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry<'a> {
    /// Its path relative to the plan's root.
    pub name: &'a str,
    /// Its rows.
    pub rows: u64,
    /// Its footer's hash.
    pub hash: u64,
    /// Its size in bytes.
    pub size: u64,
    /// Its row groups, counted over all files.
    pub groups: Range<usize>,
}

/// The files in the line's order, with the rows and bytes of their row groups: some 45 bytes and a name for each file,
/// and 24 bytes for each row group.
///
/// It is immutable. Files and row groups are known by their index; methods that take one panic, as slices do, where it
/// is out of range.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    root: String,
    names: String,
    /// Where each name begins in `names`, and the end.
    name_starts: Vec<u64>,
    rows: Vec<u64>,
    hashes: Vec<u64>,
    sizes: Vec<u64>,
    /// Each file's first row group, and the end.
    group_starts: Vec<u64>,
    group_rows: Vec<u64>,
    group_bytes: Vec<u64>,
    decoded_bytes: Vec<u64>,
    schema: SchemaRef,
    first_null: Vec<Option<u32>>,
    /// Each file's tag; none for local files.
    tags: Vec<String>,
    num_rows: u64,
    num_bytes: u64,
    digest: u128,
    pub(super) partitions: Option<Arc<RecordBatch>>,
    pub(super) passing: Option<Arc<SelectedRows>>,
    pub(super) deleted: Option<Arc<DeletedRows>>,
    pub(super) source: Option<Arc<str>>,
    pub(super) table: Option<Arc<TableColumns>>,
    pub(super) token_line: Option<Arc<TokenLine>>,
}

impl Plan {
    /// A plan of these parts, which need not be those of files that exist. The schema's own metadata (pandas indexes
    /// and the like) is dropped; that of its fields stays.
    pub fn from_parts(parts: PlanParts) -> Result<Self> {
        let bad = |what: String| Err(Error::Argument(format!("not a plan: {what}")));
        let PlanParts {
            root, names: list, hashes, sizes, group_counts, group_rows, group_bytes, decoded_bytes, ..
        } = parts;
        let (schema, first_null) = (parts.schema, parts.first_null);
        let files = list.len();
        let groups = group_rows.len();
        if [hashes.len(), sizes.len(), group_counts.len()] != [files; 3]
            || [group_bytes.len(), decoded_bytes.len()] != [groups; 2]
        {
            return bad("its parts differ in length".to_owned());
        }
        if u32::try_from(files).is_err() {
            return bad(format!("{files} files are more than can be numbered"));
        }
        if first_null.len() != schema.fields().len() || first_null.iter().flatten().any(|&f| f as usize >= files) {
            return bad("its nulls do not fit its columns and files".to_owned());
        }
        let mut name_starts = Vec::with_capacity(files + 1);
        let mut names = String::with_capacity(list.iter().map(String::len).sum());
        let mut last = "";
        name_starts.push(0);
        for name in &list {
            if name.as_str() <= last || name.starts_with('/') {
                return bad(format!("the name {name:?} does not stand in order after {last:?}"));
            }
            if name.len() > paths::MAX_NAME {
                return bad(format!("a name is longer than {} bytes: {name:?}", paths::MAX_NAME));
            }
            names.push_str(name);
            name_starts.push(names.len() as u64);
            last = name;
        }
        let mut group_starts = Vec::with_capacity(files + 1);
        let mut rows = Vec::with_capacity(files);
        let mut start = 0_usize;
        group_starts.push(0);
        for &count in &group_counts {
            let end = start + count as usize;
            let Some(sum) = group_rows.get(start..end).and_then(sum) else {
                return bad("its row groups do not fit its files".to_owned());
            };
            rows.push(sum);
            group_starts.push(end as u64);
            start = end;
        }
        let (Some(num_rows), Some(num_bytes), true) = (sum(&rows), sum(&group_bytes), start == group_rows.len()) else {
            return bad("its row groups do not fit its files, or are more than can be counted".to_owned());
        };
        let schema = if schema.metadata().is_empty() { schema } else { Arc::new(Schema::new(schema.fields().clone())) };
        let mut plan = Self {
            root,
            names,
            name_starts,
            rows,
            hashes,
            sizes,
            group_starts,
            group_rows,
            group_bytes,
            decoded_bytes,
            schema,
            first_null,
            tags: Vec::new(),
            num_rows,
            num_bytes,
            digest: 0,
            partitions: None,
            passing: None,
            deleted: None,
            source: None,
            table: None,
            token_line: None,
        };
        plan.digest = plan.compute_digest();
        Ok(plan)
    }

    /// The plan with each file's tag: what its store calls its content (its ETag, and when it was written). It is
    /// neither in the digest nor in a state.
    ///
    /// # Errors
    /// There are not as many as files.
    pub fn with_tags(mut self, tags: Vec<String>) -> Result<Self> {
        if !tags.is_empty() && tags.len() != self.num_files() {
            return Err(Error::Argument("not a plan: its tags do not fit its files".to_owned()));
        }
        self.tags = tags;
        Ok(self)
    }

    /// A file's tag; empty where there is none.
    pub fn tag(&self, file: usize) -> &str {
        self.tags.get(file).map_or("", String::as_str)
    }

    /// Each file's tag, or nothing for local files.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// The directory that names are relative to.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// How many files.
    pub fn num_files(&self) -> usize {
        self.rows.len()
    }

    /// How many rows, over all files.
    pub fn num_rows(&self) -> u64 {
        self.num_rows
    }

    /// How many row groups, over all files.
    pub fn num_row_groups(&self) -> usize {
        self.group_rows.len()
    }

    /// The bytes of all row groups: uncompressed, all columns.
    pub fn num_bytes(&self) -> u64 {
        self.num_bytes
    }

    /// The first file's Arrow schema; all other files have its columns, with these types.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Each row group's rows.
    pub fn group_rows(&self) -> &[u64] {
        &self.group_rows
    }

    /// Each row group's bytes: uncompressed, all columns.
    pub fn group_bytes(&self) -> &[u64] {
        &self.group_bytes
    }

    /// The bytes of a row of a row group once decoded, in the mean.
    pub fn row_bytes(&self, group: usize) -> u64 {
        self.decoded_bytes[group].div_ceil(self.group_rows[group].max(1))
    }

    /// Each row group's bytes once decoded, of all columns whatever is read: from its footer, exact or a stated estimate.
    pub fn decoded_bytes(&self) -> &[u64] {
        &self.decoded_bytes
    }

    /// The columns of the table that the files are of; None for plain files.
    pub fn table(&self) -> Option<&TableColumns> {
        self.table.as_deref()
    }

    /// The plan with the columns of the table that its files are of.
    pub(super) fn with_table(mut self, table: Option<Arc<TableColumns>>) -> Self {
        self.table = table;
        self
    }

    /// Of each column of the schema: the first file whose statistics show a null in it. `None` says nothing: files may
    /// lack statistics, and those of lists do not tell a null from an empty list.
    pub fn first_null(&self) -> &[Option<u32>] {
        &self.first_null
    }

    /// A file's name: its path relative to the root.
    pub fn name(&self, file: usize) -> &str {
        &self.names[self.name_starts[file] as usize..self.name_starts[file + 1] as usize]
    }

    /// A file's row groups, counted over all files.
    pub fn groups(&self, file: usize) -> Range<usize> {
        self.group_starts[file] as usize..self.group_starts[file + 1] as usize
    }

    /// All about one file.
    pub fn file(&self, file: usize) -> FileEntry<'_> {
        FileEntry {
            name: self.name(file),
            rows: self.rows[file],
            hash: self.hashes[file],
            size: self.sizes[file],
            groups: self.groups(file),
        }
    }

    /// All files, in the line's order.
    pub fn files(&self) -> impl ExactSizeIterator<Item = FileEntry<'_>> {
        (0..self.num_files()).map(|file| self.file(file))
    }

    /// The file that a row group (counted over all files) belongs to.
    pub fn file_of_group(&self, group: usize) -> usize {
        assert!(group < self.num_row_groups(), "row group {group} of {}", self.num_row_groups());
        self.group_starts.partition_point(|&start| start <= group as u64) - 1
    }

    /// Where a file is: its name under the root.
    pub fn path(&self, file: usize) -> String {
        paths::join(&self.root, self.name(file))
    }

    /// XXH3-128 over every file's name (its length first), rows and footer hash, little-endian, in order. The root is
    /// not in it: a copy of the data elsewhere is the same data.
    pub fn digest(&self) -> u128 {
        self.digest
    }

    fn compute_digest(&self) -> u128 {
        let mut hasher = Xxh3::new();
        for file in self.files() {
            hasher.update(&(file.name.len() as u64).to_le_bytes());
            hasher.update(file.name.as_bytes());
            hasher.update(&file.rows.to_le_bytes());
            hasher.update(&file.hash.to_le_bytes());
        }
        hasher.digest128()
    }
}

fn sum(values: impl AsRef<[u64]>) -> Option<u64> {
    values.as_ref().iter().try_fold(0_u64, |sum, &value| sum.checked_add(value))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
pub(super) mod tests;
