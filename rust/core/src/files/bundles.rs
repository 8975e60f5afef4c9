//! Bundles: consecutive row groups of one file whose documents are packed into sequences together, whole.

use std::ops::Range;

use super::plan::Plan;

/// Sequences of a bundle, about: with so many, fewer than one token in a hundred is padding.
const SEQUENCES: u64 = 256;
/// The most tokens of a bundle: a reader holds them all.
const MOST_TOKENS: u64 = 1 << 23;

/// Documents that are packed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The row groups, counted over all files.
    pub groups: Range<usize>,
    /// The rows, of those that pass, if it is a part of one row group.
    pub rows: Option<Range<u64>>,
}

/// The bundles of a plan's row groups, of which each has so many tokens.
///
/// A bundle is closed at a file's end, and before the row group that would take it over the tokens of 256 sequences, or
/// over 2²³. A row group of more than 2²³ tokens is cut in parts of equal rows.
pub fn bundles(plan: &Plan, tokens: &[u64], seq_len: u64) -> Vec<Bundle> {
    let most = seq_len.saturating_mul(SEQUENCES).min(MOST_TOKENS);
    let mut found: Vec<Bundle> = Vec::new();
    for file in 0..plan.num_files() {
        let mut open = None;
        for group in plan.groups(file) {
            let count = tokens.get(group).copied().unwrap_or(0);
            let rows = plan.selected_rows()[group];
            if count == 0 || rows == 0 {
                continue;
            }
            let parts = count.div_ceil(MOST_TOKENS).min(rows);
            if parts > 1 {
                let border = |part: u64| (u128::from(part) * u128::from(rows) / u128::from(parts)) as u64;
                let cut = |part| Bundle { groups: group..group + 1, rows: Some(border(part)..border(part + 1)) };
                found.extend((0..parts).map(cut));
                open = None;
                continue;
            }
            match (open, found.last_mut()) {
                (Some(held), Some(last)) if most.checked_sub(count).is_some_and(|room| held <= room) => {
                    last.groups.end = group + 1;
                    open = Some(held + count);
                }
                _ => {
                    found.push(Bundle { groups: group..group + 1, rows: None });
                    open = Some(count);
                }
            }
        }
    }
    found
}
