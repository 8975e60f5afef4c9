//! Bytes: positional reads of local files, parts of objects that are read ahead, and the files that are open.

mod buffered_file;
mod file_handle;
mod files;
mod local;
mod lru;
mod metadata;
mod offset_index;
mod page_ranges;
mod range_cache;
mod range_fetcher;
mod read_at;
mod remote_file;
mod remote_files;

pub use buffered_file::BufferedFile;
pub use file_handle::{FileHandle, FileHandleRead};
pub use files::{Files, OpenFile};
pub use local::LocalFile;
pub use metadata::FileMetadata;
pub use read_at::ReadAt;
pub use remote_file::{RemoteFile, RemoteRead};
pub use remote_files::{Demand, Leaves};
