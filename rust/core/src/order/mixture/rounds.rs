//! The rows of one source in the lanes of a leg: what earlier legs left over, and then rounds.
//!
//! A source runs on: its epochs' lines, end to end, have positions without an end; position p is row p mod N of the
//! line of epoch p div N. A round is as many whole epochs as give every lane a row. Lane v reads piece v + r, of V, of
//! round r: so a round's rows are each in one lane, and lanes end a round within a row of each other.

use std::ops::Range;

use crate::order::{Intervals, mul_div};

/// One source in the lanes of one leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rounds {
    /// N: the rows of an epoch.
    len: u64,
    /// V.
    lanes: u64,
    /// The positions that earlier legs left over.
    rest: Intervals,
    /// The position at which the first round begins: a multiple of N.
    base: u64,
}

impl Rounds {
    pub(super) fn new(len: u64, lanes: u64, rest: Intervals, base: u64) -> Self {
        Self { len, lanes, rest, base }
    }

    /// The rows of an epoch.
    pub fn epoch_rows(&self) -> u64 {
        self.len
    }

    /// M: the rows of a round.
    fn round_rows(&self) -> u64 {
        self.len * self.lanes.div_ceil(self.len.max(1))
    }

    /// The rows that a lane has of what was left over, as coordinates of that.
    fn rest_of(&self, lane: u64) -> Range<u64> {
        let rows = self.rest.len();
        mul_div(lane, rows, self.lanes)..mul_div(lane + 1, rows, self.lanes)
    }

    /// The rows of a lane in its first rounds.
    fn before(&self, lane: u64, rounds: u64) -> u64 {
        let (rows, lanes) = (u128::from(self.round_rows()), u128::from(self.lanes));
        let (each, over) = (rows / lanes, rows % lanes);
        let (lane, rounds) = (u128::from(lane), u128::from(rounds));
        (rounds * each + (lane + rounds) * over / lanes - lane * over / lanes) as u64
    }

    /// The round that a lane's row is in, counted without those left over.
    fn round_of(&self, lane: u64, row: u64) -> u64 {
        let rows = self.round_rows().max(1);
        let mut round = (u128::from(row) * u128::from(self.lanes) / u128::from(rows)) as u64;
        while self.before(lane, round) > row {
            round -= 1;
        }
        while self.before(lane, round + 1) <= row {
            round += 1;
        }
        round
    }

    /// The next positions of a lane from its `row`-th on, of `end`: a range within one epoch; None at the end.
    pub fn next(&self, lane: u64, row: u64, end: u64) -> Option<Range<u64>> {
        if row >= end || self.len == 0 {
            return None;
        }
        let rest = self.rest_of(lane);
        let of_rest = rest.end - rest.start;
        let found = if row < of_rest {
            self.rest.slice(rest.start + row..rest.end).into_iter().next()?
        } else {
            let row = row - of_rest;
            let round = self.round_of(lane, row);
            let (rows, piece) = (self.round_rows(), (lane + round) % self.lanes);
            let start = self.base + round * rows;
            let of_piece = start + mul_div(piece, rows, self.lanes)..start + mul_div(piece + 1, rows, self.lanes);
            of_piece.start + (row - self.before(lane, round))..of_piece.end
        };
        let end_of_epoch = (found.start / self.len + 1) * self.len;
        Some(found.start..found.end.min(end_of_epoch).min(found.start + (end - row)))
    }

    /// The positions of these rows of a lane.
    pub fn positions(&self, lane: u64, rows: Range<u64>) -> Vec<Range<u64>> {
        let (mut found, mut row) = (Vec::new(), rows.start);
        while let Some(range) = self.next(lane, row, rows.end) {
            row += range.end - range.start;
            found.push(range);
        }
        found
    }

    /// What is left once every lane has had so many rows, `taken(lane)`: the positions left over of the rounds that were
    /// begun, and where the next round begins.
    pub(super) fn left_over(&self, taken: impl Fn(u64) -> u64) -> (Intervals, u64) {
        let beyond = |lane: u64| {
            let rest = self.rest_of(lane);
            taken(lane).checked_sub(rest.end - rest.start)
        };
        let begun = |lane| beyond(lane).filter(|&rows| rows > 0).map_or(0, |rows| self.round_of(lane, rows - 1) + 1);
        let rounds = (0..self.lanes).map(begun).max().unwrap_or(0);
        let mut left = Vec::new();
        for lane in 0..self.lanes {
            let rest = self.rest_of(lane);
            left.extend(self.positions(lane, taken(lane)..rest.end - rest.start + self.before(lane, rounds)));
        }
        (Intervals::collect(left), self.base + rounds * self.round_rows())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// M2: in the lanes together a round's rows come once, and lanes end a round within one row of each other.
        #[test]
        fn a_round_is_in_the_lanes_once(
            len in 1_u64..60, lanes in 1_u64..20, rounds in 1_u64..5,
            gaps in proptest::collection::vec((1_u64..4, 1_u64..9), 0..5),
        ) {
            let (mut at, mut rest) = (0, Vec::new());
            for (gap, rows) in gaps {
                rest.push(at + gap..at + gap + rows);
                at += gap + rows;
            }
            let base = at.div_ceil(len) * len;
            let rest = Intervals::collect(rest);
            let source = Rounds::new(len, lanes, rest.clone(), base);
            let rows = |lane| source.rest_of(lane).end - source.rest_of(lane).start + source.before(lane, rounds);
            let mut found: Vec<u64> =
                (0..lanes).flat_map(|lane| source.positions(lane, 0..rows(lane)).into_iter().flatten()).collect();
            found.sort_unstable();
            let whole = base..base + rounds * source.round_rows();
            let expected: Vec<u64> = rest.ranges().iter().cloned().flatten().chain(whole).collect();
            prop_assert_eq!(found, expected);
            let ends: Vec<u64> = (0..lanes).map(|lane| source.before(lane, rounds)).collect();
            prop_assert!(ends.iter().max().unwrap() - ends.iter().min().unwrap() <= 1);
        }

        /// M7: what a leg took and what it leaves over are all rows of the rounds it has begun.
        #[test]
        fn what_is_left_over_is_what_was_not_taken(
            len in 1_u64..60, lanes in 1_u64..12, row in 0_u64..300, more in 0_u64..12, step in 1_u64..20, next in 1_u64..12,
        ) {
            let source = Rounds::new(len, lanes, Intervals::default(), 0);
            let taken = |lane| row + if lane < more { step } else { 0 };
            let (rest, base) = source.left_over(taken);
            let took = |source: &Rounds, lane, rows| source.positions(lane, 0..rows).into_iter().flatten();
            let mut found: Vec<u64> = (0..lanes).flat_map(|lane| took(&source, lane, taken(lane))).collect();
            let of_lanes = found.len();
            found.extend(rest.ranges().iter().cloned().flatten());
            // And the next leg goes on from there.
            let after = Rounds::new(len, next, rest.clone(), base);
            let mut second: Vec<u64> = found[..of_lanes].to_vec();
            for lane in 0..next {
                let rest = after.rest_of(lane);
                second.extend(took(&after, lane, rest.end - rest.start));
            }
            for mut rows in [found, second] {
                rows.sort_unstable();
                prop_assert_eq!(rows, (0..base).collect::<Vec<_>>());
            }
        }
    }
}
