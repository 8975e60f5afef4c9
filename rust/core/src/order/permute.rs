//! Keyed permutations: Fisher and Yates's shuffle as Durstenfeld wrote it (Knuth's algorithm P), drawn from Philox.
//!
//! Our own code, since a library's shuffle may give another order in its next release.

use super::{Key, Philox};

/// The permutation of 0 … n-1 that belongs to `key`: place i holds the number of the thing that goes there.
pub fn permutation(key: Key, n: u32) -> Vec<u32> {
    let mut places: Vec<u32> = (0..n).collect();
    let mut draws = Philox::new(key);
    for last in (1..n).rev() {
        let other = draws.below(last + 1);
        places.swap(last as usize, other as usize);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::key;

    #[test]
    fn a_bijection_for_every_length() {
        for n in 0..=4096 {
            let places = permutation(key("test", &[u64::from(n)]), n);
            let mut seen = vec![false; n as usize];
            for place in places {
                assert!(!std::mem::replace(&mut seen[place as usize], true), "n = {n}");
            }
        }
    }

    #[test]
    fn all_orders_of_four_are_equally_likely() {
        let mut counts = std::collections::HashMap::new();
        for seed in 0..24_000 {
            *counts.entry(permutation(key("test", &[seed]), 4)).or_insert(0_u32) += 1;
        }
        assert_eq!(counts.len(), 24);
        // 23 degrees of freedom: 49.7 is passed once in a thousand; the keys are fixed.
        let chi2: f64 = counts.values().map(|&c| (f64::from(c) - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi2 < 49.7, "{chi2}");
    }
}
