//! Which rows a window's outputs take: of which piece, and which of its rows.

use std::ops::Range;

/// The rows of a window's permutation, each as the number of its piece and its row there, in one number: found once for all
/// columns.
#[derive(Debug)]
pub(crate) struct Spots {
    spots: Vec<u32>,
    /// The bits of a row.
    shift: u32,
}

impl Spots {
    /// `rows`: numbered through pieces of these lengths. None where the numbers of pieces and rows have more than 32 bits.
    pub(crate) fn new(rows: &[u32], lengths: impl Iterator<Item = usize>) -> Option<Self> {
        let mut ends = Vec::new();
        let (mut total, mut longest) = (0_u64, 1);
        for length in lengths {
            total += length as u64;
            longest = longest.max(length as u64);
            ends.push(u32::try_from(total).ok()?);
        }
        let shift = longest.next_power_of_two().ilog2();
        if (ends.len() as u64) << shift > 1 << 32 {
            return None;
        }
        // The picks are in no order: to count is quicker than to guess, where there are few pieces.
        let few = ends.len() <= 16;
        let spot = |&row: &u32| {
            let piece = if few {
                ends.iter().map(|&end| u32::from(end <= row)).sum::<u32>() as usize
            } else {
                ends.partition_point(|&end| end <= row)
            };
            let start = if piece == 0 { 0 } else { ends[piece - 1] };
            (piece as u32).unbounded_shl(shift) | (row - start)
        };
        Some(Self { spots: rows.iter().map(spot).collect(), shift })
    }

    /// Those at these positions of the permutation.
    pub(crate) fn of(&self, positions: Range<u64>) -> &[u32] {
        &self.spots[positions.start as usize..positions.end as usize]
    }

    /// Some of them, end to end.
    pub(crate) fn picks<'a>(&self, spots: &'a [&'a [u32]]) -> Picks<'a> {
        Picks { spots, shift: self.shift }
    }
}

/// Rows to be picked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Picks<'a> {
    pub(crate) spots: &'a [&'a [u32]],
    shift: u32,
}

impl<'a> Picks<'a> {
    /// How many rows.
    pub(crate) fn len(self) -> usize {
        self.spots.iter().map(|spots| spots.len()).sum()
    }

    /// The piece of a spot, and the row there.
    #[inline]
    pub(crate) fn place(self, spot: u32) -> (usize, usize) {
        (spot.unbounded_shr(self.shift) as usize, (spot & !u32::MAX.unbounded_shl(self.shift)) as usize)
    }

    /// All pieces and rows.
    pub(crate) fn iter(self) -> impl Iterator<Item = (usize, usize)> + Clone + 'a {
        self.spots.iter().copied().flatten().map(move |&spot| self.place(spot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn spots_are_the_rows_piece_by_piece(
            lengths in proptest::collection::vec(prop_oneof![Just(0_usize), Just(1), 1_usize..300], 1..40),
        ) {
            let wanted: Vec<(usize, usize)> =
                lengths.iter().enumerate().flat_map(|(piece, &length)| (0..length).map(move |row| (piece, row))).collect();
            let rows: Vec<u32> = (0..wanted.len() as u32).collect();
            let spots = Spots::new(&rows, lengths.into_iter()).unwrap();
            let all = [spots.of(0..rows.len() as u64)];
            let picks = spots.picks(&all);
            prop_assert_eq!(picks.len(), wanted.len());
            prop_assert_eq!(picks.iter().collect::<Vec<_>>(), wanted);
        }
    }

    #[test]
    fn all_that_fits_into_32_bits_is_taken() {
        assert!(Spots::new(&[0], std::iter::once(1 << 31)).is_some());
        assert!(Spots::new(&[0], [1 << 20; 1 << 11].into_iter()).is_some());
        assert!(Spots::new(&[0], [1 << 20].into_iter().chain([1; (1 << 12) + 1])).is_none());
    }
}
