//! The files that a path, a directory, a glob or a list of these stands for.

use std::{fs, os::unix::ffi::OsStrExt, path::Path};

use globset::{GlobBuilder, GlobMatcher};
use walkdir::WalkDir;

use super::paths;
use crate::{Error, Result};

/// Files under their common root, in the line's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The directory that the names are relative to: absolute, as its names were given (links not resolved).
    pub root: String,
    /// The files' names, ascending by their bytes, none twice.
    pub names: Vec<String>,
}

/// Lists the files that `paths` stand for.
///
/// The root of one path is the directory itself, a file's parent, or a glob's part before its first wildcard; that of
/// several is the longest directory that their roots have in common. It does not depend on what the directories hold.
/// A path that exists is taken as it is, even if it contains wildcards. Every path must yield a file.
pub fn list(paths: &[String]) -> Result<Listing> {
    if paths.is_empty() {
        return Err(Error::Argument("no paths were given; give a file, a directory or a glob".to_owned()));
    }
    let found = paths.iter().map(|given| one(given)).collect::<Result<Vec<_>>>()?;
    let roots: Vec<String> = found.iter().map(|(root, _)| root.clone()).collect();
    let root = paths::common(&roots);
    let mut names: Vec<String> = Vec::with_capacity(found.iter().map(|(_, files)| files.len()).sum());
    for (_, files) in found {
        names.extend(files.iter().map(|path| paths::relative(&root, path).to_owned()));
    }
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::Argument(format!(
            "{}: this file is named twice by the paths given; its rows would come twice: leave one of the paths out",
            paths::join(&root, &twice[0])
        )));
    }
    Ok(Listing { root, names })
}

/// One path's root and its files, as absolute paths.
fn one(given: &str) -> Result<(String, Vec<String>)> {
    let path = paths::absolute(given)?;
    match fs::metadata(&path) {
        Ok(is) if is.is_dir() => directory(given, &path).map(|files| (path, files)),
        Ok(is) if is.is_file() => Ok((paths::parent(&path).to_owned(), vec![path])),
        Ok(_) => Err(Error::corrupt(given, "neither a regular file nor a directory; Parquet is read by position")),
        Err(error) => match paths::split_glob(&path) {
            Some((root, pattern)) => glob(given, root, pattern).map(|files| (root.to_owned(), files)),
            None => Err(Error::io(given, &error)),
        },
    }
}

/// The files under a directory with a Parquet extension, whatever depth they stand at.
fn directory(given: &str, root: &str) -> Result<Vec<String>> {
    let mut others = 0_u64;
    let files = walk(root, usize::MAX, |path, is_dir| {
        let takes = !is_dir && path.file_name().is_some_and(|file| paths::parquet_extension(file.as_bytes()));
        others += u64::from(!is_dir && !takes);
        takes
    })?;
    if !files.is_empty() {
        return Ok(files);
    }
    let message = match others {
        0 => format!("{given}: no files in this directory (names that begin with _ or . are left out)"),
        n => format!(
            "{given}: of {n} file(s) in this directory none ends in .parquet, .parq or .pq (names that begin with _ or . \
             are left out); to read files of other names, give them or a glob"
        ),
    };
    Err(Error::NoFiles { message })
}

/// The files that a pattern under `root` matches.
fn glob(given: &str, root: &str, pattern: &str) -> Result<Vec<String>> {
    fs::metadata(root).map_err(|error| Error::io(root, &error))?;
    let matcher = compile(given, pattern)?;
    let depth = if pattern.contains("**") { usize::MAX } else { pattern.split('/').count() };
    let mut directories = 0_u64;
    let files = walk(root, depth, |path, is_dir| {
        let matches = path.strip_prefix(root).is_ok_and(|name| matcher.is_match(name));
        directories += u64::from(is_dir && matches);
        matches && !is_dir
    })?;
    if !files.is_empty() {
        return Ok(files);
    }
    let message = match directories {
        0 => {
            format!("{given}: no such file, and as a glob it matches none (names that begin with _ or . are left out)")
        }
        n => format!("{given}: matches {n} director(ies) and no file; add /*.parquet or /**/*.parquet"),
    };
    Err(Error::NoFiles { message })
}

pub(super) fn compile(given: &str, pattern: &str) -> Result<GlobMatcher> {
    // Alternatives are not in the language; braces and backslashes are letters.
    let pattern = pattern.replace('{', "[{]").replace('}', "[}]");
    let glob = GlobBuilder::new(&pattern).literal_separator(true).backslash_escape(false).build();
    let glob =
        glob.map_err(|error| Error::Argument(format!("{given}: no such file, and not a glob: {}", error.kind())))?;
    Ok(glob.compile_matcher())
}

/// The regular files under `root`, links followed and hidden names left out, that `takes` (given the path and whether
/// it is a directory) says yes to.
fn walk(root: &str, depth: usize, mut takes: impl FnMut(&Path, bool) -> bool) -> Result<Vec<String>> {
    let mut files = Vec::new();
    let entries = WalkDir::new(root).min_depth(1).max_depth(depth).follow_links(true).into_iter();
    let visible = |path: &Path| !path.file_name().is_some_and(|part| paths::hidden(part.as_bytes()));
    for entry in entries.filter_entry(|entry| entry.depth() == 0 || visible(entry.path())) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => match broken(&error, visible, &mut takes) {
                Some(error) => return Err(error),
                None => continue,
            },
        };
        if entry.file_type().is_dir() {
            takes(entry.path(), true);
        } else if entry.file_type().is_file() && takes(entry.path(), false) {
            files.push(paths::utf8(entry.path())?.to_owned());
        }
    }
    Ok(files)
}

/// What an entry that could not be followed means: nothing where it would have been left out anyway.
fn broken(
    error: &walkdir::Error,
    visible: impl Fn(&Path) -> bool,
    takes: &mut impl FnMut(&Path, bool) -> bool,
) -> Option<Error> {
    let path = error.path().unwrap_or(Path::new(""));
    let shown = path.to_string_lossy().into_owned();
    if error.depth() > 0 && !visible(path) {
        return None;
    }
    if let Some(ancestor) = error.loop_ancestor() {
        let detail = format!("a symbolic link to {}, which holds it: a loop; remove it", ancestor.display());
        return Some(Error::corrupt(shown, detail));
    }
    let error = error.io_error()?;
    if error.kind() != std::io::ErrorKind::NotFound {
        return Some(Error::io(shown, error));
    }
    takes(path, false).then(|| Error::NotFound { path: format!("{shown} (a link to nothing, or just removed)") })
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
