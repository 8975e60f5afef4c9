//! Bit-packed numbers unpacked eight at a time in one register, where the processor has AVX2.
//!
//! The eight numbers of a group lie in two halves of 16 bytes, each beginning with its half's first number. In each
//! half a shuffle brings the four bytes that hold a number into that number's lane; a shift and a mask leave the
//! number.

use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_and_si256, _mm256_castsi128_si256, _mm256_inserti128_si256, _mm256_loadu_si256,
    _mm256_set1_epi32, _mm256_shuffle_epi8, _mm256_srlv_epi32, _mm256_storeu_si256,
};

/// The widest numbers that lie in four bytes wherever in their first byte they begin.
const MAX_WIDTH: usize = 25;

/// Unpacks as many of the groups of eight as can be loaded whole; how many that were.
pub(super) fn unpack<const WIDTH: usize, const COUNT: usize>(
    packed: &[u8],
    groups: usize,
    out: &mut [u32; COUNT],
) -> usize {
    if WIDTH == 0 || WIDTH > MAX_WIDTH || !is_x86_feature_detected!("avx2") {
        return 0;
    }
    // SAFETY: the processor has AVX2.
    unsafe { groups_of::<WIDTH, COUNT>(packed, groups, out) }
}

#[target_feature(enable = "avx2")]
fn groups_of<const WIDTH: usize, const COUNT: usize>(packed: &[u8], groups: usize, out: &mut [u32; COUNT]) -> usize {
    let (places, shifts) = const { (places(WIDTH), shifts(WIDTH)) };
    let (places, shifts) = (register(&places), register(&shifts));
    let mask = _mm256_set1_epi32(((1_u64 << WIDTH) - 1) as i32);
    // A group is loaded as two halves of 16 bytes each, of which the last may reach over its end.
    let Some(spare) = packed.len().checked_sub(half(WIDTH) + 16) else { return 0 };
    let groups = groups.min(spare / WIDTH + 1);
    for (number, out) in out.as_chunks_mut::<8>().0.iter_mut().take(groups).enumerate() {
        // SAFETY: `half` and 16 bytes more are there, and the output is eight numbers; neither need be aligned.
        unsafe {
            let group = packed.as_ptr().add(number * WIDTH);
            let low = _mm_loadu_si128(group.cast());
            let high = _mm_loadu_si128(group.add(half(WIDTH)).cast());
            let both = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(low), high);
            let numbers = _mm256_srlv_epi32(_mm256_shuffle_epi8(both, places), shifts);
            _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm256_and_si256(numbers, mask));
        }
    }
    groups
}

#[target_feature(enable = "avx2")]
fn register(of: &[u8; 32]) -> __m256i {
    // SAFETY: 32 bytes are there, which need not be aligned.
    unsafe { _mm256_loadu_si256(of.as_ptr().cast()) }
}

/// The byte that the fifth number begins in.
const fn half(width: usize) -> usize {
    4 * width / 8
}

/// The bit of its half that a number begins at.
const fn bit(number: usize, width: usize) -> usize {
    if number < 4 { number * width } else { number * width - 8 * half(width) }
}

/// The bytes of a half that go to each lane.
const fn places(width: usize) -> [u8; 32] {
    let mut places = [0; 32];
    let mut at = 0;
    while at < 32 {
        places[at] = (bit(at / 4, width) / 8 + at % 4) as u8;
        at += 1;
    }
    places
}

/// How far each lane is shifted, as the bytes of 32-bit numbers.
const fn shifts(width: usize) -> [u8; 32] {
    let mut shifts = [0; 32];
    let mut number = 0;
    while number < 8 {
        shifts[4 * number] = (bit(number, width) % 8) as u8;
        number += 1;
    }
    shifts
}
