//! The legs of a mixture's epoch: what was delivered, and how a run continues from there, by arithmetic.

use std::ops::Range;
use std::sync::Arc;

use super::counts::{Begin, Counts};
use super::rounds::Rounds;
use super::spec::MixtureSpec;
use crate::order::{Intervals, LegRequest, LegSpec, Outcome};
use crate::{Error, Result};

/// The batches of a mixture without an end.
const ENDLESS: u64 = 1 << 40;

/// A leg of a mixture: V lanes, in each of which as many rows come from each source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MixedLeg {
    spec: LegSpec,
    plan: Arc<LegPlan>,
}

/// What does not change while a leg is delivered.
#[derive(Debug, PartialEq, Eq)]
struct LegPlan {
    /// Rows of the job before it.
    job_rows: u64,
    /// Rows of every source before it.
    taken: Vec<u64>,
    counts: Counts,
    sources: Vec<Rounds>,
    /// The job's batches, were they delivered by one rank.
    batches: u64,
}

impl MixedLeg {
    fn new(mixture: &MixtureSpec, before: Option<&Self>, spec: LegSpec) -> Result<Self> {
        let LegSpec { num_shards, batch_size, drop_last, .. } = spec;
        if num_shards == 0 || batch_size == 0 {
            return Err(Error::State(format!("a leg of {num_shards} shards and batches of {batch_size} rows is none")));
        }
        let begin = |rows: &[u64]| rows.iter().map(|_| (Intervals::default(), 0)).collect();
        let (job_rows, taken, left): (u64, Vec<u64>, Vec<(Intervals, u64)>) = match before {
            None => (0, vec![0; mixture.rows.len()], begin(&mixture.rows)),
            Some(leg) => {
                let taken = leg.taken(leg.spec.delivered);
                (taken.iter().sum(), taken, (0..mixture.rows.len()).map(|source| leg.left_over(source)).collect())
            }
        };
        let rest: Vec<u64> = left.iter().map(|(rest, _)| rest.len()).collect();
        let begin = Begin { lanes: num_shards, batch_size, job_rows, taken: &taken, rest: &rest };
        let counts = Counts::new(mixture, begin);
        let sources = left.into_iter().zip(&mixture.rows);
        let sources = sources.map(|((rest, base), &len)| Rounds::new(len, num_shards, rest, base)).collect();
        let of_lane = |rows: u64| if drop_last { rows / batch_size } else { rows.div_ceil(batch_size) };
        let by_stop = counts.end().map_or(ENDLESS / num_shards, of_lane) * num_shards;
        let by_rows = mixture.end.map(|end| end.saturating_sub(job_rows) / batch_size);
        let batches = by_rows.map_or(by_stop, |rows| rows.min(by_stop));
        let plan = LegPlan { job_rows, taken, counts, sources, batches };
        let leg = Self { spec, plan: Arc::new(plan) };
        leg.check()?;
        Ok(leg)
    }

    fn check(&self) -> Result<()> {
        if self.spec.delivered > self.plan.batches {
            return Err(Error::State(format!(
                "the position is past the end: {} batches delivered in a leg of {}",
                self.spec.delivered, self.plan.batches
            )));
        }
        let mut from = 0;
        for range in &self.spec.skipped {
            if range.start < from || range.end <= range.start || range.end > self.spec.delivered {
                return Err(Error::State(format!(
                    "the skipped batches {}..{} are not an ascending range before the {} delivered",
                    range.start, range.end, self.spec.delivered
                )));
            }
            from = range.end;
        }
        Ok(())
    }

    fn with(&self, spec: LegSpec) -> Result<Self> {
        let leg = Self { spec, plan: Arc::clone(&self.plan) };
        leg.check()?;
        Ok(leg)
    }

    /// The leg as the state keeps it.
    pub fn spec(&self) -> &LegSpec {
        &self.spec
    }

    /// The rows of every source in the lanes.
    pub fn counts(&self) -> &Counts {
        &self.plan.counts
    }

    /// A source's rows in the lanes.
    pub fn source(&self, source: usize) -> &Rounds {
        &self.plan.sources[source]
    }

    /// Rows of the job before the leg.
    pub fn job_rows(&self) -> u64 {
        self.plan.job_rows
    }

    /// The rows of a lane among its first `batches`.
    pub fn lane_rows(&self, batches: u64) -> u64 {
        let rows = batches.saturating_mul(self.spec.batch_size).min(1 << 62);
        self.plan.counts.end().map_or(rows, |end| end.min(rows))
    }

    /// The batches that a lane has, of those that one rank would deliver.
    pub fn batches_of(&self, lane: u64) -> u64 {
        (self.plan.batches + self.spec.num_shards - 1 - lane) / self.spec.num_shards
    }

    /// The rows of every source once `batches` of the job's were delivered, those of earlier legs among them.
    pub fn taken(&self, batches: u64) -> Vec<u64> {
        let (steps, more) = (batches / self.spec.num_shards, batches % self.spec.num_shards);
        let (low, high) = (self.counts().at(self.lane_rows(steps)), self.counts().at(self.lane_rows(steps + 1)));
        let taken = self.plan.taken.iter().zip(low.into_iter().zip(high));
        taken.map(|(before, (low, high))| before + low * (self.spec.num_shards - more) + high * more).collect()
    }

    /// The positions of a source that are left over of the rounds that were begun, and where its next round begins.
    fn left_over(&self, source: usize) -> (Intervals, u64) {
        let (steps, more) = (self.spec.delivered / self.spec.num_shards, self.spec.delivered % self.spec.num_shards);
        let low = self.counts().at(self.lane_rows(steps))[source];
        let high = self.counts().at(self.lane_rows(steps + 1))[source];
        self.source(source).left_over(|lane| if lane < more { high } else { low })
    }

    /// The positions of batch g that are of each source.
    pub fn batch(&self, g: u64) -> Vec<Vec<Range<u64>>> {
        let (step, lane) = (g / self.spec.num_shards, g % self.spec.num_shards);
        let from = self.counts().at(self.lane_rows(step));
        let to = self.counts().at(self.lane_rows(step + 1));
        let sources = self.plan.sources.iter().zip(from.into_iter().zip(to));
        sources.map(|(source, (from, to))| source.positions(lane, from..to)).collect()
    }
}

/// The legs of a mixture's epoch, the last of them under way, as a job of so many ranks delivers them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MixedLegs {
    mixture: Arc<MixtureSpec>,
    ranks: u64,
    legs: Vec<MixedLeg>,
}

impl MixedLegs {
    /// The legs that a state keeps, or those of a fresh epoch.
    ///
    /// # Errors
    /// No leg, or one that is not possible after those before it.
    pub fn new(mixture: Arc<MixtureSpec>, ranks: u64, specs: Vec<LegSpec>) -> Result<Self> {
        let mut legs: Vec<MixedLeg> = Vec::with_capacity(specs.len());
        for spec in specs {
            legs.push(MixedLeg::new(&mixture, legs.last(), spec)?);
        }
        if legs.is_empty() || ranks == 0 {
            return Err(Error::State("an epoch has at least one leg, and a job one rank".into()));
        }
        Ok(Self { mixture, ranks, legs })
    }

    /// A fresh epoch.
    ///
    /// # Errors
    /// One without a step.
    pub fn start(
        mixture: Arc<MixtureSpec>,
        ranks: u64,
        num_shards: u64,
        batch_size: u64,
        drop_last: bool,
    ) -> Result<Self> {
        let spec = LegSpec { num_shards, batch_size, drop_last, delivered: 0, skipped: Vec::new() };
        let legs = Self::new(mixture, ranks, vec![spec])?;
        if legs.num_batches() == 0 {
            let message = format!("the mixture ends before each of {ranks} ranks has a batch of {batch_size} rows");
            return Err(Error::Argument(message));
        }
        Ok(legs)
    }

    /// What is mixed.
    pub fn mixture(&self) -> &Arc<MixtureSpec> {
        &self.mixture
    }

    /// The processes that take batches in turn.
    pub fn ranks(&self) -> u64 {
        self.ranks
    }

    /// The legs, in order.
    pub fn legs(&self) -> &[MixedLeg] {
        &self.legs
    }

    /// The leg under way.
    pub fn last(&self) -> &MixedLeg {
        &self.legs[self.legs.len() - 1]
    }

    /// Batches of the last leg: as many as give every rank the same number.
    pub fn num_batches(&self) -> u64 {
        let (batches, delivered) = (self.last().plan.batches, self.last().spec.delivered);
        delivered + (batches - delivered) / self.ranks * self.ranks
    }

    /// Whether the last leg was delivered to its length.
    pub fn is_complete(&self) -> bool {
        self.last().spec.delivered == self.num_batches()
    }

    /// The batches of the legs before the last.
    pub fn delivered_before(&self) -> u64 {
        self.legs[..self.legs.len() - 1].iter().map(|leg| leg.spec.delivered).sum()
    }

    /// The same with the last leg's cursor at another batch.
    ///
    /// # Errors
    /// A cursor past the end of the leg.
    pub fn at(&self, delivered: u64) -> Result<Self> {
        self.cut(self.legs.len() - 1, delivered)
    }

    /// The leg that has the epoch's batch number `total`, and its number in the leg.
    pub fn find(&self, total: u64) -> (usize, u64) {
        let mut rest = total;
        for (index, leg) in self.legs[..self.legs.len() - 1].iter().enumerate() {
            if rest < leg.spec.delivered {
                return (index, rest);
            }
            rest -= leg.spec.delivered;
        }
        (self.legs.len() - 1, rest)
    }

    /// The epoch as of its `total`-th batch, counted through all legs; later legs are cut off.
    ///
    /// # Errors
    /// More batches than there are.
    pub fn at_total(&self, total: u64) -> Result<Self> {
        let (index, rest) = self.find(total);
        self.cut(index, rest)
    }

    fn cut(&self, index: usize, delivered: u64) -> Result<Self> {
        let leg = &self.legs[index];
        let mut spec = leg.spec.clone();
        spec.delivered = delivered;
        spec.skipped.retain_mut(|range| {
            range.end = range.end.min(delivered);
            range.start < range.end
        });
        let mut legs = self.legs[..index].to_vec();
        legs.push(leg.with(spec)?);
        Ok(Self { legs, ..self.clone() })
    }

    /// The same with the cursor moved forward to `delivered`, the batches passed over marked as skipped.
    ///
    /// # Errors
    /// A cursor before the present one, or past the end of the leg.
    pub fn skip_to(&self, delivered: u64) -> Result<Self> {
        let mut spec = self.last().spec.clone();
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
        let last = self.last().with(spec)?;
        legs.pop();
        legs.push(last);
        Ok(Self { legs, ..self.clone() })
    }

    /// What a run of `ranks` ranks does from here; `run_shards` is the V of the run that the state is of. By the rule of
    /// [`Legs::resume`](crate::order::Legs::resume).
    ///
    /// # Errors
    /// Numbers that are no leg.
    pub fn resume(&self, run_shards: u64, ask: LegRequest) -> Result<(Self, Outcome)> {
        let (last, ranks) = (self.last(), self.ranks);
        let spec = &last.spec;
        if spec.delivered == last.plan.batches {
            return Ok((self.clone(), Outcome::Over));
        }
        let asks_another = ask.num_shards.is_some_and(|v| v != run_shards)
            || ask.batch_size.is_some_and(|b| b != spec.batch_size)
            || ask.drop_last.is_some_and(|d| d != spec.drop_last);
        let ranks_fit = spec.num_shards.is_multiple_of(ranks) && spec.delivered.is_multiple_of(ranks);
        if ranks_fit && !asks_another {
            let outcome = if self.is_complete() { Outcome::Over } else { Outcome::Continues };
            return Ok((self.clone(), outcome));
        }
        // A leg without a batch can as well not have been.
        let kept = self.legs.len() - usize::from(spec.delivered == 0);
        let wanted = ask.num_shards.unwrap_or(run_shards).max(ranks);
        let spec = LegSpec {
            num_shards: wanted - wanted % ranks,
            batch_size: ask.batch_size.unwrap_or(spec.batch_size),
            drop_last: ask.drop_last.unwrap_or(spec.drop_last),
            delivered: 0,
            skipped: Vec::new(),
        };
        let mut legs = self.legs[..kept].to_vec();
        legs.push(MixedLeg::new(&self.mixture, legs.last(), spec)?);
        let made = Self { legs, ..self.clone() };
        if made.num_batches() == 0 {
            return Ok((self.clone(), Outcome::Over));
        }
        Ok((made, Outcome::NewLeg))
    }

    /// The job's row that the epoch's batch number `total` begins with.
    pub fn row_of(&self, total: u64) -> u64 {
        let (index, batch) = self.find(total);
        let leg = &self.legs[index];
        leg.plan.job_rows.saturating_add(batch.saturating_mul(leg.spec.batch_size))
    }

    /// The rows of every source in the epoch's first `total` batches.
    pub fn taken(&self, total: u64) -> Vec<u64> {
        let (index, batch) = self.find(total);
        self.legs[index].taken(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::mixture::Stop;
    use proptest::prelude::*;

    fn mixture(rows: &[u64], weights: &[u64]) -> MixtureSpec {
        MixtureSpec {
            names: (0..rows.len()).map(|i| format!("s{i}")).collect(),
            rows: rows.to_vec(),
            caps: vec![None; rows.len()],
            schedule: vec![(0, weights.to_vec())],
            end: None,
            stop: None,
        }
    }

    fn positions(legs: &MixedLegs, source: usize) -> Vec<u64> {
        let of_leg = |leg: &MixedLeg| {
            (0..leg.spec.delivered).flat_map(|g| leg.batch(g)[source].clone()).flatten().collect::<Vec<_>>()
        };
        legs.legs().iter().flat_map(of_leg).collect()
    }

    proptest! {
        /// M2, M3 and M7: over legs of other lanes and batch sizes, stopped anywhere, with weights that change, each row
        /// of the rounds that were begun is delivered once or left over.
        #[test]
        fn over_all_legs_each_row_of_a_round_comes_once(
            rows in proptest::collection::vec(1_u64..80, 1..5),
            weights in proptest::collection::vec(1_u64..9, 5),
            later in proptest::collection::vec(0_u64..9, 5),
            change in 1_u64..900,
            legs in proptest::collection::vec((1_u64..9, 1_u64..12, 0_u64..30), 1..5),
        ) {
            let n = rows.len();
            let mut spec = mixture(&rows, &weights[..n]);
            let after = if later[..n].iter().sum::<u64>() == 0 { weights[..n].to_vec() } else { later[..n].to_vec() };
            let plain = Arc::new(spec.clone());
            spec.schedule.push((change, after));
            let spec = Arc::new(spec.checked().unwrap());
            let mut specs = Vec::new();
            for (num_shards, batch_size, delivered) in legs {
                let specs_of = LegSpec { num_shards, batch_size, drop_last: false, delivered, skipped: Vec::new() };
                specs.push(specs_of);
            }
            let legs = MixedLegs::new(Arc::clone(&spec), 1, specs.clone()).unwrap();
            let total: u64 = legs.legs().iter().map(|leg| leg.spec.delivered).sum();
            let mut job_rows = 0;
            for leg in legs.legs() {
                job_rows += leg.spec.delivered * leg.spec.batch_size;
            }
            let taken = legs.taken(total);
            prop_assert_eq!(taken.iter().sum::<u64>(), job_rows);
            for (source, &took) in taken.iter().enumerate() {
                let mut found = positions(&legs, source);
                prop_assert_eq!(found.len() as u64, took);
                let (rest, base) = legs.last().left_over(source);
                found.extend(rest.ranges().iter().cloned().flatten());
                found.sort_unstable();
                prop_assert_eq!(found, (0..base).collect::<Vec<_>>());
            }
            // A weight that changes later changes no batch before.
            let before = MixedLegs::new(plain, 1, specs).unwrap();
            for (leg, plain) in legs.legs().iter().zip(before.legs()) {
                for g in 0..leg.spec.delivered {
                    if leg.job_rows() + (g / leg.spec.num_shards + 1) * leg.spec.num_shards * leg.spec.batch_size <= change {
                        prop_assert_eq!(leg.batch(g), plain.batch(g));
                    }
                }
            }
        }

        /// M6: no source passes its cap, and the mixture ends with what ends it.
        #[test]
        fn policies_end_where_they_say(
            rows in proptest::collection::vec(20_u64..90, 1..5),
            weights in proptest::collection::vec(1_u64..9, 5),
            caps in proptest::collection::vec(proptest::option::of(20_u64..200), 5),
            first: bool, lanes in 1_u64..9, batch_size in 1_u64..12, stop in 0.0..1.0_f64, other in 1_u64..9,
        ) {
            let n = rows.len();
            let mut spec = mixture(&rows, &weights[..n]);
            spec.caps = caps[..n].to_vec();
            spec.stop = Some(if first { Stop::First } else { Stop::All });
            let spec = Arc::new(spec);
            let goals: Vec<u64> = (0..n).map(|i| spec.caps[i].unwrap_or(rows[i])).collect();
            let legs = MixedLegs::start(Arc::clone(&spec), 1, lanes, batch_size, false).unwrap();
            let mut all = vec![legs.clone()];
            let stopped = legs.at((legs.num_batches() as f64 * stop) as u64).unwrap();
            let ask = LegRequest { num_shards: Some(other), batch_size: Some(batch_size + 1), drop_last: None };
            let (second, outcome) = stopped.resume(lanes, ask).unwrap();
            if outcome == Outcome::NewLeg {
                all.push(second);
            }
            for legs in all {
                let end = legs.at(legs.num_batches()).unwrap();
                let taken = end.taken(end.delivered_before() + end.num_batches());
                // Each leg, and each of its lanes, leaves a row over at the most, of what is left and of rounds.
                let short = (lanes + other) * 2;
                for ((&took, &goal), cap) in taken.iter().zip(&goals).zip(&spec.caps) {
                    prop_assert!(cap.is_none_or(|cap| took <= cap));
                    prop_assert!(first || took + short > goal, "{:?} of {:?}", taken, goals);
                    prop_assert!(!first || took <= goal);
                }
                prop_assert!(!first || (0..n).any(|i| taken[i] + 2 * (lanes + other) > goals[i]));
            }
        }

        #[test]
        fn ranks_have_as_many_batches(rows in 20_u64..900, lanes in 1_u64..5, ranks in 1_u64..5, batch_size in 1_u64..9) {
            let mut spec = mixture(&[20], &[1]);
            spec.end = Some(rows);
            let batches = rows / batch_size / ranks * ranks;
            let legs = MixedLegs::start(Arc::new(spec), ranks, lanes * ranks, batch_size, false);
            prop_assert_eq!(legs.map_or(0, |legs| legs.num_batches()), batches);
        }
    }
}
