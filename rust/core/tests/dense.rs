//! The dense decoder against arrow-rs, over files of every writer option, and against pages that no writer would make.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

#[path = "dense/chunk.rs"]
mod chunk;
#[path = "dense/columns.rs"]
mod columns;
#[path = "dense/hostile.rs"]
mod hostile;
#[path = "dense/pages.rs"]
mod pages;

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int32Array, RecordBatch};
use arrow_schema::{Field, Schema};
use bytes::Bytes;
use columns::{Column, Item, Nesting};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::properties::{WriterProperties, WriterVersion};
use proptest::prelude::*;
use shardline_core::decode::dense::{DenseColumn, Read};
use shardline_core::decode::pages::pages;

#[derive(Debug, Clone)]
struct Options {
    v2: bool,
    compression: Compression,
    dictionary: bool,
    encoding: Option<Encoding>,
    page_bytes: usize,
    page_rows: usize,
    dictionary_bytes: usize,
    write_batch: usize,
    page_index: bool,
}

fn options() -> impl Strategy<Value = Options> {
    let compression = prop_oneof![
        Just(Compression::UNCOMPRESSED),
        Just(Compression::SNAPPY),
        Just(Compression::ZSTD(ZstdLevel::default()))
    ];
    let encoding =
        prop_oneof![3 => Just(None), 3 => Just(Some(Encoding::PLAIN)), 1 => Just(Some(Encoding::BYTE_STREAM_SPLIT))];
    let size = || prop_oneof![Just(1_usize), 16_usize..600, Just(1 << 20)];
    (any::<bool>(), compression, any::<bool>(), encoding, size(), size(), size(), 1_usize..200, any::<bool>()).prop_map(
        |(v2, compression, dictionary, encoding, page_bytes, page_rows, dictionary_bytes, write_batch, page_index)| {
            Options {
                v2,
                compression,
                dictionary,
                encoding,
                page_bytes,
                page_rows,
                dictionary_bytes,
                write_batch,
                page_index,
            }
        },
    )
}

fn write(array: &ArrayRef, nullable: bool, options: &Options) -> Bytes {
    let field = Field::new("x", array.data_type().clone(), nullable);
    let mut properties = WriterProperties::builder()
        .set_writer_version(if options.v2 { WriterVersion::PARQUET_2_0 } else { WriterVersion::PARQUET_1_0 })
        .set_compression(options.compression)
        .set_dictionary_enabled(options.dictionary)
        .set_data_page_size_limit(options.page_bytes)
        .set_data_page_row_count_limit(options.page_rows)
        .set_dictionary_page_size_limit(options.dictionary_bytes)
        .set_write_batch_size(options.write_batch)
        .set_offset_index_disabled(!options.page_index);
    if let Some(encoding) = options.encoding {
        properties = properties.set_encoding(encoding);
    }
    let schema = Arc::new(Schema::new(vec![field]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::clone(array)]).unwrap();
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, schema, Some(properties.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    file.into()
}

fn load(file: &Bytes) -> ArrowReaderMetadata {
    let options = ArrowReaderOptions::new().with_offset_index_policy(PageIndexPolicy::Optional);
    ArrowReaderMetadata::load(file, options).unwrap()
}

/// The first column, as the dense decoder begins it.
fn dense(file: &Bytes, metadata: &ArrowReaderMetadata) -> Option<DenseColumn> {
    let group = metadata.metadata().row_group(0);
    let rows = group.num_rows() as usize;
    let locations = metadata.metadata().page_index_for_row_group(0);
    let locations = locations.offset_index(0).map(|index| index.page_locations().clone());
    let pages = pages(file.clone(), group.column(0), rows, locations, None, None, false).unwrap();
    let field = metadata.schema().field(0);
    let taken = DenseColumn::try_new(pages, group.column(0).column_descr(), field);
    assert_eq!(taken.is_some(), DenseColumn::takes(group.column(0).column_descr(), field));
    taken.map(|column| column.with_num_values(group.column(0).num_values() as u64))
}

fn with_arrow(file: &Bytes, metadata: &ArrowReaderMetadata) -> ArrayRef {
    let mut reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file.clone(), metadata.clone())
        .with_batch_size(1 << 20)
        .build()
        .unwrap();
    Arc::clone(reader.next().unwrap().unwrap().column(0))
}

/// Whether the file is of the kind that must not be given up.
fn must_be_dense(array: &ArrayRef, metadata: &ArrowReaderMetadata) -> bool {
    let chunk = metadata.metadata().row_group(0).column(0);
    let encodings = [
        Encoding::PLAIN,
        Encoding::RLE,
        Encoding::RLE_DICTIONARY,
        Encoding::PLAIN_DICTIONARY,
        Encoding::BYTE_STREAM_SPLIT,
    ];
    !columns::has_nulls(array) && chunk.encodings().all(|encoding| encodings.contains(&encoding))
}

/// Reads and skips by turns, the steps repeated until the rows are over.
fn compare(array: &ArrayRef, file: &Bytes, steps: &[(bool, usize)]) {
    let metadata = load(file);
    let mut decoder = dense(file, &metadata).expect("every column made here has a type for it");
    let expected = with_arrow(file, &metadata);
    assert_eq!(&expected, array, "arrow-rs itself");
    let mut row = 0;
    for (skip, rows) in steps.iter().cycle() {
        let rows = (*rows).min(expected.len() - row);
        if *skip {
            decoder.skip(rows).unwrap();
        } else {
            match decoder.read(rows).unwrap() {
                Read::Array(read) => {
                    assert_eq!(read.data_type(), expected.data_type());
                    assert_eq!(read.logical_null_count(), 0);
                    read.to_data().validate_full().unwrap();
                    assert_eq!(&read, &expected.slice(row, rows), "rows {row} to {}", row + rows);
                }
                Read::NotDense => {
                    assert!(!must_be_dense(array, &metadata), "given up at row {row} though it is dense");
                    assert!(matches!(decoder.read(1), Ok(Read::NotDense)), "given up once, given up for good");
                    return;
                }
            }
        }
        row += rows;
        if row == expected.len() {
            break;
        }
    }
    decoder.skip(0).unwrap();
    assert!(matches!(decoder.read(0), Ok(Read::Array(array)) if array.is_empty()));
    assert!(decoder.read(1).is_err(), "a row after the last");
}

fn steps() -> impl Strategy<Value = Vec<(bool, usize)>> {
    let rows = prop_oneof![3 => 1_usize..20, 2 => 1_usize..400, 1 => Just(usize::MAX)];
    // The last step always goes forward.
    prop::collection::vec((prop::bool::weighted(0.3), rows), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn dense_and_arrow_rs_agree_on_every_file(column in columns::column(), options in options(), steps in steps()) {
        let array = column.array();
        compare(&array, &write(&array, column.nullable, &options), &steps);
    }
}

#[test]
fn every_type_and_nesting_is_read_when_it_has_no_nulls() {
    for item in Item::ALL {
        for nesting in Nesting::ALL {
            for nullable in [false, true] {
                for dictionary in [false, true] {
                    let array = Column::dense(item, nesting, nullable, 1200, 7).array();
                    let options = Options {
                        v2: false,
                        compression: Compression::SNAPPY,
                        dictionary,
                        encoding: None,
                        page_bytes: 5000,
                        page_rows: 20_000,
                        dictionary_bytes: 1 << 20,
                        write_batch: 64,
                        page_index: false,
                    };
                    let file = write(&array, nullable, &options);
                    assert!(must_be_dense(&array, &load(&file)));
                    compare(&array, &file, &[(false, 300), (true, 100)]);
                }
            }
        }
    }
}

#[test]
fn other_columns_are_not_taken() {
    for array in columns::others() {
        let batch = RecordBatch::try_from_iter([("x", array)]).unwrap();
        let mut file = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let file = Bytes::from(file);
        assert!(dense(&file, &load(&file)).is_none(), "{}", batch.schema().field(0).data_type());
    }
}

#[test]
fn a_page_with_nulls_is_given_up_where_it_begins() {
    let array: ArrayRef = Arc::new(Int32Array::from_iter((0..3000).map(|i| (i != 2500).then_some(i))));
    let file = write(
        &array,
        true,
        &Options {
            v2: false,
            compression: Compression::UNCOMPRESSED,
            dictionary: false,
            encoding: None,
            page_bytes: 1 << 20,
            page_rows: 1000,
            dictionary_bytes: 1,
            write_batch: 100,
            page_index: false,
        },
    );
    let mut decoder = dense(&file, &load(&file)).unwrap();
    assert!(matches!(decoder.read(2000), Ok(Read::Array(_))), "two pages without nulls");
    assert!(matches!(decoder.read(1), Ok(Read::NotDense)));
    let mut decoder = dense(&file, &load(&file)).unwrap();
    decoder.skip(2999).unwrap();
    assert!(matches!(decoder.read(1), Ok(Read::NotDense)), "a page with a null, entered by a skip");
}

#[test]
fn what_the_fuzzer_found_is_well() {
    for (folder, check) in [("seeds", hostile::check as fn(&[u8])), ("chunks", chunk::check)] {
        let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dense").join(folder);
        let mut count = 0;
        for entry in std::fs::read_dir(seeds).unwrap() {
            check(&std::fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "{folder}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_well(data in prop::collection::vec(any::<u8>(), 0..400)) {
        hostile::check(&data);
        chunk::check(&data);
    }
}
