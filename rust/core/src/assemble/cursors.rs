//! Row-group cursors: some columns of an open row group, read on from a row by one thread at a time.

use std::collections::{HashMap, VecDeque};

use super::cursor_decoder::CursorDecoder;
use super::task::{CursorKey, Task};

/// A position in a row group from which one chunk after the other is read on.
pub(crate) struct RowGroupCursor {
    pub(crate) key: CursorKey,
    /// The row after the last task.
    next_row: u64,
    tasks: VecDeque<Task>,
    /// None while a thread works with them.
    decoder: Option<CursorDecoder>,
    /// The turn in which a task was last added.
    touched: u64,
    /// The bytes that its decoder held after its last task.
    held: u64,
}

/// All open cursors.
#[derive(Default)]
pub(crate) struct Cursors {
    cursors: HashMap<u64, RowGroupCursor>,
    by_place: HashMap<(CursorKey, u64), u64>,
    next: u64,
    turn: u64,
    /// The turn in which idle cursors were last closed.
    swept: u64,
    /// The bytes that all decoders hold.
    held: u64,
}

impl Cursors {
    /// Adds a task to the cursor that stands at its first row, or opens one. Returns the cursor's number if it has to
    /// be queued.
    pub(crate) fn add(&mut self, key: CursorKey, task: Task) -> Option<u64> {
        let (start, end) = (task.rows.start, task.rows.end);
        let number = self.by_place.remove(&(key.clone(), start)).unwrap_or_else(|| {
            self.next += 1;
            let cursor = RowGroupCursor {
                key: key.clone(),
                next_row: start,
                tasks: VecDeque::new(),
                decoder: Some(CursorDecoder::default()),
                touched: self.turn,
                held: 0,
            };
            self.cursors.insert(self.next, cursor);
            self.next
        });
        let cursor = self.cursors.get_mut(&number)?;
        cursor.next_row = end;
        cursor.touched = self.turn;
        cursor.tasks.push_back(task);
        self.by_place.insert((key, end), number);
        (cursor.tasks.len() == 1 && cursor.decoder.is_some()).then_some(number)
    }

    /// The cursor's next task and its decoders, for the thread that works on it.
    pub(crate) fn start(&mut self, number: u64) -> Option<(CursorKey, Task, CursorDecoder)> {
        let cursor = self.cursors.get_mut(&number)?;
        let decoder = cursor.decoder.take()?;
        let Some(task) = cursor.tasks.pop_front() else {
            cursor.decoder = Some(decoder);
            return None;
        };
        Some((cursor.key.clone(), task, decoder))
    }

    /// Whether the decoder of a cursor may hold so many bytes until its next task, of `most` for all.
    pub(crate) fn may_hold(&self, number: u64, bytes: u64, most: u64) -> bool {
        let before = self.cursors.get(&number).map_or(0, |cursor| cursor.held);
        (self.held - before).saturating_add(bytes) <= most
    }

    /// Returns the decoders to the cursor, and the chunk for which it has to be queued again, if any; closes it at the
    /// end of its row group.
    pub(crate) fn stop(&mut self, number: u64, decoder: CursorDecoder, group_rows: u64) -> Option<u64> {
        let cursor = self.cursors.get_mut(&number)?;
        let held = decoder.held();
        self.held = self.held - cursor.held + held;
        cursor.held = held;
        cursor.decoder = Some(decoder);
        if let Some(task) = cursor.tasks.front() {
            return Some(task.chunk);
        }
        if cursor.next_row == group_rows {
            self.close(number);
        }
        None
    }

    fn close(&mut self, number: u64) {
        if let Some(cursor) = self.cursors.remove(&number) {
            self.held -= cursor.held;
            let place = (cursor.key, cursor.next_row);
            if self.by_place.get(&place) == Some(&number) {
                self.by_place.remove(&place);
            }
        }
    }

    /// Sets the turn: how many full chunks were scheduled so far. Every `rounds` turns, closes the idle cursors to
    /// which no task was added for as many turns: their shard or strand has ended.
    pub(crate) fn turn_to(&mut self, turn: u64, rounds: u64) {
        self.turn = turn;
        if turn < self.swept + rounds {
            return;
        }
        self.swept = turn;
        let pool: Vec<u64> = self
            .cursors
            .iter()
            .filter(|(_, cursor)| cursor.touched + rounds < turn && cursor.tasks.is_empty() && cursor.decoder.is_some())
            .map(|(&number, _)| number)
            .collect();
        for number in pool {
            self.close(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_that_are_read_on_stay_and_others_are_closed() {
        let mut cursors = Cursors::default();
        let task = |row: u64| Task { chunk: row, piece: 0, rows: row..row + 1 };
        let live = CursorKey { group: 0, epoch: 0, sources: 0..1 };
        let mut numbers = Vec::new();
        for turn in 0..100 {
            cursors.turn_to(turn, 6);
            // One is read on every sixth turn, and each turn begins one that is not.
            let begun = cursors.add(CursorKey { group: 1 + turn as u32, epoch: 0, sources: 0..1 }, task(0));
            let read = if turn.is_multiple_of(6) { cursors.add(live.clone(), task(turn / 6)) } else { None };
            for number in [begun, read].into_iter().flatten() {
                let (_, _, decoder) = cursors.start(number).expect("it was queued");
                assert_eq!(cursors.stop(number, decoder, 1000), None);
            }
            numbers.extend(read);
            assert!(cursors.cursors.len() <= 14 && cursors.by_place.len() == cursors.cursors.len());
        }
        numbers.dedup();
        assert_eq!(numbers.len(), 1, "it was closed and opened again");
    }
}
