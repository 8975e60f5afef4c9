//! The arithmetic of the digest: 64 bits to 64 bits, all of it modulo 2^64.

use xxhash_rust::xxh3::xxh3_64;

/// What a null counts as.
pub(super) const NULL: u64 = 0x9E6C_63D0_876A_9A47;
/// What every NaN counts as.
pub(super) const NAN: u64 = 0x7FF8_0000_0000_0000;
pub(super) const A: u64 = 0xBF58_476D_1CE4_E5B9;
pub(super) const B: u64 = 0x94D0_49BB_1331_11EB;
const C: u64 = 0x9FB2_1C65_1E98_DF25;
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// A sum's bits, mixed.
pub(super) const fn finish(hash: u64, factor: u64) -> u64 {
    let mut mixed = (hash ^ (hash >> 31)).wrapping_mul(factor);
    mixed = (mixed ^ (mixed >> 29)).wrapping_mul(C);
    mixed ^ (mixed >> 32)
}

/// A value's part of a sum. High bits are mixed into low ones first: a product loses what is high.
pub(super) const fn weigh(value: u64, factor: u64) -> u64 {
    ((value >> 32) ^ value).wrapping_mul(factor)
}

/// The odd constant of a column or a field of this name.
pub(super) fn of_name(name: &str) -> u64 {
    xxh3_64(name.as_bytes()) | 1
}

const fn computed(place: u64) -> u64 {
    finish((place + 1).wrapping_mul(STEP), A) | 1
}

static TABLE: [u64; 1024] = {
    let (mut table, mut place) = ([0; 1024], 0);
    while place < table.len() {
        table[place] = computed(place as u64);
        place += 1;
    }
    table
};

/// The odd constant of a place in a list or a text.
pub(super) fn of_place(place: usize) -> u64 {
    TABLE.get(place).copied().unwrap_or_else(|| computed(place as u64))
}

/// A list, of its items' values.
pub(super) fn list(items: &[u64]) -> u64 {
    let weighed = items.iter().enumerate().map(|(place, &item)| weigh(item, of_place(place)));
    finish(weighed.fold(0, u64::wrapping_add), B).wrapping_add((items.len() as u64).wrapping_mul(A))
}

/// A text, in words of eight bytes, the last one filled up with zeros.
pub(super) fn text(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut sum = 0_u64;
    for (place, &word) in words.iter().enumerate() {
        sum = sum.wrapping_add(weigh(u64::from_le_bytes(word), of_place(place)));
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        sum = sum.wrapping_add(weigh(u64::from_le_bytes(last), of_place(words.len())));
    }
    finish(sum, B).wrapping_add((bytes.len() as u64).wrapping_mul(A))
}
