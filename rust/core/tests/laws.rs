//! The laws, over random data sets, topologies and stopping points: pure arithmetic, no file.

#![allow(clippy::unwrap_used, reason = "a test may stop")]

#[path = "../src/proptest_config.rs"]
mod proptest_config;

use proptest::prelude::*;
use shardline_core::order::{Buffer, Groups, LegRequest, Legs, Line, Order, OrderSpec, Outcome, resolve};

/// A data set and the settings that define its order.
#[derive(Debug, Clone)]
struct Setting {
    /// Rows that pass, and all.
    rows: Vec<u64>,
    all_rows: Vec<u64>,
    file_ends: Vec<u32>,
    /// Decoded bytes of a row of every row group.
    widths: Vec<u64>,
    spec: OrderSpec,
    seed: u64,
    /// Of the run that resolved the order; later ones may have others.
    first_shards: u64,
}

impl Setting {
    /// The same with one more row group, if that is needed for so many rows that pass.
    fn with_at_least(mut self, fewest: u64) -> Self {
        let lacking = fewest.saturating_sub(self.rows.iter().sum());
        if let Some(end) = self.file_ends.last_mut().filter(|_| lacking > 0) {
            *end += 1;
            self.rows.push(lacking);
            self.all_rows.push(lacking);
            self.widths.push(16);
        }
        self
    }

    fn line(&self, epoch: u64) -> Line {
        let bytes: Vec<u64> = self.all_rows.iter().map(|rows| rows * 16).collect();
        let passing = (self.rows != self.all_rows).then_some(&self.rows[..]);
        let decoded: Vec<u64> = self.all_rows.iter().zip(&self.widths).map(|(rows, width)| rows * width).collect();
        let groups =
            Groups { rows: &self.all_rows, passing, bytes: &bytes, decoded: &decoded, file_ends: &self.file_ends };
        let resolved = resolve(groups, &self.spec, self.first_shards).unwrap();
        Order::resolved(groups, self.seed, resolved).unwrap().line(epoch).unwrap()
    }
}

fn setting() -> impl Strategy<Value = Setting> {
    let width = prop_oneof![3 => 1_u64..40, 1 => 1_u64..3000];
    let group = (0_u64..40, prop_oneof![2 => Just(0_u64), 1 => 0_u64..200], width);
    let files = proptest::collection::vec(proptest::collection::vec(group, 0..6), 1..8);
    let buffer = prop_oneof![(0_u64..120).prop_map(Buffer::Rows), (1_u64..4000).prop_map(Buffer::Bytes)];
    (
        files,
        any::<bool>(),
        any::<bool>(),
        any::<u64>(),
        proptest::option::of(1_u64..10),
        buffer,
        16_u64..2000,
        proptest::option::of(1_u64..90),
        1_u64..9,
    )
        .prop_map(|(files, filtered, shuffle, seed, strands, buffer, split_bytes, split_rows, first_shards)| {
            let mut file_ends = Vec::new();
            let (mut rows, mut all_rows, mut widths) = (Vec::new(), Vec::new(), Vec::new());
            for file in files {
                rows.extend(file.iter().map(|(passing, _, _)| passing));
                all_rows.extend(file.iter().map(|(passing, others, _)| passing + if filtered { *others } else { 0 }));
                widths.extend(file.iter().map(|(_, _, width)| width));
                file_ends.push(rows.len() as u32);
            }
            let spec = OrderSpec { shuffle, strands, buffer, split_bytes, split_rows };
            Setting { rows, all_rows, file_ends, widths, spec, seed, first_shards }
        })
}

/// What a run does between two stops.
#[derive(Debug, Clone)]
struct Stretch {
    ranks: u64,
    batch_size: Option<u64>,
    drop_last: Option<bool>,
    num_shards: Option<u64>,
    /// The part of the steps left that it takes.
    part: f64,
    /// Steps that it skips first.
    skip: u64,
}

fn stretch() -> impl Strategy<Value = Stretch> {
    (
        1_u64..6,
        proptest::option::weighted(0.3, 1_u64..20),
        proptest::option::weighted(0.2, any::<bool>()),
        proptest::option::weighted(0.2, 1_u64..4),
        0.0..1.2_f64,
        prop_oneof![4 => Just(0_u64), 1 => 1_u64..3],
    )
        .prop_map(|(ranks, batch_size, drop_last, factor, part, skip)| Stretch {
            ranks,
            batch_size,
            drop_last,
            num_shards: factor.map(|factor| factor * ranks),
            part,
            skip,
        })
}

/// The fewest rows that have a step: a batch for every shard, a full one under `drop_last`.
fn fewest_rows(num_shards: u64, batch_size: u64, drop_last: bool) -> u64 {
    num_shards * if drop_last { batch_size } else { 1 }
}

/// The rows of a batch, as (row group, row).
fn rows_of(line: &Line, positions: Vec<std::ops::Range<u64>>) -> Vec<(u32, u64)> {
    let slices = positions.into_iter().flat_map(|range| line.rows(range));
    slices.flat_map(|slice| slice.rows.map(move |row| (slice.group, row))).collect()
}

/// The state as it is saved and loaded.
fn saved(num_rows: u64, legs: &Legs) -> Legs {
    Legs::new(num_rows, legs.legs().iter().map(|leg| leg.spec().clone()).collect()).unwrap()
}

proptest! {
    #![proptest_config(proptest_config::cases(20_000))]

    /// Laws 1, 4 and 5: over any history of topologies an epoch delivers every row once, less what `left_out` lists,
    /// and all ranks take the same number of steps.
    #[test]
    fn every_history_covers_the_epoch(
        setting in setting(), batch_size in 1_u64..20, drop_last: bool, epoch in 0_u64..3,
        history in proptest::collection::vec(stretch(), 1..6),
    ) {
        let first = &history[0];
        let mut run_shards = first.num_shards.unwrap_or(first.ranks);
        let setting = setting.with_at_least(fewest_rows(run_shards, batch_size, drop_last));
        let line = setting.line(epoch);
        let mut legs = Legs::start(line.len(), run_shards, batch_size, drop_last).unwrap();
        let mut delivered = Vec::new();
        for Stretch { ranks, batch_size, drop_last, num_shards, part, skip } in history {
            let ask = LegRequest { num_shards, batch_size, drop_last };
            // A leg that is refused changes nothing.
            let Ok((next, outcome)) = saved(line.len(), &legs).resume(ranks, run_shards, ask) else { break };
            legs = next;
            if outcome == Outcome::Over {
                break;
            }
            if outcome == Outcome::NewLeg {
                run_shards = num_shards.unwrap_or(run_shards);
                prop_assert_eq!(legs.last().spec().delivered, 0);
            }
            let leg = legs.last();
            prop_assert_eq!(leg.spec().num_shards % ranks, 0);
            prop_assert_eq!(leg.num_batches() % ranks, 0, "equal steps");
            prop_assert!(leg.num_batches() > leg.spec().delivered);
            let steps_left = (leg.num_batches() - leg.spec().delivered) / ranks;
            let skip = skip.min(steps_left);
            legs = legs.skip_to(legs.last().spec().delivered + skip * ranks).unwrap();
            let taken = (((steps_left - skip) as f64 * part) as u64).min(steps_left - skip);
            let from = legs.last().spec().delivered;
            for g in from..from + taken * ranks {
                delivered.extend(rows_of(&line, legs.last().batch(g)));
            }
            legs = legs.at(from + taken * ranks).unwrap();
        }
        let mut all = delivered;
        let out = legs.left_out();
        all.extend(out.ranges().iter().flat_map(|range| rows_of(&line, vec![range.clone()])));
        if !legs.last().is_complete() {
            // Stopped, or over with fewer rows than ranks: what is left over is neither lost nor repeated.
            all.extend(legs.left_over().ranges().iter().flat_map(|range| rows_of(&line, vec![range.clone()])));
        }
        all.sort_unstable();
        let expected: Vec<(u32, u64)> = setting.rows.iter().enumerate()
            .flat_map(|(group, &rows)| (0..rows).map(move |row| (group as u32, row))).collect();
        prop_assert_eq!(all, expected);
    }

    /// Laws 2 and 3: the job's batches depend on V, not on the ranks, nor on stops.
    #[test]
    fn stops_and_ranks_that_divide_change_nothing(
        setting in setting(), batch_size in 1_u64..20, drop_last: bool, stops in proptest::collection::vec((0_usize..6, 0.0..1.0_f64), 0..4),
    ) {
        const V: u64 = 12;
        const RANKS: [u64; 6] = [1, 2, 3, 4, 6, 12];
        let line = setting.with_at_least(fewest_rows(V, batch_size, drop_last)).line(1);
        let never_stopped = Legs::start(line.len(), V, batch_size, drop_last).unwrap();
        let total = never_stopped.last().num_batches();
        let mut legs = never_stopped.clone();
        for (ranks, part) in stops {
            let ranks = RANKS[ranks];
            let (next, outcome) = saved(line.len(), &legs).resume(ranks, V, LegRequest::default()).unwrap();
            if !legs.last().spec().delivered.is_multiple_of(ranks) && !legs.last().is_complete() {
                // A new leg, or too few rows are left for the ranks.
                prop_assert_ne!(outcome, Outcome::Continues);
                continue;
            }
            legs = next;
            prop_assert_eq!(legs.legs().len(), 1);
            let left = (total - legs.last().spec().delivered) / ranks;
            let to = legs.last().spec().delivered + (left as f64 * part) as u64 * ranks;
            for g in legs.last().spec().delivered..to {
                prop_assert_eq!(legs.last().batch(g), never_stopped.last().batch(g));
            }
            legs = legs.at(to).unwrap();
        }
    }

    /// The state of any step of an epoch, `state_at`, is found by arithmetic, and is the one that was saved then.
    #[test]
    fn the_state_of_a_step_is_the_one_that_was(
        setting in setting(), batch_size in 1_u64..20, history in proptest::collection::vec(stretch(), 1..4), cut in 0.0..=1.0_f64,
    ) {
        let first = &history[0];
        let mut run_shards = first.ranks;
        // The first leg of the history is possible too, so that there is a state to find.
        let asked = (first.batch_size.unwrap_or(batch_size), first.drop_last.unwrap_or(false));
        let line = setting.with_at_least(fewest_rows(run_shards, asked.0, asked.1)).line(0);
        let mut legs = Legs::start(line.len(), run_shards, batch_size, false).unwrap();
        let mut states = vec![(0, legs.clone())];
        for Stretch { ranks, batch_size, drop_last, num_shards, part, .. } in history {
            let ask = LegRequest { num_shards, batch_size, drop_last };
            let Ok((next, outcome)) = legs.resume(ranks, run_shards, ask) else { break };
            if outcome == Outcome::Over { break; }
            legs = next;
            run_shards = num_shards.unwrap_or(run_shards);
            let from = legs.last().spec().delivered;
            let until = from + ((legs.last().num_batches() - from) / ranks) .min((10.0 * part) as u64) * ranks;
            for g in from..=until {
                legs = legs.at(g).unwrap();
                states.push((legs.delivered_before() + g, legs.clone()));
            }
        }
        let (total, then) = &states[((states.len() as f64 - 1.0) * cut) as usize];
        let found = legs.at_total(*total).unwrap();
        prop_assert_eq!(found.left_over(), then.left_over());
        prop_assert_eq!(found.delivered_before() + found.last().spec().delivered, *total);
    }
}
