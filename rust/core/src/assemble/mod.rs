//! From decoded pieces to batches: a pool of threads decodes out of order, and batches are delivered in order.
//!
//! A row-group cursor (`cursors`) reads some columns of an open row group on from a row, by its `cursor_decoder`. A
//! chunk is decoded piece by piece by several cursors; the thread that decodes the last piece of a column concatenates
//! its pieces, or gathers them by the window's permutation (`gather`, `chunk_builder`). The bytes read ahead are
//! bounded, and the chunk that the caller waits for is always admitted (`scheduler`). A [`BatchRun`] is some batches in
//! a row, cut from one chunk.

mod batch_run;
mod chunk_builder;
mod cursor_decoder;
mod cursors;
mod fixed_rows;
mod gather;
mod reader;
mod scheduler;
mod state;
mod task;
mod worker;

pub use batch_run::BatchRun;
pub use reader::{Poll, Reader, ReaderOptions};
pub use state::ReaderMetrics;
