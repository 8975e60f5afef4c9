//! The rows of every source at any row of a lane, over the pieces of a leg: stretches of constant weights.

use super::chain::Chain;
use super::spec::{MixtureSpec, Stop};

/// A stretch of a lane with constant weights.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    /// The lane's row that it begins with.
    from: u64,
    /// The rows of every source before that.
    before: Vec<u64>,
    chain: Chain,
}

/// The counts of a leg: the same in all of its lanes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    pieces: Vec<Piece>,
    /// The rows of a lane; None where they have no end.
    end: Option<u64>,
    num_sources: usize,
}

/// What a leg begins with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begin<'a> {
    /// V and the rows of a batch.
    pub(super) lanes: u64,
    pub(super) batch_size: u64,
    /// Rows of the job before the leg.
    pub(super) job_rows: u64,
    /// Of every source, the rows that earlier legs took, and those that they left over.
    pub(super) taken: &'a [u64],
    pub(super) rest: &'a [u64],
}

impl Begin<'_> {
    /// The rows that every lane can take of a source until `goal` of its rows were taken in all.
    fn lane_rows(&self, source: usize, goal: u64) -> u64 {
        let (left, rest) = (goal.saturating_sub(self.taken[source]), self.rest[source]);
        if left <= rest { left / self.lanes } else { rest / self.lanes + (left - rest) / self.lanes }
    }
}

impl Counts {
    /// The pieces of a leg: those of the schedule, where a source that came to its cap is left out from then on.
    pub(super) fn new(spec: &MixtureSpec, begin: Begin<'_>) -> Self {
        let num_sources = spec.names.len();
        let step = begin.lanes * begin.batch_size;
        let mut made = Self { pieces: Vec::new(), end: None, num_sources };
        // The rows of a lane at which a source is done, where something depends on it.
        let goal = |source: usize| match (spec.caps[source], spec.stop) {
            (Some(cap), _) => Some(begin.lane_rows(source, cap)),
            (None, Some(_)) => Some(begin.lane_rows(source, spec.rows[source])),
            (None, None) => None,
        };
        let goals: Vec<Option<u64>> = (0..num_sources).map(goal).collect();
        let mut is_done = vec![false; num_sources];
        let mut counts = vec![0; num_sources];
        let first = spec.schedule.partition_point(|(row, _)| *row <= begin.job_rows).saturating_sub(1);
        let mut from = 0;
        for index in first..spec.schedule.len() {
            let until = spec.schedule.get(index + 1).map_or(u64::MAX, |(row, _)| {
                (row.saturating_sub(begin.job_rows)).div_ceil(step).saturating_mul(begin.batch_size)
            });
            while from < until {
                let weights: Vec<u64> = (0..num_sources)
                    .map(|source| {
                        let at_cap =
                            spec.caps[source].is_some() && goals[source].is_some_and(|goal| counts[source] >= goal);
                        if at_cap { 0 } else { spec.schedule[index].1[source] }
                    })
                    .collect();
                let chain = Chain::new(&weights, &spec.names);
                for (done, (goal, count)) in is_done.iter_mut().zip(goals.iter().zip(&counts)) {
                    *done |= goal.is_some_and(|goal| *count >= goal);
                }
                let is_over = match spec.stop {
                    Some(Stop::First) => (0..num_sources).any(|source| is_done[source] && spec.rows[source] > 0),
                    Some(Stop::All) => is_done.iter().all(|done| *done),
                    None => false,
                };
                if chain.is_empty() || is_over {
                    made.end = Some(from);
                    return made;
                }
                // The first row at which another source is done.
                let next = (0..num_sources)
                    .filter(|&source| !is_done[source])
                    .filter_map(|source| chain.rows_until(source, goals[source]? - counts[source]))
                    .min();
                let to = next.map_or(until, |rows| from.saturating_add(rows).min(until));
                made.pieces.push(Piece { from, before: counts.clone(), chain });
                if to < u64::MAX {
                    counts = made.at(to);
                }
                from = to;
            }
        }
        made
    }

    /// The rows of a lane; None where they have no end.
    pub fn end(&self) -> Option<u64> {
        self.end
    }

    /// The rows of every source among a lane's first `rows`.
    pub fn at(&self, rows: u64) -> Vec<u64> {
        let rows = self.end.map_or(rows, |end| end.min(rows));
        let index = self.pieces.partition_point(|piece| piece.from <= rows);
        let Some(piece) = index.checked_sub(1).and_then(|index| self.pieces.get(index)) else {
            return vec![0; self.num_sources];
        };
        let mut counts = piece.before.clone();
        piece.chain.add(rows - piece.from, &mut counts);
        counts
    }
}
