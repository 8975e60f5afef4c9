//! From decoded pieces to batches: a pool of threads decodes out of order, and batches are delivered in order.
//!
//! A row-group cursor (`cursors`) reads some columns of an open row group on from a row, by its `cursor_decoder`. A
//! chunk is decoded piece by piece by several cursors (`chunk_builder`). The thread that decodes the last piece of a
//! column lays its pieces end to end (`chunk_spec`, `join`). Those of a window stay apart (`window_column`): a few batches
//! at a time are picked from them (`places`), by the window's permutation, shortly before the caller takes them. The bytes
//! read ahead are bounded, for all readers of the `process` together, and the chunk that the caller waits for is always
//! admitted (`scheduler`). A [`BatchRun`] is some
//! batches in a row, cut from one output of a chunk.

mod batch_run;
mod chunk_builder;
mod chunk_spec;
mod crew;
mod cursor_decoder;
mod cursors;
mod fixed_rows;
mod join;
mod mixed_reader;
mod mixed_rows;
mod places;
mod process;
mod reader;
mod scheduler;
mod state;
mod task;
mod window_column;
mod worker;

pub use batch_run::BatchRun;
pub use mixed_reader::{MixedReader, MixedSource, Mixing};
pub use reader::{Poll, Reader, ReaderOptions};
pub use state::ReaderMetrics;
