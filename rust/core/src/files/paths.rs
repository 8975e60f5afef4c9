//! Paths: `~`, `file://`, absolute forms, roots, and the names of files relative to them.
//!
//! Paths are UTF-8 with `/` between parts, so that a file's name and its place in the order are the same on every
//! store.

use std::{env, fs, path::Path};

use crate::{Error, Result};

/// The longest name that a file may have: what Linux allows a whole path.
pub const MAX_NAME: usize = 4096;

/// Turns what a person wrote into an absolute path without `.`, `..` or doubled slashes.
///
/// Symbolic links keep the names that they were reached by; only what stands before a `..` is resolved, because the
/// parent of a link's target is not the parent of the link.
pub fn absolute(given: &str) -> Result<String> {
    let path = local(given)?;
    let mut text = String::new();
    if !path.starts_with('/') {
        let here = env::current_dir().map_err(|e| Error::io(".", &e))?;
        text.push_str(utf8(&here)?);
        text.push('/');
    }
    text.push_str(&path);
    let mut parts: Vec<String> = Vec::new();
    for part in text.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            let above = format!("/{}/..", parts.join("/"));
            let above = fs::canonicalize(above).map_err(|e| Error::io(given, &e))?;
            parts = utf8(&above)?.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        } else {
            parts.push(part.to_owned());
        }
    }
    Ok(format!("/{}", parts.join("/")))
}

/// A local path from `~`, `~/…`, `file://…` (percent-decoded, as no other path is) or a plain path.
fn local(given: &str) -> Result<String> {
    if given.is_empty() {
        return Err(Error::Argument("a path is empty; give a file, a directory or a glob".to_owned()));
    }
    if let Some(rest) = given.strip_prefix("file://") {
        let rest = rest.strip_prefix("localhost").filter(|rest| rest.starts_with('/')).unwrap_or(rest);
        if !rest.starts_with('/') {
            return Err(Error::Argument(format!(
                "{given}: a file:// address names a path on this machine and has three slashes, as file:///data"
            )));
        }
        return percent_decoded(given, rest);
    }
    if let Some((scheme, _)) = given.split_once("://")
        && !scheme.is_empty()
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    {
        return Err(Error::Argument(format!(
            "{given}: there is no reader for {scheme}://; give a local path or file://"
        )));
    }
    if given == "~" || given.starts_with("~/") {
        let home = env::var("HOME")
            .map_err(|_| Error::Argument(format!("{given}: HOME is not set (or is not UTF-8); write the path out")))?;
        return Ok(format!("{home}{}", &given[1..]));
    }
    Ok(given.to_owned())
}

fn percent_decoded(given: &str, text: &str) -> Result<String> {
    let bad = |why: &str| Error::Argument(format!("{given}: {why}; in a file:// address write % as %25"));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = tail.get(..2).and_then(|two| Some((hex(two[0])?, hex(two[1])?)));
        let (high, low) = digits.ok_or_else(|| bad("% is not followed by two hex digits"))?;
        bytes.push(high << 4 | low);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).map_err(|_| bad("decoded, it is not UTF-8"))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

/// The path as text, or an error that shows it as far as it can be shown.
pub fn utf8(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| {
        Error::corrupt(path.to_string_lossy(), "this name is not UTF-8, so it has no place in the order; rename it")
    })
}

/// The directory that a file stands in.
pub fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(at) => &path[..at],
    }
}

/// The longest directory that all these directories have in common.
pub fn common(directories: &[String]) -> String {
    let mut all = directories.iter().map(|d| d.split('/').filter(|part| !part.is_empty()));
    let mut shared: Vec<&str> = all.next().map(Iterator::collect).unwrap_or_default();
    for parts in all {
        let same = shared.iter().zip(parts).take_while(|(a, b)| *a == b).count();
        shared.truncate(same);
    }
    format!("/{}", shared.join("/"))
}

/// A path relative to a root that it stands under.
pub fn relative<'a>(root: &str, path: &'a str) -> &'a str {
    path.strip_prefix(root).unwrap_or(path).trim_start_matches('/')
}

/// A name put back under its root.
pub fn join(root: &str, name: &str) -> String {
    if root.is_empty() {
        return name.to_owned();
    }
    format!("{}/{name}", root.trim_end_matches('/'))
}

/// Whether a file or directory is left out: writers put logs, markers and unfinished files under such names.
pub fn hidden(name: &[u8]) -> bool {
    matches!(name.first(), Some(b'_' | b'.'))
}

/// Whether a file in a directory is taken for Parquet.
pub fn parquet_extension(name: &[u8]) -> bool {
    let ends = |end: &[u8]| name.len() > end.len() && name[name.len() - end.len()..].eq_ignore_ascii_case(end);
    ends(b".parquet") || ends(b".parq") || ends(b".pq")
}

/// Splits a glob into its part before the first wildcard, which is its root, and the pattern under it.
///
/// `None` where there is no wildcard.
pub fn split_glob(path: &str) -> Option<(&str, &str)> {
    let first = path.find(['*', '?', '['])?;
    let slash = path[..first].rfind('/')?;
    Some((if slash == 0 { "/" } else { &path[..slash] }, &path[slash + 1..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_become_absolute_and_tidy() {
        assert_eq!(absolute("/a//b/./c/").unwrap(), "/a/b/c");
        assert_eq!(absolute("/").unwrap(), "/");
        assert_eq!(absolute("//a").unwrap(), "/a");
        assert_eq!(absolute("/..").unwrap(), "/");
        let here = env::current_dir().unwrap();
        assert_eq!(absolute("x y").unwrap(), format!("{}/x y", here.display()));
    }

    #[test]
    fn dots_resolve_through_links() {
        let dir = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir_all(base.join("far/deep")).unwrap();
        std::os::unix::fs::symlink(base.join("far/deep"), base.join("link")).unwrap();
        let given = format!("{}/link/../x", base.display());
        assert_eq!(absolute(&given).unwrap(), format!("{}/far/x", base.display()));
        assert!(matches!(absolute("/no/such/../x"), Err(Error::NotFound { .. })));
    }

    #[test]
    fn addresses_are_decoded_and_plain_paths_are_not() {
        assert_eq!(absolute("file:///a%20b/%23%25").unwrap(), "/a b/#%");
        assert_eq!(absolute("file://localhost/a").unwrap(), "/a");
        assert_eq!(absolute("/a%20b#").unwrap(), "/a%20b#");
        for bad in
            ["file://host/a", "file://a", "file:///%", "file:///%2", "file:///%zz", "file:///%ff", "s3://b/k", ""]
        {
            assert!(matches!(absolute(bad), Err(Error::Argument(_))), "{bad}");
        }
    }

    #[test]
    fn home_is_expanded_at_the_start_only() {
        let home = env::var("HOME").unwrap();
        assert_eq!(absolute("~/x").unwrap(), absolute(&format!("{home}/x")).unwrap());
        assert_eq!(absolute("/~/x").unwrap(), "/~/x");
    }

    #[test]
    fn roots() {
        let common = |list: &[&str]| common(&list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        assert_eq!(common(&["/data/a", "/data/ab"]), "/data");
        assert_eq!(common(&["/data/a", "/data/a/b"]), "/data/a");
        assert_eq!(common(&["/data/a", "/data/a"]), "/data/a");
        assert_eq!(common(&["/x", "/y"]), "/");
        assert_eq!((parent("/a/b"), parent("/a")), ("/a", "/"));
        assert_eq!((relative("/a", "/a/b/c"), relative("/", "/a/b")), ("b/c", "a/b"));
        assert_eq!((join("/", "a"), join("/r", "a/b")), ("/a".to_owned(), "/r/a/b".to_owned()));
        assert_eq!(split_glob("/data/y=*/x"), Some(("/data", "y=*/x")));
        assert_eq!(split_glob("/*"), Some(("/", "*")));
        assert_eq!(split_glob("/data"), None);
    }

    #[test]
    fn which_names_count() {
        assert!(parquet_extension(b"a.parquet") && parquet_extension(b"a.PARQ") && parquet_extension(b"a.snappy.pq"));
        assert!(!parquet_extension(b".parquet") && !parquet_extension(b"a.parquet.crc") && !parquet_extension(b""));
        assert!(hidden(b"_SUCCESS") && hidden(b".x") && !hidden(b"x_"));
    }

    proptest! {
        #[test]
        fn relative_undoes_join(root in "(/[a-z%# ]{1,3}){0,3}", name in "[a-zä]{1,3}(/[a-z.]{1,3}){0,2}") {
            let root = if root.is_empty() { "/".to_owned() } else { root };
            let path = join(&root, &name);
            prop_assert_eq!(relative(&root, &path), name);
        }

        #[test]
        fn absolute_never_panics(path in any::<String>()) {
            let _ = absolute(&path);
            let _ = absolute(&format!("file://{path}"));
        }
    }
}
