//! The building of a plan: listing, and reading every footer.

use super::file_filter::{FileFilter, pick};
use super::footers;
use super::listing::{Listing, list};
use super::plan::Plan;
use super::remote::{self, StoreAccess};
use super::schema::SchemaMerge;
use crate::Result;
use crate::store::is_remote;

/// Lists the files that `paths` stand for and reads the footers of those that `keep` wants: local ones on up to
/// `num_threads` threads, those of a store as `from` says.
///
/// Threads are joined, and connections closed, before it returns, so that a process may fork afterwards.
pub fn build_plan(
    paths: &[String],
    num_threads: usize,
    schema_merge: SchemaMerge,
    from: &StoreAccess,
    keep: Option<FileFilter<'_>>,
) -> Result<Plan> {
    if paths.iter().any(|path| is_remote(path)) {
        return remote::build_plan(paths, schema_merge, from, keep);
    }
    let Listing { root, names } = list(paths)?;
    let names = match keep {
        Some(keep) => pick(keep(&names)?, &names)?,
        None => names,
    };
    footers::scan(Listing { root, names }, num_threads, schema_merge)
}
