//! Types that hold the values of two others: what a column is where files differ and that is allowed.
//!
//! Files of two writers have the same data in other types: lists as `List`, `LargeList` or of a fixed size; text as
//! `Utf8`, `LargeUtf8`, a view or a dictionary; timestamps in other units. No value is changed by any of these.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Fields, TimeUnit};

/// The type that holds all values of both, of the same kind; None where there is none.
pub(crate) fn wider(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::{Decimal32, Decimal64, Decimal128, Decimal256, FixedSizeList, Map, Null, Struct};
    if same_type(a, b) {
        return Some(a.clone());
    }
    let child = |a: &FieldRef, b: &FieldRef| {
        Some(Arc::new(a.as_ref().clone().with_data_type(wider(a.data_type(), b.data_type())?)))
    };
    match (a, b) {
        // A column of nothing but nulls fits any other.
        (Null, other) | (other, Null) => Some(other.clone()),
        (FixedSizeList(x, n), FixedSizeList(y, m)) if n == m => Some(FixedSizeList(child(x, y)?, *n)),
        (Struct(x), Struct(y)) if x.len() == y.len() => {
            let fields = x.iter().zip(y).map(|(x, y)| (x.name() == y.name()).then(|| child(x, y)).flatten());
            fields.collect::<Option<Fields>>().map(Struct)
        }
        (Map(x, n), Map(y, m)) if n == m => Some(Map(map_entries(x, y)?, *n)),
        (Decimal32(p, s), Decimal32(q, t)) if s == t => Some(Decimal32(*p.max(q), *s)),
        (
            Decimal32(p, s) | Decimal64(p, s) | Decimal128(p, s) | Decimal256(p, s),
            Decimal32(q, t) | Decimal64(q, t) | Decimal128(q, t) | Decimal256(q, t),
        ) if s == t => {
            let precision = *p.max(q);
            let is = |of: fn(&DataType) -> bool| of(a) || of(b);
            Some(if is(|of| matches!(of, Decimal256(..))) {
                Decimal256(precision, *s)
            } else if is(|of| matches!(of, Decimal128(..))) {
                Decimal128(precision, *s)
            } else {
                Decimal64(precision, *s)
            })
        }
        _ => match (list_item(a), list_item(b)) {
            (Some((x, x_large)), Some((y, y_large))) => {
                let item = child(x, y)?;
                Some(if x_large || y_large { DataType::LargeList(item) } else { DataType::List(item) })
            }
            _ => wider_bytes(a, b).or_else(|| wider_time(a, b)).or_else(|| wider_number(a, b)),
        },
    }
}

/// Entries have their key and value by place, whatever these are called.
fn map_entries(a: &FieldRef, b: &FieldRef) -> Option<FieldRef> {
    let (DataType::Struct(x), DataType::Struct(y)) = (a.data_type(), b.data_type()) else { return None };
    let both = x
        .iter()
        .zip(y)
        .map(|(x, y)| Some(Arc::new(x.as_ref().clone().with_data_type(wider(x.data_type(), y.data_type())?))));
    let fields = both.collect::<Option<Fields>>().filter(|fields| fields.len() == y.len())?;
    Some(Arc::new(a.as_ref().clone().with_data_type(DataType::Struct(fields))))
}

/// A list's items, and whether its offsets have 64 bits.
fn list_item(data_type: &DataType) -> Option<(&FieldRef, bool)> {
    match data_type {
        DataType::List(item) | DataType::FixedSizeList(item, _) | DataType::ListView(item) => Some((item, false)),
        DataType::LargeList(item) | DataType::LargeListView(item) => Some((item, true)),
        _ => None,
    }
}

/// Of text, or of binary data: dictionaries stay where both are.
fn wider_bytes(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::{Binary, BinaryView, Dictionary, FixedSizeBinary, LargeBinary, LargeUtf8, Utf8, Utf8View};
    if let (Dictionary(x, v), Dictionary(y, w)) = (a, b)
        && let (Some(keys), Some(values)) = (wider(x, y), wider_bytes(v, w))
    {
        return Some(Dictionary(Box::new(keys), Box::new(values)));
    }
    match (values_of(a), values_of(b)) {
        (Utf8, Utf8) => Some(Utf8),
        (LargeUtf8 | Utf8 | Utf8View, LargeUtf8 | Utf8 | Utf8View) => {
            Some(if values_of(a) == values_of(b) { values_of(a).clone() } else { LargeUtf8 })
        }
        (FixedSizeBinary(n), FixedSizeBinary(m)) if n == m => Some(FixedSizeBinary(*n)),
        (Binary | FixedSizeBinary(_), Binary | FixedSizeBinary(_)) => Some(Binary),
        (
            LargeBinary | Binary | BinaryView | FixedSizeBinary(_),
            LargeBinary | Binary | BinaryView | FixedSizeBinary(_),
        ) => Some(if values_of(a) == values_of(b) { values_of(a).clone() } else { LargeBinary }),
        _ => None,
    }
}

fn values_of(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => values,
        other => other,
    }
}

/// Of points in time and of durations: the finer unit. A value that it has no room for is an error where it is read.
fn wider_time(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::{Date32, Date64, Duration, Time32, Time64, Timestamp};
    match (a, b) {
        (Timestamp(x, zone), Timestamp(y, other)) => {
            let is_same =
                zone == other || matches!((zone, other), (Some(zone), Some(other)) if is_utc(zone) && is_utc(other));
            is_same.then(|| Timestamp(*finer(x, y), zone.clone()))
        }
        (Duration(x), Duration(y)) => Some(Duration(*finer(x, y))),
        (Date32 | Date64, Date32 | Date64) => Some(Date64),
        (Time32(x) | Time64(x), Time32(y) | Time64(y)) => Some(match finer(x, y) {
            unit @ (TimeUnit::Second | TimeUnit::Millisecond) => Time32(*unit),
            unit => Time64(*unit),
        }),
        _ => None,
    }
}

fn is_utc(zone: &str) -> bool {
    matches!(zone, "UTC" | "Etc/UTC" | "Z" | "+00:00" | "+00" | "+0000" | "Etc/Universal" | "Zulu")
}

fn finer<'a>(a: &'a TimeUnit, b: &'a TimeUnit) -> &'a TimeUnit {
    let rank = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    };
    if rank(b) > rank(a) { b } else { a }
}

fn wider_number(a: &DataType, b: &DataType) -> Option<DataType> {
    if holds(a, b) {
        return Some(a.clone());
    }
    if holds(b, a) {
        return Some(b.clone());
    }
    // Neither holds the other: int32 and uint32 are both int64.
    [DataType::Int16, DataType::Int32, DataType::Int64].into_iter().find(|wide| holds(wide, a) && holds(wide, b))
}

/// Whether every value of `narrow` is one of `wide`, of the same kind.
fn holds(wide: &DataType, narrow: &DataType) -> bool {
    use DataType::{Float16, Float32, Float64, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
    match wide {
        Int64 => matches!(narrow, Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32),
        Int32 => matches!(narrow, Int8 | Int16 | UInt8 | UInt16),
        Int16 => matches!(narrow, Int8 | UInt8),
        UInt64 => matches!(narrow, UInt8 | UInt16 | UInt32),
        UInt32 => matches!(narrow, UInt8 | UInt16),
        UInt16 => matches!(narrow, UInt8),
        Float64 => matches!(narrow, Float16 | Float32),
        Float32 => matches!(narrow, Float16),
        _ => false,
    }
}

/// Equal but for what does not change the values' layout: nullability, metadata, and what a list calls its elements.
pub(crate) fn same_type(a: &DataType, b: &DataType) -> bool {
    use DataType::{
        Dictionary, FixedSizeList, LargeList, LargeListView, List, ListView, Map, RunEndEncoded, Struct, Union,
    };
    let child = |a: &Field, b: &Field| same_type(a.data_type(), b.data_type());
    match (a, b) {
        (List(a), List(b)) | (LargeList(a), LargeList(b)) => child(a, b),
        (ListView(a), ListView(b)) | (LargeListView(a), LargeListView(b)) => child(a, b),
        (FixedSizeList(a, n), FixedSizeList(b, m)) => n == m && child(a, b),
        (Map(a, n), Map(b, m)) => n == m && child(a, b),
        (Struct(a), Struct(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.name() == b.name() && child(a, b))
        }
        (Dictionary(a, v), Dictionary(b, w)) => same_type(a, b) && same_type(v, w),
        (RunEndEncoded(a, v), RunEndEncoded(b, w)) => child(a, b) && child(v, w),
        (Union(a, m), Union(b, n)) => {
            m == n && a.len() == b.len() && a.iter().zip(b.iter()).all(|((i, a), (j, b))| i == j && child(a, b))
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_writers_write_has_a_common_type() {
        use DataType::{Binary, Dictionary, FixedSizeBinary, Int8, Int16, Int32, Int64, LargeUtf8, UInt32, Utf8};
        let item = |of| Arc::new(Field::new("item", of, true));
        let dictionary = |keys, values| Dictionary(Box::new(keys), Box::new(values));
        let stamp = |unit, zone: Option<&str>| DataType::Timestamp(unit, zone.map(Into::into));
        let (ms, us, ns) = (TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond);
        let lists = |of: DataType| {
            [
                DataType::List(item(of.clone())),
                DataType::LargeList(item(of.clone())),
                DataType::FixedSizeList(item(of), 2),
            ]
        };
        let ([list, large, fixed], [of_wide, ..]) = (lists(Int32), lists(Int64));
        for (a, b, both) in [
            (list.clone(), large.clone(), Some(large.clone())),
            (fixed.clone(), list.clone(), Some(list.clone())),
            (fixed.clone(), large.clone(), Some(large)),
            (DataType::FixedSizeList(item(Int32), 3), fixed, Some(list)),
            (DataType::FixedSizeList(item(Int64), 3), lists(Int8)[0].clone(), Some(of_wide)),
            (dictionary(Int8, Utf8), Utf8, Some(Utf8)),
            (dictionary(UInt32, LargeUtf8), Utf8, Some(LargeUtf8)),
            (dictionary(Int8, Utf8), dictionary(Int32, Utf8), Some(dictionary(Int32, Utf8))),
            (dictionary(UInt32, Utf8), dictionary(Int32, Utf8), Some(dictionary(Int64, Utf8))),
            (dictionary(DataType::UInt64, Utf8), dictionary(Int32, Utf8), Some(Utf8)),
            (FixedSizeBinary(2), Binary, Some(Binary)),
            (FixedSizeBinary(2), FixedSizeBinary(3), Some(Binary)),
            (Utf8, Binary, None),
            (stamp(ms, None), stamp(ns, None), Some(stamp(ns, None))),
            (stamp(us, Some("UTC")), stamp(ms, Some("Etc/UTC")), Some(stamp(us, Some("UTC")))),
            (stamp(us, Some("UTC")), stamp(us, None), None),
            (stamp(us, Some("UTC")), stamp(us, Some("Europe/Berlin")), None),
            (DataType::Time32(ms), DataType::Time64(us), Some(DataType::Time64(us))),
            (DataType::Date32, DataType::Date64, Some(DataType::Date64)),
            (DataType::Date32, stamp(ms, None), None),
            (DataType::Decimal128(10, 2), DataType::Decimal64(18, 2), Some(DataType::Decimal128(18, 2))),
            (DataType::Decimal128(10, 2), DataType::Decimal128(10, 3), None),
            (Int16, DataType::UInt16, Some(Int32)),
            (Int64, DataType::Float64, None),
        ] {
            assert_eq!(wider(&a, &b).map(|both| both.to_string()), both.map(|both| both.to_string()), "{a} {b}");
        }
    }
}
