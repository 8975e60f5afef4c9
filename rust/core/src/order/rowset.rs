//! The rows of one row group that stand on the line: all of them, or some, as bits.

use std::ops::Range;

/// Rows after which the count so far is noted.
const BLOCK: u64 = 512;
const WORDS: usize = (BLOCK / 64) as usize;

/// Some rows of a row group, ascending. The k-th of them is found without a search of all.
///
/// Memory: nothing where all rows are in it, else 1 bit and 1/64 byte a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowSet {
    rows: u64,
    count: u64,
    bits: Option<Bits>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Bits {
    words: Vec<u64>,
    /// The rows in the set before every block.
    before: Vec<u64>,
}

impl RowSet {
    /// All of so many rows.
    pub fn all(rows: u64) -> Self {
        Self { rows, count: rows, bits: None }
    }

    /// The rows whose bit is set, lowest first; bits past the last row are ignored, missing words are zero.
    pub fn from_words(rows: u64, mut words: Vec<u64>) -> Self {
        words.resize(rows.div_ceil(64) as usize, 0);
        if let (Some(last), rest @ 1..) = (words.last_mut(), rows % 64) {
            *last &= (1 << rest) - 1;
        }
        let mut before = Vec::with_capacity(words.len() / WORDS + 1);
        let mut count = 0;
        for block in words.chunks(WORDS) {
            before.push(count);
            count += block.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
        }
        let bits = (count < rows).then_some(Bits { words, before });
        Self { rows, count, bits }
    }

    /// The rows of the row group, in the set or not.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// How many rows are in the set.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether no row is in the set.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The bits, unless all rows are in the set.
    pub fn words(&self) -> Option<&[u64]> {
        self.bits.as_ref().map(|bits| bits.words.as_slice())
    }

    /// The bytes that it takes.
    pub fn memory(&self) -> usize {
        self.bits.as_ref().map_or(0, |bits| 8 * (bits.words.len() + bits.before.len()))
    }

    /// The rows in both sets, which must be of one row group.
    pub fn and(&self, other: &Self) -> Self {
        match (self.words(), other.words()) {
            (None, _) => other.clone(),
            (_, None) => self.clone(),
            (Some(a), Some(b)) => Self::from_words(self.rows, a.iter().zip(b).map(|(a, b)| a & b).collect()),
        }
    }

    /// The number, in the row group, of the `index`-th row of the set, which must be below [`len`](Self::len).
    pub fn row(&self, index: u64) -> u64 {
        let Some(Bits { words, before }) = &self.bits else { return index };
        let block = before.partition_point(|&count| count <= index).saturating_sub(1);
        let mut left = index - before.get(block).copied().unwrap_or(0);
        for (number, &word) in words.iter().enumerate().skip(block * WORDS) {
            let ones = u64::from(word.count_ones());
            if left < ones {
                let mut word = word;
                for _ in 0..left {
                    word &= word - 1;
                }
                return number as u64 * 64 + u64::from(word.trailing_zeros());
            }
            left -= ones;
        }
        self.rows
    }

    /// Whether any of these rows is in the set.
    pub fn has(&self, rows: Range<u64>) -> bool {
        let Some(Bits { words, .. }) = &self.bits else { return !rows.is_empty() };
        let words = &words[..words.len().min(rows.end.div_ceil(64) as usize)];
        find(words, rows.start, false).is_some_and(|row| row < rows.end)
    }

    /// The most rows in a row that are not in the set.
    pub fn longest_gap(&self) -> u64 {
        let (mut longest, mut last) = (0, 0);
        for run in self.runs(0..self.count) {
            longest = longest.max(run.start - last);
            last = run.end;
        }
        longest.max(self.rows - last)
    }

    /// The rows of the row group that these rows of the set are, neighbours joined.
    pub fn runs(&self, indices: Range<u64>) -> Runs<'_> {
        let left = indices.end.saturating_sub(indices.start);
        Runs { set: self, next: if left > 0 { self.row(indices.start) } else { 0 }, left }
    }
}

/// See [`RowSet::runs`].
#[derive(Debug, Clone)]
pub struct Runs<'a> {
    set: &'a RowSet,
    /// A row in the set, where any is left.
    next: u64,
    left: u64,
}

impl Iterator for Runs<'_> {
    type Item = Range<u64>;

    fn next(&mut self) -> Option<Range<u64>> {
        if self.left == 0 {
            return None;
        }
        let start = self.next;
        let Some(Bits { words, .. }) = &self.set.bits else {
            let run = start..start + self.left;
            self.left = 0;
            return Some(run);
        };
        let end = find(words, start, true).unwrap_or(self.set.rows).min(start + self.left);
        self.left -= end - start;
        self.next = find(words, end, false).unwrap_or(self.set.rows);
        Some(start..end)
    }
}

/// The first row from `row` on whose bit is set, or is not set if `inverted`.
fn find(words: &[u64], row: u64, inverted: bool) -> Option<u64> {
    let flip = if inverted { u64::MAX } else { 0 };
    let mut at = (row / 64) as usize;
    let mut word = (words.get(at)? ^ flip) & (u64::MAX << (row % 64));
    while word == 0 {
        at += 1;
        word = words.get(at)? ^ flip;
    }
    Some(at as u64 * 64 + u64::from(word.trailing_zeros()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(bits: &[bool]) -> RowSet {
        let mut words = vec![0_u64; bits.len().div_ceil(64)];
        for (row, _) in bits.iter().enumerate().filter(|(_, bit)| **bit) {
            words[row / 64] |= 1 << (row % 64);
        }
        RowSet::from_words(bits.len() as u64, words)
    }

    proptest! {
        #[test]
        fn rows_and_runs_are_what_counting_gives(
            stretches in proptest::collection::vec((any::<bool>(), 1_usize..400), 0..20),
            noise in proptest::collection::vec(any::<bool>(), 0..900),
            from in 0.0..=1.0_f64, to in 0.0..=1.0_f64,
        ) {
            let mut bits: Vec<bool> = stretches.into_iter().flat_map(|(bit, n)| std::iter::repeat_n(bit, n)).collect();
            bits.extend(noise);
            let rows: Vec<u64> = (0..bits.len() as u64).filter(|&row| bits[row as usize]).collect();
            let set = set(&bits);
            prop_assert_eq!(set.len(), rows.len() as u64);
            prop_assert_eq!(set.rows(), bits.len() as u64);
            for (index, &row) in rows.iter().enumerate() {
                prop_assert_eq!(set.row(index as u64), row);
            }
            let (a, b) = ((rows.len() as f64 * from) as u64, (rows.len() as f64 * to) as u64);
            let range = a.min(b)..a.max(b);
            let runs: Vec<_> = set.runs(range.clone()).collect();
            prop_assert!(runs.windows(2).all(|pair| pair[0].end < pair[1].start), "neighbours are joined");
            let found: Vec<u64> = runs.into_iter().flatten().collect();
            prop_assert_eq!(&found[..], &rows[range.start as usize..range.end as usize]);
            let some = (bits.len() as f64 * from) as usize..(bits.len() as f64 * to) as usize;
            let has = bits.get(some.clone()).is_some_and(|bits| bits.contains(&true));
            prop_assert_eq!(set.has(some.start as u64..some.end as u64), has);
            let longest = bits.split(|bit| *bit).map(<[bool]>::len).max().unwrap_or(0);
            prop_assert_eq!(set.longest_gap(), longest as u64);
        }

        #[test]
        fn the_rows_in_both(a in proptest::collection::vec(any::<bool>(), 200), b in proptest::collection::vec(any::<bool>(), 200)) {
            let both: Vec<bool> = a.iter().zip(&b).map(|(a, b)| *a && *b).collect();
            prop_assert_eq!(set(&a).and(&set(&b)), set(&both));
            prop_assert_eq!(RowSet::all(200).and(&set(&b)), set(&b));
        }
    }

    #[test]
    fn a_full_set_takes_no_memory() {
        assert_eq!(set(&[true; 700]), RowSet::all(700));
        assert_eq!(RowSet::all(700).memory(), 0);
        assert!(RowSet::from_words(3, vec![0]).is_empty());
        assert_eq!(RowSet::from_words(3, vec![u64::MAX]), RowSet::all(3));
    }
}
