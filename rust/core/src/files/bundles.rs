//! Bundles: consecutive row groups whose documents are packed into sequences together, whole.

use std::ops::Range;

use super::plan::Plan;

/// Sequences of a bundle, at least: with so many, fewer than one token in two hundred is padding.
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
/// A bundle is closed behind the row group with which it has the tokens of 256 sequences, and before one that would take
/// it over 2²³. It goes on from file to file. A row group of more than 2²³ tokens is cut in parts of equal rows, each a
/// bundle.
pub fn bundles(plan: &Plan, tokens: &[u64], seq_len: u64) -> Vec<Bundle> {
    let enough = seq_len.saturating_mul(SEQUENCES);
    let mut found: Vec<Bundle> = Vec::new();
    let mut open = None;
    for (group, (&count, &rows)) in tokens.iter().zip(plan.selected_rows()).enumerate() {
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
        let held = match (open, found.last_mut()) {
            (Some(held), Some(last)) if held + count <= MOST_TOKENS => {
                last.groups.end = group + 1;
                held + count
            }
            _ => {
                found.push(Bundle { groups: group..group + 1, rows: None });
                count
            }
        };
        open = Some(held).filter(|held| *held < enough);
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::files::TokenLine;
    use crate::files::plan::tests::plan;

    /// The tokens of files of row groups: most are a part of a bundle, some are one, some are cut.
    fn any_files() -> impl Strategy<Value = Vec<Vec<u64>>> {
        let tokens = prop_oneof![4 => 0..2000_u64, 2 => Just(0_u64), 1 => 0..1_u64 << 14, 1 => (1_u64 << 22)..1 << 25];
        proptest::collection::vec(proptest::collection::vec(tokens, 1..6), 1..8)
    }

    fn bundled(files: &[Vec<u64>], seq_len: u64) -> (Plan, TokenLine) {
        let rows: Vec<Vec<u64>> = files.iter().map(|groups| vec![1000; groups.len()]).collect();
        let names: Vec<String> = (0..files.len()).map(|file| file.to_string()).collect();
        let of_plan: Vec<(&str, &[u64])> =
            names.iter().map(String::as_str).zip(rows.iter().map(Vec::as_slice)).collect();
        let plan = plan(&of_plan);
        let line = TokenLine::new("a pack".to_owned(), seq_len, 4, files.concat()).unwrap();
        let found = bundles(&plan, line.tokens(), seq_len);
        (plan, line.with_bundles(found.clone(), (1..).take(found.len()).collect()).unwrap())
    }

    proptest! {
        #[test]
        fn every_row_with_tokens_is_in_one_bundle(files in any_files(), seq_len in 1..100_u64) {
            let (plan, line) = bundled(&files, seq_len);
            let mut next = (0, 0);
            let mut last: Option<u64> = None;
            for bundle in bundles(&plan, line.tokens(), seq_len) {
                let count = |groups: Range<usize>| line.tokens()[groups].iter().sum::<u64>();
                let first = (bundle.groups.start, bundle.rows.as_ref().map_or(0, |rows| rows.start));
                prop_assert_eq!(first.1, if first.0 == next.0 { next.1 } else { 0 });
                prop_assert_eq!(count(next.0 + usize::from(next.1 > 0)..first.0.max(next.0 + usize::from(next.1 > 0))), 0);
                let held = count(bundle.groups.clone());
                prop_assert!(held <= MOST_TOKENS || bundle.rows.is_some());
                if let Some(last) = last {
                    prop_assert!(last >= seq_len * SEQUENCES || last + line.tokens()[first.0] > MOST_TOKENS);
                }
                next = match &bundle.rows {
                    Some(rows) if rows.end < 1000 => (bundle.groups.start, rows.end),
                    _ => (bundle.groups.end, 0),
                };
                last = bundle.rows.is_none().then_some(held);
            }
            prop_assert_eq!(next.1, 0);
            prop_assert_eq!(line.tokens()[next.0..].iter().sum::<u64>(), 0);
        }

        #[test]
        fn of_some_files_only_new_bundles_are_counted_again(
            files in any_files(),
            kept in proptest::collection::vec(any::<bool>(), 8),
            seq_len in 1..100_u64,
        ) {
            let (plan, line) = bundled(&files, seq_len);
            let plan = plan.with_token_line(line.clone()).unwrap();
            let kept: Vec<usize> = (0..files.len()).filter(|&file| kept[file]).collect();
            let selected = plan.select(&kept).unwrap();
            let found = selected.token_line().unwrap();
            let own: Vec<usize> = kept.iter().flat_map(|&file| plan.groups(file)).collect();
            // A bundle as the rows with tokens that it is made of, numbered in the plan of all files.
            let documents = |bundle: &Bundle, number: &dyn Fn(usize) -> usize| {
                let groups = bundle.groups.clone().map(number).filter(|&group| line.tokens()[group] > 0);
                (groups.collect::<Vec<_>>(), bundle.rows.clone())
            };
            let known: Vec<_> = bundles(&plan, line.tokens(), seq_len).iter().map(|b| documents(b, &|g| g)).collect();
            let wanted = bundles(&selected, found.tokens(), seq_len);
            let mut again = Vec::new();
            for (number, bundle) in wanted.iter().enumerate() {
                let (at, count) = found.bundle(number).unwrap();
                prop_assert_eq!(at, bundle);
                match known.iter().position(|one| *one == documents(bundle, &|group| own[group])) {
                    Some(place) => prop_assert_eq!(count, place as u64 + 1),
                    None => again.push(number),
                }
            }
            prop_assert!(found.bundle(wanted.len()).is_none());
            prop_assert_eq!(found.uncounted(), &again);
            let counted = found.with_counted(&vec![77; again.len()]).unwrap();
            prop_assert!(counted.uncounted().is_empty());
            prop_assert!(again.iter().all(|&number| counted.bundle(number).unwrap().1 == 77));
            prop_assert!(found.with_counted(&vec![77; again.len() + 1]).is_err());
        }
    }
}
