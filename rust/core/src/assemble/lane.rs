//! Lanes: some columns of an open row group, read on from a row by one thread at a time.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::ArrayRef;

use super::worker::words;
use crate::decode::{Column, ColumnReader, GroupColumn, Projection};
use crate::fetch::{Files, OpenFile};
use crate::files::FileTable;
use crate::order::RowSet;
use crate::select::Selections;
use crate::{Error, Result};

/// Rows of a row group that one chunk waits for.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    /// The chunk.
    pub(crate) job: u64,
    /// The piece's number in the chunk.
    pub(crate) piece: usize,
    /// Rows of the row group.
    pub(crate) rows: Range<u64>,
}

/// What a lane reads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct LaneKey {
    /// The row group, numbered through all files.
    pub(crate) group: u32,
    /// Its columns, numbered as projected.
    pub(crate) columns: Range<usize>,
}

/// The open decoders of a lane; opened by the thread that first works on it.
#[derive(Default)]
pub(crate) struct Decoders(Option<Vec<ColumnReader>>);

/// What a lane's row group is read with.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) files: &'a Files,
    pub(crate) projection: &'a Projection,
    /// None where all rows stand on the line.
    pub(crate) selections: Option<&'a Selections>,
}

impl Decoders {
    /// Decodes a task's rows of every column of the lane.
    pub(crate) fn read(
        &mut self,
        Reading { files, projection, selections }: Reading<'_>,
        key: &LaneKey,
        rows: &Range<u64>,
    ) -> Result<Vec<ArrayRef>> {
        let table = files.table();
        let index = table.file_of_group(key.group as usize);
        let file = files.open(index)?;
        let group = key.group as usize - table.groups(index).start;
        let columns = &projection.columns()[key.columns.clone()];
        let arrays = catch_unwind(AssertUnwindSafe(|| {
            let set = selections.map(|selections| selections.rows(files, key.group as usize)).transpose()?;
            if let Some(set) = &set {
                file.cut(group, set);
            }
            let set = set.as_deref().filter(|set| set.words().is_some());
            self.decode(&file, &Place { table, index, group, set }, columns, rows)
        }));
        // Damaged pages make decoders panic that are not ours.
        let arrays = arrays.unwrap_or_else(|panic| {
            let detail = format!(
                "row group {group}: a decoder gave up ({}); the file seems damaged: write or copy it again",
                words(panic.as_ref())
            );
            Err(Error::corrupt(&file.path, detail))
        });
        // After the reading, whatever came of it: bytes of another file are neither rows nor a corrupt page.
        files.check(index, &file)?;
        arrays
    }

    fn decode(
        &mut self,
        file: &OpenFile,
        place: &Place<'_>,
        columns: &[Column],
        rows: &Range<u64>,
    ) -> Result<Vec<ArrayRef>> {
        let &Place { table, index, group, set } = place;
        let mut of = Vec::with_capacity(columns.len());
        for column in columns {
            let mut sources = Vec::with_capacity(column.sources.len());
            for source in &column.sources {
                sources.push(GroupColumn::find(table, index, file, group, source)?);
            }
            of.push(sources);
        }
        if self.0.is_none() {
            self.0 = Some(of.iter().map(|of| ColumnReader::open(of, set, rows.start)).collect::<Result<_>>()?);
        }
        let readers = self.0.iter_mut().flatten();
        readers.zip(&of).zip(columns).map(|((reader, of), column)| reader.read(of, column, set, rows.clone())).collect()
    }
}

/// A row group that is read.
struct Place<'a> {
    table: &'a FileTable,
    /// Of the file.
    index: usize,
    /// The row group, numbered in the file.
    group: usize,
    /// The rows that stand on the line; None where all do.
    set: Option<&'a RowSet>,
}

pub(crate) struct Lane {
    pub(crate) key: LaneKey,
    /// The row after the last task.
    next_row: u64,
    tasks: VecDeque<Task>,
    /// None while a thread works with them.
    decoders: Option<Decoders>,
    /// The chunk that last added a task.
    touched: u64,
}

/// All open lanes.
#[derive(Default)]
pub(crate) struct Lanes {
    lanes: HashMap<u64, Lane>,
    by_place: HashMap<(LaneKey, u64), u64>,
    next: u64,
}

impl Lanes {
    /// Adds a task to the lane that stands at its first row, or opens one. Gives the lane's number if it has to be queued.
    pub(crate) fn add(&mut self, key: LaneKey, task: Task) -> Option<u64> {
        let (start, end, job) = (task.rows.start, task.rows.end, task.job);
        let number = self.by_place.remove(&(key.clone(), start)).unwrap_or_else(|| {
            self.next += 1;
            let lane = Lane {
                key: key.clone(),
                next_row: start,
                tasks: VecDeque::new(),
                decoders: Some(Decoders::default()),
                touched: job,
            };
            self.lanes.insert(self.next, lane);
            self.next
        });
        let lane = self.lanes.get_mut(&number)?;
        lane.next_row = end;
        lane.touched = job;
        lane.tasks.push_back(task);
        self.by_place.insert((key, end), number);
        (lane.tasks.len() == 1 && lane.decoders.is_some()).then_some(number)
    }

    /// The lane's next task and its decoders, for the thread that works on it.
    pub(crate) fn start(&mut self, number: u64) -> Option<(LaneKey, Task, Decoders)> {
        let lane = self.lanes.get_mut(&number)?;
        let decoders = lane.decoders.take()?;
        let Some(task) = lane.tasks.pop_front() else {
            lane.decoders = Some(decoders);
            return None;
        };
        Some((lane.key.clone(), task, decoders))
    }

    /// Gives the decoders back; says for which chunk the lane has to be queued again, or closes it at its row group's end.
    pub(crate) fn stop(&mut self, number: u64, decoders: Decoders, group_rows: u64) -> Option<u64> {
        let lane = self.lanes.get_mut(&number)?;
        lane.decoders = Some(decoders);
        if let Some(task) = lane.tasks.front() {
            return Some(task.job);
        }
        if lane.next_row == group_rows {
            self.close(number);
        }
        None
    }

    fn close(&mut self, number: u64) {
        if let Some(lane) = self.lanes.remove(&number) {
            let place = (lane.key, lane.next_row);
            if self.by_place.get(&place) == Some(&number) {
                self.by_place.remove(&place);
            }
        }
    }

    /// Closes idle lanes that no chunk since `job` has read on: their shard or strand has ended.
    pub(crate) fn close_idle(&mut self, job: u64) {
        let idle: Vec<u64> = self
            .lanes
            .iter()
            .filter(|(_, lane)| lane.touched < job && lane.tasks.is_empty() && lane.decoders.is_some())
            .map(|(&number, _)| number)
            .collect();
        for number in idle {
            self.close(number);
        }
    }
}
