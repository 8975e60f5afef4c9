//! What a mixture is made of, as numbers: its sources, their weights from row to row of the job, and when it ends.

use crate::{Error, Result};

/// When a mixture ends, beside the rows that it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Once a source has delivered its epochs.
    First,
    /// Once all have.
    All,
}

/// A mixture: what its counts depend on. Sources are numbered in the order in which they joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MixtureSpec {
    /// The sources' names.
    pub names: Vec<String>,
    /// The rows of an epoch of every source.
    pub rows: Vec<u64>,
    /// The rows that a source delivers at the most; None where it runs on.
    pub caps: Vec<Option<u64>>,
    /// Weights by source, from a row of the job on; ascending, the first from row 0.
    pub schedule: Vec<(u64, Vec<u64>)>,
    /// The rows of the job at which the mixture ends.
    pub end: Option<u64>,
    /// What else ends it.
    pub stop: Option<Stop>,
}

/// The sum of the weights is below this.
const MAX_WEIGHTS: u64 = 1 << 62;

impl MixtureSpec {
    /// The same, checked.
    ///
    /// # Errors
    /// Lists of other lengths, no source, a schedule that goes back, weights that are too large.
    pub fn checked(self) -> Result<Self> {
        let sources = self.names.len();
        let of_all = [self.rows.len(), self.caps.len()];
        let wrong = if sources == 0 || of_all.iter().any(|&len| len != sources) {
            "a mixture has at least one source, and rows and a cap of each"
        } else if self.schedule.first().is_none_or(|(row, _)| *row != 0) {
            "the weights of a mixture begin at row 0"
        } else if self.schedule.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
            "the schedule of a mixture goes forward"
        } else if self.schedule.iter().any(|(_, weights)| {
            weights.len() != sources
                || weights
                    .iter()
                    .try_fold(0_u64, |sum, weight| sum.checked_add(*weight))
                    .is_none_or(|sum| sum >= MAX_WEIGHTS)
        }) {
            "every source has a weight, and their sum is below 2**62"
        } else if (0..sources).any(|i| self.rows[i] == 0 && self.schedule.iter().any(|(_, weights)| weights[i] > 0)) {
            "a source without rows has no weight"
        } else {
            return Ok(self);
        };
        Err(Error::Argument(wrong.into()))
    }
}
