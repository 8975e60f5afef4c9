//! The sequences of bundles: whole documents packed best-fit-decreasing, and anew in each epoch.

use std::ops::Range;

use super::best_fit::{EXACT, best_fit};
use super::block_writer::BlockWriter;
use super::documents::{PackSource, Piece, Token};
use super::list_block::ListBlock;
use super::lists::{ListReader, ListSource};
use crate::decode::{Long, Pack};
use crate::files::Bundle;
use crate::order::{key, permutation};
use crate::{Error, Result};

/// Rows whose lists are read at a time.
const BLOCK_ROWS: u64 = 2048;

/// The first binary digits that lengths are compared by in a bundle's first draw.
const FEWEST_DIGITS: u32 = 3;

/// (seed, epoch), where documents are shuffled.
pub type Draw = Option<(u64, u64)>;

/// A piece of a document of the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    document: u32,
    start: u64,
    length: u32,
}

/// A bundle, read and packed.
pub(super) struct OpenBundle {
    number: usize,
    /// The row group and the first row of each block.
    blocks: Vec<(usize, u64, ListBlock)>,
    /// The block of each document, and its list there.
    documents: Vec<(u32, u32)>,
    /// Sequence by sequence.
    parts: Vec<Part>,
    /// Where each sequence ends in `parts`.
    ends: Vec<usize>,
}

impl OpenBundle {
    /// Reads a bundle and packs it. It must have as many tokens and sequences as were counted.
    pub(super) fn read(from: &PackSource<'_>, number: usize, draw: Draw) -> Result<Self> {
        let (bundle, counted) = from.line.bundle(number).ok_or_else(|| Error::internal("no such bundle"))?;
        let (mut blocks, mut documents, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        for group in bundle.groups.clone() {
            let mut tokens = 0;
            for_each_block(&from.lists, bundle, group, |lists, rows| {
                let first = lists.row;
                let block = lists.next(&from.lists, rows)?;
                for list in 0..block.len() {
                    let length = block.tokens(from.pack, list);
                    if length > 0 {
                        documents.push((blocks.len() as u32, list as u32));
                        lengths.push(length);
                        tokens += from.pack.slot(length);
                    }
                }
                blocks.push((group, first, block));
                Ok(())
            })?;
            if bundle.rows.is_none() && tokens != from.line.tokens()[group] {
                return Err(from.miscounted(group, &tokens.to_string()));
            }
        }
        let parts = cut(&lengths, from.pack);
        let lengths = slots(&parts, from.pack);
        let (_, count) = best_fit(&lengths, from.pack.seq_len, EXACT);
        if u64::from(count) != counted {
            let detail = format!("documents that fill {count} sequences instead of {counted}");
            return Err(from.changed(bundle.groups.start, &detail));
        }
        let (order, ends) =
            arrange(&lengths, from.pack.seq_len, draw.map(|(seed, epoch)| [seed, epoch, number as u64]));
        let parts = order.into_iter().map(|part| parts[part as usize]).collect();
        Ok(Self { number, blocks, documents, parts, ends })
    }

    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> u64 {
        let of_blocks: u64 = self.blocks.iter().map(|(_, _, block)| block.bytes()).sum();
        of_blocks + (size_of_val(&*self.documents) + size_of_val(&*self.parts) + size_of_val(&*self.ends)) as u64
    }

    fn sequence(&self, sequence: usize) -> &[Part] {
        let start = sequence.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.parts[start..self.ends[sequence]]
    }

    /// Where the tokens of a sequence are from.
    pub(super) fn pieces(&self, sequence: usize) -> impl Iterator<Item = Piece> {
        self.sequence(sequence).iter().map(|part| {
            let (block, list) = self.documents[part.document as usize];
            let (group, first, _) = &self.blocks[block as usize];
            let tokens = part.start..part.start + u64::from(part.length);
            let slot = tokens.end - tokens.start;
            Piece { group: *group, row: first + u64::from(list), tokens, slot }
        })
    }

    /// Writes a sequence. With an extra token that is the next one of the last piece's document, where that goes on and
    /// the sequence is full.
    pub(super) fn write<T: Token>(&self, pack: &Pack, sequence: usize, out: &mut BlockWriter<'_, T>) {
        for part in self.sequence(sequence) {
            let (block, list) = self.documents[part.document as usize];
            let (block, list) = (&self.blocks[block as usize].2, list as usize);
            let end = part.start + u64::from(part.length);
            out.piece(block, list, &(part.start..end));
            if pack.extra_token && out.is_full() && end < block.tokens(pack, list) {
                out.extra(block, list, end);
            }
        }
    }
}

/// How many sequences the documents of a bundle fill.
///
/// # Errors
/// Whatever goes wrong with reading; a document over `seq_len` where that is an error.
pub(super) fn count_sequences(lists: &ListSource<'_>, pack: &Pack, bundle: &Bundle) -> Result<u64> {
    let mut lengths = Vec::new();
    for group in bundle.groups.clone() {
        for_each_block(lists, bundle, group, |reader, rows| {
            let first = reader.row;
            let found = reader.lengths(lists, pack, rows)?;
            if pack.fit == Some(Long::Error)
                && let Some(at) = found.iter().position(|&length| length > pack.seq_len as u64)
            {
                return Err(reader.too_long(lists, first + at as u64, found[at], pack.seq_len));
            }
            lengths.extend(found.into_iter().filter(|&length| length > 0));
            Ok(())
        })?;
    }
    Ok(u64::from(best_fit(&slots(&cut(&lengths, pack), pack), pack.seq_len, EXACT).1))
}

/// Does something with the lists of a row group that are in a bundle, some rows at a time.
fn for_each_block(
    lists: &ListSource<'_>,
    bundle: &Bundle,
    group: usize,
    mut then: impl FnMut(&mut ListReader, u64) -> Result<()>,
) -> Result<()> {
    let rows = bundle.rows.clone();
    let mut reader = ListReader::new(lists.files, group, rows.as_ref().map_or(0, |rows| rows.start));
    let end = rows.map_or(reader.rows(), |rows| rows.end);
    while reader.row < end {
        let rows = (end - reader.row).min(BLOCK_ROWS);
        then(&mut reader, rows)?;
    }
    Ok(())
}

/// The places that each piece takes.
fn slots(parts: &[Part], pack: &Pack) -> Vec<u32> {
    parts.iter().map(|part| pack.slot(u64::from(part.length)) as u32).collect()
}

/// The pieces of documents of these lengths, none of more than `seq_len` tokens.
fn cut(lengths: &[u64], pack: &Pack) -> Vec<Part> {
    let most = pack.seq_len as u64;
    let mut parts = Vec::with_capacity(lengths.len());
    for (document, &length) in lengths.iter().enumerate() {
        let kept = match pack.fit {
            Some(Long::Truncate) => length.min(most),
            Some(Long::Drop) if length > most => 0,
            _ => length,
        };
        let mut start = 0;
        while start < kept {
            let length = (kept - start).min(most) as u32;
            parts.push(Part { document: document as u32, start, length });
            start += u64::from(length);
        }
    }
    parts
}

/// These pieces in an order that is drawn, the sequence of each, and how many sequences there are: as many as the longest
/// first fill.
///
/// If exactly the longest came first, only pieces of one length could change places, and most sequences would be the same
/// in every epoch. So lengths are compared by as few of their first digits as do not fill more sequences. If these fill
/// fewer, the last pieces that are not alone have sequences of their own.
fn draw_partners(lengths: &[u32], seq_len: usize, [seed, epoch, number]: [u64; 3]) -> (Vec<u32>, Vec<u32>, u32) {
    let (_, count) = best_fit(lengths, seq_len, EXACT);
    let fill = |digits: u32| {
        let ranked = permutation(key("pack", &[seed, epoch, number, u64::from(digits)]), lengths.len() as u32);
        let drawn: Vec<u32> = ranked.iter().map(|&piece| lengths[piece as usize]).collect();
        let (sequences, found) = best_fit(&drawn, seq_len, digits);
        (ranked, sequences, found)
    };
    let few = (FEWEST_DIGITS..EXACT).map(fill).find(|(_, _, found)| *found <= count);
    let (ranked, mut sequences, mut found) = few.unwrap_or_else(|| fill(EXACT));
    let mut sizes = vec![0_u32; found as usize];
    sequences.iter().for_each(|&sequence| sizes[sequence as usize] += 1);
    for sequence in sequences.iter_mut().rev() {
        if found < count && sizes[*sequence as usize] > 1 {
            sizes[*sequence as usize] -= 1;
            sizes.push(1);
            *sequence = found;
            found += 1;
        }
    }
    (ranked, sequences, found)
}

/// The pieces of each sequence, end to end, and where each sequence ends.
fn arrange(lengths: &[u32], seq_len: usize, draw: Option<[u64; 3]>) -> (Vec<u32>, Vec<usize>) {
    let (ranked, sequences, count) = draw.map_or_else(
        || {
            let (sequences, count) = best_fit(lengths, seq_len, EXACT);
            ((0..lengths.len() as u32).collect(), sequences, count)
        },
        |draw| draw_partners(lengths, seq_len, draw),
    );
    // Where each sequence comes: drawn, or by its first piece.
    let mut places = vec![u32::MAX; count as usize];
    if let Some(draw) = draw {
        let turns = permutation(key("pack sequences", &draw), count);
        (0..).zip(turns).for_each(|(place, sequence)| places[sequence as usize] = place);
    } else {
        let mut next = 0;
        for &sequence in &sequences {
            if places[sequence as usize] == u32::MAX {
                places[sequence as usize] = next;
                next += 1;
            }
        }
    }
    let mut ends = vec![0_usize; count as usize];
    sequences.iter().for_each(|&sequence| ends[places[sequence as usize] as usize] += 1);
    let mut end = 0;
    for each in &mut ends {
        end += std::mem::replace(each, end); // where it begins, for now
    }
    let mut order = vec![0; lengths.len()];
    for (&sequence, &part) in sequences.iter().zip(&ranked) {
        let end = &mut ends[places[sequence as usize] as usize];
        order[*end] = part;
        *end += 1;
    }
    (order, ends)
}

/// The sequences of a row group, counted from its first, by bundle: (bundle, sequences of it).
pub(super) fn by_bundle(line: &crate::files::TokenLine, group: usize, rows: &Range<u64>) -> Vec<(usize, Range<usize>)> {
    let mut first = 0;
    let mut found = Vec::new();
    for (number, count) in line.bundles_of(group) {
        let (start, end) = (rows.start.max(first), rows.end.min(first + count));
        if start < end {
            found.push((number, (start - first) as usize..(end - first) as usize));
        }
        first += count;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_are_drawn_into_as_many_sequences_as_the_longest_first_fill(
            seq_len in prop_oneof![1_u32..70, 1_u32..5000],
            shares in proptest::collection::vec(0.0_f64..1.0, 0..300),
            draw in proptest::option::of(proptest::array::uniform3(0_u64..1000)),
        ) {
            let lengths: Vec<u32> = shares.iter().map(|share| 1 + (share * share * f64::from(seq_len - 1)) as u32).collect();
            let (order, ends) = arrange(&lengths, seq_len as usize, draw);
            prop_assert_eq!(ends.len(), best_fit(&lengths, seq_len as usize, EXACT).1 as usize);
            let mut start = 0;
            for &end in &ends {
                prop_assert!(start < end, "no sequence is empty");
                let tokens: u32 = order[start..end].iter().map(|&piece| lengths[piece as usize]).sum();
                prop_assert!(tokens <= seq_len);
                start = end;
            }
            let mut pieces = order;
            pieces.sort_unstable();
            prop_assert_eq!(pieces, (0..lengths.len() as u32).collect::<Vec<_>>(), "every piece once");
        }
    }
}
