//! Ranges of objects on a local disk, kept between epochs and shared by processes.
//!
//! An entry is known by the object's URL, size and ETag and by the range, so that it is of no other content; a checksum
//! ends it, so that a damaged one is none. It is written under another name and renamed, so that nobody sees half of
//! one. The entries used longest ago go first. Whatever the disk refuses, reading goes on without it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{Stamp, StoreMetrics};
use crate::buffer_pool;
use crate::sync::lock;

/// Under the caller's folder, which may hold other things: what is removed for room is ours.
const OWN: &str = "shardline";
const CHECKSUM: usize = 8;
/// Other processes write too: what is there is counted again after so large a part of the limit, or so many bytes, of
/// our own.
const RECOUNT: u64 = 16;
const RECOUNT_BYTES: u64 = 64 << 20;

/// Folders that refused, in the life of this process: a client lives for one planning or one epoch.
static REFUSED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A folder of entries.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    limit: u64,
    /// Bytes that are there, as far as is known, and those written since they were counted.
    size: Mutex<Option<(u64, u64)>>,
    refused: AtomicBool,
}

/// What an entry is of.
#[derive(Debug, Clone)]
pub struct Entry {
    url: String,
    size: u64,
    tag: String,
    range: Range<u64>,
}

impl Entry {
    /// None for an object without an ETag and a time: nothing would tell its contents apart.
    pub fn of(url: &str, stamp: &Stamp, range: Range<u64>) -> Option<Self> {
        let tag = stamp.tag().filter(|_| !range.is_empty())?;
        Some(Self { url: url.to_owned(), size: stamp.size, tag: tag.to_owned(), range })
    }

    fn name(&self) -> String {
        let mut hasher = Xxh3::new();
        for text in [&self.url, &self.tag] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        for number in [self.size, self.range.start, self.range.end] {
            hasher.update(&number.to_le_bytes());
        }
        format!("{:032x}", hasher.digest128())
    }
}

impl Cache {
    /// The cache under a folder, which need not exist yet, of at most so many bytes.
    pub fn new(folder: &Path, limit: u64) -> Self {
        Self { folder: folder.join(OWN), limit, size: Mutex::new(None), refused: AtomicBool::new(false) }
    }

    fn place(&self, entry: &Entry) -> PathBuf {
        let name = entry.name();
        self.folder.join(&name[..2]).join(name)
    }

    /// An entry's bytes, if they are there and whole. Blocks.
    pub fn get(&self, entry: &Entry, metrics: &StoreMetrics) -> Option<Bytes> {
        let place = self.place(entry);
        let mut file = File::open(&place).ok()?;
        let length = usize::try_from(entry.range.end - entry.range.start).ok()?;
        let mut bytes = buffer_pool::scratch(length);
        let mut sum = [0; CHECKSUM];
        let whole = file.metadata().is_ok_and(|is| is.len() == (length + CHECKSUM) as u64)
            && file.read_exact(&mut bytes).is_ok()
            && file.read_exact(&mut sum).is_ok()
            && xxh3_64(&bytes) == u64::from_le_bytes(sum);
        if !whole {
            // Whoever is at it too finds it gone, or writes it again.
            let _ = fs::remove_file(&place);
            return None;
        }
        // When it was last used; that this fails on a disk that cannot be written matters to nobody.
        let _ = file.set_modified(SystemTime::now());
        metrics.cache_hit();
        Some(buffer_pool::bytes(bytes))
    }

    /// Keeps an entry. Blocks. Where the disk refuses, says so once a process and keeps nothing any more.
    pub fn put(&self, entry: &Entry, bytes: &[u8], metrics: &StoreMetrics) {
        let size = (bytes.len() + CHECKSUM) as u64;
        if size > self.limit / 2 || self.refused.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = self.keep(&self.place(entry), bytes, size)
            && !self.refused.swap(true, Ordering::Relaxed)
            && lock(&REFUSED).insert(self.folder.clone())
        {
            metrics.note(true, format!("the cache in {} is left alone from here on: {error}", self.folder.display()));
        }
    }

    /// One entry at a time: room that is made for one is not given to another that is still being written.
    fn keep(&self, place: &Path, bytes: &[u8], size: u64) -> std::io::Result<()> {
        let mut known = lock(&self.size);
        self.make_room(&mut known, size)?;
        self.write(place, bytes)
    }

    fn write(&self, place: &Path, bytes: &[u8]) -> std::io::Result<()> {
        // Processes of two containers may have one number: they do not begin in the same nanosecond.
        static NUMBER: LazyLock<AtomicU64> = LazyLock::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            AtomicU64::new(u64::try_from(since.as_nanos()).unwrap_or_default())
        });
        let folder = place.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder)?;
        let temporary = folder.join(format!(".{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
        let written = File::create(&temporary).and_then(|mut file| {
            file.write_all(bytes)?;
            file.write_all(&xxh3_64(bytes).to_le_bytes())
        });
        written.and_then(|()| fs::rename(&temporary, place)).inspect_err(|_| {
            // What is left of it helps nobody.
            let _ = fs::remove_file(&temporary);
        })
    }

    /// Removes what was used longest ago where there is no room for so many bytes more.
    fn make_room(&self, size: &mut Option<(u64, u64)>, more: u64) -> std::io::Result<()> {
        if let Some((known, own)) = size
            && *known + more <= self.limit
            && *own < (self.limit / RECOUNT).min(RECOUNT_BYTES)
        {
            *known += more;
            *own += more;
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        let mut entries: Vec<(SystemTime, u64, PathBuf)> = walkdir::WalkDir::new(&self.folder)
            .min_depth(2)
            .max_depth(2)
            .into_iter()
            .filter_map(|entry| {
                let entry = entry.ok().filter(|entry| entry.file_type().is_file() && is_own(entry.file_name()))?;
                let metadata = entry.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len(), entry.into_path()))
            })
            .collect();
        entries.sort_unstable();
        let mut known: u64 = entries.iter().map(|(_, bytes, _)| bytes).sum();
        // A little more than is needed, so that it is not done for every entry.
        let wanted = if known + more > self.limit { self.limit - self.limit / 10 } else { self.limit };
        for (_, bytes, place) in entries {
            if known + more <= wanted {
                break;
            }
            // Another process may have been quicker; what cannot be removed takes room.
            match fs::remove_file(place) {
                Err(error) if error.kind() != ErrorKind::NotFound => {}
                _ => known -= bytes,
            }
        }
        *size = Some((known + more, 0));
        Ok(())
    }
}

/// Whether an entry has this name, or what is being written has.
fn is_own(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    match name.strip_prefix('.').and_then(|numbers| numbers.split_once('-')) {
        Some((process, number)) => [process, number].iter().all(|of| of.bytes().all(|b| b.is_ascii_digit())),
        None => name.len() == 32 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64, tag: &str) -> Entry {
        let stamp = Stamp::planned(1 << 20, tag);
        Entry::of("s3://b/k", &stamp, number * 100..number * 100 + 100).unwrap()
    }

    fn total(folder: &Path) -> u64 {
        walkdir::WalkDir::new(folder)
            .into_iter()
            .flatten()
            .filter(|e| e.file_type().is_file())
            .map(|e| e.metadata().unwrap().len())
            .sum()
    }

    #[test]
    fn entries_come_back_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, metrics) = (Cache::new(&folder.path().join("new"), 1 << 20), StoreMetrics::default());
        assert_eq!(cache.get(&entry(1, "a"), &metrics), None);
        cache.put(&entry(1, "a"), &[7; 100], &metrics);
        assert_eq!(cache.get(&entry(1, "a"), &metrics).unwrap()[..], [7; 100]);
        assert_eq!(Cache::new(&folder.path().join("new"), 1).get(&entry(1, "a"), &metrics).unwrap()[..], [7; 100]);
        assert_eq!(cache.get(&entry(1, "b"), &metrics), None);
        assert_eq!(cache.get(&entry(2, "a"), &metrics), None);
        let place = cache.place(&entry(1, "a"));
        for damage in [&[7_u8; 107][..], &[8; 108], &[]] {
            fs::write(&place, damage).unwrap();
            assert_eq!(cache.get(&entry(1, "a"), &metrics), None);
            assert!(!place.exists());
        }
        assert!(Entry::of("s3://b/k", &Stamp::default(), 0..1).is_none());
        assert_eq!(metrics.totals().cache_hits, 2);
        assert!(metrics.take_notes().is_empty());
    }

    #[test]
    fn what_was_used_longest_ago_goes_first_and_the_limit_holds() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, metrics) = (Cache::new(folder.path(), 1080), StoreMetrics::default());
        for number in 0..40 {
            cache.put(&entry(number, "a"), &[number as u8; 100], &metrics);
            assert!(total(folder.path()) <= 1080);
            assert!(cache.get(&entry(0, "a"), &metrics).is_some(), "used all the time");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        assert!(cache.get(&entry(39, "a"), &metrics).is_some());
        assert!(cache.get(&entry(20, "a"), &metrics).is_none());
    }

    #[test]
    fn a_disk_that_refuses_is_told_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let metrics = StoreMetrics::default();
        for number in 0..6 {
            // As every planning and every epoch makes one.
            let cache = Cache::new(&file.path().join("under a file"), 1 << 20);
            cache.put(&entry(number, "a"), &[0; 100], &metrics);
            cache.put(&entry(number, "b"), &[0; 100], &metrics);
            assert_eq!(cache.get(&entry(number, "a"), &metrics), None);
        }
        assert_eq!(metrics.take_notes().len(), 1);
    }

    #[test]
    fn what_is_not_its_own_stays() {
        let folder = tempfile::tempdir().unwrap();
        let name = "0".repeat(32);
        let others = ["a/b", "a/b/c", "shardline/x", "shardline/ab/notes.txt", "shardline/ab/.x-1"].map(|other| {
            let place = folder.path().join(other).join(&name).with_extension("parquet");
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(&place, [0; 5_000]).unwrap();
            place
        });
        let theirs = folder.path().join("00").join(&name);
        fs::create_dir_all(theirs.parent().unwrap()).unwrap();
        fs::write(&theirs, [0; 5_000]).unwrap();
        let (cache, metrics) = (Cache::new(folder.path(), 500), StoreMetrics::default());
        (0..20).for_each(|number| cache.put(&entry(number, "a"), &[0; 100], &metrics));
        assert!(cache.get(&entry(19, "a"), &metrics).is_some());
        assert!(cache.get(&entry(0, "a"), &metrics).is_none());
        assert!(theirs.exists() && others.iter().all(|other| other.exists()));
        assert!(metrics.take_notes().is_empty());
    }
}
