//! 64 bits for each value of an array, as far as they can tell values apart.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType, Float16Type,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time32SecondType,
    Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayAccessor, ArrayRef};
use arrow_schema::{DataType, TimeUnit};
use arrow_select::take::take;

use super::hash::{B, NAN, NULL, finish, list, of_name, of_place, text, weigh};

/// A type that has no canonical value.
pub(super) type Unknown = DataType;

/// Items of lists whose values are held at a time, unless one list has more.
const ITEMS: usize = 32_768;

/// One for each place of the array, nulls among them.
pub(super) fn of(array: &ArrayRef) -> Result<Vec<u64>, Unknown> {
    let mut values = stored(array)?;
    if let Some(nulls) = array.nulls().filter(|nulls| nulls.null_count() > 0) {
        for (value, valid) in values.iter_mut().zip(nulls) {
            if !valid {
                *value = NULL;
            }
        }
    }
    Ok(values)
}

fn stored(array: &ArrayRef) -> Result<Vec<u64>, Unknown> {
    Ok(match array.data_type() {
        DataType::Null => vec![NULL; array.len()],
        DataType::Boolean => array.as_boolean().values().iter().map(u64::from).collect(),
        DataType::Int8 => signed::<Int8Type>(array, 1),
        DataType::Int16 => signed::<Int16Type>(array, 1),
        DataType::Int32 => signed::<Int32Type>(array, 1),
        DataType::Int64 => signed::<Int64Type>(array, 1),
        DataType::UInt8 => numbers::<UInt8Type>(array, u64::from),
        DataType::UInt16 => numbers::<UInt16Type>(array, u64::from),
        DataType::UInt32 => numbers::<UInt32Type>(array, u64::from),
        DataType::UInt64 => numbers::<UInt64Type>(array, |value| value),
        DataType::Float16 => numbers::<Float16Type>(array, |value| float(f64::from(value))),
        DataType::Float32 => numbers::<Float32Type>(array, |value| float(f64::from(value))),
        DataType::Float64 => numbers::<Float64Type>(array, float),
        DataType::Decimal32(..) => signed::<Decimal32Type>(array, 1),
        DataType::Decimal64(..) => signed::<Decimal64Type>(array, 1),
        DataType::Decimal128(..) => numbers::<Decimal128Type>(array, |value| decimal(&words(value.cast_unsigned()))),
        DataType::Decimal256(..) => numbers::<Decimal256Type>(array, |value| {
            let (low, high) = value.to_parts();
            let ([a, b], [c, d]) = (words(low), words(high.cast_unsigned()));
            decimal(&[a, b, c, d])
        }),
        _ => return times(array).or_else(|| bytes(array)).map_or_else(|| nested(array), Ok),
    })
}

fn numbers<T: ArrowPrimitiveType>(array: &ArrayRef, value: impl Fn(T::Native) -> u64) -> Vec<u64> {
    array.as_primitive::<T>().values().iter().map(|&stored| value(stored)).collect()
}

fn signed<T: ArrowPrimitiveType<Native: Into<i64>>>(array: &ArrayRef, scale: i64) -> Vec<u64> {
    numbers::<T>(array, |value| value.into().wrapping_mul(scale).cast_unsigned())
}

fn float(value: f64) -> u64 {
    if value.is_nan() { NAN } else { value.to_bits() }
}

fn words(value: u128) -> [u64; 2] {
    let bytes = value.to_le_bytes();
    let (words, _) = bytes.as_chunks::<8>();
    [u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1])]
}

/// A higher word counts where it is not the lower one's sign.
fn decimal(words: &[u64]) -> u64 {
    let mut value = words[0];
    for (place, pair) in words.windows(2).enumerate() {
        let sign = (pair[0].cast_signed() >> 63).cast_unsigned();
        value = value.wrapping_add(pair[1].wrapping_sub(sign).wrapping_mul(of_place(place + 1)));
    }
    value
}

/// Times in nanoseconds.
fn times(array: &ArrayRef) -> Option<Vec<u64>> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    Some(match array.data_type() {
        DataType::Date32 => signed::<Date32Type>(array, 86_400_000_000_000),
        DataType::Date64 => signed::<Date64Type>(array, 1_000_000),
        DataType::Time32(Second) => signed::<Time32SecondType>(array, 1_000_000_000),
        DataType::Time32(_) => signed::<Time32MillisecondType>(array, 1_000_000),
        DataType::Time64(Microsecond) => signed::<Time64MicrosecondType>(array, 1_000),
        DataType::Time64(_) => signed::<Time64NanosecondType>(array, 1),
        DataType::Timestamp(Second, _) => signed::<TimestampSecondType>(array, 1_000_000_000),
        DataType::Timestamp(Millisecond, _) => signed::<TimestampMillisecondType>(array, 1_000_000),
        DataType::Timestamp(Microsecond, _) => signed::<TimestampMicrosecondType>(array, 1_000),
        DataType::Timestamp(Nanosecond, _) => signed::<TimestampNanosecondType>(array, 1),
        DataType::Duration(Second) => signed::<DurationSecondType>(array, 1_000_000_000),
        DataType::Duration(Millisecond) => signed::<DurationMillisecondType>(array, 1_000_000),
        DataType::Duration(Microsecond) => signed::<DurationMicrosecondType>(array, 1_000),
        DataType::Duration(Nanosecond) => signed::<DurationNanosecondType>(array, 1),
        _ => return None,
    })
}

fn bytes(array: &ArrayRef) -> Option<Vec<u64>> {
    Some(match array.data_type() {
        DataType::Binary => binaries(array.as_binary::<i32>()),
        DataType::LargeBinary => binaries(array.as_binary::<i64>()),
        DataType::BinaryView => binaries(array.as_binary_view()),
        DataType::FixedSizeBinary(_) => binaries(array.as_fixed_size_binary()),
        DataType::Utf8 => strings(array.as_string::<i32>()),
        DataType::LargeUtf8 => strings(array.as_string::<i64>()),
        DataType::Utf8View => strings(array.as_string_view()),
        _ => return None,
    })
}

fn binaries<'a>(array: impl ArrayAccessor<Item = &'a [u8]>) -> Vec<u64> {
    (0..array.len()).map(|row| text(array.value(row))).collect()
}

fn strings<'a>(array: impl ArrayAccessor<Item = &'a str>) -> Vec<u64> {
    (0..array.len()).map(|row| text(array.value(row).as_bytes())).collect()
}

fn nested(array: &ArrayRef) -> Result<Vec<u64>, Unknown> {
    match array.data_type() {
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            if dictionary.values().is_empty() {
                return Ok(vec![NULL; array.len()]);
            }
            if dictionary.values().len() > array.len() {
                let taken = take(dictionary.values(), dictionary.keys(), None);
                return of(&taken.map_err(|_| array.data_type().clone())?);
            }
            let values = of(dictionary.values())?;
            Ok(dictionary.normalized_keys().into_iter().map(|key| values[key]).collect())
        }
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            folded(
                array.len(),
                |row| lists.value_offsets()[row] as usize,
                |from, size| of(&lists.values().slice(from, size)),
            )
        }
        DataType::LargeList(_) => {
            let lists = array.as_list::<i64>();
            folded(
                array.len(),
                |row| lists.value_offsets()[row] as usize,
                |from, size| of(&lists.values().slice(from, size)),
            )
        }
        DataType::FixedSizeList(..) => {
            let lists = array.as_fixed_size_list();
            let size = lists.value_length() as usize;
            folded(array.len(), |row| row * size, |from, size| of(&lists.values().slice(from, size)))
        }
        DataType::Map(..) => {
            let maps = array.as_map();
            folded(
                array.len(),
                |row| maps.value_offsets()[row] as usize,
                |from, size| {
                    fields(
                        size,
                        &[("key", &maps.keys().slice(from, size)), ("value", &maps.values().slice(from, size))],
                    )
                },
            )
        }
        DataType::Struct(_) => {
            let structs = array.as_struct();
            let named: Vec<_> = structs.column_names().into_iter().zip(structs.columns()).collect();
            fields(array.len(), &named)
        }
        unknown => Err(unknown.clone()),
    }
}

/// One for each list. `start`: where a list's items begin; `values`: of so many items from a place on.
fn folded(
    rows: usize,
    start: impl Fn(usize) -> usize,
    values: impl Fn(usize, usize) -> Result<Vec<u64>, Unknown>,
) -> Result<Vec<u64>, Unknown> {
    let mut found = Vec::with_capacity(rows);
    while found.len() < rows {
        let (row, first) = (found.len(), start(found.len()));
        let mut end = row + 1;
        while end < rows && start(end + 1) - first <= ITEMS {
            end += 1;
        }
        let items = values(first, start(end) - first)?;
        found.extend((row..end).map(|row| list(&items[start(row) - first..start(row + 1) - first])));
    }
    Ok(found)
}

fn fields(rows: usize, named: &[(&str, &ArrayRef)]) -> Result<Vec<u64>, Unknown> {
    let mut totals = vec![0_u64; rows];
    for (name, array) in named {
        let factor = of_name(name);
        for (total, value) in totals.iter_mut().zip(of(array)?) {
            *total = total.wrapping_add(weigh(value, factor));
        }
    }
    Ok(totals.into_iter().map(|total| finish(total, B)).collect())
}
