//! The dense decoder against arrow-rs over the same files in memory, in million rows a second.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::hint::black_box;
use std::sync::Arc;

use arrow_array::types::{Float32Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, FixedSizeListArray, ListArray, PrimitiveArray, RecordBatch};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::file::serialized_reader::SerializedPageReader;
use shardline_core::decode::dense::{DenseColumn, Read};
use shardline_core::decode::pages::pages;

/// Rows decoded at once, as the flat columns like it and the lists do.
const BATCHES: [usize; 2] = [8192, 1024];

struct File {
    name: &'static str,
    bytes: Bytes,
    metadata: ArrowReaderMetadata,
    rows: usize,
}

impl File {
    fn new(name: &'static str, columns: Vec<(String, ArrayRef)>, compression: Compression, dictionary: bool) -> Self {
        let fields: Vec<_> = columns.iter().map(|(name, a)| Field::new(name, a.data_type().clone(), true)).collect();
        let arrays = columns.into_iter().map(|(_, array)| array).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
        let properties =
            WriterProperties::builder().set_compression(compression).set_dictionary_enabled(dictionary).build();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let bytes = Bytes::from(bytes);
        let metadata = ArrowReaderMetadata::load(&bytes, Default::default()).unwrap();
        Self { name, bytes, metadata, rows: batch.num_rows() }
    }

    fn with_arrow(&self, batch: usize) {
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(self.bytes.clone(), self.metadata.clone())
            .with_batch_size(batch)
            .build()
            .unwrap();
        for batch in reader {
            black_box(batch.unwrap());
        }
    }

    fn dense_columns(&self) -> Vec<DenseColumn> {
        let group = self.metadata.metadata().row_group(0);
        (group.columns().iter().zip(self.metadata.schema().fields()))
            .map(|(chunk, field)| {
                let pages = pages(self.bytes.clone(), chunk, self.rows, None, None, None, false).unwrap();
                DenseColumn::try_new(pages, chunk.column_descr(), field).unwrap()
            })
            .collect()
    }

    fn with_dense(&self, batch: usize) {
        let mut columns = self.dense_columns();
        for start in (0..self.rows).step_by(batch) {
            for column in &mut columns {
                match column.read(batch.min(self.rows - start)).unwrap() {
                    Read::Array(array) => drop(black_box(array)),
                    Read::NotDense => panic!("{} is dense", self.name),
                }
            }
        }
    }

    fn pages_only(&self) {
        for chunk in self.metadata.metadata().row_group(0).columns() {
            let pages = SerializedPageReader::new(Arc::new(self.bytes.clone()), chunk, self.rows, None).unwrap();
            for page in pages {
                black_box(page.unwrap());
            }
        }
    }
}

/// Numbers that look random and are the same each time.
fn noise(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    })
}

fn array<T: ArrowPrimitiveType>(seed: u64, len: usize, value: impl Fn(u64) -> T::Native) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::from_iter_values(noise(seed).take(len).map(value)))
}

fn float(bits: u64) -> f32 {
    (bits >> 40) as f32 / 1e6
}

fn flat(rows: usize) -> Vec<(String, ArrayRef)> {
    let floats = (0..16).map(|i| (format!("f{i}"), array::<Float32Type>(i, rows, float)));
    let ids = (0..4).map(|i| (format!("i{i}"), array::<Int64Type>(99 + i, rows, |bits| (bits % 100_000) as i64)));
    floats.chain(ids).collect()
}

fn vectors(rows: usize) -> ArrayRef {
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(256, rows));
    Arc::new(ListArray::new(item, offsets, array::<Float32Type>(1, rows * 256, float), None))
}

fn fixed(rows: usize) -> ArrayRef {
    let item = Arc::new(Field::new_list_field(DataType::Float32, false));
    Arc::new(FixedSizeListArray::new(item, 256, array::<Float32Type>(1, rows * 256, float), None))
}

fn tokens(rows: usize) -> ArrayRef {
    let item = Arc::new(Field::new_list_field(DataType::Int32, true));
    let offsets = OffsetBuffer::<i32>::from_lengths(noise(7).take(rows).map(|bits| 200 + (bits >> 32) as usize % 600));
    let len = offsets.last() as usize;
    // The frequency of a token falls with its rank, as in text.
    let ids = array::<Int32Type>(5, len, |bits| 50_000_f64.powf((bits >> 11) as f64 / (1_u64 << 53) as f64) as i32);
    Arc::new(ListArray::new(item, offsets, ids, None))
}

fn dense(criterion: &mut Criterion) {
    let one = |array: ArrayRef| vec![("x".to_owned(), array)];
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let files = [
        File::new("D1 flat, snappy, dictionary", flat(125_000), Compression::SNAPPY, true),
        File::new("D1u flat, plain", flat(125_000), Compression::UNCOMPRESSED, false),
        File::new("D2z list<f32>[256], zstd", one(vectors(10_000)), zstd, true),
        File::new("D2u list<f32>[256], plain", one(vectors(10_000)), Compression::UNCOMPRESSED, false),
        File::new("D2u fixed_size_list<f32>[256], plain", one(fixed(10_000)), Compression::UNCOMPRESSED, false),
        File::new("D3 list<i32> of about 500, zstd, dictionary", one(tokens(10_000)), zstd, true),
    ];
    for file in &files {
        let mut group = criterion.benchmark_group(file.name);
        group.throughput(Throughput::Elements(file.rows as u64)).sample_size(20);
        for batch in BATCHES {
            group.bench_function(format!("arrow-rs {batch}"), |bencher| bencher.iter(|| file.with_arrow(batch)));
            group.bench_function(format!("dense {batch}"), |bencher| bencher.iter(|| file.with_dense(batch)));
        }
        group.bench_function("pages only", |bencher| bencher.iter(|| file.pages_only()));
        group.finish();
    }
}

criterion_group!(benches, dense);
criterion_main!(benches);
