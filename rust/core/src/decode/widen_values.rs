//! The values of a file's column in the wider type that it has over all files ([`crate::files::widen`]).

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, LargeBinaryBuilder, LargeStringBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Int32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray, StructArray, UInt64Array, make_array, new_null_array,
};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, FieldRef, Fields, TimeUnit};
use arrow_select::take::take;

use super::Number;
use super::convert::cast_numbers;
use super::nested::children;
use super::schema_adapter::renamed;
use super::widen_decimals::decimals;
use crate::files::widen::same_type;
use crate::{Error, Result};

/// A value that the wider type has no room for.
#[derive(Debug, PartialEq)]
pub(super) struct NoRoom {
    /// Its row, of those that were given.
    pub(super) row: usize,
    /// The value, as it counts units.
    pub(super) value: i64,
}

/// The same values, of a type that is wider or the same; nulls stay nulls.
pub(super) fn widened(array: &ArrayRef, to: &DataType) -> Result<std::result::Result<ArrayRef, NoRoom>> {
    use DataType::{
        Date32, Date64, Dictionary, Duration, FixedSizeList, LargeList, LargeListView, List, ListView, Map, Null,
        Struct, Time32, Time64, Timestamp,
    };
    let from = array.data_type();
    if same_type(from, to) {
        return Ok(Ok(Arc::clone(array)));
    }
    Ok(Ok(match (from, to) {
        (Null, _) => new_null_array(to, array.len()),
        (Dictionary(..), Dictionary(keys, _)) => {
            let dictionary = array.as_any_dictionary();
            let values = match to {
                Dictionary(_, values) => widened(dictionary.values(), values)?,
                _ => Ok(dictionary.values().clone()),
            };
            let Ok(values) = values else { return Err(Error::internal("a dictionary of times")) };
            let given: ArrayRef = make_array(dictionary.keys().to_data());
            let Ok(given) = widened(&given, keys)? else { return Err(Error::internal("keys of times")) };
            let data = given.to_data().into_builder().data_type(to.clone()).child_data(vec![values.to_data()]);
            make_array(data.build()?)
        }
        (Dictionary(..), _) => {
            let dictionary = array.as_any_dictionary();
            let plain = take(dictionary.values(), dictionary.keys(), None)?;
            return widened(&plain, to);
        }
        (Timestamp(a, _), Timestamp(b, _)) | (Duration(a), Duration(b)) => {
            return Ok(finer(array, unit(b) / unit(a), to));
        }
        (Time32(a) | Time64(a), Time32(b) | Time64(b)) => return Ok(finer(array, unit(b) / unit(a), to)),
        (Date32, Date64) => {
            let days = array.as_primitive::<Date32Type>();
            let days = days.unary::<_, Int64Type>(|day| i64::from(day) * 86_400_000);
            make_array(days.into_data().into_builder().data_type(Date64).build()?)
        }
        (Date32, Timestamp(to_unit, None)) => {
            let days: ArrayRef = Arc::new(array.as_primitive::<Date32Type>().unary::<_, Int64Type>(i64::from));
            return Ok(finer(&days, 86_400 * unit(to_unit), to));
        }
        (from, to) if to.is_decimal() && (from.is_decimal() || from.is_signed_integer()) => {
            return decimals(array, to);
        }
        (List(_) | LargeList(_) | FixedSizeList(..), List(child) | LargeList(child) | FixedSizeList(child, _)) => {
            return lists(array, child, to);
        }
        (ListView(_) | LargeListView(_), List(child) | LargeList(child)) => return list_views(array, child, to),
        // A field that a table got later is not in its older files.
        (Struct(_), Struct(fields)) => {
            return structs(array, fields, |_, name| array.as_struct().column_by_name(name).cloned());
        }
        (Map(..), Map(entries, _)) => {
            let Struct(fields) = entries.data_type() else { return Err(Error::internal("a map without entries")) };
            let data = array.to_data();
            let given: ArrayRef = make_array(data.child_data()[0].clone());
            // Key and value, whatever they are called. Of the entries of maps the rows are not told apart.
            match structs(&given, fields, |place, _| given.as_struct().columns().get(place).cloned())? {
                Ok(made) => {
                    make_array(data.into_builder().data_type(to.clone()).child_data(vec![made.to_data()]).build()?)
                }
                Err(none) => return Ok(Err(none)),
            }
        }
        (from, to) => match (Number::of(from), Number::of(to)) {
            (Some(number), Some(wide)) if from.is_numeric() && to.is_numeric() => cast_numbers(array, number, wide)?,
            _ => bytes(array, to)?,
        },
    }))
}

/// How many are in a second.
fn unit(unit: &TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// Integers that count a unit, as those that count one that is `factor` times finer.
fn finer(array: &ArrayRef, factor: i64, to: &DataType) -> std::result::Result<ArrayRef, NoRoom> {
    let is_narrow = array.data_type().primitive_width() == Some(4);
    let counts: PrimitiveArray<Int64Type> =
        if is_narrow { retyped::<Int32Type>(array).unary(i64::from) } else { retyped::<Int64Type>(array) };
    let wrong = |row: usize| counts.is_valid(row) && counts.value(row).checked_mul(factor).is_none();
    if let Some(row) = (0..counts.len()).find(|&row| wrong(row)) {
        return Err(NoRoom { row, value: counts.value(row) });
    }
    let counts = counts.unary::<_, Int64Type>(|count| count.wrapping_mul(factor));
    let made: ArrayRef = if to.primitive_width() == Some(4) {
        // Times of day in milliseconds fit.
        Arc::new(counts.unary::<_, Int32Type>(|count| count as i32))
    } else {
        Arc::new(counts)
    };
    let data = made.to_data().into_builder().data_type(to.clone()).build();
    data.map(make_array).map_err(|_| NoRoom { row: 0, value: 0 })
}

/// The array as the integers that it is made of.
fn retyped<T: ArrowPrimitiveType>(array: &ArrayRef) -> PrimitiveArray<T> {
    let data = array.to_data();
    let values = ScalarBuffer::<T::Native>::new(data.buffers()[0].clone(), data.offset(), data.len());
    PrimitiveArray::new(values, array.nulls().cloned())
}

/// Structs with these fields, of which `child` finds each by its place or name; those that it does not find are null.
fn structs(
    array: &ArrayRef,
    fields: &Fields,
    child: impl Fn(usize, &str) -> Option<ArrayRef>,
) -> Result<std::result::Result<ArrayRef, NoRoom>> {
    let mut made = Vec::with_capacity(fields.len());
    for (place, field) in fields.iter().enumerate() {
        made.push(match child(place, field.name()) {
            None => new_null_array(field.data_type(), array.len()),
            Some(child) => match widened(&child, field.data_type())? {
                Ok(child) => make_array(renamed(child.to_data(), field.data_type())?),
                Err(none) => return Ok(Err(none)),
            },
        });
    }
    let nulls = array.nulls().cloned();
    Ok(Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), made, nulls, array.len())?)))
}

/// Lists of any kind, of which null ones have no items.
fn lists(array: &ArrayRef, child: &FieldRef, to: &DataType) -> Result<std::result::Result<ArrayRef, NoRoom>> {
    let nulls = array.nulls().cloned();
    let lengths: Vec<usize> = match array.data_type() {
        DataType::List(_) => array.as_list::<i32>().offsets().lengths().collect(),
        DataType::LargeList(_) => array.as_list::<i64>().offsets().lengths().collect(),
        _ => vec![array.as_fixed_size_list().value_length().unsigned_abs() as usize; array.len()],
    };
    let Some((values, rows)) = children(array).pop() else { return Ok(Ok(new_null_array(to, array.len()))) };
    let values = match widened(&values, child.data_type())? {
        Ok(values) => values,
        Err(none) => return Ok(Err(NoRoom { row: rows.of(none.row), ..none })),
    };
    if let DataType::FixedSizeList(..) = to {
        let data = array.to_data().into_builder().data_type(to.clone());
        let values = renamed(values.to_data(), child.data_type())?;
        return Ok(Ok(make_array(data.child_data(vec![values]).build()?)));
    }
    of_lengths(values, &lengths, nulls, child, to).map(Ok)
}

fn list_views(array: &ArrayRef, child: &FieldRef, to: &DataType) -> Result<std::result::Result<ArrayRef, NoRoom>> {
    let (spans, values): (Vec<(usize, usize)>, ArrayRef) = match array.data_type() {
        DataType::ListView(_) => {
            let views = array.as_list_view::<i32>();
            let spans = views.offsets().iter().zip(views.sizes());
            (spans.map(|(&at, &size)| (at as usize, size as usize)).collect(), views.values().clone())
        }
        _ => {
            let views = array.as_list_view::<i64>();
            let spans = views.offsets().iter().zip(views.sizes());
            (spans.map(|(&at, &size)| (at as usize, size as usize)).collect(), views.values().clone())
        }
    };
    let indices = spans.iter().flat_map(|&(at, size)| (at..at + size).map(|index| index as u64));
    let values = take(&values, &UInt64Array::from_iter_values(indices), None)?;
    let lengths: Vec<usize> = spans.iter().map(|&(_, size)| size).collect();
    match widened(&values, child.data_type())? {
        Ok(values) => of_lengths(values, &lengths, array.nulls().cloned(), child, to).map(Ok),
        Err(none) => Ok(Err(none)),
    }
}

fn of_lengths(
    values: ArrayRef,
    lengths: &[usize],
    nulls: Option<NullBuffer>,
    child: &FieldRef,
    to: &DataType,
) -> Result<ArrayRef> {
    let is_null = |row: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
    let is_in_null = (0..lengths.len()).any(|row| is_null(row) && lengths[row] > 0);
    let (values, lengths): (ArrayRef, Vec<usize>) = if is_in_null {
        let mut start = 0;
        let mut kept = Vec::new();
        for (row, &length) in lengths.iter().enumerate() {
            if !is_null(row) {
                kept.extend((start..start + length).map(|index| index as u64));
            }
            start += length;
        }
        let lengths = lengths.iter().enumerate().map(|(row, &length)| if is_null(row) { 0 } else { length });
        (take(&values, &UInt64Array::from(kept), None)?, lengths.collect())
    } else {
        (values, lengths.to_vec())
    };
    let values = make_array(renamed(values.to_data(), child.data_type())?);
    let field = Arc::clone(child);
    Ok(match to {
        DataType::LargeList(_) => {
            Arc::new(arrow_array::LargeListArray::try_new(field, OffsetBuffer::from_lengths(lengths), values, nulls)?)
        }
        _ => Arc::new(arrow_array::ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), values, nulls)?),
    })
}

/// Text as text, and binary data as binary data.
fn bytes(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    use DataType::{Binary, BinaryView, FixedSizeBinary, LargeBinary, LargeUtf8, Utf8, Utf8View};
    let text: Option<Vec<Option<&str>>> = match array.data_type() {
        Utf8 => Some(array.as_string::<i32>().iter().collect()),
        LargeUtf8 => Some(array.as_string::<i64>().iter().collect()),
        Utf8View => Some(array.as_string_view().iter().collect()),
        _ => None,
    };
    if let Some(text) = text {
        return match to {
            Utf8 => {
                let mut made = StringBuilder::new();
                text.into_iter().for_each(|value| made.append_option(value));
                Ok(Arc::new(made.finish()))
            }
            LargeUtf8 => {
                let mut made = LargeStringBuilder::new();
                text.into_iter().for_each(|value| made.append_option(value));
                Ok(Arc::new(made.finish()))
            }
            _ => Err(Error::internal(format!("{} to {to}", array.data_type()))),
        };
    }
    let values: Vec<Option<&[u8]>> = match array.data_type() {
        Binary => array.as_binary::<i32>().iter().collect(),
        LargeBinary => array.as_binary::<i64>().iter().collect(),
        BinaryView => array.as_binary_view().iter().collect(),
        FixedSizeBinary(_) => array.as_fixed_size_binary().iter().collect(),
        from => return Err(Error::internal(format!("{from} to {to}"))),
    };
    match to {
        Binary => {
            let mut made = BinaryBuilder::new();
            values.into_iter().for_each(|value| made.append_option(value));
            Ok(Arc::new(made.finish()))
        }
        LargeBinary => {
            let mut made = LargeBinaryBuilder::new();
            values.into_iter().for_each(|value| made.append_option(value));
            Ok(Arc::new(made.finish()))
        }
        _ => Err(Error::internal(format!("{} to {to}", array.data_type()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{FixedSizeListArray, TimestampMillisecondArray};
    use arrow_schema::Field;

    #[test]
    fn null_lists_of_one_length_have_no_items_as_lists() {
        let rows = [Some(vec![Some(1), Some(2)]), None, Some(vec![Some(3), None])];
        let fixed: ArrayRef = Arc::new(FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>(rows, 2));
        let to = DataType::LargeList(Arc::new(Field::new("element", DataType::Int64, true)));
        let made = widened(&fixed.slice(1, 2), &to).unwrap().unwrap();
        assert_eq!(made.data_type(), &to);
        let made = made.as_list::<i64>();
        assert_eq!((made.value_offsets(), made.null_count(), made.values().len()), (&[0, 0, 2][..], 1, 2));
    }

    #[test]
    fn what_tables_widen() {
        use arrow_array::{Date32Array, Int8Array};
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        let days: ArrayRef = Arc::new(Date32Array::from(vec![Some(-1), None, Some(20_000), Some(i32::MAX)]));
        let made = widened(&days.slice(0, 3), &micros).unwrap().unwrap();
        assert_eq!(
            retyped::<Int64Type>(&made).iter().collect::<Vec<_>>(),
            [Some(-86_400_000_000), None, Some(1_728_000_000_000_000)]
        );
        assert_eq!(widened(&days, &micros).unwrap(), Err(NoRoom { row: 3, value: i64::from(i32::MAX) }));

        let fields = |with: &[(&str, DataType)]| -> Fields {
            with.iter().map(|(name, of)| Field::new(*name, of.clone(), true)).collect()
        };
        let old = fields(&[("gone", DataType::Int8), ("x", DataType::Date32)]);
        let old: ArrayRef = Arc::new(StructArray::new(
            old,
            vec![Arc::new(Int8Array::from(vec![1, 2])), Arc::new(Date32Array::from(vec![1, 2]))],
            Some(NullBuffer::from(vec![true, false])),
        ));
        let to = DataType::Struct(fields(&[("new", DataType::Utf8), ("x", micros)]));
        let made = widened(&old.slice(0, 2), &to).unwrap().unwrap();
        assert_eq!((made.data_type(), made.null_count()), (&to, 1));
        assert_eq!(made.as_struct().column(0).null_count(), 2);
        assert_eq!(retyped::<Int64Type>(made.as_struct().column(1)).value(0), 86_400_000_000);
    }

    #[test]
    fn a_time_without_room_is_named() {
        let array: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![None, Some(5), Some(i64::MAX)]));
        let to = DataType::Timestamp(TimeUnit::Nanosecond, None);
        assert_eq!(widened(&array, &to).unwrap(), Err(NoRoom { row: 2, value: i64::MAX }));
        let made = widened(&array.slice(0, 2), &to).unwrap().unwrap();
        assert_eq!(retyped::<Int64Type>(&made).iter().collect::<Vec<_>>(), [None, Some(5_000_000)]);
    }
}
