//! The rows of a source of a mixture, which runs on over its epochs.

use std::ops::Range;

use crate::Result;
use crate::order::mixture::MixedLeg;
use crate::order::{Line, Order};

/// The rows of a lane that are of one source, from one of them on.
#[derive(Debug, Clone)]
pub struct LaneRows {
    leg: MixedLeg,
    source: usize,
    lane: u64,
    rows: Range<u64>,
}

impl LaneRows {
    /// The rows of these numbers, which a source has in a lane.
    pub fn new(leg: MixedLeg, source: usize, lane: u64, rows: Range<u64>) -> Self {
        Self { leg, source, lane, rows }
    }

    /// The number of the next row.
    pub(super) fn row(&self) -> u64 {
        self.rows.start
    }

    /// How many are to come.
    pub(super) fn rows(&self) -> u64 {
        self.rows.end - self.rows.start
    }

    /// The next positions, of one epoch.
    pub(super) fn next(&mut self) -> Option<Range<u64>> {
        let found = self.leg.source(self.source).next(self.lane, self.rows.start, self.rows.end)?;
        self.rows.start += found.end - found.start;
        Some(found)
    }
}

/// The lines of the epochs, end to end, or that of one epoch.
#[derive(Debug)]
pub(super) struct EpochLines {
    /// None where there is one line.
    order: Option<Order>,
    /// The line in hand.
    line: Line,
}

impl EpochLines {
    pub(super) fn one(line: Line) -> Self {
        Self { order: None, line }
    }

    pub(super) fn all(order: Order) -> Result<Self> {
        Ok(Self { line: order.line(0)?, order: Some(order) })
    }

    pub(super) fn is_row_shuffled(&self) -> bool {
        self.line.is_row_shuffled()
    }

    /// The line that has a position, the position that it begins with, and its epoch.
    pub(super) fn at(&mut self, position: u64) -> (&Line, u64, u64) {
        let Some(order) = &self.order else { return (&self.line, 0, self.line.epoch()) };
        let rows = order.num_rows().max(1);
        let epoch = position / rows;
        // As many pieces as the line of epoch 0 has: there is one of each epoch.
        if epoch != self.line.epoch()
            && let Ok(line) = order.line(epoch)
        {
            self.line = line;
        }
        (&self.line, epoch * rows, epoch)
    }
}
