//! Objects as files: opened, read ahead and read by position, in parts.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::errors::ParquetError;
use tokio::sync::OnceCell;

use super::open::OpenFile;
use super::parts::{Limits, Parts, Place, vanished};
use super::{Source, open};
use crate::files::remote::{From, footer_bytes};
use crate::files::{FileTable, footer};
use crate::store::{Location, Runtime, Stamp};
use crate::{Error, Result};

/// Room for a page header.
const HEADER_BYTES: usize = 512;
/// How much of an object's end is asked for to find its footer.
const GUESS: u64 = 64 << 10;
/// How many bytes parsed footers may take.
const MAX_FOOTER_BYTES: usize = 64 << 20;
/// Parts are at least this large: less is not worth a request.
const LEAST_PART: u64 = 64 << 10;

/// What a reader reads at a time, so that parts can be cut to fit the memory they may take.
#[derive(Debug, Clone, Default)]
pub struct Demand {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// Columns of row groups that are read side by side.
    pub streams: u64,
    /// Bytes that may be kept.
    pub budget: u64,
}

thread_local! {
    /// What this thread met while a decoder read through it, which makes damage of every error.
    static FAULT: RefCell<Option<Error>> = const { RefCell::new(None) };
}

fn keep_fault(error: &Error) {
    FAULT.with_borrow_mut(|fault| {
        fault.get_or_insert_with(|| error.clone());
    });
}

/// The first error that this thread met while it read, since it was last asked.
pub(super) fn take_fault() -> Option<Error> {
    FAULT.take()
}

/// Rows of a row group, numbered in its file, that will be read; `all` that it has.
pub(super) struct Ahead {
    pub(super) group: usize,
    pub(super) rows: Range<u64>,
    pub(super) all: u64,
}

/// The objects of a plan, for one reader. Made when it first reads, in the process that does.
pub(super) struct Remote {
    table: Arc<FileTable>,
    from: From,
    demand: Demand,
    statistics: bool,
    live: Mutex<Option<Live>>,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("root", &self.table.root()).finish_non_exhaustive()
    }
}

/// What lives while somebody reads.
#[derive(Clone)]
struct Live {
    shared: Arc<Shared>,
    runtime: Arc<Runtime>,
}

/// What tasks share: not the runtime, which must not be dropped by one of its own threads.
struct Shared {
    table: Arc<FileTable>,
    from: From,
    client: Arc<crate::store::Client>,
    parts: Arc<Parts>,
    columns: Vec<String>,
    statistics: bool,
    part_bytes: u64,
    open: Mutex<Opened>,
}

type Cell = Arc<OnceCell<Arc<OpenFile>>>;

#[derive(Default)]
struct Opened {
    /// By file: it, when it was last used, and its footer's bytes.
    files: HashMap<usize, (Cell, u64, usize)>,
    clock: u64,
    bytes: usize,
}

impl Remote {
    pub(super) fn new(table: Arc<FileTable>, from: From, demand: Demand, statistics: bool) -> Self {
        Self { table, from, demand, statistics, live: Mutex::new(None) }
    }

    fn live(&self) -> Result<Live> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = live.as_ref() {
            return Ok(live.clone());
        }
        if self.from.cancel.is_cancelled() {
            return Err(Error::Closed);
        }
        let runtime = Runtime::get()?;
        let location = Location::of(self.table.root())?;
        let client = runtime.client(&location, &self.from.options)?;
        let Demand { columns, streams, budget } = self.demand.clone();
        let streams = streams.max(1);
        let part_bytes = (budget / (2 * streams)).clamp(LEAST_PART, client.tuning().request_bytes.max(LEAST_PART));
        let capacity = budget.max(2 * streams * part_bytes);
        let (cancel, metrics) = (self.from.cancel.clone(), Arc::clone(&self.from.metrics));
        // A gap that is a part itself is one that will be wanted.
        let gap = client.tuning().gap_bytes.min(part_bytes * 2 / 5);
        let limits = Limits { capacity, gap, request: client.tuning().request_bytes };
        let parts = Parts::new(Arc::clone(&client), runtime.handle()?.clone(), cancel, metrics, limits);
        let (table, from) = (Arc::clone(&self.table), self.from.clone());
        let (parts, statistics, open) = (Arc::new(parts), self.statistics, Mutex::default());
        let shared = Shared { table, from, client, parts, columns, statistics, part_bytes, open };
        let made = Live { shared: Arc::new(shared), runtime };
        *live = Some(made.clone());
        Ok(made)
    }

    pub(super) fn open(&self, index: usize) -> Result<Arc<OpenFile>> {
        let Live { shared, runtime } = self.live()?;
        if let Some(file) = shared.cell(index).get() {
            return Ok(Arc::clone(file));
        }
        runtime.wait(&self.from.cancel, async { shared.open(index).await })
    }

    /// Begins to fetch what rows of a file are stored in. Does not wait, and says nothing of faults: who reads the rows meets them.
    pub(super) fn prefetch(&self, index: usize, slices: Vec<Ahead>) {
        let Ok(Live { shared, runtime }) = self.live() else { return };
        let Ok(handle) = runtime.handle() else { return };
        handle.spawn(async move {
            if let Ok(file) = shared.open(index).await
                && let Source::Remote(remote) = &file.source
            {
                remote.prefetch(&slices);
            }
        });
    }

    /// Ends all waiting, and lets go of the runtime: the last reader's ends it.
    pub(super) fn close(&self) {
        self.from.cancel.cancel();
        drop(self.live.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    pub(super) fn from(&self) -> &From {
        &self.from
    }
}

impl Shared {
    /// Where a file stands once it is open.
    fn cell(&self, index: usize) -> Cell {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.clock += 1;
        let now = open.clock;
        let entry = open.files.entry(index).or_default();
        entry.1 = now;
        Arc::clone(&entry.0)
    }

    async fn open(&self, index: usize) -> Result<Arc<OpenFile>> {
        let cell = self.cell(index);
        if let Some(file) = cell.get() {
            return Ok(Arc::clone(file));
        }
        let file = Arc::clone(cell.get_or_try_init(|| self.read(index)).await?);
        let bytes = file.metadata.metadata().memory_size();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = open.files.get_mut(&index)
            && entry.2 == 0
        {
            entry.2 = bytes;
            open.bytes += bytes;
        }
        while open.bytes > MAX_FOOTER_BYTES && open.files.len() > 1 {
            let oldest = open.files.iter().filter(|(_, entry)| entry.2 > 0).min_by_key(|(_, entry)| entry.1);
            let Some(oldest) = oldest.map(|(&oldest, _)| oldest) else { break };
            if let Some((_, _, freed)) = open.files.remove(&oldest) {
                open.bytes -= freed;
            }
        }
        Ok(file)
    }

    async fn read(&self, index: usize) -> Result<Arc<OpenFile>> {
        let path = self.table.path(index);
        let key = Location::of(&path)?.key;
        let planned = self.table.file(index);
        let stamp = Stamp { size: planned.size, tag: self.table.tag(index).to_owned() };
        let found = footer_bytes(&self.client, &key, &stamp, GUESS, &self.from.metrics).await;
        let (footer, stamp) = found.map_err(|error| match error {
            Error::NotFound { path } => vanished(&path),
            Error::Corrupt { detail, .. } => open::changed(&path, &format!("the object changed ({detail})")),
            other => other,
        })?;
        if footer::hash(&footer) != planned.hash {
            return Err(open::changed(&path, "the object's footer changed"));
        }
        let metadata = open::parse(&path, &footer, self.statistics)?;
        let place = Arc::new(Place { file: index as u32, key, stamp });
        let file = RemoteFile::new(Arc::clone(&self.parts), place, &metadata, &self.columns, self.part_bytes);
        Ok(Arc::new(OpenFile::new(path, Source::Remote(file), metadata)))
    }
}

/// An object that any number of threads read at once.
#[derive(Debug, Clone)]
pub struct RemoteFile(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    parts: Arc<Parts>,
    place: Arc<Place>,
    /// The column chunks, those of a row group one after the other, in the order of the file.
    chunks: Vec<Chunk>,
    /// How many of them a row group has.
    columns: usize,
    /// The chunks by their first byte: row groups need not stand in the order of the file.
    by_start: Vec<u32>,
}

#[derive(Debug)]
struct Chunk {
    bytes: Range<u64>,
    /// Whether its rows are read ahead; others are when they are asked for.
    is_ahead: bool,
    /// Bytes of a part; the last one may have less.
    part: u64,
    /// Parts that were asked for, from the first on.
    wanted: AtomicU64,
}

impl RemoteFile {
    fn new(
        parts: Arc<Parts>,
        place: Arc<Place>,
        metadata: &ArrowReaderMetadata,
        names: &[String],
        part_bytes: u64,
    ) -> Self {
        let schema = metadata.parquet_schema();
        let leaves = schema.num_columns();
        let ahead: Vec<bool> =
            (0..leaves).map(|leaf| names.iter().any(|name| name == schema.get_column_root(leaf).name())).collect();
        let mut chunks = Vec::new();
        for group in metadata.metadata().row_groups() {
            let first = chunks.len();
            chunks.extend((0..leaves).map(|leaf| {
                let (start, length) = group.column(leaf).byte_range();
                // Parts of a chunk are of one size, so that none is too small to be a request.
                let part = length.div_ceil(length.div_ceil(part_bytes).max(1)).max(1);
                Chunk { bytes: start..start + length, part, is_ahead: ahead[leaf], wanted: AtomicU64::new(0) }
            }));
            chunks[first..].sort_by_key(|chunk| chunk.bytes.start);
        }
        let mut by_start: Vec<u32> = (0..chunks.len() as u32).collect();
        by_start.sort_by_key(|&at| chunks[at as usize].bytes.start);
        Self(Arc::new(Inside { parts, place, chunks, columns: leaves, by_start }))
    }

    /// The object's size.
    pub fn len(&self) -> u64 {
        self.0.place.stamp.size
    }

    /// Whether it has no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Begins to fetch what the rows are likely stored in: up to where their share of a chunk's bytes ends.
    fn prefetch(&self, slices: &[Ahead]) {
        let Inside { parts, place, columns, .. } = &*self.0;
        let mut wanted = Vec::new();
        for Ahead { group, rows, all } in slices {
            for chunk in self.0.chunks.get(group * columns..(group + 1) * columns).unwrap_or_default() {
                if !chunk.is_ahead {
                    continue;
                }
                let length = chunk.bytes.end - chunk.bytes.start;
                let until = (u128::from(length) * u128::from(rows.end) / u128::from((*all).max(1))) as u64;
                let count = if rows.end >= *all { u64::MAX } else { (until + chunk.part / 2) / chunk.part + 1 };
                chunk.want(count, &mut wanted);
            }
        }
        parts.want(place, wanted);
    }

    /// The chunk that a byte is in, and the part of it.
    fn part_of(&self, at: u64) -> Option<(&Chunk, Range<u64>)> {
        let Inside { chunks, by_start, .. } = &*self.0;
        let after = by_start.partition_point(|&chunk| chunks[chunk as usize].bytes.start <= at);
        let chunk = &chunks[*by_start.get(after.checked_sub(1)?)? as usize];
        if !chunk.bytes.contains(&at) {
            return None;
        }
        let start = at - (at - chunk.bytes.start) % chunk.part;
        Some((chunk, start..chunk.bytes.end.min(start + chunk.part)))
    }

    /// What is here of the bytes from `at` on, before `end`: at least one.
    fn some(&self, at: u64, end: u64) -> Result<Bytes> {
        let Inside { parts, place, .. } = &*self.0;
        let Some((chunk, part)) = self.part_of(at) else {
            return parts.get_once(place, at..end.min(self.len())).inspect_err(keep_fault);
        };
        // Who reads on finds the next part under way.
        let mut wanted = Vec::new();
        chunk.want((part.start - chunk.bytes.start) / chunk.part + 2, &mut wanted);
        parts.want(place, wanted);
        let bytes = parts.get(place, &part, end >= part.end).inspect_err(keep_fault)?;
        Ok(bytes.slice((at - part.start) as usize..(end.min(part.end) - part.start) as usize))
    }

    pub(super) fn get_read(&self, start: u64) -> BufReader<RemoteRead> {
        BufReader::with_capacity(HEADER_BYTES, RemoteRead { file: self.clone(), position: start })
    }

    pub(super) fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let end = start.checked_add(length as u64).filter(|&end| end <= self.len());
        // A length from a corrupt header must not allocate more than the object could fill.
        let Some(end) = end else {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} reach past the object's end")));
        };
        let failed = |error: Error| ParquetError::External(Box::new(error));
        if length == 0 {
            return Ok(Bytes::new());
        }
        let first = self.some(start, end).map_err(failed)?;
        if first.len() == length {
            return Ok(first);
        }
        let mut whole = crate::memory::vec::<u8>(length);
        whole.extend_from_slice(&first);
        while whole.len() < length {
            whole.extend_from_slice(&self.some(start + whole.len() as u64, end).map_err(failed)?);
        }
        Ok(crate::memory::bytes(whole))
    }
}

impl Chunk {
    /// Adds the parts up to the `count`-th that nobody asked for yet.
    fn want(&self, count: u64, wanted: &mut Vec<Range<u64>>) {
        let all = (self.bytes.end - self.bytes.start).div_ceil(self.part);
        let count = count.min(all);
        let before = self.wanted.fetch_max(count, Ordering::Relaxed);
        wanted.extend((before..count).map(|part| {
            let start = self.bytes.start + part * self.part;
            start..self.bytes.end.min(start + self.part)
        }));
    }
}

/// Reads on from a position of its own.
#[derive(Debug)]
pub struct RemoteRead {
    file: RemoteFile,
    position: u64,
}

impl Read for RemoteRead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let end = self.file.len().min(self.position + into.len() as u64);
        if end <= self.position {
            return Ok(0);
        }
        let bytes = self.file.some(self.position, end).map_err(io::Error::other)?;
        into[..bytes.len()].copy_from_slice(&bytes);
        self.position += bytes.len() as u64;
        Ok(bytes.len())
    }
}
