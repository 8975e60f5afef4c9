//! The core of shardline: an epoch is a line of rows, a shard a piece of it, a position a number on it.
//!
//! The modules, in the order in which data pass through them; none imports a later one, and none knows Python:
//!
//! | module | what it does |
//! |---|---|
//! | [`store`] | object stores as bytes: URLs, options, clients, retries |
//! | [`files`] | lists files and reads their footers: the plan |
//! | [`order`] | the line of an epoch, its shards and batches: pure numbers |
//! | [`schedule`] | which rows of which row groups one rank needs, and when: pure numbers |
//! | [`fetch`] | the bytes of open files, fetched ahead where they are in a store |
//! | [`decode`] | pages to Arrow, in the form that is delivered |
//! | [`select`] | which rows pass a sample and a filter |
//! | [`pack`] | documents end to end, as sequences of one length |
//! | [`assemble`] | the threads, and the batches in their order |
//! | [`tensor`] | Arrow memory as tensors |
//! | [`digest`] | whether two data sets hold the same rows |
//!
//! What several of them use is beside them: errors, memory that is reused (`buffer_pool`), the files that are open
//! (`descriptors`), a bounded map (`lru`), threads that share a list of tasks (`parallel`), locks ([`sync`]) and what
//! catches the panics of decoders that are not ours (`third_party`).

mod buffer_pool;
mod descriptors;
mod error;
mod lru;
mod parallel;
#[cfg(test)]
mod proptest_config;
pub mod sync;

pub mod assemble;
pub mod decode;
pub mod digest;
pub mod fetch;
pub mod files;
pub mod order;
pub mod pack;
pub mod schedule;
pub mod select;
pub mod store;
pub mod tensor;
mod third_party;

pub use error::{Error, ErrorKind, Result};
