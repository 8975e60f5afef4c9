use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int8Type;
use arrow_array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray,
    FixedSizeBinaryArray, FixedSizeListArray, Float16Array, Int8Array, Int32Array, LargeBinaryArray, ListArray,
    MapArray, RecordBatch, StringArray, StructArray, Time32SecondArray, TimestampNanosecondArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::Field;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};

use super::*;
use crate::files::footer_precheck::precheck;
use crate::files::schema_cache::{self, StatisticsKept};

const ROWS: usize = 20_000;

/// What an array takes by the rules of this module.
fn taken(array: &dyn Array) -> u64 {
    let slots = array.len() as u64;
    let lists = |offset, values: &ArrayRef, range: std::ops::Range<usize>| {
        slots * offset + taken(values.slice(range.start, range.len()).as_ref())
    };
    let bytes = |offset, lengths: &mut dyn Iterator<Item = Option<usize>>| {
        slots * offset + lengths.flatten().map(|length| length as u64).sum::<u64>()
    };
    match array.data_type() {
        DataType::Utf8 => bytes(4, &mut array.as_string::<i32>().iter().map(|value| value.map(str::len))),
        DataType::LargeBinary => bytes(8, &mut array.as_binary::<i64>().iter().map(|value| value.map(<[u8]>::len))),
        DataType::BinaryView => bytes(16, &mut array.as_binary_view().iter().map(|value| value.map(<[u8]>::len))),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            lists(4, list.values(), list.value_offsets()[0] as usize..list.value_offsets()[list.len()] as usize)
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            lists(4, &entries, map.value_offsets()[0] as usize..map.value_offsets()[map.len()] as usize)
        }
        DataType::FixedSizeList(..) => taken(array.as_fixed_size_list().values()),
        DataType::Struct(_) => array.as_struct().columns().iter().map(|column| taken(column)).sum(),
        other => match value_size(other) {
            ValueSize::Fixed(width) => slots * width,
            ValueSize::Variable(_) => panic!("{other}"),
        },
    }
}

/// Numbers that do not follow each other.
fn mixed(row: usize) -> usize {
    row.wrapping_mul(0x9e37_79b9).rotate_right(7) % 1009
}

fn strings(value: impl Fn(usize) -> String) -> ArrayRef {
    Arc::new(StringArray::from_iter_values((0..ROWS).map(value)))
}

/// `lengths` of each row's list of `items`, of which there are enough.
fn list(lengths: impl Fn(usize) -> usize, items: &ArrayRef) -> ArrayRef {
    let offsets = OffsetBuffer::from_lengths((0..ROWS).map(lengths));
    let items = items.slice(0, offsets[ROWS] as usize);
    let nulls = NullBuffer::from_iter((0..ROWS).map(|row| row % 11 != 3));
    let field = Arc::new(Field::new("item", items.data_type().clone(), true));
    Arc::new(ListArray::new(field, offsets, items, Some(nulls)))
}

fn fixed(length: usize, items: ArrayRef, nulls: Option<NullBuffer>) -> ArrayRef {
    let field = Arc::new(Field::new("item", items.data_type().clone(), true));
    Arc::new(FixedSizeListArray::new(field, length as i32, items, nulls))
}

fn structs(columns: Vec<(&str, ArrayRef)>) -> ArrayRef {
    let fields = columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    let nulls = NullBuffer::from_iter((0..columns[0].1.len()).map(|row| row % 5 != 0));
    Arc::new(StructArray::new(fields, columns.into_iter().map(|(_, column)| column).collect(), Some(nulls)))
}

fn columns() -> Vec<(&'static str, ArrayRef)> {
    let ints = || -> ArrayRef { Arc::new(Int32Array::from_iter((0..2 * ROWS).map(|row| (row % 3 > 0).then_some(7)))) };
    let words =
        || -> ArrayRef { Arc::new(StringArray::from_iter_values((0..ROWS).map(|row| format!("word {}", row % 10)))) };
    let map = {
        let entries = StructArray::from(vec![
            (Arc::new(Field::new("keys", DataType::Utf8, false)), words()),
            (Arc::new(Field::new("values", DataType::Int32, true)), ints().slice(0, ROWS)),
        ]);
        let field = Arc::new(Field::new("entries", entries.data_type().clone(), false));
        MapArray::new(field, OffsetBuffer::from_lengths((0..ROWS).map(|_| 1)), entries, None, false)
    };
    let codes = DictionaryArray::<Int8Type>::new(
        Int8Array::from_iter_values((0..ROWS).map(|row| (row % 3) as i8)),
        Arc::new(StringArray::from(vec!["x".repeat(300), "y".repeat(300), "z".repeat(300)])),
    );
    let nulls = NullBuffer::from_iter((0..ROWS).map(|row| row % 4 > 0));
    vec![
        ("bool", Arc::new(BooleanArray::from_iter((0..ROWS).map(|row| (row % 2 > 0).then_some(true))))),
        ("int8", Arc::new(Int8Array::from_iter_values((0..ROWS).map(|_| 1)))),
        ("float16", Arc::new(Float16Array::from(vec![half(); ROWS]))),
        ("constant", Arc::new(Int32Array::from(vec![5; ROWS]))),
        ("nulls", Arc::new(Int32Array::from(vec![None; ROWS]))),
        ("date", Arc::new(Date32Array::from_iter_values((0..ROWS).map(|row| mixed(row) as i32)))),
        ("time", Arc::new(Time32SecondArray::from_iter_values((0..ROWS).map(|row| mixed(row) as i32)))),
        ("timestamp", Arc::new(TimestampNanosecondArray::from_iter_values((0..ROWS).map(|row| mixed(row) as i64)))),
        ("decimal", Arc::new(Decimal128Array::from_iter_values((0..ROWS).map(|row| mixed(row) as i128)))),
        ("hash", Arc::new(FixedSizeBinaryArray::try_from_iter((0..ROWS).map(|row| [row as u8; 16])).unwrap())),
        ("wordlist", strings(|row| format!("word {}", mixed(row) % 10))),
        ("constant text", strings(|_| "always the same".to_owned())),
        ("wide constant", strings(|_| "w".repeat(1000))),
        ("ten wide", strings(|row| format!("{}", mixed(row) % 10).repeat(1000))),
        ("sorted", strings(|row| format!("user {:09}", row / 500))),
        ("unique", strings(|row| format!("{} of {row}", mixed(row)))),
        ("text", strings(|row| format!("{} ", mixed(row)).repeat(1 + mixed(row) % 300))),
        ("null text", Arc::new(StringArray::from_iter((0..ROWS).map(|row| (row % 3 > 0).then_some("here and there"))))),
        ("large", Arc::new(LargeBinaryArray::from_iter_values((0..ROWS).map(|row| vec![row as u8; row % 50])))),
        ("view", Arc::new(BinaryViewArray::from_iter_values((0..ROWS).map(|row| vec![row as u8; 20])))),
        ("codes", Arc::new(codes)),
        ("list", list(|row| row % 4, &ints())),
        ("empty lists", list(|row| usize::from(row == 7), &ints())),
        ("texts", list(|row| row % 2, &words())),
        ("lists of lists", list(|row| row % 2, &list(|row| row % 3, &ints()))),
        ("list of structs", list(|row| row % 2, &structs(vec![("a", ints().slice(0, ROWS)), ("b", words())]))),
        ("embedding", fixed(2, ints(), Some(nulls))),
        ("matrix", fixed(2, fixed(1, ints(), None), None)),
        ("struct", structs(vec![("a", ints().slice(0, ROWS)), ("b", words())])),
        ("map", Arc::new(map)),
    ]
}

fn half() -> <arrow_array::types::Float16Type as arrow_array::ArrowPrimitiveType>::Native {
    Default::default()
}

/// Every column's name, bytes by its footer and bytes as read, of a file written so.
fn compared(write: WriterPropertiesBuilder, kept: StatisticsKept) -> Vec<(&'static str, u64, u64)> {
    let compare = |(name, column): (&'static str, ArrayRef)| {
        let batch = RecordBatch::try_from_iter_with_nullable([(name, column, true)]).unwrap();
        let mut file = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(write.clone().build())).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let end = file.len() - 8;
        let length = u32::from_le_bytes(*file[end..].first_chunk().unwrap()) as usize;
        let footer = &file[end - length..end];
        let (metadata, schema) = schema_cache::decode(footer, &precheck(footer).unwrap(), kept).unwrap();
        let sizes = DecodedSizes::new(&schema);
        assert_eq!(sizes.0.len(), metadata.file_metadata().schema_descr().num_columns());
        let found = metadata.row_groups().iter().map(|group| sizes.row_group(group)).sum();
        let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file)).unwrap().build().unwrap();
        (name, found, reader.map(|batch| taken(batch.unwrap().column(0))).sum())
    };
    columns().into_iter().map(compare).collect()
}

fn writer() -> WriterPropertiesBuilder {
    WriterProperties::builder().set_max_row_group_row_count(Some(7_000))
}

/// What differs by more than these factors.
fn beyond(compared: &[(&'static str, u64, u64)], low: f64, high: f64) -> Vec<(&'static str, f64)> {
    let ratios = compared.iter().map(|&(name, found, read)| (name, found as f64 / read as f64));
    ratios.filter(|(_, ratio)| !(low..=high).contains(ratio)).collect()
}

#[test]
fn with_size_statistics_they_are_exact() {
    for dictionary in [true, false] {
        let found = compared(writer().set_dictionary_enabled(dictionary), StatisticsKept::ValuesAndSizes);
        let beyond = beyond(&found, 1.0, 1.0);
        assert!(beyond.is_empty(), "{dictionary}: {beyond:?}");
    }
}

#[test]
fn without_size_statistics_they_are_within_a_factor_of_two_and_a_half() {
    for dictionary in [true, false] {
        let write = writer().set_dictionary_enabled(dictionary).set_statistics_truncate_length(None);
        let beyond = beyond(&compared(write, StatisticsKept::Values), 0.4, 2.5);
        assert!(beyond.is_empty(), "{dictionary}: {beyond:?}");
    }
}

#[test]
fn where_bounds_are_cut_off_they_are_within_a_factor_of_four() {
    let beyond = beyond(&compared(writer(), StatisticsKept::Values), 0.25, 4.0);
    assert!(beyond.is_empty(), "{beyond:?}");
}

#[test]
fn without_any_statistics_they_are_a_guess_that_is_not_hundreds_of_times_wrong() {
    for dictionary in [true, false] {
        let write = writer().set_dictionary_enabled(dictionary).set_statistics_enabled(EnabledStatistics::None);
        let beyond = beyond(&compared(write, StatisticsKept::None), 0.1, 10.0);
        assert!(beyond.is_empty(), "{dictionary}: {beyond:?}");
    }
}
