//! The files: listed, their footers read, and the [`Plan`] made of them.
//!
//! [`build_plan`] lists files ([`listing`], or [`remote`] for a store) by their [`paths`], refuses those of a table
//! (`table_guard`), reads every footer ([`footer`], after a `footer_precheck`, with a `schema_cache` and, if need be,
//! a `footer_repair`; `readable_schema` says which Arrow types columns are read as), merges their [`schema`]s
//! (`widen`; columns that cannot be read are marked: `refusal`), and keeps a summary of each (`footers`;
//! `decoded_bytes` says how large its row groups are in memory). Rows that a table has deleted are in the plan
//! (`deleted_rows`), and so is what its columns are called in files (`table_columns`, which `table_renames` puts on a
//! file's). A plan can be written as bytes (`codec`, `sections`, `wire`) and saved (`persist`).

mod absent;
mod attached;
mod batch_ipc;
mod build;
mod bundles;
mod codec;
mod column_defaults;
mod column_schemas;
mod decoded_bytes;
mod deleted_rows;
mod file_filter;
pub mod footer;
pub(crate) mod footer_precheck;
mod footer_repair;
mod footers;
pub mod listing;
pub mod paths;
mod persist;
mod plan;
pub(crate) mod readable_schema;
pub(crate) mod refusal;
pub mod remote;
mod row_counts;
pub mod schema;
pub(crate) mod schema_cache;
mod sections;
mod subset;
mod table_columns;
mod table_guard;
mod table_renames;
mod table_types;
mod token_line;
pub(crate) mod widen;
mod wire;

pub use absent::AbsentFile;
pub use batch_ipc::{batch_from_bytes, batch_to_bytes};
pub use build::{build_plan, build_table};
pub use bundles::{Bundle, bundles};
pub use deleted_rows::DeletedRows;
pub use file_filter::FileFilter;
pub use footer::Footer;
pub use listing::{Listing, list};
pub use plan::{FileEntry, Plan, PlanParts};
pub use refusal::exportable;
pub use row_counts::SelectedRows;
pub use schema::SchemaMerge;
pub use table_columns::TableColumns;
pub use token_line::TokenLine;

#[cfg(test)]
mod tests;
