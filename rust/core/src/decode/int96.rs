//! Timestamps of 96 bits: days and nanoseconds, of which arrow-rs makes nanoseconds of 64 bits. Those hold the years 1677
//! to 2262, and all others wrap around in silence. Seconds hold them all: they show which timestamps wrapped.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowTimestampType, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};

use super::group_column::GroupColumn;
use super::nested::children;
use crate::Error;

/// The type of the second reading.
pub(super) fn as_seconds(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Second, zone.clone()),
        other => other.clone(),
    }
}

/// The first row that has a timestamp which wrapped, and its seconds since 1970. `seconds`: the same rows, of which
/// timestamps of 96 bits are seconds.
pub(super) fn first_wrapped(values: &ArrayRef, seconds: &ArrayRef) -> Option<(usize, i64)> {
    if values.data_type() == seconds.data_type() {
        return None;
    }
    if let (DataType::Timestamp(unit, _), DataType::Timestamp(TimeUnit::Second, _)) =
        (values.data_type(), seconds.data_type())
    {
        return match unit {
            TimeUnit::Second => None,
            TimeUnit::Millisecond => wrapped::<TimestampMillisecondType>(values, seconds, 1_000),
            TimeUnit::Microsecond => wrapped::<TimestampMicrosecondType>(values, seconds, 1_000_000),
            TimeUnit::Nanosecond => wrapped::<TimestampNanosecondType>(values, seconds, 1_000_000_000),
        };
    }
    let both = children(values).into_iter().zip(children(seconds));
    let found = both.filter_map(|((values, rows), (seconds, _))| {
        first_wrapped(&values, &seconds).map(|(item, second)| (rows.of(item), second))
    });
    found.min_by_key(|(row, _)| *row)
}

fn wrapped<T: ArrowTimestampType>(values: &ArrayRef, seconds: &ArrayRef, a_second: i64) -> Option<(usize, i64)> {
    let values = values.as_primitive_opt::<T>()?;
    let seconds = seconds.as_primitive_opt::<TimestampSecondType>()?;
    // To wrap is to lose 2^64, which is 584 years of nanoseconds, and more of anything else.
    let differ = |(value, second): (&i64, &i64)| value.div_euclid(a_second).abs_diff(*second) > 1;
    let mut pairs = values.values().iter().zip(seconds.values());
    if !pairs.any(differ) {
        return None;
    }
    let mut pairs = values.values().iter().zip(seconds.values()).enumerate();
    let found = pairs.find(|(row, pair)| values.is_valid(*row) && differ(*pair));
    found.map(|(row, (_, second))| (row, *second))
}

/// The error for a row, numbered in the row group.
pub(super) fn error(of: &GroupColumn<'_>, row: u64, second: i64) -> Error {
    Error::Data {
        path: of.file.path.clone(),
        detail: format!(
            "column {:?}, row group {}, row {}: the timestamp of 96 bits is {second} seconds from 1970, and nanoseconds of \
             64 bits, as which it is read, hold the years 1677 to 2262 only; write the file again with timestamps of \
             microseconds (pyarrow.parquet.read_table(…, coerce_int96_timestamp_unit=\"us\") reads it so), or leave the \
             column out (columns=…)",
            of.source.name,
            of.group,
            of.first_row + row
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Int64Array, ListArray, TimestampNanosecondArray, TimestampSecondArray};
    use arrow_buffer::{NullBuffer, OffsetBuffer};
    use arrow_schema::Field;
    use std::sync::Arc;

    #[test]
    fn timestamps_that_wrapped_are_found() {
        let nanos: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![Some(-1), None, Some(i64::MAX), Some(5)]));
        let seconds = |values: Vec<i64>| -> ArrayRef { Arc::new(TimestampSecondArray::from(values)) };
        assert_eq!(first_wrapped(&nanos, &seconds(vec![-1, 9_999_999_999, 9_223_372_036, 0])), None);
        assert_eq!(
            first_wrapped(&nanos, &seconds(vec![0, 0, 9_223_372_036, 18_446_744_073])),
            Some((3, 18_446_744_073))
        );
        let lists = |values: ArrayRef| -> ArrayRef {
            let field = Arc::new(Field::new("item", values.data_type().clone(), true));
            let offsets = OffsetBuffer::from_lengths([1, 0, 3]);
            Arc::new(ListArray::new(field, offsets, values, Some(NullBuffer::from(vec![true, false, true]))))
        };
        let found = first_wrapped(
            &lists(nanos.clone()).slice(1, 2),
            &lists(seconds(vec![7_000_000_000_000, 0, 9_223_372_036, 18_446_744_073])).slice(1, 2),
        );
        assert_eq!(found, Some((1, 18_446_744_073)));
        let others: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3, 4]));
        assert_eq!(first_wrapped(&others, &others), None);
    }
}
