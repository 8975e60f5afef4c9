//! The token line: all documents of a list column end to end, cut into sequences of one length.
//!
//! Sequence s is the tokens s·L … (s + 1)·L. It is a row of the row group that holds its first token, and is read on into
//! the row groups that follow; the last sequence of the line may be shorter than L. So a count of tokens for each row
//! group fixes how many sequences it has, whatever the order of an epoch is.

use std::ops::Range;

use xxhash_rust::xxh3::Xxh3;

use super::bundles::Bundle;
use crate::{Error, Result};

/// The tokens of every row group, and the sequences that begin in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenLine {
    rule: String,
    seq_len: u64,
    width: u64,
    tokens: Vec<u64>,
    /// The tokens before every row group, and all.
    starts: Vec<u64>,
    sequences: Vec<u64>,
    decoded: Vec<u64>,
    /// Where documents are packed whole, the bundles that they are packed in.
    fitted: Option<Fitted>,
}

/// Bundles, and the sequences of each.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fitted {
    bundles: Vec<Bundle>,
    counts: Vec<u64>,
    /// The bundles that came to be when files were left out, and whose sequences are not counted yet.
    uncounted: Vec<usize>,
}

impl TokenLine {
    /// `rule`: how the tokens were counted, in a form that is the same for the same documents. `width`: the bytes of a
    /// token in the files. `tokens`: of every row group.
    ///
    /// # Errors
    /// A length or width of 0, or more tokens than can be counted.
    pub fn new(rule: String, seq_len: u64, width: u64, tokens: Vec<u64>) -> Result<Self> {
        if seq_len == 0 || width == 0 {
            return Err(Error::Argument("seq_len must be at least 1, not 0".to_owned()));
        }
        let mut starts = Vec::with_capacity(tokens.len() + 1);
        let mut start = 0_u64;
        starts.push(0);
        for &count in &tokens {
            start = start
                .checked_add(count)
                .filter(|start| start.checked_add(seq_len).is_some_and(|end| end.checked_mul(width).is_some()))
                .ok_or_else(|| Error::Argument("the row groups have more tokens than can be counted".to_owned()))?;
            starts.push(start);
        }
        let sequences: Vec<u64> =
            starts.windows(2).map(|pair| pair[1].div_ceil(seq_len) - pair[0].div_ceil(seq_len)).collect();
        let decoded = sequences.iter().map(|count| (count * seq_len).saturating_mul(width)).collect();
        Ok(Self { rule, seq_len, width, tokens, starts, sequences, decoded, fitted: None })
    }

    /// The line of documents that are packed whole: each of these bundles fills so many sequences, which are rows of its
    /// first row group.
    ///
    /// # Errors
    /// As [`new`](Self::new); bundles that are not these row groups', or not a count for each.
    pub fn with_bundles(self, bundles: Vec<Bundle>, counts: Vec<u64>) -> Result<Self> {
        let (seq_len, width) = (self.seq_len, self.width);
        if bundles.len() != counts.len() || bundles.iter().any(|bundle| bundle.groups.end > self.tokens.len()) {
            return Err(Error::Argument("the counts of sequences do not fit the bundles".to_owned()));
        }
        let mut sequences = vec![0_u64; self.tokens.len()];
        for (bundle, &count) in bundles.iter().zip(&counts) {
            let of_group = &mut sequences[bundle.groups.start];
            *of_group = of_group.saturating_add(count);
        }
        let decoded: Vec<u64> =
            sequences.iter().map(|count| count.saturating_mul(seq_len).saturating_mul(width)).collect();
        if decoded.iter().try_fold(0_u64, |sum, &bytes| sum.checked_add(bytes)).is_none() {
            return Err(Error::Argument("the bundles have more sequences than can be counted".to_owned()));
        }
        Ok(Self { sequences, decoded, fitted: Some(Fitted { bundles, counts, uncounted: Vec::new() }), ..self })
    }

    /// A bundle and the sequences that it fills.
    pub fn bundle(&self, number: usize) -> Option<(&Bundle, u64)> {
        let fitted = self.fitted.as_ref()?;
        Some((fitted.bundles.get(number)?, *fitted.counts.get(number)?))
    }

    /// The bundles that begin in a row group: their numbers, and the sequences of each.
    pub fn bundles_of(&self, group: usize) -> impl Iterator<Item = (usize, u64)> {
        let fitted = self.fitted.iter();
        fitted.flat_map(move |Fitted { bundles, counts, .. }| {
            let first = bundles.partition_point(|bundle| bundle.groups.start < group);
            let of_group = bundles[first..].iter().take_while(move |bundle| bundle.groups.start == group);
            of_group.zip(&counts[first..]).zip(first..).map(|((_, &count), number)| (number, count))
        })
    }

    /// The sequences of every bundle; None where documents stand end to end.
    pub fn bundle_counts(&self) -> Option<&[u64]> {
        self.fitted.as_ref().map(|fitted| fitted.counts.as_slice())
    }

    /// The sequences of all row groups.
    pub fn num_sequences(&self) -> u64 {
        self.sequences.iter().sum()
    }

    /// How the tokens were counted.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// L: the tokens of a sequence.
    pub fn seq_len(&self) -> u64 {
        self.seq_len
    }

    /// The bytes of a token in the files.
    pub fn width(&self) -> u64 {
        self.width
    }

    /// The tokens of every row group.
    pub fn tokens(&self) -> &[u64] {
        &self.tokens
    }

    /// T: the tokens of the line.
    pub fn num_tokens(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0)
    }

    /// The sequences that begin in every row group.
    pub fn sequences(&self) -> &[u64] {
        &self.sequences
    }

    /// The bytes of the sequences that begin in every row group, decoded.
    pub fn decoded_bytes(&self) -> &[u64] {
        &self.decoded
    }

    /// The tokens of the line that stand before a row group.
    pub fn start(&self, group: usize) -> u64 {
        self.starts[group]
    }

    /// The tokens of the line that some sequences of a row group are.
    pub fn range(&self, group: usize, sequences: &Range<u64>) -> Range<u64> {
        let first = self.starts[group].div_ceil(self.seq_len);
        let at = |sequence: u64| ((first + sequence) * self.seq_len).min(self.num_tokens());
        at(sequences.start)..at(sequences.end)
    }

    /// The rows, of row groups of so many, that some sequences of one are read from.
    ///
    /// Those of the token line: about, as if all documents were equally long; of sequences that follow each other, the
    /// rows do. Of bundles: all rows of those that the first sequence of is among these, since a bundle that is open is
    /// not read again; of one that is entered in the middle, none are known before.
    pub fn rows_read(&self, group: usize, sequences: &Range<u64>, rows: &[u64]) -> Vec<(usize, Range<u64>)> {
        if self.fitted.is_none() {
            return vec![(group, self.rows_about(group, sequences, rows[group]))];
        }
        let mut first = 0;
        let mut read = Vec::new();
        for (number, count) in self.bundles_of(group) {
            if let Some((bundle, _)) = self.bundle(number).filter(|_| count > 0 && sequences.contains(&first)) {
                let of = |group: usize| bundle.rows.clone().unwrap_or(0..rows[group]);
                read.extend(bundle.groups.clone().map(|group| (group, of(group))));
            }
            first += count;
        }
        read
    }

    /// About which rows of a row group of so many some of its sequences are made of, as if all documents were equally
    /// long. Of sequences that follow each other, the rows do.
    fn rows_about(&self, group: usize, sequences: &Range<u64>, rows: u64) -> Range<u64> {
        let (counted, tokens) = (self.tokens[group].max(1), self.range(group, sequences));
        let at = |token: u64| {
            let within = token.saturating_sub(self.starts[group]).min(counted);
            (u128::from(within) * u128::from(rows) / u128::from(counted)) as u64
        };
        at(tokens.start)..at(tokens.end)
    }

    /// The line of some of its row groups only, given by ascending number, which are these bundles. The sequences of
    /// those bundles that it has not are to be counted: [`uncounted`](Self::uncounted).
    pub(super) fn select(&self, groups: &[usize], bundles: impl FnOnce(&[u64]) -> Vec<Bundle>) -> Result<Self> {
        let tokens: Vec<u64> = groups.iter().map(|&group| self.tokens[group]).collect();
        let selected = Self::new(self.rule.clone(), self.seq_len, self.width, tokens)?;
        let Some(own) = &self.fitted else { return Ok(selected) };
        let bundles = bundles(&selected.tokens);
        // A bundle begins and ends with tokens: where these are as many, no row group between them is left out.
        let tokens = |line: &Self, groups: &Range<usize>| line.starts[groups.end] - line.starts[groups.start];
        let same = |bundle: &Bundle| {
            let groups_here = groups[bundle.groups.start]..groups[bundle.groups.end - 1] + 1;
            let first = own.bundles.partition_point(|own| own.groups.start < groups_here.start);
            let of_group = own.bundles[first..].iter().take_while(|own| own.groups.start == groups_here.start);
            let is_same = |own: &Bundle| own.groups == groups_here && own.rows == bundle.rows;
            let found = of_group.zip(first..).find(|(own, _)| is_same(own)).map(|(_, number)| number);
            found.filter(|_| tokens(self, &groups_here) == tokens(&selected, &bundle.groups))
        };
        let counted: Vec<Option<usize>> =
            bundles.iter().map(|bundle| same(bundle).filter(|number| !own.uncounted.contains(number))).collect();
        let counts = counted.iter().map(|number| number.map_or(0, |number| own.counts[number])).collect();
        let mut made = selected.with_bundles(bundles, counts)?;
        if let Some(fitted) = &mut made.fitted {
            fitted.uncounted = counted.iter().zip(0..).filter(|(known, _)| known.is_none()).map(|(_, n)| n).collect();
        }
        Ok(made)
    }

    /// The bundles whose sequences are to be counted before any is read.
    pub fn uncounted(&self) -> &[usize] {
        self.fitted.as_ref().map_or(&[], |fitted| &fitted.uncounted)
    }

    /// The same, with the sequences of the bundles that were not counted yet.
    ///
    /// # Errors
    /// Not a count for each.
    pub fn with_counted(&self, sequences: &[u64]) -> Result<Self> {
        let line = self.clone();
        let Some(Fitted { bundles, mut counts, uncounted }) = line.fitted else { return Ok(line) };
        if uncounted.len() != sequences.len() {
            return Err(Error::Argument("the counts of sequences do not fit the bundles".to_owned()));
        }
        uncounted.iter().zip(sequences).for_each(|(&number, &count)| counts[number] = count);
        Self { fitted: None, ..line }.with_bundles(bundles, counts)
    }

    /// XXH3-128 over the counts, eight little-endian bytes each.
    pub fn digest(&self) -> u128 {
        let mut hasher = Xxh3::new();
        let counts = self.tokens.iter().chain(self.bundle_counts().unwrap_or_default());
        counts.for_each(|count| hasher.update(&count.to_le_bytes()));
        hasher.digest128()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_token_is_in_one_sequence(
            tokens in proptest::collection::vec(prop_oneof![Just(0_u64), 0_u64..9, 0_u64..200], 0..20),
            seq_len in prop_oneof![1_u64..8, 1_u64..300],
        ) {
            let line = TokenLine::new(String::new(), seq_len, 4, tokens.clone()).unwrap();
            let all: u64 = tokens.iter().sum();
            prop_assert_eq!(line.num_tokens(), all);
            prop_assert_eq!(line.sequences().iter().sum::<u64>(), all.div_ceil(seq_len));
            let mut next = 0;
            for (group, &count) in line.sequences().iter().enumerate() {
                for sequence in 0..count {
                    let range = line.range(group, &(sequence..sequence + 1));
                    prop_assert_eq!(range.start, next, "end to end");
                    prop_assert!(range.start >= line.start(group), "its first token is the row group's");
                    prop_assert!(range.start < line.start(group) + tokens[group]);
                    prop_assert_eq!(range.end, (range.start + seq_len).min(all));
                    next = range.end;
                }
                prop_assert_eq!(line.decoded_bytes()[group], count * seq_len * 4);
                let half = count / 2;
                let (first, second) = (line.rows_about(group, &(0..half), 10), line.rows_about(group, &(half..count), 10));
                prop_assert_eq!(first.end, second.start, "rows that follow each other");
                prop_assert!(first.start <= first.end && second.start <= second.end && second.end <= 10);
                prop_assert!(count == 0 || next < line.start(group + 1) || second.end == 10, "to the row group's end");
            }
            prop_assert_eq!(next, all);
        }
    }

    #[test]
    fn what_cannot_be_counted_is_refused() {
        assert!(TokenLine::new(String::new(), 0, 4, vec![1]).is_err());
        assert!(TokenLine::new(String::new(), 1, 4, vec![u64::MAX, 1]).is_err());
        assert!(TokenLine::new(String::new(), 1 << 20, 8, vec![u64::MAX >> 2]).is_err());
        let line = TokenLine::new(String::new(), 1 << 20, 8, vec![1, 0, 1]).unwrap();
        assert_eq!(line.sequences(), [1, 0, 0]);
    }
}
