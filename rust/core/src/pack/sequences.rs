//! The sequences of a row group, written into blocks of one width.

use std::ops::Range;

use arrow_array::ArrayRef;

use super::block_writer::BlockWriter;
use super::documents::{Documents, PackSource, Token};
use super::fitted::{Draw, OpenBundle, by_bundle};
use super::lists::ListSource;
use crate::decode::{Pack, item_type};
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
        let token = item_type(lists.columns.lists.field.data_type());
        match token.and_then(arrow_schema::DataType::primitive_width) {
            Some(1) => self.blocks::<u8>(lists, pack, rows, draw),
            Some(2) => self.blocks::<u16>(lists, pack, rows, draw),
            Some(4) => self.blocks::<u32>(lists, pack, rows, draw),
            Some(8) => self.blocks::<u64>(lists, pack, rows, draw),
            _ => Err(Error::internal("tokens of no number")),
        }
    }

    fn blocks<T: Token>(
        &mut self,
        lists: ListSource<'_>,
        pack: &Pack,
        rows: &Range<u64>,
        draw: Draw,
    ) -> Result<ArrayRef> {
        let line = lists.files.plan().token_line().ok_or_else(|| Error::internal("tokens that were not counted"))?;
        let from = PackSource { lists, pack, line };
        let mut out = BlockWriter::<T>::new(pack, lists.columns, (rows.end - rows.start) as usize)?;
        if line.bundle_counts().is_some() {
            for (number, sequences) in by_bundle(line, self.group, rows) {
                let bundle = self.open(&from, number, draw)?;
                for sequence in sequences {
                    bundle.write(pack, sequence, &mut out);
                    out.end()?;
                }
            }
        } else {
            self.wrapped(&from, rows, &mut out)?;
        }
        out.finish()
    }

    /// Writes sequences of the token line.
    fn wrapped<T: Token>(
        &mut self,
        from: &PackSource<'_>,
        rows: &Range<u64>,
        out: &mut BlockWriter<'_, T>,
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
                && let Some(piece) = documents.take(from, left, Some(out))?
            {
                left -= piece.slot;
            }
            if pack.extra_token && left == 0 {
                documents.extra(pack, out);
            }
            out.end()?;
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
