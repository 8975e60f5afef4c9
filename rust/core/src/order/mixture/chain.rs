//! How many rows each source has among the first rows of a lane: a chain of roundings, without a table.

/// The sources that have a weight, in the order of the chain: by falling weight, then by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    num_sources: usize,
    /// (source, its weight, the weight of it and of all behind it).
    links: Vec<(usize, u64, u64)>,
}

impl Chain {
    /// `weights` by source; their sum must fit into 62 bits. `names` decide between equal weights.
    pub(super) fn new(weights: &[u64], names: &[String]) -> Self {
        let mut order: Vec<usize> = (0..weights.len()).filter(|&source| weights[source] > 0).collect();
        order.sort_by(|&a, &b| weights[b].cmp(&weights[a]).then_with(|| names[a].cmp(&names[b])));
        let mut rest: u64 = weights.iter().sum();
        let mut links = Vec::with_capacity(order.len());
        for source in order {
            links.push((source, weights[source], rest));
            rest -= weights[source];
        }
        Self { num_sources: weights.len(), links }
    }

    /// Whether no source has a weight.
    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// The weight of a source, and of all.
    pub(super) fn weight(&self, source: usize) -> (u64, u64) {
        let all = self.links.first().map_or(0, |link| link.2);
        (self.links.iter().find(|link| link.0 == source).map_or(0, |link| link.1), all)
    }

    /// The rows of every source among the first `rows`, added to `counts`.
    ///
    /// A source of weight w gets r - r', of the r rows that those before it in the chain have left: r' is r(W - w)/W,
    /// rounded to the nearest, where W is the weight of it and of those behind it. So every further row is of exactly
    /// one source.
    pub(super) fn add(&self, rows: u64, counts: &mut [u64]) {
        let mut left = u128::from(rows);
        for &(source, weight, rest) in &self.links {
            let (weight, rest) = (u128::from(weight), u128::from(rest));
            let after = (2 * left * (rest - weight) + rest) / (2 * rest);
            let after = if rest == weight { 0 } else { after };
            counts[source] += (left - after) as u64;
            left = after;
        }
    }

    /// The rows of every source among the first `rows`.
    pub(super) fn counts(&self, rows: u64) -> Vec<u64> {
        let mut counts = vec![0; self.num_sources];
        self.add(rows, &mut counts);
        counts
    }

    /// The fewest rows among which a source has `wanted`; None where it has no weight.
    pub(super) fn rows_until(&self, source: usize, wanted: u64) -> Option<u64> {
        let (weight, all) = self.weight(source);
        if weight == 0 {
            return None;
        }
        let has = |rows: u64| self.counts(rows)[source] >= wanted;
        let bound = u128::from(wanted + 2) * u128::from(all) / u128::from(weight) + 2;
        let (mut low, mut high) = (0, u64::try_from(bound).unwrap_or(u64::MAX >> 2).min(u64::MAX >> 2));
        while !has(high) && high < u64::MAX >> 2 {
            high *= 2;
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if has(middle) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Some(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// M1: each further row is of one source, and every source is within two rows of its share.
        #[test]
        fn each_row_is_of_one_source_and_none_is_two_rows_from_its_share(
            mut weights in proptest::collection::vec(0_u64..200, 1..30), from in 0_u64..1 << 40,
        ) {
            weights.push(1);
            let names: Vec<String> = (0..weights.len()).map(|i| format!("{}", (i * 7) % 31)).collect();
            let (chain, all) = (Chain::new(&weights, &names), weights.iter().sum::<u64>());
            let mut before = chain.counts(from);
            for rows in from + 1..from + 200 {
                let counts = chain.counts(rows);
                prop_assert_eq!(counts.iter().sum::<u64>(), rows);
                prop_assert_eq!(counts.iter().zip(&before).filter(|(a, b)| a != b).count(), 1);
                for (count, weight) in counts.iter().zip(&weights) {
                    let (has, share) = (u128::from(*count) * u128::from(all), u128::from(rows) * u128::from(*weight));
                    prop_assert!(has.abs_diff(share) < 2 * u128::from(all), "{} of {}", count, rows);
                    prop_assert!(*weight > 0 || *count == 0);
                }
                before = counts;
            }
            prop_assert_eq!(chain.counts(all * 5), weights.iter().map(|weight| weight * 5).collect::<Vec<_>>());
        }

        #[test]
        fn a_source_has_its_rows_then_and_not_before(
            weights in proptest::collection::vec(1_u64..50, 1..8), wanted in 1_u64..1 << 30,
        ) {
            let names: Vec<String> = (0..weights.len()).map(|i| i.to_string()).collect();
            let chain = Chain::new(&weights, &names);
            let rows = chain.rows_until(0, wanted).unwrap();
            prop_assert_eq!(chain.counts(rows)[0], wanted);
            prop_assert_eq!(chain.counts(rows - 1)[0], wanted - 1);
        }
    }
}
