//! Bytes: positional reads of local files, parts of objects that are read ahead, and the files that are open.

mod cuts;
mod held;
mod input;
mod kept;
mod local;
mod metadata;
mod object;
mod open;
mod opened;
mod pages;
mod parts;
mod remote;
mod source;

pub use held::HeldFile;
pub use input::Input;
pub use local::LocalFile;
pub use metadata::FileMetadata;
pub use object::{RemoteFile, RemoteRead};
pub use open::{Files, OpenFile};
pub use remote::{Demand, Leaves};
pub use source::{Source, SourceRead};
