//! What defines an order: the row groups of the data, the settings as given, and the settings as resolved.

use std::sync::Arc;

use super::{Line, Pieces, SplitLimits, SplitSequence, Splits};
use crate::{Error, Result};

/// The most strands.
pub const MAX_STRANDS: u64 = 1 << 16;

/// The row groups of a data set, as plain numbers: all that an order depends on.
#[derive(Debug, Clone, Copy)]
pub struct Groups<'a> {
    /// Rows of every row group.
    pub rows: &'a [u64],
    /// How many of them pass the sample and the filter, and so stand on the line; None where all do.
    pub passing: Option<&'a [u64]>,
    /// Uncompressed bytes of every row group, which limit a split.
    pub bytes: &'a [u64],
    /// Decoded bytes of every row group, all columns, which the shuffle buffer is measured in.
    pub decoded: &'a [u64],
    /// Row groups up to the end of every file.
    pub file_ends: &'a [u32],
}

/// The size of the shuffle buffer, as asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Buffer {
    /// Decoded bytes of a window.
    Bytes(u64),
    /// Rows of a window; 0 permutes splits only.
    Rows(u64),
}

/// The settings of an order, as asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderSpec {
    /// Whether splits (and, with a buffer, rows) are permuted.
    pub shuffle: bool,
    /// Strands that are read side by side; None takes the default, or fewer where they would cost too much reading.
    pub strands: Option<u64>,
    /// The rows that are mixed at a time.
    pub buffer: Buffer,
    /// A split's limit in uncompressed bytes.
    pub split_bytes: u64,
    /// A split's limit in rows.
    pub split_rows: Option<u64>,
}

/// The settings of an order, as [`resolve`](super::resolve) made them for one data set and one number of shards.
///
/// A run keeps them, and its states: together with the data and a seed they are the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolved {
    /// Whether splits (and, with windows, rows) are permuted.
    pub shuffle: bool,
    /// k: the strata that the data are cut into. Fewer strands are left where a stratum has no row.
    pub strands: u64,
    /// T: the windows of an epoch. 0 permutes no rows; 1 permutes all of them as one.
    pub windows: u64,
    /// A split's limit in uncompressed bytes.
    pub split_bytes: u64,
    /// A split's limit in rows.
    pub split_rows: Option<u64>,
}

/// An order: what every epoch's line is made of.
#[derive(Debug, Clone)]
pub struct Order {
    pieces: Arc<Pieces>,
    seed: u64,
    resolved: Resolved,
}

impl Order {
    /// The order of a data set under resolved settings.
    ///
    /// # Errors
    /// Settings out of their range, or numbers that do not fit.
    pub fn resolved(groups: Groups<'_>, seed: u64, resolved: Resolved) -> Result<Self> {
        let splits = pack(groups, resolved.shuffle, resolved.split_bytes, resolved.split_rows)?;
        let Resolved { shuffle, strands, windows, .. } = resolved;
        let rows = splits.num_rows();
        let is_possible = match (shuffle, windows) {
            (false, windows) => windows == 0 && strands == 1,
            (true, 0 | 1) => strands == 1,
            (true, _) => (1..=MAX_STRANDS.min(rows)).contains(&strands) && windows <= rows,
        };
        if !is_possible || windows > 0 && rows.div_ceil(windows) > u64::from(u32::MAX) {
            return Err(Error::Argument(format!(
                "{windows} shuffle windows of {strands} strands are no order of {rows} rows"
            )));
        }
        Ok(Self { pieces: Arc::new(Pieces::cut(splits, strands)?), seed, resolved })
    }

    /// The line of one epoch.
    ///
    /// # Errors
    /// More than 2³² - 1 pieces.
    pub fn line(&self, epoch: u64) -> Result<Line> {
        // One window permutes everything: what it permutes may as well be read in the files' order.
        let permuted = self.resolved.shuffle && self.resolved.windows != 1;
        let sequence = SplitSequence::new(Arc::clone(&self.pieces), permuted.then_some((self.seed, epoch)));
        Ok(Line::new(sequence, self.resolved.windows, self.seed, epoch).shuffled(self.resolved.shuffle))
    }

    /// The same order under another seed.
    pub fn with_seed(&self, seed: u64) -> Self {
        Self { seed, ..self.clone() }
    }

    /// What the order was made from.
    pub fn settings(&self) -> Resolved {
        self.resolved
    }

    /// The pieces of splits that are permuted, and the strata that they stand in.
    pub fn pieces(&self) -> &Pieces {
        &self.pieces
    }

    /// N: all rows that pass.
    pub fn num_rows(&self) -> u64 {
        self.pieces.num_rows()
    }

    /// The strands that are read side by side: the strata that have rows.
    pub fn strands(&self) -> u64 {
        self.pieces.num_strata() as u64
    }
}

/// The splits of a data set.
pub(crate) fn pack(groups: Groups<'_>, shuffle: bool, split_bytes: u64, split_rows: Option<u64>) -> Result<Splits> {
    if split_bytes == 0 {
        return Err(Error::Argument("split_bytes must be at least 1, not 0".into()));
    }
    if split_rows == Some(0) {
        return Err(Error::Argument("split_rows must be at least 1, not 0".into()));
    }
    let limits = SplitLimits { bytes: split_bytes, rows: split_rows, shuffle };
    Splits::pack(groups.rows, groups.passing.unwrap_or(groups.rows), groups.bytes, groups.file_ends, limits)
}
