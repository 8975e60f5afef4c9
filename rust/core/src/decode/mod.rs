//! From pages to Arrow: the columns that are delivered, their decoders, and the form in which a tensor can take them.

mod column;
pub mod dense;
mod form;
mod projection;
mod retype;
mod selected;
mod stock;

pub use column::{ColumnReader, GroupColumn};
pub use form::{Form, Where};
pub(crate) use form::{trim_list, value_bytes};
pub use projection::{Column, Projection};
