//! From pages to Arrow: the columns that are delivered, their decoders, and what becomes of their values.
//!
//! `spec` (what was asked) → `projection` (which columns, and by `path` which fields in them) → `column` (`pages`, by `dense`
//! or `fallback`, to one array of the type that `retype` gives all files) → `form` (what is delivered); and `matrix`, several of these beside
//! one another.

mod arrow_fallback;
mod column;
mod convert;
pub mod dense;
mod leaf;
mod matrix;
mod number;
pub mod pages;
mod path;
mod projection;
mod row_selection;
mod schema_adapter;
mod spec;
mod vocabulary;
mod vocabulary_build;

pub use column::GroupColumn;
pub(crate) use column::SourceReader;
pub(crate) use column::wanted;
pub(crate) use convert::pad::{Filler, padded, rebuild};
pub use convert::{ArrayLayout, Conversion, Node, OutputKey, Role, RowLocation};
pub(crate) use convert::{trim_list, value_bytes};
pub use leaf::Leaf;
pub(crate) use matrix::beside;
pub use number::Number;
pub use pages::DecompressPool;
pub use path::Path;
pub use projection::{Column, Projection, SourceColumn};
pub use spec::{ColumnSpec, Encode, Lists, Nulls, Padding, ProjectionSpec, Scalar, Side, Strings};
pub use vocabulary::Vocabulary;
pub use vocabulary_build::build_vocabulary;
