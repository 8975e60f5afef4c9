//! Footers read in parallel, and the summary of each that the plan keeps.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use arrow_schema::{FieldRef, Schema, SchemaRef};
use parquet::schema::types::SchemaDescriptor;

use super::{
    decoded_bytes::DecodedSizes,
    footer::{self, Footer},
    listing::Listing,
    paths,
    plan::{Plan, PlanParts},
    schema::{self, SchemaMerge},
    table_columns::{Renamed, TableColumns},
};
use crate::parallel;
use crate::sync::lock;
use crate::{Error, Result};

/// What the plan keeps of a row group.
struct GroupSummary {
    rows: u64,
    /// Uncompressed, all columns.
    bytes: u64,
    /// The same once decoded.
    decoded: u64,
}

/// What the plan keeps of a footer.
pub(super) struct FooterSummary {
    hash: u64,
    size: u64,
    groups: Vec<GroupSummary>,
    /// The columns of the reference, or else of `schema`, that statistics show a null in.
    nulls: Vec<usize>,
    /// The file's own, where files may differ.
    schema: Option<SchemaRef>,
}

/// The first file, which the others are compared to.
pub(super) struct Reference {
    path: String,
    /// As it is in the file, and with marks on columns that cannot be read.
    own: SchemaRef,
    /// As its writer says.
    stored: SchemaRef,
    table: Option<Arc<TableColumns>>,
    schema: SchemaRef,
    columns: HashMap<String, usize>,
    sizes: DecodedSizes,
    schema_merge: SchemaMerge,
    /// The schemas seen so far, where files may differ: most files have one of a few.
    cached: Mutex<Vec<SchemaRef>>,
}

/// Reads the footers of the files listed, on up to `num_threads` threads, which are joined before it returns.
///
/// Where files are wrong, the error is that of the first wrong one in the line's order, however many threads there are.
pub(super) fn scan(
    listing: Listing,
    num_threads: usize,
    schema_merge: SchemaMerge,
    table: Option<&Arc<TableColumns>>,
) -> Result<Plan> {
    let Listing { root, names } = listing;
    let Some(first) = names.first() else {
        return Err(Error::NoFiles { message: format!("{root}: no files") });
    };
    let path = paths::join(&root, first);
    let footer = footer::read(&path)?;
    let reference = Reference::new(path, &footer, schema_merge, table)?;
    let mut summaries = vec![(0, reference.summary(&reference.path, &footer)?)];
    drop(footer);

    // Fewer than eight files are read sooner than a thread is started.
    let threads = num_threads.clamp(1, names.len().div_ceil(8));
    let others = parallel::map("plan", names.len() - 1, threads, |at| {
        let path = paths::join(&root, &names[at + 1]);
        reference.summary(&path, &footer::read(&path)?)
    })?;
    summaries.extend(others.into_iter().enumerate().map(|(at, found)| (at + 1, found)));
    reference.plan(root, names, summaries)
}

/// The schema of all files; the nulls of each then count its columns.
fn all_schemas(
    root: &str,
    names: &[String],
    summaries: &mut [(usize, FooterSummary)],
    reference: &Reference,
) -> SchemaRef {
    if summaries.iter().all(|(_, found)| found.schema.is_none()) {
        return Arc::clone(&reference.schema);
    }
    let table = reference.table.as_deref();
    let mut merged: Vec<FieldRef> = table.map_or(&reference.schema, |table| table.schema()).fields().to_vec();
    let mut origins = vec![reference.path.clone(); merged.len()];
    let mut last = table.is_none().then(|| Arc::clone(&reference.own));
    for (file, found) in summaries.iter() {
        let is_last = |schema: &&SchemaRef| last.as_ref().is_some_and(|last| Arc::ptr_eq(schema, last));
        let Some(schema) = found.schema.as_ref().filter(|schema| !is_last(schema)) else { continue };
        let path = paths::join(root, &names[*file]);
        match table {
            Some(table) => table.check(&mut merged, schema, &path),
            None => {
                schema::merge(&mut merged, &mut origins, &reference.path, &path, schema, reference.schema_merge);
            }
        }
        last = Some(Arc::clone(schema));
    }
    let places: HashMap<String, usize> = columns(&Schema::new(merged.clone()));
    for (_, found) in summaries.iter_mut() {
        let Some(schema) = found.schema.take() else { continue };
        let own = |at: &usize| places.get(schema.field(*at).name()).copied();
        let mut nulls: Vec<usize> = found.nulls.iter().filter_map(own).collect();
        if reference.schema_merge.missing_as_null && found.groups.iter().any(|group| group.rows > 0) {
            let there: HashSet<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            let has_default = |name: &str| table.is_some_and(|table| table.default_of(name).is_some());
            let is_null = |name: &str| !there.contains(name) && !has_default(name);
            let lacks = |(at, field): (usize, &FieldRef)| is_null(field.name()).then_some(at);
            nulls.extend(merged.iter().enumerate().filter_map(lacks));
        }
        found.nulls = nulls;
    }
    Arc::new(Schema::new(merged))
}

fn renamed(table: &TableColumns, path: &str, footer: &Footer) -> Result<Arc<Renamed>> {
    let parquet = footer.metadata.file_metadata().schema_descr_ptr();
    table.rename(&parquet).map_err(|what| Error::corrupt(path, what))
}

fn columns(schema: &Schema) -> HashMap<String, usize> {
    schema.fields().iter().enumerate().map(|(at, field)| (field.name().clone(), at)).collect()
}

impl Reference {
    /// The first file's footer.
    pub(super) fn new(
        path: String,
        footer: &Footer,
        schema_merge: SchemaMerge,
        table: Option<&Arc<TableColumns>>,
    ) -> Result<Self> {
        let own = match table {
            None => footer.schema.clone(),
            Some(table) => Arc::clone(&renamed(table, &path, footer)?.arrow),
        };
        let schema = schema::reference(&path, &own);
        Ok(Self {
            path,
            stored: footer.schema.clone(),
            table: table.cloned(),
            columns: columns(&schema),
            schema,
            sizes: DecodedSizes::new(&footer.schema),
            schema_merge,
            cached: Mutex::new(vec![own.clone()]),
            own,
        })
    }

    /// What the plan keeps of a file's footer.
    ///
    /// # Errors
    /// A table's file whose columns cannot be found as the table's.
    pub(super) fn summary(&self, path: &str, footer: &Footer) -> Result<FooterSummary> {
        if let Some(table) = &self.table {
            let renamed = renamed(table, path, footer)?;
            let schema = Arc::clone(&renamed.arrow);
            return Ok(self.keep(footer, &columns(&schema), Some(schema), &renamed.parquet));
        }
        let leaves = footer.metadata.file_metadata().schema_descr();
        let is_own = Arc::ptr_eq(&footer.schema, &self.own);
        if !self.schema_merge.is_any() && (is_own || schema::fits(&self.schema, &footer.schema)) {
            return Ok(self.keep(footer, &self.columns, None, leaves));
        }
        let cached = lock(&self.cached).clone();
        let known = cached.into_iter().find(|known| known.fields() == footer.schema.fields());
        let schema = known.unwrap_or_else(|| {
            lock(&self.cached).push(footer.schema.clone());
            footer.schema.clone()
        });
        Ok(self.keep(footer, &columns(&schema), Some(schema), leaves))
    }

    /// A file whose schema is the first one's, from the cache, has its sizes too.
    fn keep(
        &self,
        footer: &Footer,
        columns: &HashMap<String, usize>,
        schema: Option<SchemaRef>,
        leaves: &SchemaDescriptor,
    ) -> FooterSummary {
        if Arc::ptr_eq(&footer.schema, &self.stored) {
            return keep(footer, columns, &self.sizes, schema, leaves);
        }
        keep(footer, columns, &DecodedSizes::new(&footer.schema), schema, leaves)
    }

    /// The plan of all files, given the summary of each footer in the order of the files.
    pub(super) fn plan(
        &self,
        root: String,
        names: Vec<String>,
        mut summaries: Vec<(usize, FooterSummary)>,
    ) -> Result<Plan> {
        let schema = all_schemas(&root, &names, &mut summaries, self);
        plan(root, names, &summaries, schema)
    }
}

fn keep(
    footer: &Footer,
    columns: &HashMap<String, usize>,
    sizes: &DecodedSizes,
    schema: Option<SchemaRef>,
    leaves: &SchemaDescriptor,
) -> FooterSummary {
    let groups = footer.metadata.row_groups();
    let numbers = groups.iter().map(|group| {
        // Checked to be no negative numbers when the footer was parsed.
        let rows = group.num_rows().unsigned_abs();
        // A few writers leave the group's size at 0.
        let of_columns =
            || group.columns().iter().fold(0_u64, |sum, c| sum.saturating_add(c.uncompressed_size().unsigned_abs()));
        let bytes = match group.total_byte_size().unsigned_abs() {
            0 => of_columns(),
            bytes => bytes,
        };
        GroupSummary { rows, bytes, decoded: sizes.row_group(group) }
    });
    let mut nulls: Vec<usize> = Vec::new();
    for leaf in (0..leaves.num_columns()).filter(|&leaf| leaves.column(leaf).max_rep_level() == 0) {
        let Some(&column) = columns.get(leaves.get_column_root(leaf).name()) else { continue };
        let has_nulls = |statistics: &parquet::file::statistics::Statistics| statistics.null_count_opt() > Some(0);
        // The leaves of a column follow each other.
        if nulls.last() != Some(&column) && groups.iter().any(|g| g.column(leaf).statistics().is_some_and(has_nulls)) {
            nulls.push(column);
        }
    }
    FooterSummary { hash: footer.hash, size: footer.size, groups: numbers.collect(), nulls, schema }
}

fn plan(root: String, names: Vec<String>, summaries: &[(usize, FooterSummary)], schema: SchemaRef) -> Result<Plan> {
    let mut first_null = vec![None; schema.fields().len()];
    let mut group_counts = Vec::with_capacity(summaries.len());
    for (file, found) in summaries {
        let file = u32::try_from(*file).map_err(|_| Error::Argument("more than 2³² files".to_owned()))?;
        for &column in &found.nulls {
            first_null[column].get_or_insert(file);
        }
        let count = u32::try_from(found.groups.len()).map_err(|_| Error::internal("2³² row groups in a file"))?;
        group_counts.push(count);
    }
    let groups = || summaries.iter().flat_map(|(_, found)| &found.groups);
    Plan::from_parts(PlanParts {
        root,
        names,
        hashes: summaries.iter().map(|(_, found)| found.hash).collect(),
        sizes: summaries.iter().map(|(_, found)| found.size).collect(),
        group_counts,
        group_rows: groups().map(|group| group.rows).collect(),
        group_bytes: groups().map(|group| group.bytes).collect(),
        decoded_bytes: groups().map(|group| group.decoded).collect(),
        schema,
        first_null,
    })
}
