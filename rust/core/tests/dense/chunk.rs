//! Any bytes as a column chunk: the pages that are found in it are those that parquet's own reader finds, or an error.
//! The fuzzer drives this too.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, Repetition, Type as Physical, ZstdLevel};
use parquet::column::page::{Page, PageReader};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::schema::types::{ColumnDescriptor, ColumnPath, Type};
use shardline_core::decode::pages;

/// More than what is compressed into a chunk of the fuzzer's may be.
const MOST: usize = 64 << 20;

fn chunk(kind: u8, length: usize) -> ColumnChunkMetaData {
    let codec = match kind & 3 {
        0 => Compression::UNCOMPRESSED,
        1 => Compression::SNAPPY,
        2 => Compression::ZSTD(ZstdLevel::default()),
        _ => Compression::LZ4_RAW,
    };
    let (def, rep) = (i16::from(kind & 4 > 0), i16::from(kind & 8 > 0));
    let repetition = if def > 0 { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    let leaf = Type::primitive_type_builder("x", Physical::INT32).with_repetition(repetition).build().unwrap();
    let descr = ColumnDescriptor::new(Arc::new(leaf), def, rep, ColumnPath::new(vec!["x".to_owned()]));
    ColumnChunkMetaData::builder(Arc::new(descr))
        .set_encodings(vec![Encoding::PLAIN])
        .set_compression(codec)
        .set_data_page_offset(0)
        .set_total_compressed_size(length as i64)
        .build()
        .unwrap()
}

/// What is said of a page that a decoder looks at.
fn said(page: &Page) -> (Bytes, u32, Encoding, Option<[u32; 4]>) {
    let more = match page {
        Page::DataPageV2 { num_nulls, num_rows, def_levels_byte_len, rep_levels_byte_len, .. } => {
            Some([*num_nulls, *num_rows, *def_levels_byte_len, *rep_levels_byte_len])
        }
        _ => None,
    };
    (page.buffer().clone(), page.num_values(), page.encoding(), more)
}

/// Reads all pages, or those that steps of the first bytes leave, and compares.
pub fn check(data: &[u8]) {
    let [kind, steps, bytes @ ..] = data else { return };
    let (bytes, chunk) = (Bytes::copy_from_slice(bytes), chunk(*kind, bytes.len()));
    let rows = 1 << 20;
    let mut ours = pages::pages(bytes.clone(), &chunk, rows, None, None, None, false).unwrap();
    let mut theirs = SerializedPageReader::new(Arc::new(bytes.clone()), &chunk, rows, None).ok();
    for turn in 0..bytes.len() + 1 {
        if steps >> (turn % 8) & 1 == 1 {
            let Ok(peeked) = ours.peek_next_page() else { return };
            if peeked.is_some_and(|next| !next.is_dict) {
                if ours.skip_next_page().is_err() {
                    return;
                }
                theirs = None;
                continue;
            }
        }
        let Ok(Some((page, stored))) = ours.next_dense() else { return };
        let (mut found, values, encoding, more) = said(&page);
        if let Some(stored) = stored {
            let Ok(loaded) = stored.load() else { return };
            found = [found, loaded].concat().into();
        }
        assert!(found.len() <= MOST, "a page of {} bytes in {}", found.len(), bytes.len());
        // Damaged pages may make parquet's own reader panic.
        let next = theirs.as_mut().map(|theirs| catch_unwind(AssertUnwindSafe(|| theirs.get_next_page())));
        match next {
            // A header that a number of another type is in is read otherwise there: types are not looked at.
            Some(Ok(Ok(Some(page)))) if said(&page).1 == values && page.buffer().len() == found.len() => {
                assert_eq!((found, values, encoding, more), said(&page));
            }
            _ => theirs = None,
        }
    }
    panic!("more pages than bytes");
}
