//! Any bytes as the pages of a column: what the dense decoder makes of them is what parquet's own decoder makes of
//! them, or an error. The fuzzer drives this; `seeds` holds what it found.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Field};
use parquet::basic::{Encoding, LogicalType, Repetition, Type as Physical};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{AsBytes, DataType as ParquetType};
use parquet::data_type::{DoubleType, FixedLenByteArrayType, FloatType, Int32Type, Int64Type};
use parquet::errors::Result;
use parquet::schema::types::{ColumnDescriptor, ColumnPath, Type};
use shardline_core::decode::dense::{DenseColumn, DensePages, Read};

/// Pages in memory.
pub struct Pages(pub std::vec::IntoIter<Page>);

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Result<Page>> {
        self.0.next().map(Ok)
    }
}

impl DensePages for Pages {}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        Ok(self.0.next())
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        Ok(self.0.as_slice().first().map(|page| PageMetadata {
            num_rows: match page {
                Page::DataPageV2 { num_rows, .. } => Some(*num_rows as usize),
                _ => None,
            },
            num_levels: page.is_data_page().then_some(page.num_values() as usize),
            is_dict: page.is_dictionary_page(),
        }))
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.0.next();
        Ok(())
    }
}

/// Bytes taken from the front; zeros after the end.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> usize {
        self.bytes(1).first().copied().unwrap_or(0).into()
    }

    fn short(&mut self) -> usize {
        self.byte() | self.byte() << 8
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let (front, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        front.to_vec()
    }
}

const ITEMS: [(Physical, DataType); 7] = [
    (Physical::INT32, DataType::Int32),
    (Physical::INT32, DataType::Int8),
    (Physical::INT32, DataType::UInt16),
    (Physical::INT64, DataType::Int64),
    (Physical::FLOAT, DataType::Float32),
    (Physical::DOUBLE, DataType::Float64),
    (Physical::FIXED_LEN_BYTE_ARRAY, DataType::Float16),
];

/// A column of one of the kinds that the decoder takes.
fn column(kind: usize) -> (ColumnDescriptor, Field) {
    let (physical, item) = ITEMS[kind % ITEMS.len()].clone();
    let (nesting, nullable) = (kind / ITEMS.len() % 4, kind / ITEMS.len() / 4 % 2 == 1);
    let mut leaf = Type::primitive_type_builder("x", physical);
    if physical == Physical::FIXED_LEN_BYTE_ARRAY {
        leaf = leaf.with_length(2).with_logical_type(Some(LogicalType::Float16));
    }
    let leaf = leaf.with_repetition(if nullable { Repetition::OPTIONAL } else { Repetition::REQUIRED });
    let leaf = Arc::new(leaf.build().unwrap());
    let optional = i16::from(nullable);
    let child = || Arc::new(Field::new("element", item.clone(), nullable));
    let (data_type, def, rep, path) = match nesting {
        0 => (item.clone(), optional, 0, "x"),
        1 => (DataType::List(child()), 2 * optional + 1, 1, "x.list.element"),
        2 => (DataType::LargeList(child()), 2 * optional + 1, 1, "x.list.element"),
        _ => (DataType::FixedSizeList(child(), 3), 2 * optional + 1, 1, "x.list.element"),
    };
    let path = ColumnPath::new(path.split('.').map(str::to_owned).collect());
    (ColumnDescriptor::new(leaf, def, rep, path), Field::new("x", data_type, nullable))
}

fn page(input: &mut Input<'_>, descr: &ColumnDescriptor) -> Page {
    let header = input.byte();
    let encoding = match header >> 2 & 3 {
        0 => Encoding::PLAIN,
        1 => Encoding::RLE_DICTIONARY,
        2 => Encoding::BYTE_STREAM_SPLIT,
        _ => Encoding::DELTA_BINARY_PACKED,
    };
    let num_values = input.short() as u32 % 5000;
    if header & 3 == 0 {
        let size = input.short() % 4096;
        return Page::DictionaryPage {
            buf: input.bytes(size).into(),
            num_values,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
    }
    let rep = if descr.max_rep_level() > 0 { input.byte() } else { 0 };
    let def = if descr.max_def_level() > 0 { input.byte() } else { 0 };
    let (rep, def, size) = (input.bytes(rep), input.bytes(def), input.short() % 4096);
    let values = input.bytes(size);
    if header & 3 == 1 {
        return Page::DataPageV2 {
            num_rows: if descr.max_rep_level() > 0 { input.short() as u32 } else { num_values },
            num_nulls: 0,
            def_levels_byte_len: def.len() as u32,
            rep_levels_byte_len: rep.len() as u32,
            buf: [rep, def, values].concat().into(),
            num_values,
            encoding,
            is_compressed: false,
            statistics: None,
        };
    }
    let framed =
        |bytes: &[u8], is: bool| if is { [&(bytes.len() as u32).to_le_bytes(), bytes].concat() } else { vec![] };
    let buf = if header & 3 == 2 {
        [framed(&rep, descr.max_rep_level() > 0), framed(&def, descr.max_def_level() > 0), values].concat()
    } else {
        [rep, def, values].concat()
    };
    Page::DataPage {
        buf: buf.into(),
        num_values,
        encoding,
        def_level_encoding: Encoding::RLE,
        rep_level_encoding: Encoding::RLE,
        statistics: None,
    }
}

/// Decodes the pages that these bytes describe, in the steps that they describe, and compares.
pub fn check(data: &[u8]) {
    let mut input = Input(data);
    let (descr, field) = column(input.byte());
    let steps: Vec<(bool, usize)> =
        (0..1 + input.byte() % 4).map(|_| input.byte()).map(|step| (step & 1 == 1, 1 + step / 2)).collect();
    let mut pages = vec![];
    while !input.0.is_empty() && pages.len() < 12 {
        pages.push(page(&mut input, &descr));
    }
    let slots = pages.iter().filter(|page| page.is_data_page()).map(|page| u64::from(page.num_values())).sum();
    let mut column = DenseColumn::try_new(Box::new(Pages(pages.clone().into_iter())), &descr, &field)
        .expect("every kind here is for it")
        .with_num_values(slots);
    let (mut row, mut read) = (0, vec![]);
    for &(skip, rows) in steps.iter().cycle().take(200) {
        if skip {
            if column.skip(rows).is_err() {
                break;
            }
        } else {
            let Ok(Read::Array(array)) = column.read(rows) else { break };
            assert_eq!(array.len(), rows);
            array.to_data().validate_full().expect("a whole array");
            read.push((row, array));
        }
        row += rows;
    }
    let Some((last, array)) = read.last() else { return };
    let rows = last + array.len();
    // Damaged pages may make parquet's own decoder panic.
    let theirs = catch_unwind(AssertUnwindSafe(|| reference(pages, descr, rows)));
    if let Ok(Some(mut theirs)) = theirs {
        let mask = match field.data_type() {
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                width(item.data_type())
            }
            item => width(item),
        };
        theirs.iter_mut().flatten().for_each(|value| *value &= mask);
        for (row, array) in read {
            let ours = rows_of(&array);
            assert_eq!(ours, theirs[row..row + array.len()], "rows from {row}, {}", array.data_type());
        }
    }
}

/// The bits of a narrow item: Parquet keeps it in 32.
fn width(item: &DataType) -> u64 {
    match item {
        DataType::Int8 => 0xFF,
        DataType::UInt16 => 0xFFFF,
        _ => u64::MAX,
    }
}

/// The values of every row, each as its bytes in 64 bits.
fn rows_of(array: &ArrayRef) -> Vec<Vec<u64>> {
    let one = |list: ArrayRef| -> Vec<u64> {
        macro_rules! bits {
            ($kind:ident, $value:ident => $bits:expr) => {
                list.as_primitive::<arrow_array::types::$kind>().values().iter().map(|$value| $bits).collect()
            };
        }
        match list.data_type() {
            DataType::Int32 => bits!(Int32Type, v => u64::from(*v as u32)),
            DataType::Int8 => bits!(Int8Type, v => u64::from(*v as u8)),
            DataType::UInt16 => bits!(UInt16Type, v => u64::from(*v)),
            DataType::Int64 => bits!(Int64Type, v => *v as u64),
            DataType::Float32 => bits!(Float32Type, v => u64::from(v.to_bits())),
            DataType::Float64 => bits!(Float64Type, v => v.to_bits()),
            _ => bits!(Float16Type, v => u64::from(v.to_bits())),
        }
    };
    (0..array.len())
        .map(|row| match array.data_type() {
            DataType::List(_) => one(array.as_list::<i32>().value(row)),
            DataType::LargeList(_) => one(array.as_list::<i64>().value(row)),
            DataType::FixedSizeList(..) => one(array.as_fixed_size_list().value(row)),
            _ => one(array.slice(row, 1)),
        })
        .collect()
}

/// The first `rows` rows as parquet's decoder reads them; None where it does not, or where one is null.
fn reference(pages: Vec<Page>, descr: ColumnDescriptor, rows: usize) -> Option<Vec<Vec<u64>>> {
    fn decode<T: ParquetType>(pages: Vec<Page>, descr: ColumnDescriptor, rows: usize) -> Option<Vec<Vec<u64>>> {
        let (max_def, max_rep) = (descr.max_def_level(), descr.max_rep_level());
        let mut reader = ColumnReaderImpl::<T>::new(Arc::new(descr), Box::new(Pages(pages.into_iter())));
        let (mut def, mut rep, mut values) = (vec![], vec![], vec![]);
        let (mut records, mut count) = (0, 0);
        while records < rows {
            let found = reader.read_records(
                rows - records,
                (max_def > 0).then_some(&mut def),
                (max_rep > 0).then_some(&mut rep),
                &mut values,
            );
            let (some, _, levels) = found.ok()?;
            if some == 0 && levels == 0 {
                return None;
            }
            (records, count) = (records + some, count + levels);
        }
        let (mut found, mut values): (Vec<Vec<u64>>, _) = (vec![], values.iter());
        for slot in 0..count {
            if max_rep == 0 || rep[slot] == 0 {
                found.push(vec![]);
            }
            let present = max_def == 0 || def[slot] == max_def;
            if present {
                let mut bytes = [0; 8];
                let of_value = values.next()?.as_bytes();
                bytes[..of_value.len()].copy_from_slice(of_value);
                found.last_mut()?.push(u64::from_le_bytes(bytes));
            } else if max_rep == 0 || def[slot] != max_def - 1 - i16::from(max_def == 3) {
                return None;
            }
        }
        Some(found)
    }
    match descr.physical_type() {
        Physical::INT32 => decode::<Int32Type>(pages, descr, rows),
        Physical::INT64 => decode::<Int64Type>(pages, descr, rows),
        Physical::FLOAT => decode::<FloatType>(pages, descr, rows),
        Physical::DOUBLE => decode::<DoubleType>(pages, descr, rows),
        _ => decode::<FixedLenByteArrayType>(pages, descr, rows),
    }
}
