//! Sequences as they are decoded, written piece by piece: see [`Pack::block_fields`].

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, ListArray, StructArray};
use arrow_buffer::{Buffer, MutableBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Fields};

use super::documents::Token;
use super::list_block::ListBlock;
use crate::buffer_pool;
use crate::decode::{Pack, PackColumns, rebuild};
use crate::{Error, Result};

/// Writes sequences one after the other.
pub(super) struct BlockWriter<'a, T> {
    pack: &'a Pack,
    fields: Fields,
    ids: Vec<T>,
    /// The tokens of each piece, and how many pieces there are up to the end of each sequence.
    pieces: Vec<i32>,
    offsets: Vec<i32>,
    /// Of each column beside the tokens, the bytes of an item, and the items of all places.
    along: Vec<(usize, MutableBuffer)>,
    /// Of each column of numbers, those of the pieces.
    meta: Vec<MutableBuffer>,
    /// How many first tokens of each piece are no labels, where some may not be.
    prompts: Option<Vec<i32>>,
    /// The places of the open sequence that are written.
    filled: u64,
}

impl<'a, T: Token> BlockWriter<'a, T> {
    /// For so many sequences.
    pub(super) fn new(pack: &'a Pack, columns: PackColumns<'_>, sequences: usize) -> Result<Self> {
        let fields = pack.block_fields(columns)?;
        let width = |field: usize| match fields[field].data_type() {
            DataType::FixedSizeList(item, _) => item.data_type().primitive_width().unwrap_or(1),
            _ => 1,
        };
        let along = (0..columns.along.len()).map(|column| width(2 + column));
        let room = |width: usize| MutableBuffer::with_capacity(sequences * pack.seq_len * width);
        let mut offsets = Vec::with_capacity(sequences + 1);
        offsets.push(0);
        Ok(Self {
            pack,
            ids: buffer_pool::vec(sequences * pack.width()),
            pieces: Vec::new(),
            offsets,
            along: along.map(|width| (width, room(width))).collect(),
            meta: columns.meta.iter().map(|_| MutableBuffer::new(0)).collect(),
            prompts: columns.prompts.map(|_| Vec::new()),
            filled: 0,
            fields,
        })
    }

    /// Whether the open sequence has no place left.
    pub(super) fn is_full(&self) -> bool {
        self.filled == self.pack.seq_len as u64
    }

    /// Adds these tokens of a document, and the padding of its slot.
    pub(super) fn piece(&mut self, block: &ListBlock, list: usize, tokens: &Range<u64>) {
        block.copy(self.pack, list, tokens, &mut self.ids);
        for (column, (_, items)) in self.along.iter_mut().enumerate() {
            block.copy_along(self.pack, column, list, tokens, items);
        }
        for (column, numbers) in self.meta.iter_mut().enumerate() {
            block.copy_meta(column, list, numbers);
        }
        if let Some(prompts) = &mut self.prompts {
            let masked = block.prompt(self.pack, list).saturating_sub(tokens.start);
            prompts.push(i32::try_from(masked).unwrap_or(i32::MAX));
        }
        let count = tokens.end - tokens.start;
        self.pieces.push(count as i32);
        let slot = self.pack.slot(count);
        self.filled += slot;
        if slot > count {
            self.fill((slot - count) as usize);
        }
    }

    /// Adds the token after a sequence that is full: the next one of its last document.
    pub(super) fn extra(&mut self, block: &ListBlock, list: usize, token: u64) {
        block.copy(self.pack, list, &(token..token + 1), &mut self.ids);
        if let Some(last) = self.pieces.last_mut() {
            *last += 1;
        }
    }

    /// Ends the sequence, with padding in the places that are left.
    pub(super) fn end(&mut self) -> Result<()> {
        let left = (self.pack.seq_len as u64).saturating_sub(self.filled) as usize;
        self.fill(left);
        self.ids.resize(self.offsets.len() * self.pack.width(), T::of(0));
        self.filled = 0;
        let pieces = i32::try_from(self.pieces.len()).map_err(|_| {
            let detail = "over 2**31 documents in a window of sequences; use a smaller shuffle_buffer_size";
            Error::Unsupported(detail.to_owned())
        })?;
        self.offsets.push(pieces);
        Ok(())
    }

    fn fill(&mut self, places: usize) {
        self.ids.resize(self.ids.len() + places, T::of(0));
        for (width, items) in &mut self.along {
            items.resize(items.len() + places * *width, 0);
        }
    }

    /// All sequences.
    pub(super) fn finish(self) -> Result<ArrayRef> {
        let rows = self.offsets.len() - 1;
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        let pieces = self.pieces.len();
        let fixed = std::iter::once(buffer_pool::buffer(self.ids));
        let a_piece = std::iter::once(Buffer::from_vec(self.pieces));
        let along = self.along.into_iter().map(|(_, items)| Buffer::from(items));
        let meta = self.meta.into_iter().map(Buffer::from);
        let buffers = fixed.chain(a_piece).chain(along).chain(meta).chain(self.prompts.map(Buffer::from_vec));
        let arrays = self.fields.iter().zip(buffers).map(|(field, buffer)| match field.data_type() {
            DataType::List(item) => {
                let values = rebuild(item.data_type(), pieces, buffer)?;
                let lists = ListArray::try_new(item.clone(), offsets.clone(), values, None)?;
                Ok(Arc::new(lists) as ArrayRef)
            }
            fixed => rebuild(fixed, rows, buffer),
        });
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(StructArray::try_new(self.fields, arrays, None)?))
    }
}
