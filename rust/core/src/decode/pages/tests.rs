//! The pages are those that the parquet crate's reader gives, whatever is asked in between; damage is an error.

#![allow(clippy::unwrap_used)]

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, Int32Array, ListArray, RecordBatch};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::column::page::{Page, PageReader};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::file::serialized_reader::SerializedPageReader;
use proptest::prelude::*;

use super::{DecompressPool, pages};
use crate::decode::dense::DensePages;

#[derive(Debug, Clone)]
struct Written {
    codec: Compression,
    v2: bool,
    dictionary: bool,
    lists: bool,
    /// Values that do not become smaller.
    noise: bool,
    rows: usize,
    page_rows: usize,
}

fn written() -> impl Strategy<Value = Written> {
    let codec = prop_oneof![
        3 => Just(Compression::UNCOMPRESSED),
        3 => Just(Compression::SNAPPY),
        1 => Just(Compression::ZSTD(ZstdLevel::default())),
        1 => Just(Compression::LZ4_RAW),
        1 => Just(Compression::GZIP(GzipLevel::default())),
    ];
    let flags = any::<[bool; 4]>();
    (codec, flags, 1_usize..80_000, 100_usize..30_000).prop_map(
        |(codec, [v2, dictionary, lists, noise], rows, page_rows)| Written {
            codec,
            v2,
            dictionary,
            lists,
            noise,
            rows,
            page_rows,
        },
    )
}

impl Written {
    fn file(&self) -> Bytes {
        let few_bits = |row: usize| if self.noise { 0 } else { row % 3 * 9 };
        let value = |row: usize| (row as i32).wrapping_mul(0x9e37_79b9_u32 as i32) >> few_bits(row);
        let array: ArrayRef = if self.lists {
            let list = |row: usize| Some((0..row % 4).map(move |i| Some(value(row + i))).collect::<Vec<_>>());
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>((0..self.rows).map(list)))
        } else {
            Arc::new(Int32Array::from_iter((0..self.rows).map(|row| (row % 1000 != 999).then(|| value(row)))))
        };
        let properties = WriterProperties::builder()
            .set_dictionary_enabled(self.dictionary)
            .set_write_batch_size(100)
            .set_data_page_row_count_limit(self.page_rows);
        one_column(array, properties, self.codec, self.v2)
    }
}

/// A file with one column.
pub(super) fn one_column(array: ArrayRef, properties: WriterPropertiesBuilder, codec: Compression, v2: bool) -> Bytes {
    let batch = RecordBatch::try_from_iter([("x", array)]).unwrap();
    let version = if v2 { WriterVersion::PARQUET_2_0 } else { WriterVersion::PARQUET_1_0 };
    let properties = properties.set_compression(codec).set_writer_version(version).build();
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    file.into()
}

/// All that is said of a page, and its bytes.
fn said(page: &Page) -> (String, Bytes) {
    let mut bare = page.clone();
    let (Page::DataPage { buf, .. } | Page::DataPageV2 { buf, .. } | Page::DictionaryPage { buf, .. }) = &mut bare;
    let bytes = std::mem::take(buf);
    if let Page::DataPage { statistics, .. } | Page::DataPageV2 { statistics, .. } = &mut bare {
        *statistics = None;
    }
    (format!("{bare:?}").replace("is_compressed: true", "is_compressed: false"), bytes)
}

/// The pages of the file's column by this module's reader, and by the crate's.
fn both(
    file: &Bytes,
    metadata: &ArrowReaderMetadata,
    index: bool,
    pool: Option<&Arc<DecompressPool>>,
) -> (Box<dyn DensePages>, Box<dyn PageReader>) {
    let group = metadata.metadata().row_group(0);
    let places = metadata.metadata().page_index_for_row_group(0);
    let places = places.page_locations(0).cloned().filter(|_| index);
    let rows = group.num_rows() as usize;
    let theirs = SerializedPageReader::new(Arc::new(file.clone()), group.column(0), rows, places.clone());
    (pages(file.clone(), group.column(0), rows, places, pool, None, false).unwrap(), Box::new(theirs.unwrap()))
}

fn load(file: &Bytes) -> ArrowReaderMetadata {
    let options = ArrowReaderOptions::new().with_offset_index_policy(PageIndexPolicy::Optional);
    ArrowReaderMetadata::load(file, options).unwrap()
}

/// Threads without work of their own.
struct Helpers {
    pool: Arc<DecompressPool>,
    stop: Arc<Mutex<bool>>,
    threads: Vec<JoinHandle<()>>,
}

impl Helpers {
    fn new(threads: usize) -> Self {
        let (pool, stop) = (Arc::new(DecompressPool::new(1 << 20)), Arc::default());
        let help = |(pool, stop): (Arc<DecompressPool>, Arc<Mutex<bool>>)| {
            let mut stopped = stop.lock().unwrap();
            while !*stopped {
                stopped = pool.help_or_wait(stopped, || stop.lock().unwrap()).0;
            }
        };
        let threads = (0..threads)
            .map(|_| {
                let shared = (Arc::clone(&pool), Arc::clone(&stop));
                std::thread::spawn(move || help(shared))
            })
            .collect::<Vec<_>>();
        while pool.threads.load(Ordering::Relaxed) < threads.len() {
            std::thread::yield_now();
        }
        Self { pool, stop, threads }
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        *self.stop.lock().unwrap() = true;
        self.pool.wake_all();
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

#[test]
fn pages_behind_are_offered_to_as_many_threads_as_have_no_work() {
    let codec = Compression::ZSTD(ZstdLevel::default());
    let written =
        Written { codec, v2: true, dictionary: false, lists: false, noise: false, rows: 90_000, page_rows: 20_000 };
    let file = written.file();
    let pool = Arc::new(DecompressPool::new(usize::MAX));
    pool.threads.store(2, Ordering::Relaxed);
    let (mut ours, mut theirs) = both(&file, &load(&file), false, Some(&pool));
    let offered = |pool: &DecompressPool| std::iter::from_fn(|| pool.next()).collect::<Vec<_>>();
    let mut both_next = || {
        let pages = [ours.next_dense().unwrap().map(|(page, _)| page), theirs.get_next_page().unwrap()];
        let [mine, theirs] = pages.map(|page| page.map(|page| said(&page)));
        assert_eq!(mine, theirs);
        mine.is_some()
    };
    assert!(both_next());
    let first = offered(&pool);
    assert_eq!(first.len(), 2, "the second page and the third");
    assert!(first[1].run());
    assert!(both_next());
    assert!(!first[0].run(), "the reader came first");
    assert_eq!(offered(&pool).len(), 1, "the fourth");
    drop(first);
    while both_next() {}
    assert!(offered(&pool).is_empty());
}

proptest! {
    #![proptest_config(crate::proptest_config::cases(64))]

    #[test]
    fn pages_are_those_of_the_crate(
        written in written(), index: bool, threads in 0_usize..4, steps in proptest::collection::vec(0_u8..6, 1..30),
    ) {
        let file = written.file();
        let helpers = Helpers::new(threads);
        let (mut ours, mut theirs) = both(&file, &load(&file), index, Some(&helpers.pool));
        for step in steps.iter().chain([&5]).cycle() {
            match step {
                0 => {
                    let peeked = |pages: &mut dyn PageReader| {
                        let next = pages.peek_next_page().unwrap();
                        next.map(|next| (next.is_dict, next.num_rows, next.num_levels))
                    };
                    prop_assert_eq!(peeked(&mut *ours), peeked(&mut *theirs));
                    continue;
                }
                1 if theirs.peek_next_page().unwrap().is_some_and(|next| !next.is_dict) => {
                    ours.skip_next_page().unwrap();
                    theirs.skip_next_page().unwrap();
                    continue;
                }
                _ => {}
            }
            let mine = match step {
                2 => ours.get_next_page().unwrap().map(|page| said(&page)),
                _ => ours.next_dense().unwrap().map(|(page, stored)| {
                    let (words, mut bytes) = said(&page);
                    if let Some(stored) = stored {
                        bytes = [bytes, stored.load().unwrap()].concat().into();
                    }
                    (words, bytes)
                }),
            };
            let page = theirs.get_next_page().unwrap().map(|page| said(&page));
            prop_assert_eq!(&mine, &page);
            if page.is_none() {
                break;
            }
        }
    }

    #[test]
    fn damage_neither_panics_nor_goes_on_for_ever(
        written in written(), index: bool, threads in 0_usize..4, at in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..9),
    ) {
        let whole = written.file();
        let metadata = load(&whole);
        let (start, length) = metadata.metadata().row_group(0).column(0).byte_range();
        let mut damaged = whole.to_vec();
        for (index, byte) in at {
            // Headers are where it matters: most of these fall into the first, and into the pages' beginnings.
            let place = index.index(length as usize);
            damaged[start as usize + if byte % 2 == 0 { place.min(40) } else { place }] ^= byte;
        }
        let helpers = Helpers::new(threads);
        let (mut ours, _) = both(&damaged.into(), &metadata, index, Some(&helpers.pool));
        let mut count = 0;
        while let Ok(Some(_)) = ours.get_next_page() {
            count += 1;
            prop_assert!(count <= length, "more pages than bytes");
        }
    }
}
