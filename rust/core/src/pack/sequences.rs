//! The sequences of a row group, written into blocks of one width.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, ListArray, StructArray};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field};

use super::documents::{Documents, PackSource, Token};
use super::fitted::{Draw, OpenBundle, by_bundle};
use super::lists::ListSource;
use crate::buffer_pool;
use crate::decode::{Pack, item_type, rebuild};
use crate::fetch::Files;
use crate::{Error, Result};

/// Reads the sequences that begin in a row group, on from any of them.
pub(crate) struct SequenceReader {
    group: usize,
    /// None before the first reading, and after an error.
    documents: Option<Documents>,
    /// In its place, where documents are packed whole.
    bundle: Option<OpenBundle>,
}

impl SequenceReader {
    pub(crate) fn new(group: usize) -> Self {
        Self { group, documents: None, bundle: None }
    }

    /// The bytes that it holds between two readings.
    pub(crate) fn held(&self) -> u64 {
        self.documents.as_ref().map_or(0, Documents::held) + self.bundle.as_ref().map_or(0, OpenBundle::bytes)
    }

    /// Releases what it holds; the place stays known.
    pub(crate) fn close(&mut self, files: &Files) {
        self.bundle = None;
        if let Some(documents) = &mut self.documents {
            documents.close(files);
        }
    }

    /// These sequences of the row group: see [`Pack::block_fields`]. `draw`: what the documents of a bundle are shuffled by.
    pub(crate) fn read(
        &mut self,
        lists: ListSource<'_>,
        pack: &Pack,
        rows: &Range<u64>,
        draw: Draw,
    ) -> Result<ArrayRef> {
        let token = item_type(lists.column.field.data_type()).ok_or_else(|| Error::internal("a pack of no lists"))?;
        match token.primitive_width() {
            Some(1) => self.blocks::<u8>(lists, pack, token, rows, draw),
            Some(2) => self.blocks::<u16>(lists, pack, token, rows, draw),
            Some(4) => self.blocks::<u32>(lists, pack, token, rows, draw),
            Some(8) => self.blocks::<u64>(lists, pack, token, rows, draw),
            _ => Err(Error::internal(format!("tokens of {token}"))),
        }
    }

    fn blocks<T: Token>(
        &mut self,
        lists: ListSource<'_>,
        pack: &Pack,
        token: &DataType,
        rows: &Range<u64>,
        draw: Draw,
    ) -> Result<ArrayRef> {
        let line = lists.files.plan().token_line().ok_or_else(|| Error::internal("tokens that were not counted"))?;
        let from = PackSource { lists, pack, line };
        let (count, width) = ((rows.end - rows.start) as usize, pack.width());
        let mut ids: Vec<T> = buffer_pool::vec(count * width);
        let (mut pieces, mut offsets): (Vec<i32>, Vec<i32>) = (Vec::new(), Vec::with_capacity(count + 1));
        offsets.push(0);
        if line.bundle_counts().is_some() {
            for (number, sequences) in by_bundle(line, self.group, rows) {
                let bundle = self.open(&from, number, draw)?;
                for sequence in sequences {
                    bundle.write(pack, sequence, &mut ids, &mut pieces);
                    ids.resize(offsets.len() * width, T::of(0));
                    offsets.push(i32::try_from(pieces.len()).map_err(|_| too_many())?);
                }
            }
        } else {
            self.wrapped(&from, rows, &mut ids, &mut pieces, &mut offsets)?;
        }
        let fields = pack.block_fields(token)?;
        let ids = rebuild(fields[0].data_type(), count, buffer_pool::buffer(ids))?;
        let lengths = rebuild(&DataType::Int32, pieces.len(), Buffer::from_vec(pieces))?;
        let item = Arc::new(Field::new("item", DataType::Int32, false));
        let pieces = ListArray::try_new(item, OffsetBuffer::new(ScalarBuffer::from(offsets)), lengths, None)?;
        Ok(Arc::new(StructArray::try_new(fields, vec![ids, Arc::new(pieces)], None)?))
    }

    /// Appends sequences of the token line: ids, the lengths of their pieces, and how many of these there are so far.
    fn wrapped<T: Token>(
        &mut self,
        from: &PackSource<'_>,
        rows: &Range<u64>,
        ids: &mut Vec<T>,
        pieces: &mut Vec<i32>,
        offsets: &mut Vec<i32>,
    ) -> Result<()> {
        let (pack, line) = (from.pack, from.line);
        let tokens = line.range(self.group, rows);
        let mut documents = match self.documents.take() {
            Some(documents) if documents.position(line) <= tokens.start => documents,
            _ => Documents::new(from, self.group),
        };
        documents.skip(from, tokens.start - documents.position(line))?;
        for _ in rows.clone() {
            let mut left = pack.seq_len as u64;
            while left > 0
                && let Some(piece) = documents.take(from, left, Some(ids))?
            {
                left -= piece.len();
                pieces.push(piece.len() as i32);
            }
            if pack.extra_token
                && left == 0
                && let Some((token, goes_on)) = documents.peek(from)?
            {
                ids.push(token);
                match pieces.last_mut() {
                    Some(last) if goes_on => *last += 1,
                    _ => pieces.push(1),
                }
            }
            ids.resize(offsets.len() * pack.width(), T::of(0));
            offsets.push(i32::try_from(pieces.len()).map_err(|_| too_many())?);
        }
        documents.check_end(from)?;
        self.documents = Some(documents);
        Ok(())
    }

    /// The bundle, read unless it is open.
    fn open(&mut self, from: &PackSource<'_>, number: usize, draw: Draw) -> Result<&OpenBundle> {
        let open = self.bundle.take().filter(|bundle| bundle.number() == number);
        let open = open.map_or_else(|| OpenBundle::read(from, number, draw), Ok)?;
        Ok(self.bundle.insert(open))
    }
}

fn too_many() -> Error {
    Error::Unsupported("over 2**31 documents in a window of sequences; use a smaller shuffle_buffer_size".to_owned())
}
