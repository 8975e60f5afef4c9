//! Which files there are and what their footers say: listing, reading footers, and the plan that is kept of them.

mod codec;
pub mod footer;
pub(crate) mod footer_precheck;
mod footers;
pub mod listing;
pub mod paths;
mod persist;
mod plan;
pub mod remote;
mod row_counts;
pub mod schema;
pub(crate) mod schema_cache;

pub use footer::Footer;
pub use listing::{Listing, list};
pub use plan::{FileEntry, Plan, PlanParts};
pub use row_counts::{SelectedRows, batch_from_bytes, batch_to_bytes};
pub use schema::SchemaMerge;

use crate::store::is_remote;
use crate::{Error, Result};

/// Of the names of all files, which are wanted: places in them, ascending.
pub type FileFilter<'a> = &'a dyn Fn(&[String]) -> Result<Vec<usize>>;

/// Lists the files that `paths` stand for and reads the footers of those that `keep` wants: local ones on up to
/// `num_threads` threads, those of a store as `from` says.
///
/// Threads are joined, and connections closed, before it returns, so that a process may fork afterwards.
pub fn build_plan(
    paths: &[String],
    num_threads: usize,
    drift: SchemaMerge,
    from: &remote::StoreAccess,
    keep: Option<FileFilter<'_>>,
) -> Result<Plan> {
    if paths.iter().any(|path| is_remote(path)) {
        return remote::build_plan(paths, drift, from, keep);
    }
    let Listing { root, names } = list(paths)?;
    let names = match keep {
        Some(keep) => kept(keep(&names)?, &names)?,
        None => names,
    };
    footers::scan(Listing { root, names }, num_threads, drift)
}

/// Those at these places.
fn kept<T: Clone>(places: Vec<usize>, all: &[T]) -> Result<Vec<T>> {
    let place =
        |at: usize| all.get(at).cloned().ok_or_else(|| Error::internal(format!("a file {at} of {}", all.len())));
    places.into_iter().map(place).collect()
}

#[cfg(test)]
mod tests;
