//! Rows of a page as ranges of its values, and the offsets of the lists that are delivered.

use std::sync::Arc;

use arrow_array::{ArrayRef, FixedSizeListArray, GenericListArray, OffsetSizeTrait};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::FieldRef;

use super::error::{DenseError, Result, corrupt};
use super::kind::Nesting;

/// The rows of a page that are left, and the values of each.
pub(super) struct PageRows {
    /// The value that each row's list begins at; `None` where a row is a value.
    starts: Option<Vec<u32>>,
    rows: usize,
    next_row: usize,
    values: usize,
    next_value: usize,
}

impl PageRows {
    pub(super) fn flat(rows: usize) -> Self {
        Self { starts: None, rows, next_row: 0, values: rows, next_value: 0 }
    }

    pub(super) fn lists(starts: Vec<u32>, values: usize) -> Self {
        Self { rows: starts.len(), starts: Some(starts), next_row: 0, values, next_value: 0 }
    }

    pub(super) fn left(&self) -> usize {
        self.rows - self.next_row
    }

    /// How many values belong to a list of the page before; they are passed.
    pub(super) fn take_continued(&mut self) -> usize {
        let continued = match &self.starts {
            Some(starts) => starts.first().map_or(self.values, |first| *first as usize) - self.next_value,
            None => 0,
        };
        self.next_value += continued;
        continued
    }

    /// Passes `rows` (no more than are left) rows, appending their lists to `offsets`; the number of their values.
    pub(super) fn take(&mut self, rows: usize, offsets: Option<&mut Offsets>) -> Result<usize> {
        let begin = self.next_value;
        self.next_row += rows;
        self.next_value = match &self.starts {
            None => self.next_row,
            Some(starts) => {
                let mut end = begin;
                let ends = starts[self.next_row - rows..].iter().skip(1).map(|start| *start as usize);
                if let Some(offsets) = offsets {
                    end = offsets.extend(begin, ends.chain([self.values]).take(rows))?;
                } else if let Some(last) = ends.chain([self.values]).take(rows).last() {
                    end = last;
                }
                end
            }
        };
        Ok(self.next_value - begin)
    }

    /// The starts' memory, to be used again.
    pub(super) fn into_starts(self) -> Vec<u32> {
        self.starts.unwrap_or_default()
    }
}

/// The offsets of the lists of one read.
pub(super) enum Offsets {
    /// Rows are values.
    None,
    Small(FieldRef, Vec<i32>),
    Large(FieldRef, Vec<i64>),
    /// The ends, which must turn out evenly spaced.
    Fixed(FieldRef, usize, Vec<usize>),
    /// The ends alone, of lists that are measured.
    Ends(Vec<usize>),
}

impl Offsets {
    pub(super) fn new(nesting: &Nesting) -> Self {
        match nesting {
            Nesting::Flat => Self::None,
            Nesting::List(field) => Self::Small(Arc::clone(field), vec![0]),
            Nesting::LargeList(field) => Self::Large(Arc::clone(field), vec![0]),
            Nesting::Fixed(field, size) => Self::Fixed(Arc::clone(field), *size, vec![0]),
        }
    }

    /// Appends the lists of a page that end at the values `ends` of it, the first beginning at `begin`. The last end.
    fn extend(&mut self, begin: usize, ends: impl Iterator<Item = usize>) -> Result<usize> {
        match self {
            Self::None => Ok(begin),
            Self::Small(_, offsets) => extend(offsets, begin, ends),
            Self::Large(_, offsets) => extend(offsets, begin, ends),
            Self::Fixed(_, _, offsets) | Self::Ends(offsets) => extend(offsets, begin, ends),
        }
    }

    /// Makes the last list `values` longer.
    pub(super) fn lengthen_last(&mut self, values: usize) -> Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Small(_, offsets) => lengthen(offsets, values),
            Self::Large(_, offsets) => lengthen(offsets, values),
            Self::Fixed(_, _, offsets) | Self::Ends(offsets) => lengthen(offsets, values),
        }
    }

    /// The array of the lists over `values`; `None` where they are not of the fixed length that they should be.
    pub(super) fn finish(self, values: ArrayRef) -> Result<Option<ArrayRef>> {
        match self {
            Self::None => Ok(Some(values)),
            Self::Ends(_) => Ok(None),
            Self::Small(field, offsets) => list_array(field, offsets, values).map(Some),
            Self::Large(field, offsets) => list_array(field, offsets, values).map(Some),
            Self::Fixed(field, size, offsets) => {
                if offsets.windows(2).any(|pair| pair[1] - pair[0] != size) {
                    return Ok(None);
                }
                let array = FixedSizeListArray::try_new(field, size as i32, values, None); // an i32 in the type too
                Ok(Some(Arc::new(array.map_err(|error| DenseError(error.to_string()))?)))
            }
        }
    }
}

fn extend<O: Offset>(offsets: &mut Vec<O>, begin: usize, ends: impl Iterator<Item = usize>) -> Result<usize> {
    let base = offsets.last().map_or(0, |last| last.get());
    let mut last = begin;
    // Ends only grow, so that the last of them shows whether all fit.
    offsets.extend(ends.map(|end| {
        last = end;
        O::cut(base + (end - begin))
    }));
    fits::<O>(base + (last - begin))?;
    Ok(last)
}

fn lengthen<O: Offset>(offsets: &mut [O], values: usize) -> Result<()> {
    if let Some(last) = offsets.last_mut() {
        let longer = last.get() + values;
        fits::<O>(longer)?;
        *last = O::cut(longer);
    }
    Ok(())
}

fn fits<O: Offset>(offset: usize) -> Result<()> {
    if offset > O::MAX {
        return corrupt("lists of more than 2^31 values in one read; read fewer rows at a time");
    }
    Ok(())
}

fn list_array<O: OffsetSizeTrait>(field: FieldRef, offsets: Vec<O>, values: ArrayRef) -> Result<ArrayRef> {
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let array = GenericListArray::try_new(field, offsets, values, None);
    Ok(Arc::new(array.map_err(|error| DenseError(error.to_string()))?))
}

/// A number that counts values.
trait Offset: Copy {
    const MAX: usize;
    /// From a number that is at most `MAX`, or whose result is thrown away.
    fn cut(offset: usize) -> Self;
    fn get(self) -> usize;
}

macro_rules! offset {
    ($($number:ty)*) => {
        $(impl Offset for $number {
            const MAX: usize = <$number>::MAX as usize;

            fn cut(offset: usize) -> Self {
                offset as Self
            }

            fn get(self) -> usize {
                self as usize
            }
        })*
    };
}

offset!(i32 i64 usize);
