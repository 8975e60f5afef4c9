//! The settings that define an order, as given and as resolved against a data set.

use std::sync::Arc;

use super::{Line, SplitLimits, SplitSequence, Splits, key};
use crate::{Error, Result};

/// Strands read side by side under row shuffle, where nothing else was asked for.
pub const DEFAULT_STRANDS: u64 = 8;

const MAX_DEFAULT_BUFFER: u64 = 65_536;
const MAX_DEFAULT_BUFFER_BYTES: u64 = 256 << 20;

/// What defines an order, as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderSpec {
    /// Whether splits (and, with a buffer, rows) are permuted.
    pub shuffle: bool,
    /// The seed of every permutation.
    pub seed: u64,
    /// Strands read side by side under row shuffle.
    pub strands: u64,
    /// Rows mixed at a time; 0 permutes splits only; None takes the default.
    pub buffer: Option<u64>,
    /// A split's limit in uncompressed bytes.
    pub split_bytes: u64,
    /// A split's limit in rows.
    pub split_rows: Option<u64>,
}

/// The row groups of a data set, as plain numbers.
#[derive(Debug, Clone, Copy)]
pub struct Groups<'a> {
    /// Rows of every row group.
    pub rows: &'a [u64],
    /// How many of them pass the sample and the filter, and so stand on the line; None where all do.
    pub passing: Option<&'a [u64]>,
    /// Uncompressed bytes of every row group.
    pub bytes: &'a [u64],
    /// Row groups up to the end of every file.
    pub file_ends: &'a [u32],
}

/// An order, resolved: what every epoch's line is made of.
#[derive(Debug, Clone)]
pub struct Order {
    splits: Arc<Splits>,
    seed: u64,
    shuffle: bool,
    buffer: u64,
    strands: u64,
    window: u64,
}

impl Order {
    /// Resolves the settings against a data set.
    ///
    /// # Errors
    /// A setting out of its range, or numbers that do not fit.
    pub fn new(groups: Groups<'_>, spec: &OrderSpec) -> Result<Self> {
        if spec.strands == 0 {
            return Err(Error::Argument("shuffle_strands must be at least 1, not 0".into()));
        }
        if spec.split_bytes == 0 {
            return Err(Error::Argument("split_bytes must be at least 1, not 0".into()));
        }
        if spec.split_rows == Some(0) {
            return Err(Error::Argument("split_rows must be at least 1, not 0".into()));
        }
        let limits = SplitLimits { bytes: spec.split_bytes, rows: spec.split_rows, shuffle: spec.shuffle };
        let splits =
            Splits::pack(groups.rows, groups.passing.unwrap_or(groups.rows), groups.bytes, groups.file_ends, limits)?;
        let buffer = match (spec.shuffle, spec.buffer) {
            (false, _) => 0,
            (true, Some(rows)) => rows,
            (true, None) => default_buffer(groups.rows.iter().sum(), groups.bytes),
        };
        if buffer > u64::from(u32::MAX) {
            return Err(Error::Argument(format!(
                "shuffle_buffer_size is {buffer} rows; at most {} can be mixed at a time",
                u32::MAX
            )));
        }
        let (strands, window) = if buffer == 0 {
            (1, 0)
        } else {
            let strands = spec.strands.min(splits.len() as u64).min(buffer).max(1);
            (strands, (buffer / strands).max(1))
        };
        Ok(Self { splits: Arc::new(splits), seed: spec.seed, shuffle: spec.shuffle, buffer, strands, window })
    }

    /// The line of one epoch.
    ///
    /// # Errors
    /// More than 2³² - 1 splits.
    pub fn line(&self, epoch: u64) -> Result<Line> {
        let split_key = self.shuffle.then(|| key("splits", &[self.seed, epoch]));
        let split_sequence = SplitSequence::new(Arc::clone(&self.splits), split_key)?;
        Ok(Line::new(split_sequence, self.strands, self.window, self.seed, epoch))
    }

    /// The splits that are permuted.
    pub fn splits(&self) -> &Splits {
        &self.splits
    }

    /// N: all rows that pass.
    pub fn num_rows(&self) -> u64 {
        self.splits.num_rows()
    }

    /// Rows mixed at a time, resolved; 0 where rows are not shuffled.
    pub fn buffer(&self) -> u64 {
        self.buffer
    }

    /// k: strands read side by side.
    pub fn strands(&self) -> u64 {
        self.strands
    }

    /// w: rows of each strand in a window; 0 where rows are not shuffled.
    pub fn window(&self) -> u64 {
        self.window
    }
}

/// The largest power of two ≤ 65,536 rows that stays under 256 MiB at the mean uncompressed row.
fn default_buffer(num_rows: u64, bytes: &[u64]) -> u64 {
    let total: u128 = bytes.iter().map(|&size| u128::from(size)).sum();
    let mut buffer = MAX_DEFAULT_BUFFER;
    while buffer > 1 && u128::from(buffer) * total >= u128::from(MAX_DEFAULT_BUFFER_BYTES) * u128::from(num_rows.max(1))
    {
        buffer /= 2;
    }
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_buffer_stays_under_256_mib() {
        assert_eq!(default_buffer(1000, &[1000 * 100]), 65_536);
        assert_eq!(default_buffer(1000, &[1000 * 4096]), 32_768, "65,536 rows of 4 KiB are 256 MiB, not under it");
        assert_eq!(default_buffer(1000, &[1000 * 4095]), 65_536);
        assert_eq!(default_buffer(10, &[10 << 30]), 1);
        assert_eq!(default_buffer(0, &[]), 65_536);
    }

    #[test]
    fn strands_are_limited_by_splits_and_buffer() {
        let (rows, bytes) = (vec![10; 4], vec![10; 4]);
        let spec = |buffer| OrderSpec {
            shuffle: true,
            seed: 1,
            strands: 8,
            buffer: Some(buffer),
            split_bytes: 1 << 27,
            split_rows: Some(1),
        };
        let groups = Groups { rows: &rows, passing: None, bytes: &bytes, file_ends: &[4] };
        let of = |buffer| {
            let order = Order::new(groups, &spec(buffer)).unwrap();
            (order.strands(), order.window())
        };
        assert_eq!(of(0), (1, 0));
        assert_eq!(of(1), (1, 1));
        assert_eq!(of(3), (3, 1));
        assert_eq!(of(100), (4, 25));
    }
}
