//! The open decoders of a cursor, and the rows that they have decoded ahead.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::ArrayRef;

use super::join::join;
use super::task::CursorKey;
use crate::decode::{self, DecompressPool, GroupColumn, Projection, SourceReader};
use crate::error::panic_words;
use crate::fetch::{FileHandle, Files, OpenFile};
use crate::files::Plan;
use crate::order::RowSet;
use crate::pack::{Draw, ListSource, SequenceReader};
use crate::schedule::ChunkSize;
use crate::select::Selections;
use crate::{Error, Result, third_party};

/// Chunks of so many bytes in all are read at once.
const TOGETHER_BYTES: u64 = 512 << 10;

/// What all cursors read with.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) files: &'a Files,
    pub(crate) projection: &'a Projection,
    /// None where all rows are on the line.
    pub(crate) selections: Option<&'a Selections>,
    pub(crate) size: &'a ChunkSize,
    pub(crate) ahead: DecodeAhead,
    pub(crate) pool: &'a Arc<DecompressPool>,
    /// What documents that are packed whole are shuffled by, if they are.
    pub(crate) draw: Draw,
}

/// What is decoded of a row group beyond a task's rows: those of further windows, a chunk in all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DecodeAhead {
    /// Rows of a window that are of one strand.
    pub(crate) of_window: u64,
    pub(crate) bytes: u64,
}

impl DecodeAhead {
    fn rows(self, row_bytes: u64) -> u64 {
        let windows = (self.bytes / row_bytes.max(1)).checked_div(self.of_window).unwrap_or(0);
        windows.saturating_sub(1) * self.of_window
    }
}

/// The decoders of a cursor; opened by the thread that first works on it.
#[derive(Default)]
pub(crate) struct CursorDecoder {
    readers: Option<Vec<SourceReader>>,
    /// In their place, where rows are packed sequences.
    sequences: Option<SequenceReader>,
    /// Decoded rows that no task needed yet.
    rest: Option<(Range<u64>, Vec<ArrayRef>)>,
}

impl CursorDecoder {
    /// Decodes a task's rows of every source of the cursor.
    ///
    /// Under row shuffle a task has few rows, and its cursor's dictionaries leave the CPU cache before the next one:
    /// rows are decoded for several tasks at once, except for the first task, which a caller may wait for.
    pub(crate) fn read(&mut self, reading: Reading<'_>, key: &CursorKey, rows: &Range<u64>) -> Result<Vec<ArrayRef>> {
        let mut parts = Vec::new();
        let mut missing = rows.clone();
        if let Some((held, arrays)) = self.rest.take() {
            let taken = missing.end.min(held.end);
            let count = (taken - held.start) as usize;
            let cut =
                |from: usize, count: usize| arrays.iter().map(|array| array.slice(from, count)).collect::<Vec<_>>();
            parts.push(cut(0, count));
            if taken < held.end {
                self.rest = Some((taken..held.end, cut(count, (held.end - taken) as usize)));
            }
            missing.start = taken;
        }
        if !missing.is_empty() {
            parts.push(self.more(reading, key, &missing)?);
        }
        if parts.len() == 1 {
            return Ok(parts.remove(0));
        }
        let of_source = |source: usize| parts.iter().map(|part| part[source].clone()).collect::<Vec<_>>();
        let name = |source: usize| reading.projection.source(key.sources.start + source).name.as_str();
        (0..key.sources.len()).map(|source| join(name(source), &of_source(source))).collect()
    }

    /// The bytes that its open decoders hold until the next task.
    pub(crate) fn held(&self) -> u64 {
        let of_sequences = self.sequences.as_ref().map_or(0, SequenceReader::held);
        self.readers.iter().flatten().map(SourceReader::held).sum::<u64>() + of_sequences
    }

    /// Closes them: the next task opens them again.
    pub(crate) fn close(&mut self, files: &Files) {
        self.readers = None;
        if let Some(sequences) = &mut self.sequences {
            sequences.close(files);
        }
    }

    /// Decodes these rows, and keeps those after them that it decodes with them.
    fn more(&mut self, reading: Reading<'_>, key: &CursorKey, rows: &Range<u64>) -> Result<Vec<ArrayRef>> {
        let group_rows = reading.files.plan().line_rows()[key.group as usize];
        let ahead = reading.ahead.rows(reading.size.row_bytes(key.group));
        let until = (rows.end + ahead).min(group_rows);
        let is_open = self.readers.is_some() || self.sequences.is_some();
        if is_open && until > rows.end {
            if let Ok(arrays) = self.checked(reading, key, &(rows.start..until)) {
                let count = (rows.end - rows.start) as usize;
                let rest = (until - rows.end) as usize;
                self.rest = Some((rows.end..until, arrays.iter().map(|array| array.slice(count, rest)).collect()));
                return Ok(arrays.iter().map(|array| array.slice(0, count)).collect());
            }
            // The error may be in rows that no task needs yet.
            self.readers = None;
        }
        self.checked(reading, key, rows)
    }

    fn checked(&mut self, reading: Reading<'_>, key: &CursorKey, rows: &Range<u64>) -> Result<Vec<ArrayRef>> {
        let Reading { files, projection, selections, pool, draw, .. } = reading;
        if let Some((columns, pack)) = projection.packing() {
            let lists = ListSource { files, selections, columns, pool: Some(pool) };
            let sequences = self.sequences.get_or_insert_with(|| SequenceReader::new(key.group as usize));
            let draw = draw.map(|(seed, _)| (seed, key.epoch));
            return sequences.read(lists, pack, rows, draw).map(|array| vec![array]);
        }
        let plan = files.plan();
        let index = plan.file_of_group(key.group as usize);
        let file = files.open(index)?;
        let group = key.group as usize - plan.groups(index).start;
        let sources: Vec<&decode::SourceColumn> = key.sources.clone().map(|source| projection.source(source)).collect();
        let arrays = third_party::guarded(|| {
            let set = selections.map(|selections| selections.rows(files, key.group as usize)).transpose()?;
            file.restrict_to(group, set.as_deref());
            let set = set.as_deref().filter(|set| set.words().is_some());
            self.decode(&file, &RowGroupRef { plan, index, group, set, pool }, &sources, rows)
        });
        // Damaged pages make decoders panic that are not ours.
        let arrays = arrays.unwrap_or_else(|panic| {
            let detail = format!(
                "row group {group}: a decoder gave up ({}); the file seems damaged: write or copy it again",
                panic_words(panic.as_ref())
            );
            Err(Error::corrupt(&file.path, detail))
        });
        // After the reading, whatever came of it: bytes of another file are neither rows nor a corrupt page.
        files.check(index, &file)?;
        arrays
    }

    fn decode<'a>(
        &mut self,
        file: &'a OpenFile,
        place: &RowGroupRef<'a>,
        sources: &[&'a decode::SourceColumn],
        rows: &Range<u64>,
    ) -> Result<Vec<ArrayRef>> {
        let &RowGroupRef { plan, index, group, set, pool } = place;
        let near;
        // What is tried is not collected into vectors of the right size by itself, and readers are large.
        let mut of = Vec::with_capacity(sources.len());
        for &source in sources {
            let found = GroupColumn::find(plan, index, file, group, source)?;
            // Of a set pages may be passed over.
            of.push(GroupColumn { pool: set.is_none().then_some(pool), ..found });
        }
        if self.readers.is_none() {
            near = read_together(&file.handle, &of)?;
            if let Some(near) = &near {
                of.iter_mut().for_each(|of| of.bytes = near);
            }
            let mut readers = Vec::with_capacity(of.len());
            for of in &of {
                readers.push(SourceReader::at(of, set, rows.start)?);
            }
            self.readers = Some(readers);
        }
        let mut arrays = Vec::with_capacity(of.len());
        for (reader, of) in self.readers.iter_mut().flatten().zip(&of) {
            arrays.push(of.guarded(|| reader.read(of, set, rows.clone()))?);
        }
        Ok(arrays)
    }
}

/// The chunks of several columns, where they are few bytes and lie close together: read by one call, not by four a
/// page.
fn read_together(handle: &FileHandle, of: &[GroupColumn<'_>]) -> Result<Option<FileHandle>> {
    let mut span: Option<Range<u64>> = None;
    let (mut chunks, mut bytes) = (0, 0);
    for of in of {
        let Some(chunk) = of.place()? else { continue };
        (chunks, bytes) = (chunks + 1, bytes + (chunk.end - chunk.start));
        let so_far = span.unwrap_or(chunk.clone());
        span = Some(so_far.start.min(chunk.start)..so_far.end.max(chunk.end));
    }
    let span = span.filter(|span| chunks > 1 && span.end - span.start <= TOGETHER_BYTES.min(2 * bytes));
    Ok(span.and_then(|span| handle.buffered(span)))
}

/// A row group that is read.
struct RowGroupRef<'a> {
    plan: &'a Plan,
    /// Of the file.
    index: usize,
    /// The row group, numbered in the file.
    group: usize,
    /// The rows that stand on the line; None where all do.
    set: Option<&'a RowSet>,
    pool: &'a Arc<DecompressPool>,
}
