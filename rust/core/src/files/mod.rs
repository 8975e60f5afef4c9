//! Which files there are and what their footers say: listing, reading footers, and the plan that is kept of them.

mod attached;
mod batch_ipc;
mod build;
mod codec;
mod file_filter;
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

pub use batch_ipc::{batch_from_bytes, batch_to_bytes};
pub use build::build_plan;
pub use file_filter::FileFilter;
pub use footer::Footer;
pub use listing::{Listing, list};
pub use plan::{FileEntry, Plan, PlanParts};
pub use row_counts::SelectedRows;
pub use schema::SchemaMerge;

#[cfg(test)]
mod tests;
