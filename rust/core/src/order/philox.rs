//! Philox4x32-10: the counter-based generator of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
//! 1, 2, 3" (SC 2011). Its known-answer vectors are those that the authors publish with Random123.

const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;
/// Blocks computed at a time, side by side, so that the processor can overlap their multiplications.
const LANES: usize = 16;
const BUFFERED: usize = 4 * LANES;

/// One block: four words that depend on a counter and a key only.
#[cfg(test)]
pub(crate) fn block(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let mut words = counter.map(|word| [word]);
    rounds(&mut words, key);
    words.map(|word| word[0])
}

fn rounds<const N: usize>(words: &mut [[u32; N]; 4], mut key: [u32; 2]) {
    let [x0, x1, x2, x3] = words;
    for _ in 0..ROUNDS {
        for lane in 0..N {
            let left = u64::from(MULTIPLIER[0]) * u64::from(x0[lane]);
            let right = u64::from(MULTIPLIER[1]) * u64::from(x2[lane]);
            x0[lane] = (right >> 32) as u32 ^ x1[lane] ^ key[0];
            x1[lane] = right as u32;
            x2[lane] = (left >> 32) as u32 ^ x3[lane] ^ key[1];
            x3[lane] = left as u32;
        }
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
}

/// The stream of words of one key: blocks 0, 1, 2 …, each word by word.
#[derive(Debug, Clone)]
pub struct Philox {
    key: [u32; 2],
    stream: [u32; 2],
    next_block: u64,
    words: [u32; BUFFERED],
    taken: usize,
}

impl Philox {
    /// The stream of a 128-bit key: its low half is Philox's key, its high half the counter's high half.
    pub fn new(key: u128) -> Self {
        let word = |index: u32| (key >> (32 * index)) as u32;
        Self {
            key: [word(0), word(1)],
            stream: [word(2), word(3)],
            next_block: 0,
            words: [0; BUFFERED],
            taken: BUFFERED,
        }
    }

    /// The next word.
    #[inline]
    pub fn next_u32(&mut self) -> u32 {
        if self.taken == BUFFERED {
            self.refill();
        }
        let word = self.words[self.taken];
        self.taken += 1;
        word
    }

    /// A number in [0, bound), every one equally likely: Lemire, "Fast random integer generation in an interval"
    /// (2019).
    #[inline]
    pub fn below(&mut self, bound: u32) -> u32 {
        let mut product = u64::from(self.next_u32()) * u64::from(bound);
        if (product as u32) < bound {
            let threshold = bound.wrapping_neg() % bound;
            while (product as u32) < threshold {
                product = u64::from(self.next_u32()) * u64::from(bound);
            }
        }
        (product >> 32) as u32
    }

    fn refill(&mut self) {
        let mut lanes = [[0; LANES], [0; LANES], [self.stream[0]; LANES], [self.stream[1]; LANES]];
        for (lane, block) in (self.next_block..).take(LANES).enumerate() {
            lanes[0][lane] = block as u32;
            lanes[1][lane] = (block >> 32) as u32;
        }
        rounds(&mut lanes, self.key);
        for (block, words) in self.words.chunks_exact_mut(4).enumerate() {
            for (word, of_lanes) in words.iter_mut().zip(&lanes) {
                *word = of_lanes[block];
            }
        }
        self.next_block += LANES as u64;
        self.taken = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_of_random123() {
        // kat_vectors of Random123: philox4x32 10 counter key → result.
        assert_eq!(block([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(block([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            block([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn the_stream_is_its_blocks_in_turn() {
        let key = 0x0123_4567_89ab_cdef_0011_2233_4455_6677_u128;
        let mut stream = Philox::new(key);
        for number in 0..100_u64 {
            let expected =
                block([number as u32, (number >> 32) as u32, 0x89ab_cdef, 0x0123_4567], [0x4455_6677, 0x0011_2233]);
            for word in expected {
                assert_eq!(stream.next_u32(), word);
            }
        }
    }

    #[test]
    fn below_is_uniform() {
        let mut stream = Philox::new(7);
        let mut counts = [0_u32; 6];
        for _ in 0..60_000 {
            counts[stream.below(6) as usize] += 1;
        }
        // Five degrees of freedom: 20.5 is passed once in a thousand keys; this key is fixed.
        let chi2: f64 = counts.iter().map(|&c| (f64::from(c) - 10_000.0).powi(2) / 10_000.0).sum();
        assert!(chi2 < 20.5, "{counts:?}");
        assert_eq!(stream.below(1), 0);
    }
}
