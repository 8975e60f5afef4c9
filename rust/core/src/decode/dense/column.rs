//! The state of a column chunk between reads: the page in use and what is left of it.

use arrow_array::{ArrayRef, make_array};
use arrow_data::ArrayData;
use arrow_schema::DataType;
use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::page::Page;

use super::error::{DenseError, Result, corrupt};
use super::kind::{ColumnKind, Nesting};
use super::levels::{Levels, Presence, list_starts, starts_with_list};
use super::lists::{Offsets, PageRows};
use super::page::{DensePages, Sections};
use super::values::Values;

/// Room reserved ahead of what a page is known to hold never goes over this many values.
const MAX_GUESS: usize = 1 << 24;
/// Lists of a page, at the most: a few bytes of levels may claim two billions, each a number to keep.
const MAX_LISTS: usize = 1 << 24;

pub(super) struct ChunkDecoder {
    pages: Box<dyn DensePages>,
    levels: Levels,
    nesting: Nesting,
    item: DataType,
    values: Box<dyn Values>,
    /// What is left of the page in use. Between calls it never begins inside a row.
    page: Option<OpenPage>,
    /// The page after it, where it was needed to see whether a list goes on there.
    pending: Option<Sections>,
    /// How many slots the pages to come may still have.
    slots_left: u64,
    /// A page was met that cannot be decoded here, so that the position is no longer known.
    lost: bool,
    /// Lists are measured, and their values passed over.
    measures: bool,
    spare_starts: Vec<u32>,
}

struct OpenPage {
    rows: PageRows,
    /// Whether its values can be decoded; its rows can be skipped anyway.
    dense: bool,
}

/// Whether a step was made, or the column turned out not to be dense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Done,
    NotDense,
}

impl ChunkDecoder {
    pub(super) fn new(pages: Box<dyn DensePages>, kind: ColumnKind) -> Self {
        Self {
            pages,
            levels: kind.levels,
            nesting: kind.nesting,
            item: kind.item,
            values: kind.values,
            page: None,
            pending: None,
            slots_left: u64::MAX,
            lost: false,
            measures: false,
            spare_starts: Vec::new(),
        }
    }

    pub(super) fn limit_slots(&mut self, slots: u64) {
        self.slots_left = slots;
    }

    pub(super) fn read(&mut self, rows: usize) -> Result<Option<ArrayRef>> {
        self.read_runs(std::iter::once((0, rows)), rows)
    }

    /// Of every run, passes over so many rows and reads the next so many, `rows` in all.
    pub(super) fn read_runs(
        &mut self,
        runs: impl Iterator<Item = (usize, usize)>,
        rows: usize,
    ) -> Result<Option<ArrayRef>> {
        let mut offsets = Offsets::new(&self.nesting);
        if !self.levels.repeated {
            self.values.reserve(rows)?;
        }
        let mut step = Ok(Progress::Done);
        for (skipped, taken) in runs {
            if skipped > 0 {
                step = self.advance(skipped, None);
            }
            if matches!(step, Ok(Progress::Done)) {
                step = self.advance(taken, Some(&mut offsets));
            }
            if !matches!(step, Ok(Progress::Done)) {
                break;
            }
        }
        let (buffer, count) = self.values.finish();
        self.lost |= step.is_err();
        if step? == Progress::NotDense {
            return Ok(None);
        }
        let data = ArrayData::try_new(self.item.clone(), count, None, 0, vec![buffer], vec![]);
        let values = make_array(data.map_err(|error| DenseError(error.to_string()))?);
        let array = offsets.finish(values)?;
        if array.as_ref().is_some_and(|array| array.len() != rows) {
            return corrupt(format!("lists of {rows} rows have another number of values"));
        }
        self.lost |= array.is_none();
        Ok(array)
    }

    /// Where each of the next lists ends, counted from 0 on in values, which are not decoded.
    pub(super) fn ends(&mut self, rows: usize) -> Result<Option<Vec<usize>>> {
        self.lost |= !self.levels.repeated;
        self.measures = true;
        let mut offsets = Offsets::Ends(vec![0]);
        let step = self.advance(rows, Some(&mut offsets));
        self.measures = false;
        self.lost |= step.is_err();
        Ok(match (step?, offsets) {
            (Progress::Done, Offsets::Ends(mut ends)) => {
                ends.remove(0);
                Some(ends)
            }
            _ => None,
        })
    }

    /// The bytes of the dictionary and of the page in use.
    pub(super) fn held(&self) -> usize {
        self.values.held()
    }

    pub(super) fn skip(&mut self, rows: usize) -> Result<()> {
        let step = self.advance(rows, None);
        self.lost |= step.is_err();
        step.map(|_| ())
    }

    /// Reads `rows` rows, or skips them where there are no `offsets`.
    fn advance(&mut self, rows: usize, mut offsets: Option<&mut Offsets>) -> Result<Progress> {
        let mut left = rows;
        while left > 0 && !self.lost {
            if self.page.is_none() {
                if offsets.is_none() && self.skip_page(&mut left)? {
                    continue;
                }
                if !self.open_page(false)? {
                    return corrupt(format!("the chunk ends {left} rows early"));
                }
                continue;
            }
            let (taken, values) = match &mut self.page {
                Some(page) if page.dense || offsets.is_none() => {
                    let taken = page.rows.left().min(left);
                    (taken, page.rows.take(taken, offsets.as_deref_mut())?)
                }
                _ => {
                    self.lost = true;
                    break;
                }
            };
            // As if all pages were like this one, and a little more: to grow later means to copy.
            let guess = values.saturating_mul(left) / taken.max(1);
            let guess = guess.saturating_add(guess / 32).min(values.max(MAX_GUESS)).max(values);
            self.pass(values, guess, offsets.is_some())?;
            left -= taken;
            self.close_page(&mut offsets)?;
        }
        Ok(if self.lost { Progress::NotDense } else { Progress::Done })
    }

    /// Moves over `values` values of the open page, into the output if they are `wanted`.
    fn pass(&mut self, values: usize, guess: usize, wanted: bool) -> Result<()> {
        if wanted && !self.measures {
            if self.levels.repeated {
                self.values.reserve(guess)?;
            }
            self.values.take(values)
        } else if self.page.as_ref().is_some_and(|page| page.dense && page.rows.left() > 0) {
            self.values.skip(values)
        } else {
            Ok(()) // the page is used up, or cannot be decoded
        }
    }

    /// Lets go of a page that is used up, after the rest of its last list, which may be in the next pages.
    fn close_page(&mut self, offsets: &mut Option<&mut Offsets>) -> Result<()> {
        while self.page.as_ref().is_some_and(|page| page.rows.left() == 0) {
            if let Some(page) = self.page.take() {
                self.spare_starts = page.rows.into_starts();
            }
            if !self.list_goes_on()? || !self.open_page(true)? {
                break;
            }
            let Some(page) = &mut self.page else { break };
            let values = page.rows.take_continued();
            if !page.dense && offsets.is_some() {
                self.lost = true;
                break;
            }
            self.pass(values, values, offsets.is_some())?;
            if let Some(offsets) = offsets {
                offsets.lengthen_last(values)?;
            }
        }
        Ok(())
    }

    /// Whether the next page begins inside a list. Only a page of version 1 without an index may.
    fn list_goes_on(&mut self) -> Result<bool> {
        while self.levels.repeated {
            if self.pending.is_none() {
                match self.pages.peek_next_page()? {
                    Some(next) if !next.is_dict && next.num_rows.is_none() => self.pending = self.fetch()?,
                    _ => return Ok(false),
                }
            }
            match &self.pending {
                None => return Ok(false),
                Some(next) if next.slots == 0 => self.pending = None,
                Some(Sections { bytes: Some((rep, ..)), .. }) => return Ok(!starts_with_list(rep)?),
                Some(_) => {
                    self.lost = true;
                    return Ok(false);
                }
            }
        }
        Ok(false)
    }

    /// Passes over the next page as a whole if its header says that it has no more rows than `left`.
    fn skip_page(&mut self, left: &mut usize) -> Result<bool> {
        if self.pending.is_some() {
            return Ok(false);
        }
        let rows = match self.pages.peek_next_page()? {
            Some(next) if next.is_dict => {
                // Alone: the page behind it may be passed over.
                if let Some(Page::DictionaryPage { buf, num_values, encoding, .. }) = self.pages.get_next_page()? {
                    self.set_dictionary(&buf, num_values, encoding)?;
                }
                return Ok(true);
            }
            Some(next) => match (next.num_rows, next.num_levels.filter(|_| !self.levels.repeated)) {
                (Some(rows), Some(levels)) if rows != levels => {
                    return corrupt(format!("a page of {levels} rows whose header or index says {rows}"));
                }
                (rows, levels) => rows.or(levels),
            },
            None => None,
        };
        match rows {
            Some(rows) if rows <= *left => {
                self.pages.skip_next_page()?;
                *left -= rows;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn set_dictionary(&mut self, bytes: &Bytes, num_values: u32, encoding: Encoding) -> Result<()> {
        match encoding {
            Encoding::PLAIN | Encoding::PLAIN_DICTIONARY => self.values.set_dictionary(bytes, num_values as usize)?,
            _ => self.lost = true,
        }
        Ok(())
    }

    /// The next data page, after the dictionary if that comes first.
    fn fetch(&mut self) -> Result<Option<Sections>> {
        if let Some(pending) = self.pending.take() {
            return Ok(Some(pending));
        }
        loop {
            // Of an index, if there is one: what it says must be what the page holds.
            let said = self.pages.peek_next_page()?.and_then(|next| next.num_rows);
            let Some((page, stored)) = self.pages.next_dense()? else { return Ok(None) };
            if let Page::DictionaryPage { buf, num_values, encoding, .. } = &page {
                self.set_dictionary(buf, *num_values, *encoding)?;
            } else if let Some(sections) = Sections::of(page, stored, &self.levels)? {
                if sections.slots == 0 && sections.rows.or(said).unwrap_or(0) == 0 {
                    continue; // it begins no list, whatever the next one begins with
                }
                return match self.slots_left.checked_sub(sections.slots as u64) {
                    None => corrupt("the pages hold more values than the chunk"),
                    Some(rest) => {
                        self.slots_left = rest;
                        Ok(Some(Sections { rows: sections.rows.or(said), ..sections }))
                    }
                };
            }
        }
    }

    /// Opens the next page; false at the chunk's end. It may begin inside a list only if that is `expected`.
    fn open_page(&mut self, expected: bool) -> Result<bool> {
        let Some(sections) = self.fetch()? else { return Ok(false) };
        let slots = sections.slots;
        let readable = !self.levels.repeated || slots <= MAX_LISTS;
        let Some((rep, def, values)) = sections.bytes.filter(|_| readable) else {
            // Levels in the encoding of old: flat rows can be counted nevertheless. Or more lists than pages have.
            self.lost |= self.levels.repeated;
            self.page = Some(OpenPage { rows: PageRows::flat(slots), dense: false });
            return Ok(true);
        };
        let mut starts = std::mem::take(&mut self.spare_starts);
        let mut dense = self.levels.presence(&def, slots)? == Presence::All;
        let (mut rows, mut count) = (slots, slots);
        if self.levels.repeated {
            list_starts(&rep, slots, &mut starts)?;
            self.lost |= !expected && slots > 0 && starts.first() != Some(&0);
            rows = starts.len();
            if !dense && let Some(values) = self.levels.leave_out_empty(&def, slots, &mut starts)? {
                (dense, count) = (true, values);
            }
        }
        if let Some(said) = sections.rows.filter(|said| *said != rows) {
            return corrupt(format!("a page of {rows} rows whose header or index says {said}"));
        }
        dense = dense && self.values.set_page(values, sections.encoding, count)?;
        let rows = if self.levels.repeated { PageRows::lists(starts, count) } else { PageRows::flat(slots) };
        self.page = Some(OpenPage { rows, dense });
        Ok(true)
    }
}
