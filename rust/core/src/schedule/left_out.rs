//! Rows that stand on the line and are not delivered: those of files that are damaged or gone.
//!
//! Their positions stay, so that shards, steps and batches are those of the complete data; a batch that holds some of
//! them is shorter.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::Chunk;
use crate::order::GroupSlice;

/// The row groups whose rows are left out, numbered through all files.
#[derive(Debug, Clone, Default)]
pub struct LeftOut(Arc<BTreeSet<u32>>);

impl FromIterator<u32> for LeftOut {
    fn from_iter<I: IntoIterator<Item = u32>>(groups: I) -> Self {
        Self(Arc::new(groups.into_iter().collect()))
    }
}

impl LeftOut {
    /// Whether no row is left out.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the rows of a row group are left out.
    pub fn contains(&self, group: u32) -> bool {
        self.0.contains(&group)
    }

    /// Takes their rows out of what a chunk decodes.
    pub(super) fn apply(&self, mut chunk: Chunk) -> Chunk {
        if self.is_empty() || !chunk.strands.iter().flatten().any(|slice| self.contains(slice.group)) {
            return chunk;
        }
        chunk.kept = Some(Kept::of(chunk.strands.iter().flatten(), self));
        for slices in &mut chunk.strands {
            slices.retain(|slice| !self.contains(slice.group));
        }
        chunk
    }
}

/// Which of a chunk's rows are decoded, where some are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// Runs of rows, numbered as if none were left out.
    runs: Vec<Range<u64>>,
    /// The decoded rows before each run.
    before: Vec<u64>,
}

impl Kept {
    fn of<'a>(slices: impl Iterator<Item = &'a GroupSlice>, left_out: &LeftOut) -> Self {
        let mut kept = Self::default();
        let (mut row, mut decoded) = (0, 0);
        for slice in slices {
            let rows = slice.rows.end - slice.rows.start;
            if !left_out.contains(slice.group) {
                kept.runs.push(row..row + rows);
                kept.before.push(decoded);
                decoded += rows;
            }
            row += rows;
        }
        kept
    }

    /// The number of a row among those that are decoded; None where it is left out.
    pub fn decoded(&self, row: u64) -> Option<u64> {
        let run = self.runs.partition_point(|run| run.end <= row);
        let found = self.runs.get(run).filter(|found| found.start <= row)?;
        Some(self.before[run] + row - found.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_rows_are_numbered_without_those_left_out() {
        let slice = |group, rows| GroupSlice { group, rows };
        let slices = [slice(0, 0..3), slice(7, 0..2), slice(1, 5..6), slice(7, 2..4)];
        let kept = Kept::of(slices.iter(), &LeftOut::from_iter([7]));
        let found: Vec<Option<u64>> = (0..8).map(|row| kept.decoded(row)).collect();
        assert_eq!(found, [Some(0), Some(1), Some(2), None, None, Some(3), None, None]);
    }
}
