//! Which files there are and what their footers say: listing, reading footers, and the table that is kept of them.

mod codec;
pub mod footer;
pub mod list;
pub mod name;
mod passing;
mod saved;
mod scan;
pub mod schema;
mod skim;
mod table;

pub use footer::Footer;
pub use list::{Listing, list};
pub use passing::{Passing, batch_from_bytes, batch_to_bytes};
pub use schema::Drift;
pub use table::{FileEntry, FileTable, TableParts};

use crate::Result;

/// Lists the files that `paths` stand for and reads their footers on up to `num_threads` threads.
///
/// The threads are joined before it returns, so that a process may fork afterwards.
pub fn plan(paths: &[String], num_threads: usize, drift: Drift) -> Result<FileTable> {
    read(list(paths)?, num_threads, drift)
}

/// Reads the footers of files that were listed, on up to `num_threads` threads, which are joined before it returns.
pub fn read(listing: Listing, num_threads: usize, drift: Drift) -> Result<FileTable> {
    scan::scan(listing, num_threads, drift)
}

#[cfg(test)]
mod tests;
