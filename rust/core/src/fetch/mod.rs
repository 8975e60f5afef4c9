//! Bytes: positional reads of local files, ranges of objects that are fetched ahead, and the files that are open.
//!
//! [`Files`] opens the files of a plan through a `backend`: `local_files`, or `remote_files`. A file that is open
//! (`open_file`) is read by its `file_handle`, which is a `local` or a `remote_file`. Local ones share the
//! process's `descriptors`; a remote one asks the `range_fetcher` for ranges, and that keeps them in the `range_cache`.

mod backend;
mod buffered_file;
mod cached_range;
mod column_chunk;
mod connection;
mod demand;
mod fault;
mod file_handle;
mod files;
mod local;
mod local_files;
mod metadata;
mod object_ref;
mod offset_index;
mod open_file;
mod page_ranges;
mod prefetch_ends;
mod range_cache;
mod range_fetcher;
mod range_request;
mod read_at;
mod remote_file;
mod remote_files;

pub use buffered_file::BufferedFile;
pub use demand::{Demand, Leaves};
pub use file_handle::{FileHandle, FileHandleRead};
pub use files::Files;
pub use local::LocalFile;
pub use metadata::FileMetadata;
pub use open_file::OpenFile;
pub use read_at::ReadAt;
pub use remote_file::{RemoteFile, RemoteRead};
