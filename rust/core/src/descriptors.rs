//! The open descriptors of all local files that this process reads, however many readers it has.
//!
//! A system lets a process have only so many files open (`ulimit -n`), and readers share them with everything else that
//! the process does. So a file is closed when it was not read for the longest time, and opened again when it is read.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use crate::sync::lock;

/// Of the files that the process may have open, readers take one part in so many.
const PART: u64 = 4;
/// They take no fewer and no more.
const FEWEST: u64 = 8;
const MOST: u64 = 512;

/// A file that is opened when it is read.
#[derive(Debug)]
pub(crate) struct Descriptor {
    path: String,
    identity: Identity,
    open: Mutex<Option<Arc<File>>>,
    /// When it was last read, by the clock of its set.
    used: AtomicU64,
    set: &'static OpenFiles,
}

/// Which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

/// Files of which only so many are open.
#[derive(Debug)]
struct OpenFiles {
    reads: AtomicU64,
    /// Those that may be open.
    all: Mutex<Vec<Weak<Descriptor>>>,
}

/// Those of the process.
static OPEN_FILES: OpenFiles = OpenFiles::new();

impl Descriptor {
    /// Of a file that was just opened.
    pub(crate) fn new(path: &str, file: File) -> io::Result<Arc<Self>> {
        Self::within(&OPEN_FILES, path, file)
    }

    fn within(set: &'static OpenFiles, path: &str, file: File) -> io::Result<Arc<Self>> {
        let identity = Identity::of(&file)?;
        let used = AtomicU64::new(set.now());
        let made =
            Arc::new(Self { path: path.to_owned(), identity, open: Mutex::new(Some(Arc::new(file))), used, set });
        set.enter(&made);
        Ok(made)
    }

    /// The open file; it may be closed once this is dropped.
    pub(crate) fn file(self: &Arc<Self>) -> io::Result<Arc<File>> {
        self.used.store(self.set.now(), Ordering::Relaxed);
        let mut open = lock(&self.open);
        if let Some(file) = open.as_ref() {
            return Ok(Arc::clone(file));
        }
        let file = open_file(&self.path)?;
        if Identity::of(&file)? != self.identity {
            return Err(io::Error::other("another file has its name now; restore it, or plan anew"));
        }
        let file = Arc::new(file);
        *open = Some(Arc::clone(&file));
        drop(open);
        self.set.enter(self);
        Ok(file)
    }

    /// False where another thread is at it.
    fn close(&self) -> bool {
        self.open.try_lock().is_ok_and(|mut open| open.take().is_some())
    }
}

impl OpenFiles {
    const fn new() -> Self {
        Self { reads: AtomicU64::new(0), all: Mutex::new(Vec::new()) }
    }

    fn now(&self) -> u64 {
        self.reads.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts a file among the open ones, and closes what is over.
    fn enter(&self, file: &Arc<Descriptor>) {
        // Nobody waits for another thread: in a forked child that may not exist.
        let Ok(mut all) = self.all.try_lock() else { return };
        all.push(Arc::downgrade(file));
        let limit = limit();
        if all.len() > limit {
            close_oldest(&mut all, limit);
        }
    }

    /// Closes half of the files; false where none could be.
    fn give_way(&self) -> bool {
        let mut all = lock(&self.all);
        // First without those of readers that are gone, which would count as open.
        close_oldest(&mut all, usize::MAX);
        let left = all.len() / 2;
        close_oldest(&mut all, left) > 0
    }
}

impl Identity {
    fn of(file: &File) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let metadata = file.metadata()?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// Opens a file for reading. Where the process has as many open as it may, files that nobody reads just now are closed.
pub(crate) fn open_file(path: &str) -> io::Result<File> {
    loop {
        match File::open(path) {
            Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::MFILE | Errno::NFILE)) => {
                if !OPEN_FILES.give_way() {
                    let allowed = getrlimit(Resource::Nofile).current.map_or_else(String::new, |n| format!(" ({n})"));
                    let what = format!(
                        "too many open files: the process has as many as it may{allowed}; close some, or raise the limit \
                         (ulimit -n)"
                    );
                    return Err(io::Error::new(error.kind(), what));
                }
            }
            other => return other,
        }
    }
}

/// Closes the files that were not read for the longest time, until so many are left. How many it closed.
fn close_oldest(all: &mut Vec<Weak<Descriptor>>, left: usize) -> usize {
    let mut open: Vec<Arc<Descriptor>> = all.drain(..).filter_map(|one| one.upgrade()).collect();
    open.retain(|one| one.open.try_lock().map_or(true, |open| open.is_some()));
    let before = open.len();
    if before > left {
        // Some more, so that not each file that is opened goes through all of them.
        let mut over = before - (left - left / 8);
        open.sort_unstable_by_key(|one| one.used.load(Ordering::Relaxed));
        open.retain(|one| {
            let is_closed = over > 0 && one.close();
            over -= usize::from(is_closed);
            !is_closed
        });
    }
    all.extend(open.iter().map(Arc::downgrade));
    before - open.len()
}

/// How many files may be open.
fn limit() -> usize {
    static LIMIT: OnceLock<usize> = OnceLock::new();
    *LIMIT.get_or_init(|| {
        let allowed = getrlimit(Resource::Nofile).current.unwrap_or(MOST * PART);
        (allowed / PART).clamp(FEWEST, MOST) as usize
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write;
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn readers_that_are_gone_do_not_keep_others_open() {
        static SET: OpenFiles = OpenFiles::new();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        File::create(&path).unwrap();
        let open = || Descriptor::within(&SET, path.to_str().unwrap(), File::open(&path).unwrap()).unwrap();
        for _ in 0..limit() - 4 {
            drop(open());
        }
        let kept = [open(), open(), open()];
        assert!(SET.give_way());
        assert!(kept.iter().any(|file| lock(&file.open).is_none()));
    }

    #[test]
    fn files_are_closed_and_opened_again() {
        // Of the process's set, tests beside this one close files too.
        static SET: OpenFiles = OpenFiles::new();
        let directory = tempfile::tempdir().unwrap();
        let of = |number: usize| {
            let path = directory.path().join(number.to_string());
            File::create(&path).unwrap().write_all(&[number as u8]).unwrap();
            Descriptor::within(&SET, path.to_str().unwrap(), File::open(&path).unwrap()).unwrap()
        };
        let files: Vec<_> = (0..limit() + 20).map(of).collect();
        let open = files.iter().filter(|file| lock(&file.open).is_some()).count();
        assert!(open <= limit(), "{open}");
        for (number, file) in files.iter().enumerate() {
            let mut read = [0];
            file.file().unwrap().read_exact_at(&mut read, 0).unwrap();
            assert_eq!(read[0], number as u8);
        }
        // The first ones were closed again for the last ones.
        assert!(lock(&files[0].open).is_none() && lock(&files[1].open).is_none());
        std::fs::remove_file(&files[0].path).unwrap();
        assert_eq!(files[0].file().unwrap_err().kind(), io::ErrorKind::NotFound);
        // Made before the first is removed, so that it cannot be given the same number.
        let other = directory.path().join("other");
        File::create(&other).unwrap();
        std::fs::rename(&other, &files[1].path).unwrap();
        assert!(files[1].file().unwrap_err().to_string().contains("another file"));
    }
}
