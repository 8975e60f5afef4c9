//! The plan as a file, written atomically.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::Plan;
use crate::{Error, Result};

impl Plan {
    /// Writes the plan to `path`: under a temporary name, synced, then renamed.
    ///
    /// # Errors
    /// Whatever the file system says; what was at `path` before is then still there.
    pub fn save(&self, path: &Path) -> Result<()> {
        let named = |error| Error::io(path.display().to_string(), &error);
        let temporary = beside(path);
        let written = File::create(&temporary)
            .and_then(|mut file| {
                file.write_all(&self.to_bytes())?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&temporary, path));
        if let Err(error) = written {
            // What is left of it helps nobody; that it may not go either does not matter more than the first error.
            let _ = fs::remove_file(&temporary);
            return Err(named(error));
        }
        // The new name itself must survive a power cut, where directories can be synced.
        if let Ok(directory) = File::open(folder(path)) {
            let _ = directory.sync_all();
        }
        Ok(())
    }

    /// Reads a plan that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// There is no such file, or it is not a plan.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(|error| Error::io(path.display().to_string(), &error))?;
        Self::from_bytes(&bytes).map_err(|error| match error {
            Error::State(detail) => Error::State(format!("{}: {detail}", path.display())),
            other => other,
        })
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A name in the same folder that nobody else takes.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    folder(path).join(format!(".{name}.{}.tmp", std::process::id()))
}
