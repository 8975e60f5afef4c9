//! Definition and repetition levels, read as runs and not one by one.

use super::error::{DenseError, Result, corrupt};
use super::rle::{RleRun, next_run};

/// What the levels of a column mean.
#[derive(Debug, Clone, Copy)]
pub(super) struct Levels {
    /// The definition level of a value that is present. At most 3.
    pub(super) max_def: u8,
    /// The definition level of a list that is present and empty.
    pub(super) empty: Option<u8>,
    /// Whether there are repetition levels, of 0 and 1.
    pub(super) repeated: bool,
}

/// What the definition levels of a page say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// Every slot is a value.
    All,
    /// Not every one.
    Some,
}

impl Levels {
    /// Whether the first `slots` definition levels are all the maximum.
    pub(super) fn presence(&self, bytes: &[u8], slots: usize) -> Result<Presence> {
        let max = self.max_def;
        if max == 0 {
            return Ok(Presence::All);
        }
        let width = bits(max);
        let all = walk(bytes, width, slots, |run, _| match run {
            LevelRun::Repeated(value, _) => Ok(value == u32::from(max)),
            LevelRun::Packed(packed, len) => Ok(all_are(max, width, packed, len)),
        })?;
        Ok(if all { Presence::All } else { Presence::Some })
    }

    /// Where slots that are not values are all empty lists: makes `starts` count values instead of slots, and gives
    /// the number of values. `None`: something is null.
    pub(super) fn leave_out_empty(&self, bytes: &[u8], slots: usize, starts: &mut [u32]) -> Result<Option<usize>> {
        let Some(empty) = self.empty else { return Ok(None) };
        let width = bits(self.max_def);
        let (mut values, mut list) = (0_usize, 0);
        // One slot's turn. An empty list is one slot, so that the next one starts a list too, if there is a next.
        let mut each = |slot: usize, level: u8| {
            let starts_list = starts.get(list).is_some_and(|start| *start as usize == slot);
            if starts_list {
                starts[list] = values as u32;
                list += 1;
            }
            if level == self.max_def {
                values += 1;
                return true;
            }
            let alone = starts.get(list).is_none_or(|next| *next as usize == slot + 1);
            level == empty && starts_list && alone && (list < starts.len() || slot + 1 == slots)
        };
        let dense = walk(bytes, width, slots, |part, at| {
            Ok(match part {
                LevelRun::Repeated(value, len) => (at..at + len).all(|slot| each(slot, value as u8)), // at most 2 bits
                LevelRun::Packed(packed, len) => (0..len).all(|i| {
                    let bit = i * usize::from(width);
                    each(at + i, packed[bit / 8] >> (bit % 8) & ((1 << width) - 1))
                }),
            })
        })?;
        Ok(dense.then_some(values))
    }
}

/// The definition levels, up to `max` (1 to 3), of so many slots.
pub(crate) fn definition_levels(bytes: &[u8], max: u8, slots: usize) -> Result<Vec<u8>> {
    let width = bits(max);
    let mut levels = Vec::new();
    walk(bytes, width, slots, |run, _| {
        match run {
            LevelRun::Repeated(value, len) => levels.resize(levels.len() + len, value as u8), // at most 2 bits
            LevelRun::Packed(packed, len) => levels.extend((0..len).map(|i| {
                let bit = i * usize::from(width);
                packed[bit / 8] >> (bit % 8) & ((1 << width) - 1)
            })),
        }
        Ok(true)
    })?;
    Ok(levels)
}

/// The slots where lists start: those whose repetition level is 0.
pub(super) fn list_starts(bytes: &[u8], slots: usize, starts: &mut Vec<u32>) -> Result<()> {
    starts.clear();
    walk(bytes, 1, slots, |run, at| {
        match run {
            LevelRun::Repeated(0, len) => {
                starts.try_reserve(len).map_err(|error| DenseError(format!("no room for {len} lists: {error}")))?;
                starts.extend((at..at + len).map(|slot| slot as u32)); // a page's slots are counted in 32 bits
            }
            LevelRun::Repeated(..) => {}
            LevelRun::Packed(packed, len) => zero_bits(packed, len, at, starts),
        }
        Ok(true)
    })?;
    Ok(())
}

/// Whether the first slot starts a list.
pub(super) fn starts_with_list(bytes: &[u8]) -> Result<bool> {
    let mut starts = false;
    walk(bytes, 1, 1, |run, _| {
        starts = match run {
            LevelRun::Repeated(value, _) => value == 0,
            LevelRun::Packed(packed, _) => packed.first().is_some_and(|byte| byte & 1 == 0),
        };
        Ok(true)
    })?;
    Ok(starts)
}

/// A run cut to the slots that there are.
enum LevelRun<'a> {
    Repeated(u32, usize),
    Packed(&'a [u8], usize),
}

/// Shows the runs of `slots` levels to `each`, with the slot that they begin at, until it answers false.
fn walk(
    bytes: &[u8],
    width: u8,
    slots: usize,
    mut each: impl FnMut(LevelRun<'_>, usize) -> Result<bool>,
) -> Result<bool> {
    let (mut at, mut slot) = (0, 0);
    while slot < slots {
        let Some(run) = next_run(bytes, &mut at, width)? else {
            return corrupt(format!("levels for {slot} of a page's {slots} values"));
        };
        let (part, len) = match run {
            RleRun::Repeated { value, len } => {
                let len = len.min(slots - slot);
                (LevelRun::Repeated(value, len), len)
            }
            RleRun::Packed { start, len } => {
                let len = len.min(slots - slot);
                (LevelRun::Packed(&bytes[start..], len), len)
            }
        };
        if !each(part, slot)? {
            return Ok(false);
        }
        slot += len;
    }
    Ok(true)
}

/// How many bits levels up to `max` (1 to 3) take.
fn bits(max: u8) -> u8 {
    if max > 1 { 2 } else { 1 }
}

/// Whether each of `len` packed levels is `max`: bytes compared with the byte that holds nothing else.
fn all_are(max: u8, width: u8, packed: &[u8], len: usize) -> bool {
    let pattern = match (width, max) {
        (2, 2) => 0b1010_1010,
        _ => 0xff,
    };
    let bits = len * usize::from(width);
    let (whole, rest) = (bits / 8, bits % 8);
    let differ = packed[..whole].iter().fold(0, |differ, byte| differ | (byte ^ pattern));
    let mask = (1_u8 << rest) - 1;
    differ == 0 && (rest == 0 || (packed[whole] ^ pattern) & mask == 0)
}

/// Appends the positions of the zeros among `len` bits, the first of which is slot `at`.
fn zero_bits(packed: &[u8], len: usize, at: usize, starts: &mut Vec<u32>) {
    let mut push = |mut zeros: u64, at: usize| {
        while zeros != 0 {
            starts.push(at as u32 + zeros.trailing_zeros());
            zeros &= zeros - 1;
        }
    };
    let (words, _) = packed[..len / 8].as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        push(!u64::from_le_bytes(*word), at + i * 64);
    }
    let done = words.len() * 64;
    let mut last = [0xff; 8];
    let rest = len - done;
    let held = &packed[done / 8..][..rest.div_ceil(8)];
    last[..held.len()].copy_from_slice(held);
    push(!u64::from_le_bytes(last) & ((1 << rest) - 1), at + done);
}
