//! The physical limit that a loader is measured against: reads and decompresses every page, and decodes none.
//!
//! `cargo run --release --example pages_only -- [--threads N] [--seconds S] [--columns a,b] FILE…` prints
//! `{"rows": …, "bytes": …, "passes": …, "seconds": …}`: rows over all passes, uncompressed bytes of one. Passes are repeated,
//! whole, until S seconds are over. Each pass opens every file and parses every footer, as an epoch from nothing does.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use parquet::column::page::PageReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;

type Failure = Box<dyn Error + Send + Sync>;

/// A file read by position, so that threads may share it: the crate's own reader for `File` seeks.
struct Positional {
    file: File,
    len: u64,
}

impl Positional {
    fn open(path: &str) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { file, len })
    }
}

impl Length for Positional {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for Positional {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        // Only footers are read this way.
        let length = usize::try_from(self.len.saturating_sub(start))?;
        Ok(Box::new(io::Cursor::new(self.get_bytes(start, length)?)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let mut buffer = vec![0; length];
        self.file.read_exact_at(&mut buffer, start)?;
        Ok(buffer.into())
    }
}

/// One column chunk's bytes, under the offsets that they have in the file.
struct Chunk {
    bytes: Bytes,
    start: u64,
}

impl Chunk {
    fn slice(&self, start: u64, length: Option<usize>) -> Result<Bytes, ParquetError> {
        let outside = || ParquetError::EOF(format!("offset {start} is outside of its column chunk"));
        let from = usize::try_from(start.checked_sub(self.start).ok_or_else(outside)?)?;
        let to = length.map_or(self.bytes.len(), |length| from + length);
        if from > to || to > self.bytes.len() { Err(outside()) } else { Ok(self.bytes.slice(from..to)) }
    }
}

impl Length for Chunk {
    fn len(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl ChunkReader for Chunk {
    type T = io::Cursor<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(io::Cursor::new(self.slice(start, None)?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.slice(start, Some(length))
    }
}

/// Reads and decompresses all pages of one row group; the uncompressed bytes of their values and levels. `memory` is
/// what chunks are read into, one after another.
fn read_row_group(
    file: &Positional,
    metadata: &ParquetMetaData,
    index: usize,
    columns: &[String],
    memory: &mut BytesMut,
) -> Result<u64, Failure> {
    let group = metadata.row_group(index);
    let rows = usize::try_from(group.num_rows())?;
    let mut total = 0;
    for column in group.columns() {
        if !columns.is_empty() && !column.column_path().parts().first().is_some_and(|name| columns.contains(name)) {
            continue;
        }
        let (start, length) = column.byte_range();
        let mut buffer = std::mem::take(memory);
        buffer.resize(usize::try_from(length)?, 0);
        file.file.read_exact_at(&mut buffer, start)?;
        let bytes = buffer.freeze();
        let chunk = Chunk { bytes: bytes.clone(), start };
        let mut pages = SerializedPageReader::new(Arc::new(chunk), column, rows, None)?;
        while let Some(page) = pages.get_next_page()? {
            total += std::hint::black_box(page.buffer()).len() as u64;
        }
        drop(pages);
        *memory = bytes.try_into_mut().unwrap_or_default();
    }
    Ok(total)
}

/// One pass over all files by `threads` threads: first the footers, then the row groups; (rows, uncompressed bytes).
fn pass(paths: &[String], threads: usize, columns: &[String]) -> Result<(u64, u64), Failure> {
    let next = AtomicUsize::new(0);
    let footers = on_threads(threads, || {
        let mut footers = Vec::new();
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            let file = Positional::open(path)?;
            let metadata = ParquetMetaDataReader::new().parse_and_finish(&file)?;
            footers.push((file, metadata));
        }
        Ok(footers)
    })?;
    let files: Vec<_> = footers.into_iter().flatten().collect();
    let units: Vec<_> = files.iter().flat_map(|file| (0..file.1.num_row_groups()).map(move |i| (file, i))).collect();

    let next = AtomicUsize::new(0);
    let (rows, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    on_threads(threads, || {
        let mut memory = BytesMut::new();
        while let Some(((file, metadata), index)) = units.get(next.fetch_add(1, Ordering::Relaxed)) {
            bytes.fetch_add(read_row_group(file, metadata, *index, columns, &mut memory)?, Ordering::Relaxed);
            rows.fetch_add(u64::try_from(metadata.row_group(*index).num_rows())?, Ordering::Relaxed);
        }
        Ok(())
    })?;
    Ok((rows.into_inner(), bytes.into_inner()))
}

/// What `work` gives on each of `threads` threads.
fn on_threads<T: Send>(threads: usize, work: impl Fn() -> Result<T, Failure> + Sync) -> Result<Vec<T>, Failure> {
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(&work)).collect();
        handles.into_iter().map(|handle| handle.join().map_err(|_| "a thread panicked")?).collect()
    })
}

fn main() -> Result<(), Failure> {
    let (mut threads, mut seconds, mut columns, mut paths) = (1, 0.0, Vec::new(), Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--threads" => threads = value()?.parse::<usize>()?.max(1),
            "--seconds" => seconds = value()?.parse()?,
            "--columns" => columns = value()?.split(',').map(String::from).collect(),
            _ => paths.push(argument),
        }
    }
    if paths.is_empty() {
        return Err("usage: pages_only [--threads N] [--seconds S] [--columns a,b] FILE…".into());
    }
    let limit = Duration::try_from_secs_f64(seconds)?;
    let (start, mut rows, mut passes) = (Instant::now(), 0, 0);
    let bytes = loop {
        let done = pass(&paths, threads, &columns)?;
        (rows, passes) = (rows + done.0, passes + 1);
        if start.elapsed() >= limit {
            break done.1;
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    println!(r#"{{"rows": {rows}, "bytes": {bytes}, "passes": {passes}, "seconds": {seconds:.6}}}"#);
    Ok(())
}
