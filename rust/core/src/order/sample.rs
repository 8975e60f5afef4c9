//! A sample: a fraction of the rows of every row group, chosen by the row group's own key, and counted by arithmetic.

use std::ops::Range;

use super::{RowSet, key, permutation};
use crate::{Error, Result};

/// The rows between two fractions of every row group.
///
/// In a row group of n rows, row r is in it where ⌊lo·n + u⌋ ≤ π(r) < ⌊hi·n + u⌋, with a permutation π and a number u,
/// 0 ≤ u < 1, that depend on the seed, the footer's hash and the row group's number only. So intervals that meet share
/// no row and leave none out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Fractions, in units of 2⁻⁶⁴.
    low: u128,
    high: u128,
    seed: u64,
}

impl Sample {
    /// The rows from the fraction `low` up to `high`.
    ///
    /// # Errors
    /// Anything but 0 ≤ low < high ≤ 1.
    pub fn new(low: f64, high: f64, seed: u64) -> Result<Self> {
        if !(0.0 <= low && low < high && high <= 1.0) {
            return Err(Error::Argument(format!(
                "split=({low}, {high}) must be an interval in 0 … 1, the first smaller"
            )));
        }
        Ok(Self { low: fixed_fraction(low), high: fixed_fraction(high), seed })
    }

    /// The values of the permutation that are in the sample; as many rows as there are of these.
    fn values(&self, rows: u64, footer_hash: u64, group: u64) -> Range<u64> {
        let offset = key("sample offset", &[self.seed, footer_hash, group]) as u64;
        let at = |fraction: u128| ((fraction * u128::from(rows) + u128::from(offset)) >> 64) as u64;
        at(self.low)..at(self.high)
    }

    /// How many rows of a row group are in it.
    ///
    /// # Errors
    /// A row group of 2³² rows or more.
    pub fn count(&self, rows: u64, footer_hash: u64, group: u64) -> Result<u64> {
        permutable(rows)?;
        let values = self.values(rows, footer_hash, group);
        Ok(values.end - values.start)
    }

    /// Which rows of a row group are in it.
    ///
    /// # Errors
    /// A row group of 2³² rows or more.
    pub fn rows(&self, rows: u64, footer_hash: u64, group: u64) -> Result<RowSet> {
        let values = self.values(rows, footer_hash, group);
        if values == (0..rows) {
            return Ok(RowSet::all(rows));
        }
        let places = permutation(key("sample", &[self.seed, footer_hash, group]), permutable(rows)?);
        let words = places.chunks(64).map(|places| {
            let bit = |(at, &place): (usize, &u32)| u64::from(values.contains(&u64::from(place))) << at;
            places.iter().enumerate().map(bit).fold(0, |word, bit| word | bit)
        });
        Ok(RowSet::from_words(rows, words.collect()))
    }
}

/// A fraction in units of 2⁻⁶⁴. A power of two is a factor without rounding; what is below 2⁻⁶⁴ is cut off.
pub(crate) fn fixed_fraction(fraction: f64) -> u128 {
    (fraction * 2_f64.powi(64)) as u128
}

fn permutable(rows: u64) -> Result<u32> {
    u32::try_from(rows).map_err(|_| {
        Error::Unsupported(format!(
            "a row group of {rows} rows cannot be sampled; write row groups of fewer than 2**32"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn intervals_that_meet_are_disjoint_and_complete(
            rows in 0_u64..700, hash: u64, group in 0_u64..9, seed: u64,
            mut cuts in proptest::collection::vec(0.0..1.0_f64, 0..5),
        ) {
            cuts.extend([0.0, 1.0]);
            cuts.sort_by(f64::total_cmp);
            cuts.dedup();
            let mut seen = vec![0; rows as usize];
            for pair in cuts.windows(2) {
                let sample = Sample::new(pair[0], pair[1], seed).unwrap();
                let set = sample.rows(rows, hash, group).unwrap();
                prop_assert_eq!(sample.count(rows, hash, group).unwrap(), set.len());
                let expected = (pair[1] - pair[0]) * rows as f64;
                prop_assert!((set.len() as f64 - expected).abs() < 1.0 + 1e-9);
                set.runs(0..set.len()).flatten().for_each(|row| seen[row as usize] += 1);
            }
            prop_assert!(seen.iter().all(|&times| times == 1));
        }

        #[test]
        fn a_larger_sample_holds_the_smaller(rows in 0_u64..300, hash: u64, a in 0.01..1.0_f64, b in 0.01..1.0_f64) {
            let sample = |high| Sample::new(0.0, high, 1).unwrap().rows(rows, hash, 0).unwrap();
            let (small, large) = (sample(a.min(b)), sample(a.max(b)));
            prop_assert_eq!(small.and(&large), small);
        }
    }

    #[test]
    fn the_mean_count_is_the_fraction() {
        let sample = Sample::new(0.25, 0.35, 7).unwrap();
        let total: u64 = (0..10_000).map(|group| sample.count(3, 99, group).unwrap()).sum();
        // 0.3 rows a group, by a fair draw: 3,000 ± 5 · √2,100.
        assert!(total.abs_diff(3000) < 230, "{total}");
    }

    #[test]
    fn known_rows() {
        // For ever: another result would be another sample under the same name.
        let rows = |group| {
            let set = Sample::new(0.1, 0.4, 42).unwrap().rows(20, 0x1234_5678_9abc_def0, group).unwrap();
            set.runs(0..set.len()).flatten().collect::<Vec<u64>>()
        };
        assert_eq!([rows(0), rows(1)], [[1, 3, 6, 13, 15, 19], [1, 4, 8, 9, 14, 17]]);
    }

    #[test]
    fn bounds_are_checked() {
        for (low, high) in [(0.5, 0.5), (-0.1, 1.0), (0.0, 1.1), (f64::NAN, 1.0), (0.7, 0.2)] {
            assert!(Sample::new(low, high, 0).is_err());
        }
    }
}
