//! The work for a thread of the pool.

use std::ops::Range;

/// What a thread does next. Outputs come first: a caller waits for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Job {
    /// To pick an output of a window.
    Pick(usize),
    /// To read a cursor on.
    Decode(u64),
}

/// Rows of a row group that one chunk waits for.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    /// The chunk.
    pub(crate) chunk: u64,
    /// The piece's number in the chunk.
    pub(crate) piece: usize,
    /// Rows of the row group.
    pub(crate) rows: Range<u64>,
}

/// What a cursor reads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CursorKey {
    /// The row group, numbered through all files.
    pub(crate) group: u32,
    /// The epoch that they are read for, which documents are packed by.
    pub(crate) epoch: u64,
    /// The columns that are read, numbered as the projection has them.
    pub(crate) sources: Range<usize>,
}
