//! The line: all rows of an epoch, one position each, found by arithmetic.

use std::ops::Range;
use std::sync::Arc;

use super::{GroupSlice, Intervals, SplitSequence, key, mul_div, permutation};

/// The rows of one epoch in their order.
#[derive(Debug, Clone)]
pub struct Line {
    split_sequence: Arc<SplitSequence>,
    strands: u64,
    window: u64,
    seed: u64,
    epoch: u64,
}

/// A stretch of the line whose rows are permuted among each other: the next rows of every strand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Its number in the epoch.
    pub index: u64,
    /// Its positions on the line.
    pub positions: Range<u64>,
    /// The places that its rows come from, a range a strand; strands that are used up have none.
    pub strands: Vec<Range<u64>>,
}

impl Line {
    pub(crate) fn new(split_sequence: SplitSequence, strands: u64, window: u64, seed: u64, epoch: u64) -> Self {
        Self { split_sequence: Arc::new(split_sequence), strands, window, seed, epoch }
    }

    /// N: the number of positions.
    pub fn len(&self) -> u64 {
        self.split_sequence.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether rows are permuted in windows; otherwise a position is the place of its row.
    pub fn is_row_shuffled(&self) -> bool {
        self.window > 0
    }

    /// w: the rows of a strand in a window; 0 without row shuffle.
    pub fn window_rows(&self) -> u64 {
        self.window
    }

    /// k: strands read side by side.
    pub fn strands(&self) -> u64 {
        self.strands
    }

    /// The splits laid end to end.
    pub fn split_sequence(&self) -> &SplitSequence {
        &self.split_sequence
    }

    /// The window that holds this position, which must be below [`len`](Self::len). Only under row shuffle.
    pub fn window_at(&self, position: u64) -> Window {
        // Strands differ by one row at most, so that all windows but the last are full.
        let full = self.strands * self.window;
        let whole = mul_div(1, self.len(), self.strands) / self.window;
        let index = (position / full).min(whole);
        let strands: Vec<Range<u64>> = (0..self.strands)
            .map(|strand| {
                let begin = mul_div(strand, self.len(), self.strands);
                let end = mul_div(strand + 1, self.len(), self.strands);
                let start = (begin + index * self.window).min(end);
                start..(start + self.window).min(end)
            })
            .collect();
        let rows: u64 = strands.iter().map(|places| places.end - places.start).sum();
        let start = index * full;
        Window { index, positions: start..start + rows, strands }
    }

    /// Where the rows of a window go: position i of it holds row number `permutation[i]` of its strands, strand by
    /// strand.
    pub fn permutation(&self, window: &Window) -> Vec<u32> {
        let rows = window.positions.end - window.positions.start;
        permutation(key("window", &[self.seed, self.epoch, window.index]), rows as u32)
    }

    /// The positions of the rows of some row groups. Takes time in proportion to the line.
    pub fn positions_of(&self, wanted: impl Fn(u32) -> bool) -> Intervals {
        let mut found = Vec::new();
        if !self.is_row_shuffled() {
            let mut position = 0;
            for slice in self.split_sequence.slices(0..self.len()) {
                let rows = slice.rows.end - slice.rows.start;
                if wanted(slice.group) {
                    found.push(position..position + rows);
                }
                position += rows;
            }
            return Intervals::collect(found);
        }
        let mut start = 0;
        while start < self.len() {
            let window = self.window_at(start);
            let mut is_wanted = Vec::new();
            for slice in window.strands.iter().flat_map(|places| self.split_sequence.slices(places.clone())) {
                let rows = (slice.rows.end - slice.rows.start) as usize;
                is_wanted.resize(is_wanted.len() + rows, wanted(slice.group));
            }
            if is_wanted.contains(&true) {
                let rows = self.permutation(&window);
                let positions = (window.positions.clone()).zip(rows).filter(|(_, row)| is_wanted[*row as usize]);
                found.extend(positions.map(|(position, _)| position..position + 1));
            }
            start = window.positions.end;
        }
        Intervals::collect(found)
    }

    /// The rows at these positions, in the line's order; neighbours of one row group are one slice.
    pub fn rows(&self, positions: Range<u64>) -> Vec<GroupSlice> {
        if !self.is_row_shuffled() {
            return self.split_sequence.slices(positions);
        }
        let mut found: Vec<GroupSlice> = Vec::new();
        let Range { mut start, end } = positions;
        while start < end {
            let window = self.window_at(start);
            let order = self.permutation(&window);
            let until = end.min(window.positions.end);
            for position in start..until {
                let (group, row) =
                    self.split_sequence.row(place_in(&window, order[(position - window.positions.start) as usize]));
                match found.last_mut() {
                    Some(last) if last.group == group && last.rows.end == row => last.rows.end += 1,
                    _ => found.push(GroupSlice { group, rows: row..row + 1 }),
                }
            }
            start = until;
        }
        found
    }
}

/// The place of a window's row, numbered strand by strand.
fn place_in(window: &Window, row: u32) -> u64 {
    let mut rest = u64::from(row);
    for places in &window.strands {
        let rows = places.end - places.start;
        if rest < rows {
            return places.start + rest;
        }
        rest -= rows;
    }
    window.strands.last().map_or(0, |places| places.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::{Groups, Order, OrderSpec};
    use proptest::prelude::*;

    fn line(rows: &[u64], spec: &OrderSpec, epoch: u64) -> Line {
        let bytes: Vec<u64> = rows.iter().map(|r| r * 8).collect();
        let file_ends: Vec<u32> = (1..=rows.len() as u32).collect();
        Order::new(Groups { rows, passing: None, bytes: &bytes, file_ends: &file_ends }, spec)
            .unwrap()
            .line(epoch)
            .unwrap()
    }

    fn all(line: &Line) -> Vec<(u32, u64)> {
        line.rows(0..line.len()).into_iter().flat_map(|s| s.rows.map(move |row| (s.group, row))).collect()
    }

    fn spec(seed: u64, strands: u64, buffer: u64) -> OrderSpec {
        OrderSpec { shuffle: true, seed, strands, buffer: Some(buffer), split_bytes: 1 << 27, split_rows: None }
    }

    proptest! {
        #[test]
        fn every_row_stands_on_the_line_once(
            rows in proptest::collection::vec(0_u64..40, 1..20),
            seed: u64, epoch in 0_u64..5, strands in 1_u64..10, buffer in 0_u64..100,
        ) {
            let line = line(&rows, &spec(seed, strands, buffer), epoch);
            let mut found = all(&line);
            found.sort_unstable();
            let expected: Vec<(u32, u64)> = rows.iter().enumerate()
                .flat_map(|(g, &n)| (0..n).map(move |row| (g as u32, row))).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn positions_of_row_groups_are_where_their_rows_stand(
            rows in proptest::collection::vec(0_u64..40, 1..20), buffer in 0_u64..100, wanted in 0_u32..20,
        ) {
            let line = line(&rows, &spec(4, 3, buffer), 1);
            let found: Vec<u64> =
                line.positions_of(|group| group % 3 == wanted % 3).ranges().iter().cloned().flatten().collect();
            let expected: Vec<u64> =
                (0_u64..).zip(all(&line)).filter(|(_, (group, _))| group % 3 == wanted % 3).map(|(at, _)| at).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn windows_stand_end_to_end(
            rows in proptest::collection::vec(0_u64..40, 1..20), strands in 1_u64..10, buffer in 1_u64..100,
        ) {
            let line = line(&rows, &spec(3, strands, buffer), 0);
            let mut position = 0;
            let mut places = Vec::new();
            while position < line.len() {
                let window = line.window_at(position);
                prop_assert_eq!(window.positions.start, position);
                prop_assert!(window.positions.end > position);
                prop_assert_eq!(&line.window_at(window.positions.end - 1), &window);
                prop_assert!(window.positions.end - position <= buffer.max(strands));
                places.extend(window.strands.iter().flat_map(Clone::clone));
                position = window.positions.end;
            }
            places.sort_unstable();
            prop_assert_eq!(places, (0..line.len()).collect::<Vec<_>>());
        }

        #[test]
        fn a_part_of_the_line_is_that_part_of_it(
            rows in proptest::collection::vec(0_u64..40, 1..20), buffer in 0_u64..100, a in 0.0..1.0_f64, b in 0.0..1.0_f64,
        ) {
            let line = line(&rows, &spec(5, 4, buffer), 2);
            let n = line.len() as f64;
            let (from, to) = ((n * a.min(b)) as u64, (n * a.max(b)) as u64);
            let part: Vec<(u32, u64)> =
                line.rows(from..to).into_iter().flat_map(|s| s.rows.map(move |row| (s.group, row))).collect();
            prop_assert_eq!(&part[..], &all(&line)[from as usize..to as usize]);
        }
    }

    #[test]
    fn another_seed_or_epoch_is_another_line() {
        let rows = vec![20; 10];
        let of = |seed, epoch| all(&line(&rows, &spec(seed, 4, 64), epoch));
        assert_ne!(of(1, 0), of(1, 1));
        assert_ne!(of(1, 0), of(2, 0));
        assert_ne!(of(1, 1), of(2, 0));
        assert_eq!(of(1, 1), of(1, 1));
    }

    #[test]
    fn rows_far_apart_meet() {
        let rows = vec![100; 64];
        let line = line(&rows, &spec(1, 8, 512), 0);
        let mut groups: Vec<u32> = line.rows(0..32).iter().map(|slice| slice.group).collect();
        groups.sort_unstable();
        groups.dedup();
        assert_eq!(groups.len(), 8, "the first rows come from all eight strands");
    }
}
