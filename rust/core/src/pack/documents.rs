//! A walk over the documents of the token line, in file order, from a row group on.

use std::ops::Range;

use arrow_buffer::ArrowNativeType;

use super::block_writer::BlockWriter;
use super::list_block::ListBlock;
use super::lists::{ListReader, ListSource};
use crate::buffer_pool::Element;
use crate::decode::Pack;
use crate::files::TokenLine;
use crate::{Error, Result};

/// Tokens that are decoded at a time, about: at least of the row group that sequences are read of, and at most.
const LEAST: u64 = 1 << 16;
const MOST: u64 = 1 << 20;

/// What documents are read from, and how they are packed.
#[derive(Clone, Copy)]
pub(super) struct PackSource<'a> {
    pub(super) lists: ListSource<'a>,
    pub(super) pack: &'a Pack,
    pub(super) line: &'a TokenLine,
}

/// Tokens of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) group: usize,
    /// Counted among the rows that pass.
    pub(super) row: u64,
    pub(super) tokens: Range<u64>,
    /// The places that they take: more where the document's slot ends in padding.
    pub(super) slot: u64,
}

/// An id, as the bytes that it has in the files.
pub(super) trait Token: Element + ArrowNativeType {
    fn of(id: i64) -> Self;
}

macro_rules! token {
    ($($token:ty),*) => {$(
        impl Token for $token {
            fn of(id: i64) -> Self {
                id as Self
            }
        }
    )*};
}

token!(u8, u16, u32, u64);

/// A place on the token line.
pub(super) struct Documents {
    /// The row group that the walk began in.
    home: usize,
    lists: ListReader,
    block: ListBlock,
    /// The first row of the block, and the tokens of the row group before it.
    block_row: u64,
    block_tokens: u64,
    /// The document of the block, and how many places of its slot were passed.
    document: usize,
    within: u64,
    /// The places of the row group that were passed.
    passed: u64,
}

impl Documents {
    /// The first document of a row group.
    pub(super) fn new(from: &PackSource<'_>, group: usize) -> Self {
        Self {
            home: group,
            lists: ListReader::new(from.lists.files, group, 0),
            block: ListBlock::default(),
            block_row: 0,
            block_tokens: 0,
            document: 0,
            within: 0,
            passed: 0,
        }
    }

    /// The number of the next token on the line.
    pub(super) fn position(&self, line: &TokenLine) -> u64 {
        line.start(self.lists.group) + self.passed
    }

    /// The bytes that it holds between two readings.
    pub(super) fn held(&self) -> u64 {
        self.lists.held() + self.block.bytes()
    }

    /// Releases what it holds: it goes back to where its block began.
    pub(super) fn close(&mut self, from: &crate::fetch::Files) {
        self.lists = ListReader::new(from, self.lists.group, self.block_row);
        self.block = ListBlock::default();
        (self.document, self.within, self.passed) = (0, 0, self.block_tokens);
    }

    /// The next tokens, of at most so many places, all of one document; written to `out`, where there is one. None at the
    /// line's end.
    pub(super) fn take<T: Token>(
        &mut self,
        from: &PackSource<'_>,
        most: u64,
        out: Option<&mut BlockWriter<'_, T>>,
    ) -> Result<Option<Piece>> {
        if !self.settle(from, most)? {
            return Ok(None);
        }
        let tokens = self.block.tokens(from.pack, self.document);
        let slot = most.min(from.pack.slot(tokens) - self.within);
        let tokens = self.within.min(tokens)..(self.within + slot).min(tokens);
        if let Some(out) = out {
            out.piece(&self.block, self.document, &tokens);
        }
        let piece = Piece { group: self.lists.group, row: self.block_row + self.document as u64, tokens, slot };
        self.within += slot;
        self.passed += slot;
        Ok(Some(piece))
    }

    /// Passes over so many places; the line must have them.
    pub(super) fn skip(&mut self, from: &PackSource<'_>, places: u64) -> Result<()> {
        let mut left = places;
        while left > 0 {
            let piece = self.take::<u8>(from, left, None)?;
            left -= piece.ok_or_else(|| Error::internal("the token line ends early"))?.slot;
        }
        Ok(())
    }

    /// Writes the token after those that were just taken, where their document goes on.
    pub(super) fn extra<T: Token>(&self, pack: &Pack, out: &mut BlockWriter<'_, T>) {
        if self.document < self.block.len() && self.within < self.block.tokens(pack, self.document) {
            out.extra(&self.block, self.document, self.within);
        }
    }

    /// Where all counted tokens of a row group were passed, checks that it has no more: whoever reads on begins behind it.
    pub(super) fn check_end(&mut self, from: &PackSource<'_>) -> Result<()> {
        if from.line.tokens().get(self.lists.group) == Some(&self.passed) {
            self.next_document(from, 0)?;
        }
        Ok(())
    }

    /// Goes to the next document that has tokens left; false at the line's end.
    fn settle(&mut self, from: &PackSource<'_>, most: u64) -> Result<bool> {
        let groups = from.line.tokens().len();
        while self.lists.group < groups {
            if self.next_document(from, most)? {
                return Ok(true);
            }
            let home = self.home;
            *self = Self { home, ..Self::new(from, self.lists.group + 1) };
        }
        Ok(false)
    }

    /// The same, within the row group.
    fn next_document(&mut self, from: &PackSource<'_>, most: u64) -> Result<bool> {
        let counted = from.line.tokens()[self.lists.group];
        loop {
            while self.document < self.block.len() {
                let left = from.pack.slot(self.block.tokens(from.pack, self.document)) - self.within;
                if left > 0 {
                    if left > counted - self.passed {
                        return Err(from.miscounted(self.lists.group, &format!("over {counted}")));
                    }
                    return Ok(true);
                }
                (self.document, self.within) = (self.document + 1, 0);
            }
            if self.lists.left() == 0 {
                break;
            }
            let least = if self.lists.group == self.home { LEAST } else { 1 };
            let mean = (counted / self.lists.rows().max(1)).max(1);
            let rows = (most.clamp(least, MOST) / mean + 1).min(self.lists.left());
            (self.block_row, self.block_tokens) = (self.lists.row, self.passed);
            self.block = self.lists.next(&from.lists, rows)?;
            (self.document, self.within) = (0, 0);
        }
        if self.passed != counted {
            return Err(from.miscounted(self.lists.group, &self.passed.to_string()));
        }
        Ok(false)
    }
}

impl PackSource<'_> {
    /// The error of a row group that has another number of tokens than was counted.
    pub(super) fn miscounted(&self, group: usize, found: &str) -> Error {
        let cure = if self.pack.by_reading || self.lists.selections.is_some() {
            "restore the file, or plan anew and start the epoch again"
        } else {
            "if the file is the one that was planned, its footer is wrong: take Pack(…, count=\"lists\"), which counts \
             by reading"
        };
        self.changed(group, &format!("{found} tokens, and {} were counted; {cure}", self.line.tokens()[group]))
    }

    /// The error of a row group whose column is not what was counted.
    pub(super) fn changed(&self, group: usize, found: &str) -> Error {
        let plan = self.lists.files.plan();
        let file = plan.file_of_group(group);
        let (number, name) = (group - plan.groups(file).start, &self.lists.columns.lists.name);
        Error::Changed { path: plan.path(file), detail: format!("row group {number}: column {name:?} has {found}") }
    }
}
