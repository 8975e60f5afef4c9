//! The pages of a chunk, read in the order in which they are stored.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::page_index::offset_index::PageLocation;

use super::codec::Codec;
use super::header::{Header, PageKind, header};
use super::page_content::{content, is_worth_it, levels_before_values, with_content};
use super::page_index::PageIndex;
use super::parallel_decompress::{DecompressPool, DecompressTask};
use super::writer::rows_of;
use crate::decode::dense::{DensePages, StoredValues};
use crate::fetch::ReadAt;

/// Bytes that are read to find a page's header.
const HEADER_BYTES: usize = 512;
/// A near chunk that is no larger is read at once.
const SMALL_BYTES: u64 = 64 << 10;
/// Plain values of no fewer bytes are read where they are used.
const APART_BYTES: usize = 32 << 10;

/// Reads a chunk's pages in their order.
pub(super) struct ChunkPages<I> {
    input: I,
    compression: Compression,
    codec: Option<Codec>,
    /// Who may decompress pages before their turn.
    pool: Option<Arc<DecompressPool>>,
    /// Whether the column has repetition levels, and definition levels.
    levels: [bool; 2],
    /// Whether pages of version 2 may be flagged as not compressed that are.
    flags_lie: bool,
    /// The next page, if its header was read.
    next: Option<LocatedPage>,
    /// Those behind it whose headers were read.
    behind: VecDeque<LocatedPage>,
    /// Where the page after these begins.
    at: u64,
    end: u64,
    /// Bytes read ahead, and where they begin.
    ahead: (u64, Bytes),
    index: Option<PageIndex>,
}

/// A page whose header was read.
struct LocatedPage {
    header: Header,
    /// Where its content begins.
    at: u64,
    /// Its content, where another thread may make it.
    task: Option<Arc<DecompressTask>>,
}

impl<I: ReadAt> ChunkPages<I> {
    pub(super) fn new(
        input: I,
        chunk: &ColumnChunkMetaData,
        codec: Option<Codec>,
        rows: usize,
        places: Option<Vec<PageLocation>>,
        pool: Option<Arc<DecompressPool>>,
    ) -> Self {
        let (start, length) = chunk.byte_range();
        let levels = [chunk.column_descr().max_rep_level() > 0, chunk.column_descr().max_def_level() > 0];
        let index = places.map(|pages| PageIndex::new(start, pages, rows));
        let ahead = (start, Bytes::new());
        // Another thread must not wait for bytes; and the places of an index are passed one by one.
        let pool = pool.filter(|_| codec.is_some() && input.is_near() && index.is_none());
        Self {
            input,
            compression: chunk.compression(),
            codec,
            pool,
            levels,
            flags_lie: false,
            next: None,
            behind: VecDeque::new(),
            at: start,
            end: start.saturating_add(length),
            ahead,
            index,
        }
    }

    /// `flags_lie`: pages of version 2 are compressed, whatever their flag says.
    pub(super) fn with_flags(self, flags_lie: bool) -> Self {
        Self { flags_lie, ..self }
    }

    fn left(&self) -> usize {
        usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX)
    }

    /// The bytes from a place on that were read ahead.
    fn held(&self, at: u64) -> Bytes {
        let (start, bytes) = &self.ahead;
        let from = at.checked_sub(*start).and_then(|from| usize::try_from(from).ok());
        from.filter(|&from| from < bytes.len()).map_or_else(Bytes::new, |from| bytes.slice(from..))
    }

    /// The `length` bytes from a place on, which are in the chunk.
    fn bytes(&self, at: u64, length: usize) -> Result<Bytes> {
        let held = self.held(at);
        if held.len() >= length {
            return Ok(held.slice(..length));
        }
        self.input.get_bytes(at, length)
    }

    /// Makes more bytes from here on be held than were.
    fn read_ahead(&mut self) -> Result<()> {
        let held = self.held(self.at);
        let mut length = (2 * held.len()).max(HEADER_BYTES);
        if self.input.is_near() && self.left() as u64 <= SMALL_BYTES {
            length = self.left();
        }
        let more = self.input.some(self.at + held.len() as u64, length.min(self.left()) - held.len())?;
        self.ahead = (self.at, if held.is_empty() { more } else { [held, more].concat().into() });
        Ok(())
    }

    /// Reads the next page's header, if it was not. There is none at the chunk's end.
    fn open(&mut self) -> Result<()> {
        if self.next.is_none() {
            self.next = match self.behind.pop_front() {
                Some(page) => Some(page),
                None => self.open_one()?,
            };
        }
        Ok(())
    }

    /// Reads one more page's header, and passes over pages that are neither data nor dictionary. None at the chunk's
    /// end.
    fn open_one(&mut self) -> Result<Option<LocatedPage>> {
        loop {
            if !self.go_to_next() {
                return Ok(None);
            }
            let Some((mut found, length)) = header(&self.held(self.at))? else {
                if self.held(self.at).len() >= self.left() {
                    return Err(ParquetError::EOF("the chunk ends in a page's header".into()));
                }
                self.read_ahead()?;
                continue;
            };
            self.at += length as u64;
            if found.stored > self.left() {
                return Err(ParquetError::EOF(format!(
                    "a page of {} bytes in a chunk's last {}",
                    found.stored,
                    self.left()
                )));
            }
            // A page that is not compressed has one size.
            if let PageKind::V2 { is_compressed, .. } = &mut found.kind
                && (self.flags_lie || found.size != found.stored)
            {
                *is_compressed = true;
            }
            let at = self.at;
            self.at += found.stored as u64;
            if found.kind == PageKind::Other {
                self.pass();
            } else {
                return Ok(Some(LocatedPage { header: found, at, task: None }));
            }
        }
    }

    /// Offers the pages behind this one to threads without work. Not those behind a dictionary, which may be passed
    /// over.
    fn offer_next(&mut self, page: &Header) {
        let Some(pool) = self.pool.clone().filter(|_| is_worth_it(page)) else { return };
        while self.behind.len() < pool.room() {
            let before = self.at;
            let Ok(Some(mut page)) = self.open_one() else {
                self.at = before; // what is wrong with it is said in its turn
                break;
            };
            if is_worth_it(&page.header) {
                let (input, header, at, compression) =
                    (self.input.clone(), page.header.clone(), page.at, self.compression);
                let (size, held) = (header.size, self.held(at));
                let make = move || content(&input, at, &header, Codec::of(compression)?.flatten().as_mut(), held);
                page.task = Some(pool.offer(size, make));
            }
            self.behind.push_back(page);
        }
    }

    /// A page's content, decompressed by this thread or by another; this one does not wait while it could do the same
    /// for the pages behind.
    fn content(&mut self, page: &LocatedPage) -> Result<Bytes> {
        let Some(task) = &page.task else {
            let held = self.held(page.at);
            return content(&self.input, page.at, &page.header, self.codec.as_mut(), held);
        };
        task.run();
        while !task.is_done() && self.behind.iter().filter_map(|page| page.task.as_ref()).any(|page| page.run()) {}
        task.take()
    }

    /// Goes where the next page begins; false where there is none.
    fn go_to_next(&mut self) -> bool {
        match &self.index {
            Some(index) if !index.is_dictionary() => match index.next() {
                Some(page) => self.at = page.offset.unsigned_abs(),
                None => return false,
            },
            _ => {}
        }
        self.left() > 0
    }

    /// Takes note that the next page was passed.
    fn pass(&mut self) {
        if let Some(index) = &mut self.index {
            index.pass();
        }
    }

    /// How many bytes of a plain page that is stored as it is come before its values; None where these are not to be
    /// read apart.
    fn levels_apart(&self, page: &Header, at: u64) -> Result<Option<usize>> {
        let is_worth_it = page.crc.is_none() && self.input.is_near() && page.stored >= APART_BYTES;
        if !is_worth_it {
            return Ok(None);
        }
        levels_before_values(page, self.codec.is_some(), self.levels, |length| self.bytes(at, length))
    }

    /// Takes the next page, if `take` makes something of it: of where the page is, its header, and how it is packed.
    pub(super) fn take_if<T>(
        &mut self,
        take: impl FnOnce(&I, u64, &Header, Option<&Codec>) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        self.open()?;
        let Some(page) = &self.next else { return Ok(None) };
        let taken = take(&self.input, page.at, &page.header, self.codec.as_ref())?;
        if taken.is_some() {
            self.next = None;
            self.pass();
        }
        Ok(taken)
    }

    fn next_page(&mut self, apart: bool) -> Result<Option<(Page, Option<StoredValues>)>> {
        self.open()?;
        let Some(mut page) = self.next.take() else { return Ok(None) };
        self.pass();
        let levels = if apart { self.levels_apart(&page.header, page.at)? } else { None };
        let Some(levels) = levels else {
            self.offer_next(&page.header);
            let content = self.content(&page)?;
            return Ok(Some((with_content(page.header.kind, content)?, None)));
        };
        let (input, at, length) = (self.input.clone(), page.at + levels as u64, page.header.stored - levels);
        let stored = StoredValues::new(input, at, length);
        if let PageKind::V2 { is_compressed, .. } = &mut page.header.kind {
            *is_compressed = false;
        }
        Ok(Some((with_content(page.header.kind, self.bytes(page.at, levels)?)?, Some(stored))))
    }
}

impl<I: ReadAt> DensePages for ChunkPages<I> {
    fn next_dense(&mut self) -> Result<Option<(Page, Option<StoredValues>)>> {
        self.next_page(true)
    }
}

impl<I: ReadAt> PageReader for ChunkPages<I> {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        Ok(self.next_page(false)?.map(|(page, _)| page))
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        if let Some(index) = &self.index {
            return Ok(index.peek());
        }
        self.open()?;
        Ok(self.next.as_ref().map(|page| {
            let (num_rows, num_levels, is_dict) = match page.header.kind {
                PageKind::V1 { values, .. } => (None, Some(values as usize), false),
                PageKind::V2 { values, rows, .. } => {
                    (rows_of(rows, values, self.levels[0]), Some(values as usize), false)
                }
                PageKind::Dictionary { .. } | PageKind::Other => (None, None, true),
            };
            PageMetadata { num_rows, num_levels, is_dict }
        }))
    }

    fn skip_next_page(&mut self) -> Result<()> {
        if self.index.is_none() {
            self.open()?;
            self.next = None;
        }
        self.pass();
        Ok(())
    }
}

impl<I: ReadAt> Iterator for ChunkPages<I> {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}
