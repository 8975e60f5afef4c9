//! Best-fit-decreasing: the longest piece first, each into the sequence with the least room that it fits in.
//!
//! How many sequences there are depends on the lengths only, if these are compared exactly.

/// The sequences that are being filled, by the room that is left in each.
struct Rooms {
    /// Of each room, the newest sequence that has it, plus 1; 0 for none.
    newest: Vec<u32>,
    /// Of each sequence, the one before it with the same room, likewise.
    before: Vec<u32>,
    /// The rooms that some sequence has: of every level, 64 places of the one below by each word.
    levels: Vec<Vec<u64>>,
}

impl Rooms {
    fn new(seq_len: usize) -> Self {
        let mut levels = Vec::new();
        let mut places = seq_len + 1;
        loop {
            places = places.div_ceil(64);
            levels.push(vec![0; places]);
            if places == 1 {
                break;
            }
        }
        Self { newest: vec![0; seq_len + 1], before: Vec::new(), levels }
    }

    /// The least room from this one on that a sequence has.
    fn at_least(&self, room: usize) -> Option<usize> {
        let mut from = room;
        for (level, words) in self.levels.iter().enumerate() {
            let found = words.get(from / 64).map_or(0, |word| word & (u64::MAX << (from % 64)));
            if found != 0 {
                let mut place = from / 64 * 64 + found.trailing_zeros() as usize;
                for words in self.levels[..level].iter().rev() {
                    place = place * 64 + words[place].trailing_zeros() as usize;
                }
                return Some(place);
            }
            from = from / 64 + 1;
        }
        None
    }

    /// Notes that a sequence has this room; one without any is full.
    fn push(&mut self, sequence: u32, room: usize) {
        if room == 0 {
            return;
        }
        self.before[sequence as usize] = self.newest[room];
        self.newest[room] = sequence + 1;
        let mut place = room;
        for words in &mut self.levels {
            words[place / 64] |= 1 << (place % 64);
            place /= 64;
        }
    }

    /// Takes the newest sequence with this room.
    fn pop(&mut self, room: usize) -> Option<u32> {
        let sequence = self.newest[room].checked_sub(1)?;
        self.newest[room] = self.before[sequence as usize];
        let mut place = room;
        for words in self.levels.iter_mut().take_while(|_| self.newest[room] == 0) {
            words[place / 64] &= !(1 << (place % 64));
            if words[place / 64] != 0 {
                break;
            }
            place /= 64;
        }
        Some(sequence)
    }
}

/// Binary digits that tell any two lengths apart.
pub(super) const EXACT: u32 = u32::BITS;

/// The sequence of each of these pieces, none longer than `seq_len` or empty, and how many sequences there are. Lengths
/// are compared by so many of their first binary digits. Of equally long pieces those come first that stand first; of
/// sequences with equal room, the newest.
pub(super) fn best_fit(lengths: &[u32], seq_len: usize, digits: u32) -> (Vec<u32>, u32) {
    let rank = |length: u32| {
        let dropped = (u32::BITS - length.leading_zeros()).saturating_sub(digits);
        length >> dropped << dropped
    };
    let mut order: Vec<u32> = (0..lengths.len() as u32).collect();
    order.sort_by_key(|&piece| std::cmp::Reverse(rank(lengths[piece as usize])));
    let mut rooms = Rooms::new(seq_len);
    let mut sequences = vec![0; lengths.len()];
    let mut count = 0;
    for piece in order {
        let length = lengths[piece as usize] as usize;
        let found = rooms.at_least(length).and_then(|room| Some((rooms.pop(room)?, room)));
        let (sequence, room) = found.unwrap_or_else(|| {
            rooms.before.push(0);
            count += 1;
            (count - 1, seq_len)
        });
        sequences[piece as usize] = sequence;
        rooms.push(sequence, room - length);
    }
    (sequences, count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same by a look at every sequence: (room, number) of each.
    fn by_scan(lengths: &[u32], seq_len: u32) -> Vec<usize> {
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by_key(|&piece| std::cmp::Reverse(lengths[piece]));
        let mut rooms: Vec<(u32, usize)> = Vec::new();
        let mut sequences = vec![0; lengths.len()];
        for (turn, piece) in order.into_iter().enumerate() {
            let length = lengths[piece];
            let best = rooms.iter().enumerate().filter(|(_, (room, _))| *room >= length);
            let best =
                best.min_by_key(|(_, (room, since))| (*room, std::cmp::Reverse(*since))).map(|(number, _)| number);
            let number = best.unwrap_or_else(|| {
                rooms.push((seq_len, 0));
                rooms.len() - 1
            });
            rooms[number] = (rooms[number].0 - length, turn);
            sequences[piece] = number;
        }
        sequences
    }

    proptest! {
        #[test]
        fn it_is_what_a_scan_finds(
            seq_len in prop_oneof![1_u32..70, 1_u32..5000],
            shares in proptest::collection::vec(0.0_f64..1.0, 0..200),
        ) {
            let lengths: Vec<u32> = shares.iter().map(|share| 1 + (share * share * f64::from(seq_len - 1)) as u32).collect();
            let (sequences, count) = best_fit(&lengths, seq_len as usize, EXACT);
            let expected = by_scan(&lengths, seq_len);
            prop_assert_eq!(count as usize, expected.iter().max().map_or(0, |most| most + 1));
            let found: Vec<usize> = sequences.iter().map(|&sequence| sequence as usize).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn which_piece_has_which_length_does_not_change_the_number(
            seq_len in 1_u32..500,
            shares in proptest::collection::vec(0.0_f64..1.0, 0..200),
            turn in 0_usize..200,
        ) {
            let mut lengths: Vec<u32> = shares.iter().map(|share| 1 + (share * f64::from(seq_len - 1)) as u32).collect();
            let (_, count) = best_fit(&lengths, seq_len as usize, EXACT);
            let turn = turn.min(lengths.len());
            lengths.rotate_left(turn);
            prop_assert_eq!(best_fit(&lengths, seq_len as usize, EXACT).1, count);
        }
    }

    #[test]
    fn nothing_makes_no_sequence_and_what_fills_one_stands_alone() {
        assert_eq!(best_fit(&[], 8, EXACT), (vec![], 0));
        assert_eq!(best_fit(&[8, 8, 1], 8, EXACT), (vec![0, 1, 2], 3));
        assert_eq!(best_fit(&[1, 5, 3, 2, 5], 8, EXACT), (vec![0, 0, 1, 0, 1], 2));
        let (sequences, count) = best_fit(&vec![1; 1 << 16], 1 << 20, EXACT);
        assert_eq!((sequences.iter().max(), count), (Some(&0), 1));
    }
}
