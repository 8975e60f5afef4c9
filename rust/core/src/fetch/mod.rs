//! Bytes: positional reads of local files, and the files that are open.

mod local;
mod open;

pub use local::LocalFile;
pub use open::{Files, OpenFile};
