//! The sets of rows that pass: found when a row group is read, cached, and compared with the rows that were counted.

use std::sync::{Arc, Mutex};

use super::evaluate;
use super::predicate::Predicate;
use super::pruning::{self, ColumnStats};
use crate::decode::{Column, GroupColumn, SourceReader, VirtualColumn};
use crate::fetch::{Files, OpenFile};
use crate::files::Plan;
use crate::lru::LruByBytes;
use crate::order::{RowSet, Sample};
use crate::sync::lock;
use crate::{Error, Result, third_party};

/// Rows that a filter is evaluated over at a time: few enough for the CPU cache, and whole words of bits.
///
/// An [`Evaluator`](super::Evaluator) never gets more. The one that calls pyarrow relies on it: pyarrow evaluates a
/// batch of more than 32,768 rows in several pieces, whose order is not certain.
pub const FILTER_BLOCK_ROWS: u64 = 16_384;
/// Sets that are kept, in bytes.
const MAX_BYTES: usize = 64 << 20;
/// Bytes of a set's slot.
const ENTRY_BYTES: usize = 64;
/// Bytes of a row of a column whose rows differ.
const WIDTH: u64 = 32;

/// What rows must pass to stand on the line, bound to the columns of a plan. Rows that its table has deleted never do.
#[derive(Debug, Clone)]
pub struct Selector {
    sample: Option<Sample>,
    filter: Option<(Predicate, Arc<[Column]>)>,
}

/// What is known of a row group before its columns are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    None,
    All,
    Some,
}

impl Selector {
    /// A selector of the rows in the sample that pass the filter.
    ///
    /// # Errors
    /// A column that is not there, or of a type that the condition on it is not for.
    pub fn new(plan: &Plan, sample: Option<Sample>, filter: Option<Predicate>) -> Result<Self> {
        let filter = match filter {
            Some(predicate) => Some((predicate.clone(), predicate.columns(plan)?)),
            None => None,
        };
        Ok(Self { sample, filter })
    }

    /// Whether rows must be read to be counted.
    pub fn is_filter(&self) -> bool {
        self.filter.is_some()
    }

    /// The columns that the filter reads.
    pub(crate) fn columns(&self) -> &[Column] {
        self.filter.as_ref().map_or(&[], |(_, columns)| columns)
    }

    /// About the bytes of a row that the filter reads, decoded.
    pub fn row_bytes(&self) -> u64 {
        self.columns().iter().map(|column| column.width().unwrap_or(WIDTH)).sum()
    }

    /// Whether a row group has to be read to know which rows pass. Opens its file; one that cannot be opened is not
    /// read.
    pub(super) fn is_read(&self, files: &Files, group: usize) -> bool {
        let plan = files.plan();
        let index = plan.file_of_group(group);
        let is_some = |file: &OpenFile| self.verdict(plan, index, file, group) == Verdict::Some;
        plan.group_rows()[group] > 0 && files.open(index).is_ok_and(|file| is_some(&file))
    }

    /// How many rows of a row group are in the sample and not deleted: before the filter.
    pub(super) fn sampled(&self, plan: &Plan, group: usize) -> Result<u64> {
        let rows = plan.group_rows()[group];
        let Some(sample) = &self.sample else { return Ok(plan.live_rows()[group]) };
        let (hash, number) = place(plan, group);
        match plan.live_set(group) {
            None => sample.count(rows, hash, number),
            Some(live) => Ok(sample.rows(rows, hash, number)?.and(&live).len()),
        }
    }

    fn verdict(&self, plan: &Plan, index: usize, file: &OpenFile, group: usize) -> Verdict {
        if plan.live_rows()[group] == 0 {
            return Verdict::None;
        }
        let Some((predicate, columns)) = &self.filter else { return Verdict::All };
        let metadata = file.metadata.metadata();
        let leaves = metadata.file_metadata().schema_descr();
        let of = metadata.row_group(group - plan.groups(index).start);
        let stats: Vec<ColumnStats> = columns
            .iter()
            .map(|column| match (column.sources[0].virtual_column, plan.partitions()) {
                (Some(VirtualColumn::Partition(partition)), Some(values)) => {
                    ColumnStats::of_partition(values, partition, index)
                }
                _ => ColumnStats::of_row_group(of, leaves, file.metadata.schema(), &column.sources[0].field),
            })
            .collect();
        let outcomes = pruning::outcomes(predicate, &stats);
        match (outcomes.may_pass(), outcomes.all_pass() && predicate.subset.is_none()) {
            (false, _) => Verdict::None,
            (true, true) => Verdict::All,
            (true, false) => Verdict::Some,
        }
    }

    /// How many rows of a row group pass, as they are found now.
    pub(super) fn count(&self, files: &Files, group: usize) -> Result<u64> {
        let plan = files.plan();
        let index = plan.file_of_group(group);
        if self.filter.is_some() && plan.group_rows()[group] > 0 {
            let file = files.open(index)?;
            match self.verdict(plan, index, &file, group) {
                Verdict::None => return Ok(0),
                Verdict::All => {}
                Verdict::Some => return Ok(self.rows(files, group)?.len()),
            }
        }
        self.sampled(plan, group)
    }

    /// Which rows of a row group pass.
    pub(super) fn rows(&self, files: &Files, group: usize) -> Result<RowSet> {
        let plan = files.plan();
        let rows = plan.group_rows()[group];
        let index = plan.file_of_group(group);
        let passing = match &self.filter {
            Some((predicate, columns)) if rows > 0 => {
                let file = files.open(index)?;
                match self.verdict(plan, index, &file, group) {
                    Verdict::None => return Ok(RowSet::from_words(rows, Vec::new())),
                    Verdict::All => RowSet::all(rows),
                    Verdict::Some => {
                        let found = third_party::guarded(|| filtered(plan, &file, group, predicate, columns));
                        // Damaged pages make decoders panic that are not ours.
                        let found = found.unwrap_or_else(|_| {
                            let number = group - plan.groups(index).start;
                            let detail = "a decoder gave up; the file seems damaged: write or copy it again";
                            Err(Error::corrupt(&file.path, format!("row group {number}: {detail}")))
                        });
                        // After the reading, whatever came of it.
                        files.check(index, &file)?;
                        found?
                    }
                }
            }
            _ => RowSet::all(rows),
        };
        let passing = match &self.sample {
            None => passing,
            Some(sample) => {
                let (hash, number) = place(plan, group);
                sample.rows(rows, hash, number)?.and(&passing)
            }
        };
        Ok(match plan.live_set(group) {
            None => passing,
            Some(live) => live.and(&passing),
        })
    }
}

/// A row group's part of the sample's key: its file's footer hash, and its number in the file.
fn place(plan: &Plan, group: usize) -> (u64, u64) {
    let file = plan.file(plan.file_of_group(group));
    (file.hash, (group - file.groups.start) as u64)
}

fn filtered(plan: &Plan, file: &OpenFile, group: usize, predicate: &Predicate, columns: &[Column]) -> Result<RowSet> {
    let index = plan.file_of_group(group);
    let in_file = group - plan.groups(index).start;
    let rows = plan.group_rows()[group];
    let mut readers = Vec::with_capacity(columns.len());
    for column in columns {
        let of = GroupColumn::find(plan, index, file, in_file, &column.sources[0])?;
        let reader = SourceReader::open(&of, 0)?;
        readers.push((of, reader));
    }
    let mut words = Vec::with_capacity(rows.div_ceil(64) as usize);
    for start in (0..rows).step_by(FILTER_BLOCK_ROWS as usize) {
        let count = (rows - start).min(FILTER_BLOCK_ROWS) as usize;
        let arrays = readers
            .iter_mut()
            .map(|(of, reader)| reader.read(of, None, start..start + count as u64))
            .collect::<Result<Vec<_>>>()?;
        let passing = match &predicate.evaluator {
            None => evaluate::evaluate(predicate, &arrays, count)?,
            Some(evaluator) => {
                evaluate::asked(evaluator.as_ref(), predicate.names(), &arrays, count).map_err(|detail| {
                    let first = readers.first().map_or(0, |(of, _)| of.first_row) + start;
                    let last = first + count as u64 - 1;
                    Error::Data { path: file.path.clone(), detail: format!("among rows {first} to {last}: {detail}") }
                })?
            }
        };
        let passing = match &predicate.subset {
            None => passing,
            Some(subset) => &passing & &subset.rows(&arrays, count)?,
        };
        words.extend(passing.bit_chunks().iter_padded().take(count.div_ceil(64)));
    }
    Ok(RowSet::from_words(rows, words))
}

/// A slot is locked by the thread that finds the set, so that it is found once.
type SelectionSlot = Mutex<Option<Arc<RowSet>>>;

/// The sets of the row groups that are being read.
#[derive(Debug)]
pub struct Selections {
    selector: Arc<Selector>,
    sets: Mutex<LruByBytes<SelectionSlot>>,
}

impl Selections {
    /// None found yet.
    pub fn new(selector: Arc<Selector>) -> Self {
        Self { selector, sets: Mutex::new(LruByBytes::new(MAX_BYTES, usize::MAX)) }
    }

    /// About the bytes of a row that are read to know whether it passes.
    pub fn row_bytes(&self) -> u64 {
        self.selector.row_bytes()
    }

    /// Whether the rows of a row group are to be found by reading it. Opens its file.
    pub(super) fn is_read(&self, files: &Files, group: usize) -> bool {
        let slot = lock(&self.sets).peek(group);
        // A slot that is locked is being filled.
        let is_known = slot.is_some_and(|slot| slot.try_lock().map_or(true, |set| set.is_some()));
        !is_known && self.selector.is_read(files, group)
    }

    /// The rows of a row group that pass, which are as many as were counted.
    ///
    /// # Errors
    /// Another number passes than was counted, or whatever went wrong with reading.
    pub fn rows(&self, files: &Files, group: usize) -> Result<Arc<RowSet>> {
        let slot = lock(&self.sets).slot(group);
        let mut found = lock(&slot);
        if let Some(set) = found.as_ref() {
            return Ok(Arc::clone(set));
        }
        let plan = files.plan();
        let set = Arc::new(self.selector.rows(files, group)?);
        let counted = plan.selected_rows()[group];
        if set.len() != counted {
            let file = plan.file_of_group(group);
            return Err(Error::Changed {
                path: plan.path(file),
                detail: format!(
                    "row group {}: {} rows pass the filter now, and {counted} did when they were counted; restore the \
                     file, or plan anew and start the epoch again",
                    group - plan.groups(file).start,
                    set.len(),
                ),
            });
        }
        *found = Some(Arc::clone(&set));
        drop(found);
        lock(&self.sets).weigh(group, 1, || set.memory() + ENTRY_BYTES);
        Ok(set)
    }
}
