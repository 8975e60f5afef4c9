//! The columns that a reader reads, and the memory that it may fetch them into.

use std::sync::Arc;

use super::FileMetadata;

/// What a reader reads at a time, so that requests can be cut to fit the memory they may take.
#[derive(Debug, Clone, Default)]
pub struct Demand {
    /// The leaves that are delivered.
    pub columns: Leaves,
    /// The leaves that a filter reads.
    pub filters: Leaves,
    /// Column chunks that are read side by side.
    pub streams: u64,
    /// Whether rows come in windows, which take some of every row group that is open.
    pub in_windows: bool,
    /// Bytes that may be kept.
    pub budget: u64,
}

/// Leaves of a file, found by its own footer: the files of a plan need not have them in the same order.
#[derive(Clone)]
pub struct Leaves(Arc<Find>);

type Find = dyn Fn(&FileMetadata) -> Vec<usize> + Send + Sync;

impl Leaves {
    /// The leaves that `find` returns for a file.
    pub fn new(find: impl Fn(&FileMetadata) -> Vec<usize> + Send + Sync + 'static) -> Self {
        Self(Arc::new(find))
    }

    /// For each leaf of a file, whether it is one of them.
    pub(super) fn of(&self, metadata: &FileMetadata) -> Vec<bool> {
        let mut found = vec![false; metadata.parquet_schema().num_columns()];
        for leaf in (self.0)(metadata) {
            found[leaf] = true;
        }
        found
    }
}

impl Default for Leaves {
    fn default() -> Self {
        Self::new(|_| Vec::new())
    }
}

impl std::fmt::Debug for Leaves {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Leaves")
    }
}
