//! The line: all rows of an epoch, one position each, found by arithmetic.

use std::ops::Range;
use std::sync::Arc;

use super::interleave::shares;
use super::{GroupSlice, Intervals, SplitSequence, key, mul_div, permutation};

/// The rows of one epoch in their order.
#[derive(Debug, Clone)]
pub struct Line {
    split_sequence: Arc<SplitSequence>,
    strands: Arc<Strands>,
    /// T; 0 where rows are not permuted.
    windows: u64,
    seed: u64,
    epoch: u64,
    shuffled: bool,
}

/// The strands: a stratum's places, from one of them on and around.
#[derive(Debug)]
struct Strands {
    /// The first place of every stratum.
    bases: Vec<u64>,
    /// The rows of every stratum.
    lengths: Vec<u64>,
    /// The place of its stratum, counted from its first, that each strand begins with.
    phases: Vec<u64>,
}

/// A stretch of the line whose rows are permuted among each other: the next rows of every strand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The epoch.
    pub epoch: u64,
    /// Its number in the epoch.
    pub index: u64,
    /// Its positions on the line.
    pub positions: Range<u64>,
    /// The places that its rows come from, strand by strand. None is empty; a strand that begins anew at its stratum's
    /// first place has two.
    pub places: Vec<Range<u64>>,
}

impl Line {
    pub(crate) fn new(split_sequence: SplitSequence, windows: u64, seed: u64, epoch: u64) -> Self {
        let strands = Strands::new(&split_sequence, windows > 1, seed, epoch);
        Self {
            split_sequence: Arc::new(split_sequence),
            strands: Arc::new(strands),
            windows,
            seed,
            epoch,
            shuffled: false,
        }
    }

    /// The same; whether anything is permuted.
    pub(crate) fn shuffled(self, shuffled: bool) -> Self {
        Self { shuffled, ..self }
    }

    /// The seed and the epoch, where anything is permuted by them.
    pub fn draw(&self) -> Option<(u64, u64)> {
        self.shuffled.then_some((self.seed, self.epoch))
    }

    /// The epoch that it is of.
    pub fn epoch(&self) -> u64 {
        self.epoch
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
        self.windows > 0
    }

    /// The rows of a window, or one more; 0 without row shuffle.
    pub fn window_rows(&self) -> u64 {
        self.len().checked_div(self.windows).unwrap_or(0)
    }

    /// The strands that are read side by side; at least one.
    pub fn strands(&self) -> u64 {
        self.strands.lengths.len().max(1) as u64
    }

    /// The pieces laid end to end.
    pub fn split_sequence(&self) -> &SplitSequence {
        &self.split_sequence
    }

    /// The window that holds this position, which must be below [`len`](Self::len). Only under row shuffle.
    pub fn window_at(&self, position: u64) -> Window {
        let border = |window| mul_div(window, self.len(), self.windows);
        // The last window that begins at or before the position.
        let index = ((u128::from(position) + 1) * u128::from(self.windows)).div_ceil(u128::from(self.len())) as u64 - 1;
        let positions = border(index)..border(index + 1);
        Window { epoch: self.epoch, index, places: self.strands.places(positions.clone()), positions }
    }

    /// Where the rows of a window go: position i of it holds row number `permutation[i]` of its strands, strand by
    /// strand. Of any epoch's window.
    pub fn permutation(&self, window: &Window) -> Vec<u32> {
        let rows = window.positions.end - window.positions.start;
        permutation(key("window", &[self.seed, window.epoch, window.index]), rows as u32)
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
            for slice in window.places.iter().flat_map(|places| self.split_sequence.slices(places.clone())) {
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
    for places in &window.places {
        let rows = places.end - places.start;
        if rest < rows {
            return places.start + rest;
        }
        rest -= rows;
    }
    window.places.last().map_or(0, |places| places.end)
}

impl Strands {
    fn new(sequence: &SplitSequence, begin_anywhere: bool, seed: u64, epoch: u64) -> Self {
        let pieces = sequence.pieces();
        let strata: Vec<Range<u64>> = (0..pieces.num_strata()).map(|stratum| pieces.stratum(stratum)).collect();
        let lengths: Vec<u64> = strata.iter().map(|rows| rows.end - rows.start).collect();
        let phases = lengths
            .iter()
            .enumerate()
            .map(|(stratum, &length)| {
                let draw = key("phase", &[seed, epoch, stratum as u64]) as u64;
                if begin_anywhere { ((u128::from(draw) * u128::from(length)) >> 64) as u64 } else { 0 }
            })
            .collect();
        Self { bases: strata.iter().map(|rows| rows.start).collect(), lengths, phases }
    }

    /// The places of a window with these positions.
    fn places(&self, positions: Range<u64>) -> Vec<Range<u64>> {
        let (from, to) = (shares(&self.lengths, positions.start), shares(&self.lengths, positions.end));
        let mut places = Vec::with_capacity(from.len() + 1);
        for (strand, (from, to)) in from.into_iter().zip(to).enumerate() {
            let (base, length, phase) = (self.bases[strand], self.lengths[strand], self.phases[strand]);
            // Places of the stratum before it ends, and those of its beginning.
            let turn = length - phase;
            let before = base + phase + from.min(turn)..base + phase + to.min(turn);
            let after = base + from.max(turn) - turn..base + to.max(turn) - turn;
            places.extend([before, after].into_iter().filter(|range| !range.is_empty()));
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::{Groups, Order, Resolved};
    use proptest::prelude::*;

    /// The line of files of one row group each, cut as finely as the rows allow.
    fn line(rows: &[u64], seed: u64, epoch: u64, strands: u64, windows: u64) -> Line {
        let bytes: Vec<u64> = rows.iter().map(|r| r * 8).collect();
        let file_ends: Vec<u32> = (1..=rows.len() as u32).collect();
        let groups = Groups { rows, passing: None, bytes: &bytes, decoded: &bytes, file_ends: &file_ends };
        let all = rows.iter().sum::<u64>().max(1);
        let windows = windows.min(all);
        let strands = if windows < 2 { 1 } else { strands.min(all) };
        let resolved = Resolved { shuffle: true, strands, windows, split_bytes: 1 << 27, split_rows: None };
        Order::resolved(groups, seed, resolved).unwrap().line(epoch).unwrap()
    }

    fn all(line: &Line) -> Vec<(u32, u64)> {
        line.rows(0..line.len()).into_iter().flat_map(|s| s.rows.map(move |row| (s.group, row))).collect()
    }

    proptest! {
        #[test]
        fn every_row_stands_on_the_line_once(
            rows in proptest::collection::vec(0_u64..40, 1..20),
            seed: u64, epoch in 0_u64..5, strands in 1_u64..10, windows in 0_u64..100,
        ) {
            let mut found = all(&line(&rows, seed, epoch, strands, windows));
            found.sort_unstable();
            let expected: Vec<(u32, u64)> = rows.iter().enumerate()
                .flat_map(|(g, &n)| (0..n).map(move |row| (g as u32, row))).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn positions_of_row_groups_are_where_their_rows_stand(
            rows in proptest::collection::vec(0_u64..40, 1..20), windows in 0_u64..20, wanted in 0_u32..20,
        ) {
            let line = line(&rows, 4, 1, 3, windows);
            let found: Vec<u64> =
                line.positions_of(|group| group % 3 == wanted % 3).ranges().iter().cloned().flatten().collect();
            let expected: Vec<u64> =
                (0_u64..).zip(all(&line)).filter(|(_, (group, _))| group % 3 == wanted % 3).map(|(at, _)| at).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn windows_stand_end_to_end_and_shards_of_as_many_begin_with_one(
            mut rows in proptest::collection::vec(0_u64..40, 1..20), strands in 1_u64..10, windows in 1_u64..100,
        ) {
            rows.push(1);
            let line = line(&rows, 3, 0, strands, windows);
            let windows = windows.min(line.len());
            let mut places = Vec::new();
            let mut position = 0;
            for index in 0..windows {
                let window = line.window_at(position);
                prop_assert_eq!(window.index, index);
                prop_assert_eq!(&window.positions, &(index * line.len() / windows..(index + 1) * line.len() / windows));
                prop_assert_eq!(&line.window_at(window.positions.end - 1), &window);
                let rows: u64 = window.places.iter().map(|range| range.end - range.start).sum();
                prop_assert_eq!(rows, window.positions.end - window.positions.start);
                prop_assert!(rows.abs_diff(line.window_rows()) <= 1);
                prop_assert!(window.places.iter().all(|range| !range.is_empty()));
                places.extend(window.places.into_iter().flatten());
                position = window.positions.end;
            }
            prop_assert_eq!(position, line.len());
            places.sort_unstable();
            prop_assert_eq!(places, (0..line.len()).collect::<Vec<_>>());
        }

        #[test]
        fn a_part_of_the_line_is_that_part_of_it(
            rows in proptest::collection::vec(0_u64..40, 1..20), windows in 0_u64..100, a in 0.0..1.0_f64, b in 0.0..1.0_f64,
        ) {
            let line = line(&rows, 5, 2, 4, windows);
            let n = line.len() as f64;
            let (from, to) = ((n * a.min(b)) as u64, (n * a.max(b)) as u64);
            let part: Vec<(u32, u64)> =
                line.rows(from..to).into_iter().flat_map(|s| s.rows.map(move |row| (s.group, row))).collect();
            prop_assert_eq!(&part[..], &all(&line)[from as usize..to as usize]);
        }
    }

    #[test]
    fn another_seed_or_epoch_is_another_line() {
        for windows in [0, 1, 10] {
            let of = |seed, epoch| all(&line(&[20; 10], seed, epoch, 4, windows));
            assert_ne!(of(1, 0), of(1, 1));
            assert_ne!(of(1, 0), of(2, 0));
            assert_ne!(of(1, 1), of(2, 0));
            assert_eq!(of(1, 1), of(1, 1));
        }
    }

    #[test]
    fn rows_of_every_part_of_the_data_meet_in_every_window() {
        let line = line(&[100; 64], 1, 0, 8, 16);
        for start in (0..6400).step_by(400) {
            let slices = line.rows(start..start + 400);
            let strata = slices.iter().map(|slice| slice.group / 8).collect::<std::collections::BTreeSet<_>>();
            assert_eq!(strata.len(), 8, "the window at {start}");
        }
    }

    #[test]
    fn one_window_permutes_all_rows_as_they_stand_in_the_files() {
        let line = line(&[30, 0, 12], 1, 0, 1, 1);
        let window = line.window_at(41);
        assert_eq!((window.positions.clone(), window.places.first(), window.places.len()), (0..42, Some(&(0..42)), 1));
        let slices = line.split_sequence().slices(0..42);
        assert_eq!(slices.iter().map(|slice| slice.group).collect::<Vec<_>>(), [0, 2]);
    }
}
