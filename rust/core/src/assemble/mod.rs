//! From decoded pieces to batches: a pool of threads decodes out of order, and what it made is delivered in order.
//!
//! A chunk's rows are decoded piece by piece in [`cursor`]s, one a column group of an open row group; the thread that brings the
//! last piece of a column joins them, or gathers them by the window's permutation ([`builder`]). What is read ahead is bounded
//! in bytes, and the chunk that the caller waits for is always admitted ([`scheduler`]).

mod batch_run;
mod chunk_builder;
mod cursor_decoder;
mod cursors;
mod gather;
mod reader;
mod scheduler;
mod task;
mod worker;

pub use batch_run::BatchRun;
pub use reader::{Poll, Reader, ReaderOptions};
pub use scheduler::Metrics;
