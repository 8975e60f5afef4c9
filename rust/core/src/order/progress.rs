//! The progress of an epoch, as its legs: what was delivered, and how a run continues from there.

use std::ops::Range;

use super::{Intervals, Leg, LegSpec};
use crate::{Error, Result};

/// The legs of an epoch, the last of them under way. Never changed: every step returns another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Legs {
    num_rows: u64,
    legs: Vec<Leg>,
}

/// What a run asks for; None where what the state has will do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LegRequest {
    /// V.
    pub num_shards: Option<u64>,
    /// Rows of a batch.
    pub batch_size: Option<u64>,
    /// Whether every batch has exactly `batch_size` rows.
    pub drop_last: Option<bool>,
}

/// What a run does with the legs that it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on in the last leg: its batches are those of the run that was never stopped.
    Continues,
    /// It cuts what is left over into the shards of a new leg.
    NewLeg,
    /// The epoch is over: it was delivered, or fewer rows (under `drop_last`, full batches) are left than there are
    /// ranks.
    Over,
}

impl Legs {
    /// A fresh epoch of `num_rows` rows.
    ///
    /// # Errors
    /// One without a step.
    pub fn start(num_rows: u64, num_shards: u64, batch_size: u64, drop_last: bool) -> Result<Self> {
        let spec = LegSpec { num_shards, batch_size, drop_last, delivered: 0, skipped: Vec::new() };
        Ok(Self { num_rows, legs: vec![Leg::new(Intervals::whole(num_rows), spec)?] })
    }

    /// The legs that a state keeps.
    ///
    /// # Errors
    /// No leg, or one that is not possible after those before it.
    pub fn new(num_rows: u64, specs: Vec<LegSpec>) -> Result<Self> {
        let mut legs: Vec<Leg> = Vec::with_capacity(specs.len());
        for spec in specs {
            let domain = match legs.last() {
                None => Intervals::whole(num_rows),
                Some(last) if last.is_complete() => {
                    return Err(Error::State("a leg follows one that was delivered to its length".into()));
                }
                Some(last) => last.left_over(),
            };
            let leg = Leg::new(domain, spec).map_err(|error| match error {
                Error::Argument(message) => Error::State(message),
                other => other,
            })?;
            legs.push(leg);
        }
        if legs.is_empty() {
            return Err(Error::State("an epoch has at least one leg".into()));
        }
        Ok(Self { num_rows, legs })
    }

    /// The legs, in order.
    pub fn legs(&self) -> &[Leg] {
        &self.legs
    }

    /// The leg under way.
    pub fn last(&self) -> &Leg {
        // There is always one: both constructors see to it.
        &self.legs[self.legs.len() - 1]
    }

    /// The cursors of the legs before the last, summed.
    pub fn delivered_before(&self) -> u64 {
        self.legs[..self.legs.len() - 1].iter().map(|leg| leg.spec().delivered).sum()
    }

    /// The same with the last leg's cursor at another batch; skipped ranges after it are forgotten.
    ///
    /// # Errors
    /// A cursor past the end of the leg.
    pub fn at(&self, delivered: u64) -> Result<Self> {
        self.cut(self.legs.len() - 1, delivered)
    }

    /// The epoch as of its `total`-th batch, counted through all legs; later legs are cut off.
    ///
    /// # Errors
    /// More batches than there are.
    pub fn at_total(&self, total: u64) -> Result<Self> {
        let mut rest = total;
        for index in 0..self.legs.len() - 1 {
            let delivered = self.legs[index].spec().delivered;
            if rest < delivered {
                return self.cut(index, rest);
            }
            rest -= delivered;
        }
        self.at(rest)
    }

    fn cut(&self, index: usize, delivered: u64) -> Result<Self> {
        let leg = &self.legs[index];
        let mut spec = leg.spec().clone();
        spec.delivered = delivered;
        spec.skipped.retain_mut(|range| {
            range.end = range.end.min(delivered);
            range.start < range.end
        });
        let mut legs = self.legs[..index].to_vec();
        legs.push(Leg::new(leg.domain().clone(), spec)?);
        Ok(Self { num_rows: self.num_rows, legs })
    }

    /// The same with the cursor moved forward to `delivered`, the batches passed over marked as skipped.
    ///
    /// # Errors
    /// A cursor before the present one, or past the end of the leg.
    pub fn skip_to(&self, delivered: u64) -> Result<Self> {
        let mut spec = self.last().spec().clone();
        if delivered < spec.delivered {
            return Err(Error::Argument(format!(
                "batch {delivered} lies before batch {}, where the epoch stands; seek only moves forward",
                spec.delivered
            )));
        }
        if delivered > spec.delivered {
            match spec.skipped.last_mut() {
                Some(last) if last.end == spec.delivered => last.end = delivered,
                _ => spec.skipped.push(spec.delivered..delivered),
            }
        }
        spec.delivered = delivered;
        let mut legs = self.legs.clone();
        let domain = self.last().domain().clone();
        legs.pop();
        legs.push(Leg::new(domain, spec)?);
        Ok(Self { num_rows: self.num_rows, legs })
    }

    /// What a run of `num_ranks` ranks does from here; `run_shards` is the V of the run that the state is of.
    ///
    /// It goes on in the last leg where its ranks divide that leg's shards and batches delivered, and nothing is asked
    /// to be another. Otherwise a new leg begins, of the largest multiple of the ranks that rows (full batches, under
    /// `drop_last`) are left for.
    ///
    /// # Errors
    /// A fresh epoch that would be without a step.
    pub fn resume(&self, num_ranks: u64, run_shards: u64, ask: LegRequest) -> Result<(Self, Outcome)> {
        let last = self.last();
        let spec = last.spec();
        if last.is_complete() {
            return Ok((self.clone(), Outcome::Over));
        }
        let asks_another = ask.num_shards.is_some_and(|v| v != run_shards)
            || ask.batch_size.is_some_and(|b| b != spec.batch_size)
            || ask.drop_last.is_some_and(|d| d != spec.drop_last);
        let ranks_fit = spec.num_shards.is_multiple_of(num_ranks) && spec.delivered.is_multiple_of(num_ranks);
        if ranks_fit && !asks_another {
            return Ok((self.clone(), Outcome::Continues));
        }
        // A leg without a batch leaves all that it cut: it can as well not have been.
        let kept = self.legs.len() - usize::from(spec.delivered == 0);
        let domain = if kept < self.legs.len() { last.domain().clone() } else { last.left_over() };
        let (batch_size, drop_last) =
            (ask.batch_size.unwrap_or(spec.batch_size), ask.drop_last.unwrap_or(spec.drop_last));
        let possible = domain.len() / if drop_last { batch_size } else { 1 };
        let wanted = ask.num_shards.unwrap_or(run_shards).max(num_ranks).min(possible);
        let num_shards = wanted - wanted % num_ranks;
        if num_shards == 0 {
            if kept == 0 {
                Self::start(self.num_rows, num_ranks, batch_size, drop_last)?;
            }
            return Ok((self.clone(), Outcome::Over));
        }
        let mut legs = self.legs[..kept].to_vec();
        let spec = LegSpec { num_shards, batch_size, drop_last, delivered: 0, skipped: Vec::new() };
        legs.push(Leg::new(domain, spec)?);
        Ok((Self { num_rows: self.num_rows, legs }, Outcome::NewLeg))
    }

    /// The positions that are neither delivered nor skipped.
    pub fn left_over(&self) -> Intervals {
        self.last().left_over()
    }

    /// The positions that the epoch never delivers: those skipped, and once it is complete those left over.
    pub fn left_out(&self) -> Intervals {
        let mut out: Vec<Range<u64>> = self.legs.iter().flat_map(Leg::skipped).collect();
        if self.last().is_complete() {
            out.extend(self.left_over().ranges().iter().cloned());
        }
        Intervals::collect(out)
    }
}
