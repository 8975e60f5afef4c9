//! From pages to Arrow: the columns that are delivered, their decoders, and what becomes of their values.
//!
//! `spec` (what was asked) → `projection` (which columns, and by `path` which fields in them) → `column` (`pages`, by `dense`
//! or `stock`, to one array of the type that `retype` gives all files) → `form` (what is delivered); and `matrix`, several of these beside
//! one another.

mod column;
pub mod dense;
mod form;
mod leaf;
mod learn;
mod matrix;
mod number;
pub mod pages;
mod path;
mod projection;
mod retype;
mod selected;
mod spec;
mod stock;
mod vocabulary;

pub use column::GroupColumn;
pub(crate) use column::SourceReader;
pub(crate) use column::wanted;
pub(crate) use form::pad::{Filler, padded, rebuild};
pub use form::{Form, Key, Node, Part, Role, Where};
pub(crate) use form::{trim_list, value_bytes};
pub use leaf::Leaf;
pub use learn::learn;
pub(crate) use matrix::beside;
pub use number::Number;
pub use pages::Idle;
pub use path::Path;
pub use projection::{Column, Projection, Source};
pub use spec::{Asked, ColumnSpec, Encode, Lists, Nulls, Padding, Scalar, Side, Strings};
pub use vocabulary::Vocabulary;
