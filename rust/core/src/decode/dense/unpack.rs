//! Bit-packed numbers to `u32`, the width a compile-time constant, eight at a time.

use super::error::{Result, corrupt};

/// How many numbers are unpacked in one go: as many as common writers put in one bit-packed run, and 2 KiB of cache.
pub(super) const BLOCK: usize = 512;

/// The numbers of one go.
pub(super) type Block = [u32; BLOCK];

/// Unpacks the first `count` (≤ [`BLOCK`]) numbers of `width` bits; where `packed` is too short they are zeros.
pub(super) fn unpack(width: u8, packed: &[u8], count: usize, out: &mut Block) -> Result<()> {
    macro_rules! by_width {
        ($($width:literal)*) => {
            match width {
                $($width => { groups::<$width>(packed, count, out); Ok(()) })*
                _ => corrupt(format!("numbers of {width} bits")),
            }
        };
    }
    by_width!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32)
}

fn groups<const WIDTH: usize>(packed: &[u8], count: usize, out: &mut Block) {
    let groups = count.div_ceil(8);
    #[cfg(target_arch = "x86_64")]
    let done = super::unpack_avx2::unpack::<WIDTH, BLOCK>(packed, groups, out);
    #[cfg(not(target_arch = "x86_64"))]
    let done = 0;
    let mut at = done * WIDTH;
    for out in out.as_chunks_mut::<8>().0[done..].iter_mut().take(groups - done) {
        if let Some(window) = packed.get(at..at + WIDTH + 8) {
            group::<WIDTH>(window, out);
        } else {
            let mut padded = [0; 40];
            let rest = packed.get(at..).unwrap_or_default();
            let held = rest.len().min(WIDTH);
            padded[..held].copy_from_slice(&rest[..held]);
            group::<WIDTH>(&padded[..WIDTH + 8], out);
        }
        at += WIDTH;
    }
}

/// Eight numbers from `WIDTH` bytes. The window has eight more, so that each number is one unaligned load of a word.
#[inline(always)]
fn group<const WIDTH: usize>(window: &[u8], out: &mut [u32; 8]) {
    let mask = ((1_u64 << WIDTH) - 1) as u32;
    for (i, out) in out.iter_mut().enumerate() {
        let bit = i * WIDTH;
        let mut word = [0; 8];
        word.copy_from_slice(&window[bit / 8..bit / 8 + 8]);
        *out = (u64::from_le_bytes(word) >> (bit % 8)) as u32 & mask;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_width_and_count_gives_back_what_was_packed() {
        for width in 0..=32_u8 {
            for count in [1, 7, 8, 9, 63, 64, 200, 511, 512] {
                let mask = ((1_u64 << width) - 1) as u32;
                let numbers: Vec<u32> = (0..count).map(|i| (i as u32).wrapping_mul(0x9e37_79b9) & mask).collect();
                let mut packed = vec![0_u8; (count * usize::from(width)).div_ceil(8)];
                for (i, number) in numbers.iter().enumerate() {
                    for bit in 0..usize::from(width) {
                        let at = i * usize::from(width) + bit;
                        packed[at / 8] |= ((number >> bit & 1) as u8) << (at % 8);
                    }
                }
                let mut out = [u32::MAX; BLOCK];
                unpack(width, &packed, count, &mut out).unwrap();
                assert_eq!(out[..count], numbers, "{width} bits, {count} numbers");
            }
        }
        assert!(unpack(33, &[], 8, &mut [0; BLOCK]).is_err());
    }
}
