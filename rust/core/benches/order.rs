//! The order at scale: 10⁶ files and 10⁷ row groups, from footer counts to a position.

#![allow(clippy::unwrap_used, reason = "a bench may stop")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use shardline_core::order::{Buffer, DEFAULT_BUFFER_BYTES, Groups, Legs, Order, OrderSpec, key, permutation, resolve};

const FILES: u32 = 1_000_000;
const GROUPS_A_FILE: u32 = 10;

fn peak_rss_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
}

/// Positions all over the line, not in order.
fn positions(n: u64) -> impl Iterator<Item = u64> {
    (0_u64..).map(move |i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) % n)
}

fn order(criterion: &mut Criterion) {
    let count = u64::from(FILES * GROUPS_A_FILE);
    let rows: Vec<u64> = (0..count).map(|group| 1000 + group % 97).collect();
    let bytes: Vec<u64> = rows.iter().map(|rows| rows * 100).collect();
    let file_ends: Vec<u32> = (1..=FILES).map(|file| file * GROUPS_A_FILE).collect();
    let groups = Groups { rows: &rows, passing: None, bytes: &bytes, decoded: &bytes, file_ends: &file_ends };
    // Splits of one row group each: the most there can be.
    let order = |buffer| {
        let spec = OrderSpec { shuffle: true, strands: None, buffer, split_bytes: 1, split_rows: None };
        Order::resolved(groups, 42, resolve(groups, &spec, 64).unwrap()).unwrap()
    };

    let mut group = criterion.benchmark_group("10^6 files, 10^7 row groups");
    group.sample_size(10);
    group.bench_function("plan: splits, strata, permutations, line", |bench| {
        bench.iter(|| order(Buffer::Bytes(DEFAULT_BUFFER_BYTES)).line(0).unwrap());
    });
    eprintln!("peak memory, the counts included: {:.0} MiB", peak_rss_mib());

    let line = order(Buffer::Rows(0)).line(0).unwrap();
    let mut places = positions(line.len());
    group.bench_function("the row at a place", |bench| {
        bench.iter(|| black_box(line.split_sequence().row(places.next().unwrap_or(0))));
    });
    let leg = Legs::start(line.len(), 64, 1024, false).unwrap();
    let mut batches = positions(leg.last().num_batches());
    group.bench_function("the slices of a batch of 1,024", |bench| {
        bench.iter(|| {
            let positions = leg.last().batch(batches.next().unwrap_or(0));
            positions.into_iter().map(|range| line.rows(range).len()).sum::<usize>()
        });
    });
    let shuffled = order(Buffer::Bytes(DEFAULT_BUFFER_BYTES)).line(0).unwrap();
    let mut places = positions(shuffled.len());
    group.bench_function("the window at a position, row shuffle", |bench| {
        bench.iter(|| black_box(shuffled.window_at(places.next().unwrap_or(0))));
    });
    group.finish();

    criterion.bench_function("a permutation of 2^20", |bench| {
        bench.iter(|| permutation(key("window", &[1, 2, 3]), 1 << 20));
    });
}

criterion_group!(benches, order);
criterion_main!(benches);
