//! Bytes: positional reads of local files, parts of objects that are read ahead, and the files that are open.

mod local;
mod open;
mod parts;
mod remote;
mod source;

pub use local::LocalFile;
pub use open::{Files, OpenFile};
pub use remote::{Demand, RemoteFile, RemoteRead};
pub use source::{Source, SourceRead};
