//! The numbers of a shuffle, resolved once when a run begins: how many strata the data are cut into, how many windows
//! an epoch has. They depend on the data, the settings and the number of shards, never on a draw, and are kept.

use super::spec::{MAX_STRANDS, pack};
use super::{Buffer, Groups, OrderSpec, Pieces, Resolved, mul_div};
use crate::{Error, Result};

/// Strands that are read side by side, where nothing else was asked for.
pub const DEFAULT_STRANDS: u64 = 32;
/// Decoded bytes of a window, where nothing else was asked for.
pub const DEFAULT_BUFFER_BYTES: u64 = 128 << 20;

/// Reading cost lowers the default number of strands no further than this.
const FEWEST_DEFAULT_STRANDS: u64 = 8;
/// Data of more rows are never one window by default, whatever they take.
const MOST_UNIFORM_ROWS: u64 = 1 << 22;
/// No window has more rows by default, on average.
const MOST_WINDOW_ROWS: u64 = 1 << 20;
/// The windows of so many shards in one process take as many buffers at most; those of more shards are smaller.
const SHARDS_OF_FULL_WINDOWS: u64 = 8;

/// Resolves the settings of an order against a data set and the number of shards at the run's start.
///
/// # Errors
/// A setting out of its range, or numbers that do not fit.
pub fn resolve(groups: Groups<'_>, spec: &OrderSpec, num_shards: u64) -> Result<Resolved> {
    let OrderSpec { shuffle, strands, buffer, split_bytes, split_rows } = *spec;
    if strands.is_some_and(|strands| !(1..=MAX_STRANDS).contains(&strands)) {
        return Err(Error::Argument(format!("shuffle_strands must be between 1 and {MAX_STRANDS}")));
    }
    let unshuffled = Resolved { shuffle, strands: 1, windows: 0, split_bytes, split_rows };
    match buffer {
        Buffer::Bytes(0) => return Err(Error::Argument("shuffle_buffer_bytes must be at least 1, not 0".into())),
        Buffer::Rows(rows) if rows > u64::from(u32::MAX) => {
            let message = format!("shuffle_buffer_size is {rows} rows; at most {} can be mixed at a time", u32::MAX);
            return Err(Error::Argument(message));
        }
        Buffer::Rows(0) => return Ok(unshuffled),
        _ if !shuffle => return Ok(unshuffled),
        _ => {}
    }
    let splits = pack(groups, shuffle, split_bytes, split_rows)?;
    let (rows, shards) = (splits.num_rows(), num_shards.max(1));
    let decoded: u64 = groups.decoded.iter().fold(0, |sum, &bytes| sum.saturating_add(bytes));
    let all_rows: u64 = groups.rows.iter().sum();
    let is_uniform = match buffer {
        Buffer::Bytes(bytes) => decoded <= bytes.saturating_mul(2) && all_rows <= MOST_UNIFORM_ROWS,
        Buffer::Rows(of_window) => rows <= of_window,
    };
    if is_uniform || rows <= 1 {
        return Ok(Resolved { windows: 1, ..unshuffled });
    }
    let strands = match (strands, buffer) {
        (Some(strands), _) => strands,
        (None, Buffer::Bytes(bytes)) => affordable(decoded, splits.groups_with_rows(), shards, bytes),
        (None, Buffer::Rows(of_window)) => {
            affordable(decoded, splits.groups_with_rows(), shards, mul_div(of_window, decoded, all_rows))
        }
    };
    let strands = strands.min(rows);
    let windows = match buffer {
        Buffer::Rows(of_window) => rows.div_ceil(of_window),
        Buffer::Bytes(bytes) => {
            let pieces = Pieces::cut(splits, strands)?;
            let by_bytes = ceil_div(
                u128::from(decoded) * u128::from(shards.max(SHARDS_OF_FULL_WINDOWS)),
                u128::from(SHARDS_OF_FULL_WINDOWS) * u128::from(bytes),
            );
            let by_widest = ceil_div(widest(&pieces, groups), 2 * u128::from(bytes));
            by_bytes.max(by_widest).max(all_rows.div_ceil(MOST_WINDOW_ROWS))
        }
    };
    // The shards' borders are windows' borders, so that no window is decoded by two ranks.
    let windows = windows.div_ceil(shards).saturating_mul(shards).min(rows);
    Ok(Resolved { strands, windows, ..unshuffled })
}

/// The default strands, halved while a rank would read much more than its part of the data for them.
fn affordable(decoded: u64, groups: u64, shards: u64, buffer: u64) -> u64 {
    let groups = groups.max(1);
    let part = decoded / shards;
    let enough = (part + part / 2).max(buffer.saturating_mul(4));
    let mut strands = DEFAULT_STRANDS;
    // Every shard but one opens the groups where its piece of a strand begins once more.
    while strands > FEWEST_DEFAULT_STRANDS
        && part.saturating_add(mul_div(mul_div(decoded, shards - 1, shards), strands.min(groups), groups)) > enough
    {
        strands /= 2;
    }
    strands
}

/// The bytes of all rows if each were as wide as the mean row of the widest row group in its stratum.
fn widest(pieces: &Pieces, groups: Groups<'_>) -> u128 {
    let mut sum = 0_u128;
    for stratum in 0..pieces.num_strata() {
        let widths = pieces.groups_of_stratum(stratum).map(|group| {
            let group = group as usize;
            if pieces.has_rows(group) { groups.decoded[group].div_ceil(groups.rows[group].max(1)) } else { 0 }
        });
        let rows = pieces.stratum(stratum);
        let all = u128::from(rows.end - rows.start) * u128::from(widths.max().unwrap_or(0));
        sum = sum.saturating_add(all);
    }
    sum
}

/// ⌈a / b⌉, or 2⁶⁴ - 1 where it is more.
fn ceil_div(a: u128, b: u128) -> u64 {
    u64::try_from(a.div_ceil(b)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    /// (k, T) for row groups of (rows, decoded bytes a row), one file each.
    fn of(groups: &[(u64, u64)], strands: Option<u64>, buffer: Buffer, shards: u64) -> (u64, u64) {
        filtered(groups, None, strands, buffer, shards)
    }

    fn filtered(
        groups: &[(u64, u64)],
        passing: Option<&[u64]>,
        strands: Option<u64>,
        buffer: Buffer,
        shards: u64,
    ) -> (u64, u64) {
        let rows: Vec<u64> = groups.iter().map(|&(rows, _)| rows).collect();
        let decoded: Vec<u64> = groups.iter().map(|&(rows, width)| rows * width).collect();
        let file_ends: Vec<u32> = (1..=rows.len() as u32).collect();
        let groups = Groups { rows: &rows, passing, bytes: &decoded, decoded: &decoded, file_ends: &file_ends };
        let spec = OrderSpec { shuffle: true, strands, buffer, split_bytes: 128 * MIB, split_rows: None };
        let found = resolve(groups, &spec, shards).unwrap();
        super::super::Order::resolved(groups, 1, found).unwrap();
        (found.strands, found.windows)
    }

    #[test]
    fn data_of_two_buffers_are_one_window() {
        let buffer = Buffer::Bytes(1000);
        assert_eq!(of(&[(20, 100)], None, buffer, 1), (1, 1));
        assert_eq!(of(&[(20, 100)], Some(5), buffer, 8), (1, 1));
        assert_eq!(of(&[(21, 100)], Some(5), buffer, 1), (5, 3));
        assert_eq!(of(&[(MOST_UNIFORM_ROWS + 1, 0)], Some(5), buffer, 1), (5, 5), "of 2**20 rows at most");
        assert_eq!(of(&[(20, 100)], Some(5), Buffer::Rows(20), 8), (1, 1));
        assert_eq!(of(&[(20, 100)], Some(5), Buffer::Rows(19), 1), (5, 2));
        assert_eq!(of(&[(1, 1 << 40)], Some(5), buffer, 1), (1, 1));
        assert_eq!(of(&[(0, 0)], Some(5), buffer, 1), (1, 1));
    }

    #[test]
    fn windows_take_a_buffer_and_divide_into_the_shards() {
        let (groups, buffer) = ([(1000, 100); 10], Buffer::Bytes(10_000));
        assert_eq!(of(&groups, Some(4), buffer, 1), (4, 100));
        assert_eq!(of(&groups, Some(4), buffer, 7), (4, 105));
        assert_eq!(of(&groups, Some(4), buffer, 16), (4, 208), "those of more than 8 shards are smaller");
        assert_eq!(of(&groups, Some(4), Buffer::Rows(300), 1), (4, 34));
        assert_eq!(of(&groups, Some(4), Buffer::Rows(300), 8), (4, 40));
        assert_eq!(of(&groups, Some(4), Buffer::Rows(0), 1), (1, 0));
        assert_eq!(of(&groups, Some(4), Buffer::Bytes(1), 1), (4, 10_000), "no window without a row");
        assert_eq!(of(&[(3, 100)], Some(10), Buffer::Bytes(1), 1), (3, 3), "no stratum without a row");
    }

    #[test]
    fn the_widest_rows_bound_a_window() {
        let mut groups = [(1000, 1); 8];
        groups[5] = (1000, 1000);
        // Half of the windows' rows are of a stratum whose rows may have 1,000 bytes.
        assert_eq!(of(&groups, Some(2), Buffer::Bytes(100_000), 1), (2, 21));
        assert_eq!(of(&groups, Some(8), Buffer::Bytes(100_000), 1), (8, 11));
    }

    #[test]
    fn a_filter_leaves_the_windows_as_they_are() {
        let groups = [(1000, 100); 10];
        let passing = [100, 0, 0, 100, 100, 100, 100, 100, 100, 100];
        assert_eq!(filtered(&groups, Some(&passing), Some(4), Buffer::Bytes(10_000), 1), (4, 100));
        let few = [0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
        assert_eq!(filtered(&groups, Some(&few), Some(4), Buffer::Bytes(10_000), 1), (4, 7));
    }

    #[test]
    fn strands_that_would_cost_much_reading_are_fewer_unless_they_were_asked_for() {
        let (wide, buffer) = ([(125_000, 1024); 32], Buffer::Bytes(DEFAULT_BUFFER_BYTES));
        assert_eq!(of(&wide, None, buffer, 1).0, DEFAULT_STRANDS);
        assert_eq!(of(&wide, None, buffer, 8).0, 8);
        assert_eq!(of(&wide, Some(64), buffer, 8).0, 64);
        let narrow = [(125_000, 96); 320];
        assert_eq!(of(&narrow, None, buffer, 1).0, DEFAULT_STRANDS);
        assert_eq!(of(&narrow, None, buffer, 8).0, 16);
    }

    #[test]
    fn what_is_out_of_range_is_an_error() {
        let groups = Groups { rows: &[9], passing: None, bytes: &[9], decoded: &[9], file_ends: &[1] };
        let spec = OrderSpec {
            shuffle: true,
            strands: None,
            buffer: Buffer::Bytes(DEFAULT_BUFFER_BYTES),
            split_bytes: 1,
            split_rows: None,
        };
        for (wrong, named) in [
            (OrderSpec { strands: Some(0), ..spec }, "shuffle_strands"),
            (OrderSpec { strands: Some(MAX_STRANDS + 1), ..spec }, "shuffle_strands"),
            (OrderSpec { buffer: Buffer::Bytes(0), ..spec }, "shuffle_buffer_bytes"),
            (OrderSpec { buffer: Buffer::Rows(1 << 32), ..spec }, "shuffle_buffer_size"),
            (OrderSpec { split_bytes: 0, buffer: Buffer::Bytes(1), ..spec }, "split_bytes"),
            (OrderSpec { split_rows: Some(0), ..spec }, "split_rows"),
        ] {
            let error = resolve(groups, &wrong, 1).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    proptest! {
        /// No window takes more than two buffers, nor one row more than its share of each stratum, however unequal the
        /// rows' widths are.
        #[test]
        fn no_window_takes_more_than_two_buffers(
            groups in proptest::collection::vec((1_u64..200, prop_oneof![3 => 1_u64..10, 1 => 1_u64..3000]), 1..12),
            strands in 1_u64..9, buffer in 1_u64..30_000, shards in 1_u64..9,
        ) {
            let rows: Vec<u64> = groups.iter().map(|&(rows, _)| rows).collect();
            let decoded: Vec<u64> = groups.iter().map(|&(rows, width)| rows * width).collect();
            let file_ends: Vec<u32> = (1..=rows.len() as u32).collect();
            let data = Groups { rows: &rows, passing: None, bytes: &decoded, decoded: &decoded, file_ends: &file_ends };
            let spec = OrderSpec {
                shuffle: true, strands: Some(strands), buffer: Buffer::Bytes(buffer), split_bytes: 128 * MIB, split_rows: None,
            };
            let found = resolve(data, &spec, shards).unwrap();
            let order = super::super::Order::resolved(data, 1, found).unwrap();
            let line = order.line(0).unwrap();
            let widest = groups.iter().map(|&(_, width)| width).max().unwrap_or(0);
            let mut position = 0;
            while position < line.len() {
                let window = line.window_at(position);
                let slices = window.places.iter().flat_map(|places| line.split_sequence().slices(places.clone()));
                let bytes: u64 = slices.map(|s| (s.rows.end - s.rows.start) * groups[s.group as usize].1).sum();
                prop_assert!(bytes <= 2 * buffer + order.strands() * widest, "{bytes} at {position}");
                position = window.positions.end;
            }
            prop_assert!(found.windows == 1 || found.windows.is_multiple_of(shards) || found.windows == line.len());
        }
    }
}
