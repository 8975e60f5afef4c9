//! Where the windows cut the strands: strands of any lengths, read side by side, that all end together.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// The key of a place of a strand: (2·place + 1) / (2·length), and among equal ones the strand's number.
///
/// The places of all strands, sorted by it, are the order in which windows take them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PlaceKey {
    /// 2·place + 1.
    odd: u128,
    length: u64,
    strand: usize,
}

impl PlaceKey {
    fn new(place: u64, length: u64, strand: usize) -> Self {
        Self { odd: 2 * u128::from(place) + 1, length, strand }
    }
}

impl Ord for PlaceKey {
    fn cmp(&self, other: &Self) -> Ordering {
        // Places are below 2⁶³, so that the products fit.
        let (left, right) = (self.odd * u128::from(other.length), other.odd * u128::from(self.length));
        left.cmp(&right).then(self.strand.cmp(&other.strand))
    }
}

impl PartialOrd for PlaceKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// How many of the first `rank` places, by their keys, each strand has. O(k log k).
///
/// No strand is empty, and all together have at least `rank` places.
pub(crate) fn shares(lengths: &[u64], rank: u64) -> Vec<u64> {
    let all: u64 = lengths.iter().sum();
    // The places whose key is below rank / all: `rank` of them, but for the rounding of half a place a strand.
    let mut shares: Vec<u64> = lengths.iter().map(|&length| rounded(length, rank, all)).collect();
    let found: u64 = shares.iter().sum();
    if found < rank {
        let next = |strand: usize, share: u64| {
            (share < lengths[strand]).then(|| Reverse(PlaceKey::new(share, lengths[strand], strand)))
        };
        let mut heap: BinaryHeap<_> =
            shares.iter().enumerate().filter_map(|(strand, &share)| next(strand, share)).collect();
        for _ in found..rank {
            let Some(Reverse(key)) = heap.pop() else { break };
            shares[key.strand] += 1;
            heap.extend(next(key.strand, shares[key.strand]));
        }
    } else {
        let last =
            |strand: usize, share: u64| share.checked_sub(1).map(|place| PlaceKey::new(place, lengths[strand], strand));
        let mut heap: BinaryHeap<_> =
            shares.iter().enumerate().filter_map(|(strand, &share)| last(strand, share)).collect();
        for _ in rank..found {
            let Some(key) = heap.pop() else { break };
            shares[key.strand] -= 1;
            heap.extend(last(key.strand, shares[key.strand]));
        }
    }
    shares
}

/// a·b / c, rounded to the nearest integer, the lower of two; `a` ≤ `c`.
fn rounded(a: u64, b: u64, c: u64) -> u64 {
    let (product, divisor) = (u128::from(a) * u128::from(b), u128::from(c));
    let up = 2 * (product % divisor) > divisor;
    (product / divisor) as u64 + u64::from(up)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shares_are_what_sorting_all_keys_gives(lengths in proptest::collection::vec(1_u64..40, 1..9)) {
            let mut keys: Vec<PlaceKey> = lengths.iter().enumerate()
                .flat_map(|(strand, &length)| (0..length).map(move |place| PlaceKey::new(place, length, strand))).collect();
            keys.sort_unstable();
            let mut expected = vec![0; lengths.len()];
            for rank in 0..=keys.len() {
                prop_assert_eq!(&shares(&lengths, rank as u64), &expected);
                if let Some(key) = keys.get(rank) {
                    prop_assert_eq!(key.odd, 2 * u128::from(expected[key.strand]) + 1, "a strand's places in order");
                    expected[key.strand] += 1;
                }
            }
        }

        #[test]
        fn strands_of_any_length_end_together(
            lengths in proptest::collection::vec(1_u64..1 << 55, 1..200), part in 0.0..=1.0_f64,
        ) {
            let all: u64 = lengths.iter().sum();
            let rank = ((all as f64 * part) as u64).min(all);
            let found = shares(&lengths, rank);
            prop_assert_eq!(found.iter().sum::<u64>(), rank);
            for (&share, &length) in found.iter().zip(&lengths) {
                // One place more or less than the strand's part, and half of one a strand for the rounding of others.
                let away = (share as f64 - length as f64 * part).abs();
                prop_assert!(away <= 2.0 + lengths.len() as f64 + 1e-9 * length as f64, "{share} of {length}");
            }
            prop_assert_eq!(shares(&lengths, all), lengths);
        }
    }
}
