//! Keys: hashed from their parts, never added, so that seed 1, epoch 1 is not seed 2, epoch 0.

use xxhash_rust::xxh3::xxh3_128;

/// The key of one permutation.
pub type Key = u128;

/// XXH3-128 (seed 0) of the order's version, the purpose, and the parts, each as eight little-endian bytes.
pub fn key(purpose: &str, parts: &[u64]) -> Key {
    let mut bytes = Vec::with_capacity(32 + purpose.len() + 8 * parts.len());
    bytes.extend_from_slice(b"shardline order 2\0");
    bytes.extend_from_slice(purpose.as_bytes());
    bytes.push(0);
    for part in parts {
        bytes.extend_from_slice(&part.to_le_bytes());
    }
    xxh3_128(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn published_vector_of_xxh3() {
        // The specification's sanity value for the empty input with seed 0.
        assert_eq!(xxh3_128(b""), 0x99aa_06d3_0147_98d8_6001_c324_468d_497f);
    }

    #[test]
    fn parts_are_not_added() {
        let mut seen = HashSet::new();
        for seed in 0..40 {
            for epoch in 0..40 {
                for number in 0..4 {
                    for purpose in ["splits", "phase", "window"] {
                        assert!(seen.insert(key(purpose, &[seed, epoch, number])));
                    }
                }
            }
        }
    }
}
