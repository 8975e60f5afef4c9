//! The core of shardline: an epoch is a line of rows, a shard a piece of it, a position a number on it.
//!
//! The modules stand in the order of the data's way: [`store`] (object stores as bytes) → [`files`] → [`order`] →
//! [`plan`] → [`fetch`] → [`decode`] → [`select`] → [`assemble`] → [`tensor`]. None knows one that comes after it, and there
//! is no Python in any.

mod buffer_pool;
#[cfg(test)]
mod cases;
mod error;
mod lru;
mod parallel;
pub mod sync;

pub mod assemble;
pub mod decode;
pub mod fetch;
pub mod files;
pub mod order;
pub mod schedule;
pub mod select;
pub mod store;
pub mod tensor;

pub use error::{Error, ErrorKind, Result};
