//! What the files of a plan need of the place where they are.

use std::ops::Range;
use std::sync::Arc;

use super::OpenFile;
use crate::Result;
use crate::files::remote::StoreAccess;
use crate::order::RowSet;

/// Opens files. Those of a store are also fetched ahead, in turns; local files are not, which is what the defaults say.
pub(super) trait Backend: std::fmt::Debug + Send + Sync {
    /// Opens a file, if its footer is the planned one.
    fn open(&self, index: usize) -> Result<Arc<OpenFile>>;

    /// Checks, after a file was read, that it still is the planned one.
    fn check(&self, index: usize, open: &OpenFile) -> Result<()>;

    /// The store that the files are in; None for local files.
    fn store(&self) -> Option<&StoreAccess> {
        None
    }

    /// Begins a turn.
    fn begin(&self, _turn: u64) {}

    /// Finishes a turn: what was fetched for it may be evicted.
    fn finish(&self, _turn: u64) {}

    /// Begins a turn, and to fetch its rows, given by row group (counted over all files).
    fn prefetch(&self, _turn: u64, _slices: &mut dyn Iterator<Item = (usize, Range<u64>)>) {}

    /// Begins to fetch the columns of a row group that a filter reads.
    fn prefetch_filter(&self, _turn: u64, _group: usize) {}

    /// Begins to fetch these rows of a set.
    fn prefetch_set(&self, _turn: u64, _group: usize, _set: &RowSet, _rows: Range<u64>) {}

    /// The read of a row group (counted over all files) that stood at this row was closed: what follows begins another.
    fn closed(&self, _group: usize, _row: u64) {}

    /// Begins to open a file.
    fn warm(&self, _index: usize) {}

    /// Ends all waiting.
    fn close(&self) {}

    /// Releases connections and threads, once nobody reads any longer.
    fn release(&self) {}
}
