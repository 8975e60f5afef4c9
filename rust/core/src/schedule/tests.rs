use super::*;
use crate::order::{Buffer, Groups, LegRequest, Legs, Order, OrderSpec, resolve};
use proptest::prelude::*;

/// The line of one file with these row groups.
fn line(rows: &[u64], shuffle: bool, buffer: u64, split_rows: Option<u64>) -> Line {
    let bytes = vec![100; rows.len()];
    let spec = OrderSpec { shuffle, strands: Some(3), buffer: Buffer::Rows(buffer), split_bytes: 1000, split_rows };
    let file_ends = [rows.len() as u32];
    let groups = Groups { rows, passing: None, bytes: &bytes, decoded: &bytes, file_ends: &file_ends };
    // Resolved for one shard, and cut into more.
    Order::resolved(groups, 1, resolve(groups, &spec, 1).unwrap()).unwrap().line(0).unwrap()
}

/// The rows that a schedule's chunks deliver to every slot, in order.
fn delivered(line: &Line, leg: &Leg, share: Share, size: ChunkSize, left_out: &LeftOut) -> Vec<Vec<(u32, u64)>> {
    let mut schedule = ChunkSchedule::new(line.clone(), leg, share, size).leaving_out(left_out.clone());
    let mut slots = vec![Vec::new(); schedule.num_slots()];
    while let Some(chunk) = schedule.next_chunk() {
        let rows: Vec<(u32, u64)> =
            chunk.strands.iter().flatten().flat_map(|s| s.rows.clone().map(move |row| (s.group, row))).collect();
        assert_eq!(rows.len() as u64, chunk.rows());
        let order = chunk.window.as_ref().map(|window| line.permutation(window));
        let decoded = |pick: u64| {
            let row = order.as_ref().map_or(pick, |order| u64::from(order[pick as usize]));
            let row = chunk.kept.as_ref().map_or(Some(row), |kept| kept.decoded(row));
            row.map(|row| rows[row as usize])
        };
        for output in &chunk.outputs {
            slots[output.slot].extend(output.picks.iter().cloned().flatten().filter_map(decoded));
        }
    }
    slots
}

proptest! {
    #[test]
    fn chunks_deliver_each_shards_rows_in_the_lines_order(
        mut rows in proptest::collection::vec(0_u64..60, 1..12),
        shuffle: bool,
        buffer in 0_u64..90,
        chunk_rows in 1_u64..80,
        chunk_bytes in 0_u64..5000,
        num_ranks in 1_u64..4,
        factor in 1_u64..4,
        batch_size in 1_u64..20,
        drop_last: bool,
        stop in 0.0..1.0_f64,
        second_leg: bool,
        left_out in proptest::collection::vec(0_u32..12, 0..4),
    ) {
        // Every shard has a batch, also one of the second leg.
        let fewest = num_ranks * factor * if drop_last { batch_size + 1 } else { 1 };
        rows.push(fewest.saturating_sub(rows.iter().sum()));
        let line = line(&rows, shuffle, buffer, Some(50));
        let mut legs = Legs::start(line.len(), num_ranks * factor, batch_size, drop_last).unwrap();
        let steps = legs.last().num_batches() / num_ranks;
        legs = legs.at((steps as f64 * stop) as u64 * num_ranks).unwrap();
        if second_leg {
            let ask = LegRequest { batch_size: Some(batch_size + 1), ..LegRequest::default() };
            legs = legs.resume(num_ranks, num_ranks * factor, ask).unwrap().0;
        }
        let leg = legs.last();
        let v = leg.spec().num_shards;
        let left_out = LeftOut::from_iter(left_out);
        let size = ChunkSize::new(chunk_rows, chunk_bytes, |group| 1 + 100 * u64::from(group % 3));
        for rank in 0..num_ranks {
            let slots = delivered(&line, leg, Share { rank, num_ranks }, size.clone(), &left_out);
            prop_assert_eq!(slots.len() as u64, v / num_ranks);
            // Batch by batch, in turn over the slots, these are the job's batches g ≡ rank.
            let mut cursors = vec![0; slots.len()];
            let batches = (leg.spec().delivered + rank..leg.num_batches()).step_by(num_ranks as usize);
            for (turn, g) in batches.enumerate() {
                let expected: Vec<(u32, u64)> = leg.batch(g).into_iter()
                    .flat_map(|positions| line.rows(positions))
                    .filter(|s| !left_out.contains(s.group))
                    .flat_map(|s| s.rows.map(move |row| (s.group, row))).collect();
                let slot = turn % slots.len();
                let cursor = &mut cursors[slot];
                prop_assert_eq!(&slots[slot][*cursor..*cursor + expected.len()], &expected[..]);
                *cursor += expected.len();
            }
            for (slot, cursor) in slots.iter().zip(cursors) {
                prop_assert_eq!(slot.len(), cursor, "nothing is read that is not delivered");
            }
        }
    }
}

proptest! {
    #[test]
    fn few_batches_are_of_several_row_groups(
        mut rows in proptest::collection::vec(0_u64..400, 1..12),
        shuffle: bool,
        chunk_rows in 1_u64..200,
        num_shards in 1_u64..4,
        batch_size in 1_u64..40,
    ) {
        rows.push(num_shards.saturating_sub(rows.iter().sum()));
        let line = line(&rows, shuffle, 0, None);
        let legs = Legs::start(line.len(), num_shards, batch_size, false).unwrap();
        let size = ChunkSize::new(chunk_rows, u64::MAX, |_| 1);
        let mut schedule = ChunkSchedule::new(line, legs.last(), Share { rank: 0, num_ranks: 1 }, size);
        let full = (chunk_rows / batch_size).max(1) * batch_size;
        let mut scheduled = vec![0; schedule.num_slots()];
        while let Some(chunk) = schedule.next_chunk() {
            let slot = chunk.outputs[0].slot;
            scheduled[slot] += chunk.rows();
            let (batches, all) = schedule.slot_extent(slot);
            prop_assert!(chunk.rows() > 0 && chunk.rows() <= full + batch_size);
            // Whole batches, and the last one, which may be shorter or longer, is not cut.
            let last = (batches - 1) * batch_size;
            prop_assert!(scheduled[slot] == all || scheduled[slot] <= last && scheduled[slot].is_multiple_of(batch_size));
            let slices = &chunk.strands[0];
            let mut before = 0_u64;
            for slice in slices {
                let of_group = slice.rows.end - slice.rows.start;
                let lacking = before.next_multiple_of(batch_size) - before;
                let whole = of_group.saturating_sub(lacking) / batch_size * batch_size;
                let few = whole == 0 || whole < (full + batch_size) / 4;
                prop_assert!(slices.len() == 1 || few || scheduled[slot] + batch_size > last, "{slices:?}");
                before += of_group;
            }
        }
        for (slot, scheduled) in scheduled.into_iter().enumerate() {
            prop_assert_eq!(scheduled, schedule.slot_extent(slot).1);
        }
    }
}

/// The greatest bytes of a chunk of one shard's rows, and of a batch.
fn widest(rows: &[u64], widths: &[u64], batch_size: u64, chunk_bytes: u64) -> (u64, u64) {
    let line = line(rows, false, 0, None);
    let legs = Legs::start(line.len(), 1, batch_size, false).unwrap();
    let widths = widths.to_vec();
    let size = ChunkSize::new(1000, chunk_bytes, move |group| widths[group as usize % widths.len()]);
    let batches = 0..legs.last().num_batches();
    let of_batch =
        batches.map(|g| legs.last().batch(g).into_iter().flat_map(|rows| line.rows(rows)).collect::<Vec<_>>());
    let widest_batch = of_batch.map(|slices| size.bytes_of(&slices)).max().unwrap_or(0);
    let mut schedule = ChunkSchedule::new(line, legs.last(), Share { rank: 0, num_ranks: 1 }, size.clone());
    let chunks = std::iter::from_fn(|| schedule.next_chunk());
    (chunks.map(|chunk| size.bytes_of(chunk.strands.iter().flatten())).max().unwrap_or(0), widest_batch)
}

proptest! {
    #[test]
    fn chunks_are_bounded_by_bytes_however_unequal_the_rows_are(
        mut rows in proptest::collection::vec(0_u64..100, 1..12),
        widths in proptest::collection::vec(prop_oneof![1_u64..10, 100_u64..1000], 1..12),
        batch_size in 1_u64..20,
        chunk_bytes in 0_u64..20_000,
    ) {
        rows.push(1);
        let (chunk, batch) = widest(&rows, &widths, batch_size, chunk_bytes);
        prop_assert!(chunk <= chunk_bytes + 2 * batch, "{chunk} of {chunk_bytes}, batches of {batch}");
    }
}
