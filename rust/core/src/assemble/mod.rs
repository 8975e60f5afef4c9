//! From decoded pieces to batches: a pool of threads decodes out of order, and what it made is delivered in order.
//!
//! A chunk's rows are decoded piece by piece in [`lane`]s, one a column group of an open row group; the thread that brings the
//! last piece of a column joins them, or gathers them by the window's permutation ([`job`]). What is read ahead is bounded
//! in bytes, and the chunk that the caller waits for is always admitted ([`engine`]).

mod decoders;
mod engine;
mod gather;
mod job;
mod lane;
mod reader;
mod run;
mod worker;

pub use engine::Metrics;
pub use reader::{Poll, Reader, ReaderOptions};
pub use run::Run;
