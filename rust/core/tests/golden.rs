//! Order version 2, pinned for ever: if one of these fails, runs in the field would resume into another order.
//!
//! A change of the order takes a new `ORDER_VERSION` and new vectors. `tests/test_order_spec.py` computes the same ones
//! by the specification.

#![allow(clippy::unwrap_used, reason = "a test may stop")]

use shardline_core::order::{Buffer, Groups, Legs, Line, ORDER_VERSION, Order, OrderSpec, key, permutation, resolve};
use xxhash_rust::xxh3::xxh3_64;

/// A data set of uneven files: (row groups' rows of every file).
fn data_set(number: usize) -> Vec<Vec<u64>> {
    match number {
        0 => vec![vec![5, 3], vec![], vec![4]],
        1 => (0..12).map(|file| (0..=file % 4).map(|group| 7 + 13 * file + 5 * group).collect()).collect(),
        _ => vec![vec![200; 10], vec![0, 1, 0], vec![77; 30]],
    }
}

fn line(number: usize, seed: u64, epoch: u64, shuffle: bool, buffer: Buffer) -> Line {
    let files = data_set(number);
    let rows: Vec<u64> = files.concat();
    let bytes: Vec<u64> = rows.iter().map(|rows| rows * 100).collect();
    // Rows of very different widths.
    let decoded: Vec<u64> = rows.iter().zip(0..).map(|(rows, group)| rows * (10 + group % 7 * 300)).collect();
    let mut end = 0;
    let file_ends: Vec<u32> = files
        .iter()
        .map(|groups| {
            end += groups.len() as u32;
            end
        })
        .collect();
    // Of data set 1, every third row passes, and of every fifth row group none.
    let passing: Option<Vec<u64>> = (number == 1)
        .then(|| rows.iter().zip(0..).map(|(rows, group)| if group % 5 == 4 { 0 } else { rows / 3 }).collect());
    let groups =
        Groups { rows: &rows, passing: passing.as_deref(), bytes: &bytes, decoded: &decoded, file_ends: &file_ends };
    let spec = OrderSpec { shuffle, strands: Some(5), buffer, split_bytes: 5_000, split_rows: None };
    Order::resolved(groups, seed, resolve(groups, &spec, 4).unwrap()).unwrap().line(epoch).unwrap()
}

/// The line, and the batches of a leg of 4 shards, as one number each.
fn prints(line: &Line) -> (u64, u64) {
    let listed = |positions| {
        let slices: Vec<_> = line.rows(positions);
        slices
            .into_iter()
            .flat_map(|s| s.rows.flat_map(move |row| [u64::from(s.group), row]))
            .flat_map(u64::to_le_bytes)
    };
    let whole: Vec<u8> = listed(0..line.len()).collect();
    let leg = Legs::start(line.len(), 4, 3, false).unwrap();
    let mut batches = Vec::new();
    for g in 0..leg.last().num_batches() {
        batches.extend_from_slice(&g.to_le_bytes());
        for positions in leg.last().batch(g) {
            batches.extend(listed(positions));
        }
    }
    (xxh3_64(&whole), xxh3_64(&batches))
}

#[test]
fn the_order_has_its_version() {
    assert_eq!(ORDER_VERSION, 2);
}

#[test]
fn permutations() {
    assert_eq!(permutation(key("splits", &[0, 0, 0]), 10), GOLDEN_TEN);
    let long: Vec<u8> =
        permutation(key("window", &[42, 1, 7]), 65_536).into_iter().flat_map(u32::to_le_bytes).collect();
    assert_eq!(xxh3_64(&long), GOLDEN_LONG);
}

#[test]
fn a_line_row_by_row() {
    let rows: Vec<(u32, u64)> = line(0, 42, 1, true, Buffer::Rows(6))
        .rows(0..12)
        .into_iter()
        .flat_map(|s| s.rows.map(move |row| (s.group, row)))
        .collect();
    assert_eq!(rows, GOLDEN_ROWS);
}

#[test]
fn lines_shards_and_batches() {
    let mut found = Vec::new();
    for number in 0..3 {
        for (seed, epoch) in [(0, 0), (42, 0), (42, 1), (u64::MAX, 1 << 40)] {
            for (shuffle, buffer) in [
                (false, Buffer::Rows(0)),
                (true, Buffer::Rows(0)),
                (true, Buffer::Rows(100)),
                (true, Buffer::Bytes(2_000)),
                (true, Buffer::Bytes(1 << 40)),
            ] {
                found.push(prints(&line(number, seed, epoch, shuffle, buffer)));
            }
        }
    }
    assert_eq!(found, GOLDEN_PRINTS);
}

include!("golden/version_2.rs");
