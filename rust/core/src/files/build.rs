//! The building of a plan: listing, and reading every footer.

use std::sync::Arc;

use super::file_filter::{FileFilter, pick};
use super::footers;
use super::listing::{Listing, list};
use super::paths;
use super::plan::Plan;
use super::remote::{self, StoreAccess};
use super::schema::SchemaMerge;
use super::table_columns::TableColumns;
use super::table_guard;
use crate::Result;
use crate::store::is_remote;

/// Lists the files that `paths` stand for and reads the footers of those that `keep` wants: local ones on up to
/// `num_threads` threads, those of a store as `from` says.
///
/// `guards_tables`: files of a Delta or Iceberg table are refused, since the table may have deleted what they hold.
///
/// Threads are joined, and connections closed, before it returns, so that a process may fork afterwards.
pub fn build_plan(
    paths: &[String],
    num_threads: usize,
    schema_merge: SchemaMerge,
    from: &StoreAccess,
    keep: Option<FileFilter<'_>>,
    guards_tables: bool,
) -> Result<Plan> {
    if paths.iter().any(|path| is_remote(path)) {
        return remote::build_plan(paths, schema_merge, from, keep, guards_tables);
    }
    let Listing { root, names } = list(paths)?;
    if guards_tables {
        table_guard::check_local(&root, &names)?;
    }
    let names = match keep {
        Some(keep) => pick(keep(&names)?, &names)?,
        None => names,
    };
    footers::scan(Listing { root, names }, num_threads, schema_merge, None)
}

/// The plan of a table's files, given by their names (ascending) under the table's root and their sizes: no listing asks
/// for them. Footers are read as by [`build_plan`]; the columns are the table's.
pub fn build_table(
    root: &str,
    files: Vec<(String, u64)>,
    num_threads: usize,
    columns: &Arc<TableColumns>,
    from: &StoreAccess,
) -> Result<Plan> {
    // A file may lack columns that the table got later, and have types that were narrower then.
    let schema_merge = SchemaMerge { columns_of_all: true, missing_as_null: true, widen: true };
    let plan = if is_remote(root) {
        remote::build_table(root, files, schema_merge, columns, from)?
    } else {
        let names = files.into_iter().map(|(name, _)| name).collect();
        footers::scan(Listing { root: paths::absolute(root)?, names }, num_threads, schema_merge, Some(columns))?
    };
    Ok(plan.with_table(Some(Arc::clone(columns))))
}
