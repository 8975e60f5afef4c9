//! From pages to Arrow: the columns that are delivered, their decoders, and the conversion of their values.
//!
//! A `spec` is resolved to a `projection` of columns (`column`), each of a `source_column` or several: a column of the
//! files, or by its `path` a field in one. A `group_column` is a source column in a row group. Its `source_reader`
//! reads `pages` by the `dense` decoder, or by arrow-rs (`arrow_fallback`, which looks for `int96` timestamps that do
//! not fit), to one array, which `schema_adapter` gives the type that the column has in the plan; `source_text` makes
//! text of bytes that may not be UTF-8, by a `text_policy`, and `dictionaries` are one where arrays are laid end to
//! end. `delivery` has it converted (`convert`), after `row_selection` where only some rows pass. A `matrix` is
//! several of these side by side.
//!
//! A `pack` is a column of lists as sequences of one length, of which `pack_views` makes what is delivered.

mod arrow_fallback;
mod column;
mod concat;
mod convert;
mod delivery;
pub mod dense;
mod dictionaries;
mod empty;
mod group_column;
mod int96;
mod leaf;
mod matrix;
mod nested;
mod number;
mod pack;
mod pack_views;
pub mod pages;
mod path;
mod projection;
mod row_selection;
mod scalar;
mod schema_adapter;
mod source_column;
mod source_reader;
mod source_text;
mod spec;
mod text_policy;
mod vocabulary;
mod vocabulary_build;
mod widen_decimals;
mod widen_values;

pub use column::Column;
pub(crate) use convert::pad::{Filler, padded, rebuild};
pub use convert::{ArrayLayout, Conversion, Node, OutputKey, Role, RowLocation};
pub(crate) use convert::{trim_list, value_bytes};
pub(crate) use dictionaries::concat_shared;
pub(crate) use empty::empty;
pub use group_column::GroupColumn;
pub(crate) use group_column::wanted;
pub use leaf::Leaf;
pub(crate) use matrix::beside;
pub use number::Number;
pub use pack::{Labels, Long, Pack, token_width};
pub(crate) use pack::{PackColumns, item_type};
pub(crate) use pack_views::views;
pub use pages::DecompressPool;
pub use path::Path;
pub use projection::Projection;
pub use scalar::Scalar;
pub use source_column::{SourceColumn, VirtualColumn};
pub(crate) use source_reader::SourceReader;
pub use spec::{ColumnSpec, Encode, Lists, Nulls, Padding, ProjectionSpec, Side, Strings};
pub(crate) use text_policy::TextPolicy;
pub use vocabulary::Vocabulary;
pub use vocabulary_build::build_vocabulary;
