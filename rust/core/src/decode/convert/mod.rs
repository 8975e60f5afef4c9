//! The conversion of decoded values to what is delivered: a tensor, a list of Python objects or Arrow data.
//!
//! [`resolve()`] derives a column's [`Conversion`] from its type and its specification, once; [`Conversion::apply`]
//! converts decoded rows, on the threads that decode. The result has no nulls that were not requested, and only needs
//! to be sliced afterwards: a column of several keys (values and their mask) and a dict are struct arrays.

mod arrays;
mod cast;
mod conversion;
mod decimal;
mod empty_values;
mod encode;
mod lists;
mod location;
mod null_rules;
mod nulls;
mod operation;
mod output;
pub(crate) mod pad;
mod resolve;
mod scalars;
#[cfg(test)]
mod tests;
mod text;
mod validate;
mod values;

pub(crate) use arrays::{bundle, trim_list, value_bytes};
pub use conversion::Conversion;
pub use location::RowLocation;
pub(crate) use nulls::{null_error, nulls_error};
pub use output::{ArrayLayout, Node, OutputKey, Role};
pub(crate) use resolve::resolve;
pub(crate) use validate::check_clash;
pub(crate) use values::cast_numbers;
