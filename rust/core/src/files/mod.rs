//! Which files there are and what their footers say: listing, reading footers, and the table that is kept of them.

mod codec;
pub mod footer;
pub mod list;
pub mod name;
mod passing;
pub mod remote;
mod saved;
mod scan;
pub mod schema;
pub(crate) mod shape;
pub(crate) mod skim;
mod table;

pub use footer::Footer;
pub use list::{Listing, list};
pub use passing::{Passing, batch_from_bytes, batch_to_bytes};
pub use schema::Drift;
pub use table::{FileEntry, FileTable, TableParts};

use crate::store::is_remote;
use crate::{Error, Result};

/// Of the names of all files, which are wanted: places in them, ascending.
pub type Keep<'a> = &'a dyn Fn(&[String]) -> Result<Vec<usize>>;

/// Lists the files that `paths` stand for and reads the footers of those that `keep` wants: local ones on up to
/// `num_threads` threads, those of a store as `from` says.
///
/// Threads are joined, and connections closed, before it returns, so that a process may fork afterwards.
pub fn plan(
    paths: &[String],
    num_threads: usize,
    drift: Drift,
    from: &remote::From,
    keep: Option<Keep<'_>>,
) -> Result<FileTable> {
    if paths.iter().any(|path| is_remote(path)) {
        return remote::plan(paths, drift, from, keep);
    }
    let Listing { root, names } = list(paths)?;
    let names = match keep {
        Some(keep) => kept(keep(&names)?, &names)?,
        None => names,
    };
    scan::scan(Listing { root, names }, num_threads, drift)
}

/// Those at these places.
fn kept<T: Clone>(places: Vec<usize>, all: &[T]) -> Result<Vec<T>> {
    let place =
        |at: usize| all.get(at).cloned().ok_or_else(|| Error::internal(format!("a file {at} of {}", all.len())));
    places.into_iter().map(place).collect()
}

#[cfg(test)]
mod tests;
