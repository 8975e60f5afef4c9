//! A leg: a part of an epoch during which num_shards, batch size and drop_last stay the same.

use std::ops::Range;

use super::{Intervals, mul_div};
use crate::{Error, Result};

/// A leg as the state keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegSpec {
    /// V: equal pieces of what the leg cuts.
    pub num_shards: u64,
    /// Rows of a batch.
    pub batch_size: u64,
    /// Whether every batch has exactly `batch_size` rows.
    pub drop_last: bool,
    /// G: the job's batches up to the cursor, those skipped counted in.
    pub delivered: u64,
    /// Which of them were skipped: ranges of batch numbers, ascending.
    pub skipped: Vec<Range<u64>>,
}

/// A leg and what it cuts: the positions that the legs before it left over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    domain: Intervals,
    spec: LegSpec,
}

impl Leg {
    /// A leg over these positions.
    ///
    /// # Errors
    /// Numbers that cannot be a leg: no shard, no row in a batch, no step, a cursor past the end, skipped ranges that
    /// are not ascending ranges before the cursor.
    pub fn new(domain: Intervals, spec: LegSpec) -> Result<Self> {
        let LegSpec { num_shards, batch_size, .. } = spec;
        if num_shards == 0 || batch_size == 0 {
            return Err(Error::State(format!("a leg of {num_shards} shards and batches of {batch_size} rows is none")));
        }
        let leg = Self { domain, spec };
        if leg.batches_per_shard() == 0 {
            let rows = leg.domain.len();
            return Err(Error::Argument(if rows < num_shards {
                format!(
                    "{rows} rows are fewer than the {num_shards} shards, so that not every shard would have a step; use fewer \
                     ranks, or num_shards of at most {rows}"
                )
            } else {
                format!(
                    "with drop_last=True the {rows} rows in {num_shards} shards make no full batch of {batch_size}; use a \
                     smaller batch_size, fewer shards, or drop_last=False"
                )
            }));
        }
        let batches = leg.num_batches();
        if leg.spec.delivered > batches {
            return Err(Error::State(format!(
                "the position is past the end: {} batches delivered in a leg of {batches}",
                leg.spec.delivered
            )));
        }
        let mut from = 0;
        for range in &leg.spec.skipped {
            if range.start < from || range.end <= range.start || range.end > leg.spec.delivered {
                return Err(Error::State(format!(
                    "the skipped batches {}..{} are not an ascending range before the {} delivered",
                    range.start, range.end, leg.spec.delivered
                )));
            }
            from = range.end;
        }
        Ok(leg)
    }

    /// The leg as the state keeps it.
    pub fn spec(&self) -> &LegSpec {
        &self.spec
    }

    /// The positions that this leg cuts.
    pub fn domain(&self) -> &Intervals {
        &self.domain
    }

    /// Batches of every shard: the same number, so that all ranks take the same number of steps.
    pub fn batches_per_shard(&self) -> u64 {
        let shortest = self.domain.len() / self.spec.num_shards;
        if self.spec.drop_last { shortest / self.spec.batch_size } else { shortest.div_ceil(self.spec.batch_size) }
    }

    /// Batches of all shards.
    pub fn num_batches(&self) -> u64 {
        self.batches_per_shard() * self.spec.num_shards
    }

    /// Whether the leg was delivered to its length, which ends the epoch.
    pub fn is_complete(&self) -> bool {
        self.spec.delivered == self.num_batches()
    }

    /// The coordinates of shard v in the leg's domain.
    pub fn shard(&self, shard: u64) -> Range<u64> {
        let (n, v) = (self.domain.len(), self.spec.num_shards);
        mul_div(shard, n, v)..mul_div(shard + 1, n, v)
    }

    /// The coordinates of batch g: of shard g mod V, the (g div V)-th.
    pub fn batch_coordinates(&self, g: u64) -> Range<u64> {
        let shard = self.shard(g % self.spec.num_shards);
        let index = g / self.spec.num_shards;
        shard.start + index * self.spec.batch_size..self.end_of(&shard, index + 1)
    }

    /// Where a shard stands once `batches` of it are delivered.
    fn end_of(&self, shard: &Range<u64>, batches: u64) -> u64 {
        if batches == self.batches_per_shard() && !self.spec.drop_last {
            shard.end
        } else {
            shard.start + batches * self.spec.batch_size
        }
    }

    /// The positions of batch g.
    pub fn batch(&self, g: u64) -> Vec<Range<u64>> {
        self.domain.slice(self.batch_coordinates(g))
    }

    /// The batches of a shard that lie before the cursor.
    pub fn delivered_of(&self, shard: u64) -> u64 {
        (self.spec.delivered + self.spec.num_shards - 1 - shard) / self.spec.num_shards
    }

    /// The coordinates of a shard from batch `index` on, as far as batches are made of it.
    pub fn rest_of(&self, shard: u64, index: u64) -> Range<u64> {
        let coordinates = self.shard(shard);
        let end = self.end_of(&coordinates, self.batches_per_shard());
        self.end_of(&coordinates, index).min(end)..end
    }

    /// The positions neither delivered nor skipped: what is left of every shard.
    pub fn left_over(&self) -> Intervals {
        let mut left = Vec::new();
        for number in 0..self.spec.num_shards {
            let shard = self.shard(number);
            let begin = self.end_of(&shard, self.delivered_of(number));
            left.extend(self.domain.slice(begin..shard.end));
        }
        Intervals::collect(left)
    }

    /// How many batches from the cursor on have positions of this list only.
    pub fn batches_within(&self, positions: &Intervals) -> u64 {
        let within = |g: u64| self.batch(g).iter().all(|range| positions.holds(range));
        (self.spec.delivered..self.num_batches()).filter(|&g| within(g)).count() as u64
    }

    /// The positions of the batches that were skipped.
    pub fn skipped(&self) -> Vec<Range<u64>> {
        self.spec.skipped.iter().cloned().flatten().flat_map(|g| self.batch(g)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leg(n: u64, num_shards: u64, batch_size: u64, drop_last: bool) -> Result<Leg> {
        Leg::new(Intervals::whole(n), LegSpec { num_shards, batch_size, drop_last, delivered: 0, skipped: vec![] })
    }

    #[test]
    fn the_last_batch_of_a_shard_takes_what_is_left() {
        let leg = leg(17, 2, 4, false).unwrap();
        let batches: Vec<Range<u64>> = (0..leg.num_batches()).map(|g| leg.batch_coordinates(g)).collect();
        assert_eq!(batches, [0..4, 8..12, 4..8, 12..17], "9 rows in two batches of 4: the last has 5");
    }

    #[test]
    fn a_leg_without_a_step_is_an_error_that_says_so() {
        assert!(leg(3, 4, 1, false).unwrap_err().to_string().contains("fewer than the 4 shards"));
        assert!(leg(30, 4, 10, true).unwrap_err().to_string().contains("drop_last"));
        assert!(leg(0, 1, 1, false).is_err());
    }

    /// Shards, batch size, drop_last and the fewest rows that these have a step of.
    fn settings() -> impl Strategy<Value = (u64, u64, bool, u64)> {
        (1_u64..20, 1_u64..40, any::<bool>()).prop_map(|(num_shards, batch_size, drop_last)| {
            let fewest = num_shards * if drop_last { batch_size } else { 1 };
            (num_shards, batch_size, drop_last, fewest)
        })
    }

    proptest! {
        #[test]
        fn a_leg_begins_if_and_only_if_every_shard_has_a_batch(
            (num_shards, batch_size, drop_last, fewest) in settings(), n in 0_u64..800,
        ) {
            prop_assert_eq!(leg(n, num_shards, batch_size, drop_last).is_ok(), n >= fewest);
            prop_assert!(leg(fewest, num_shards, batch_size, drop_last).is_ok());
            prop_assert!(leg(fewest - 1, num_shards, batch_size, drop_last).is_err());
        }

        #[test]
        fn batches_and_what_is_left_over_cover_the_domain(
            (num_shards, batch_size, drop_last, fewest) in settings(), more in 0_u64..300, part in 0.0..=1.0_f64,
        ) {
            let n = fewest + more;
            let start = leg(n, num_shards, batch_size, drop_last).unwrap();
            let delivered = (start.num_batches() as f64 * part) as u64;
            let leg = Leg::new(start.domain, LegSpec { delivered, ..start.spec }).unwrap();
            let mut seen: Vec<u64> = (0..delivered).flat_map(|g| leg.batch(g)).flatten().collect();
            seen.extend(leg.left_over().ranges().iter().cloned().flatten());
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..n).collect::<Vec<_>>());
            for g in 0..leg.num_batches() {
                let rows = leg.batch_coordinates(g);
                let rows = rows.end - rows.start;
                let last = g / num_shards + 1 == leg.batches_per_shard();
                if drop_last || !last {
                    prop_assert_eq!(rows, batch_size);
                } else {
                    prop_assert!((1..=batch_size + 1).contains(&rows));
                }
            }
        }
    }
}
