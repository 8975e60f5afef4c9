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

use crate::Result;
use crate::store::is_remote;

/// Lists the files that `paths` stand for and reads their footers: local ones on up to `num_threads` threads, those of a
/// store as `from` says.
///
/// Threads are joined, and connections closed, before it returns, so that a process may fork afterwards.
pub fn plan(paths: &[String], num_threads: usize, drift: Drift, from: &remote::From) -> Result<FileTable> {
    if paths.iter().any(|path| is_remote(path)) {
        return remote::plan(paths, drift, from);
    }
    read(list(paths)?, num_threads, drift)
}

/// Reads the footers of files that were listed, on up to `num_threads` threads, which are joined before it returns.
pub fn read(listing: Listing, num_threads: usize, drift: Drift) -> Result<FileTable> {
    scan::scan(listing, num_threads, drift)
}

#[cfg(test)]
mod tests;
