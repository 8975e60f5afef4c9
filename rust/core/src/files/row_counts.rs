//! How many rows of each row group pass a filter and a sample.

use xxhash_rust::xxh3::Xxh3;

/// How many rows of every row group stand on the line, under a rule that says which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectedRows {
    /// What rows must pass, in a form that is the same for the same filter and sample.
    pub rule: String,
    /// Each row group's rows that pass.
    pub counts: Vec<u64>,
}

impl SelectedRows {
    /// XXH3-128 over the counts, eight little-endian bytes each.
    pub fn digest(&self) -> u128 {
        let mut hasher = Xxh3::new();
        self.counts.iter().for_each(|count| hasher.update(&count.to_le_bytes()));
        hasher.digest128()
    }
}
