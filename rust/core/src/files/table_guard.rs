//! The guard of tables: files of a Delta or Iceberg table are not read as plain Parquet.
//!
//! A table's directory holds files that the table has dropped, and rows that it has deleted. Whoever reads its files
//! without its log reads these too. So a file with a log in a directory above it is refused.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::paths;
use crate::store::{Client, Scheme, StoreMetrics};
use crate::sync::lock;
use crate::{Error, Result};

/// The folder of a Delta table's log.
const DELTA_LOG: &str = "_delta_log";
/// The folder of an Iceberg table's metadata, and how a file in it ends that makes it one.
const ICEBERG: (&str, &str) = ("metadata", ".metadata.json");

/// A kind of table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum TableKind {
    Delta,
    Iceberg,
}

/// The error for a file of the table in `directory`.
fn refused(directory: &str, file: &str, kind: TableKind) -> Error {
    let (what, cure) = match kind {
        TableKind::Delta => {
            let log = paths::join(directory, DELTA_LOG);
            (
                format!("a Delta table ({log})"),
                format!("give the table's directory, {directory}, with format=\"delta\""),
            )
        }
        TableKind::Iceberg => {
            let metadata = paths::join(directory, ICEBERG.0);
            (
                format!("an Iceberg table ({metadata})"),
                format!("give the table's directory, {directory}, with format=\"iceberg\""),
            )
        }
    };
    Error::Argument(format!(
        "{file}: this file belongs to {what}. Reading a table's files as plain Parquet brings back rows that were \
         deleted and files that were dropped: {cure}. format=\"parquet\" reads the files as they are, whatever the table \
         says"
    ))
}

/// Refuses local files that belong to a table.
///
/// # Errors
/// One does. What cannot be looked at is passed over.
pub(super) fn check_local(root: &str, names: &[String]) -> Result<()> {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for name in names {
        let file = paths::join(root, name);
        let folder = paths::parent(&file);
        if seen.contains(folder) {
            continue;
        }
        let real = fs::canonicalize(folder).ok().and_then(|path| Some(path.to_str()?.to_owned()));
        for start in [Some(folder.to_owned()), real.filter(|real| real != folder)].into_iter().flatten() {
            for directory in directories_from(&start) {
                if !seen.insert(directory.to_owned()) {
                    break; // and so were all above it
                }
                if let Some(kind) = local_kind(directory) {
                    return Err(refused(directory, &file, kind));
                }
            }
        }
    }
    Ok(())
}

/// An absolute directory and all above it.
fn directories_from(start: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(start), |directory| (*directory != "/").then(|| paths::parent(directory)))
}

fn local_kind(directory: &str) -> Option<TableKind> {
    let directory = Path::new(directory);
    if directory.join(DELTA_LOG).is_dir() {
        return Some(TableKind::Delta);
    }
    let entries = fs::read_dir(directory.join(ICEBERG.0)).ok()?;
    let is_metadata = |entry: fs::DirEntry| entry.file_name().to_str().is_some_and(|name| name.ends_with(ICEBERG.1));
    entries.filter_map(std::result::Result::ok).any(is_metadata).then_some(TableKind::Iceberg)
}

/// The tables among the keys of listings.
#[derive(Debug, Default)]
pub(super) struct ListedTables(Mutex<BTreeSet<(String, TableKind)>>);

impl ListedTables {
    /// Looks at a key, or at a prefix under which there are keys.
    pub(super) fn see(&self, key: &str) {
        let found = key.find(DELTA_LOG).and_then(|at| {
            let is_part = (at == 0 || key[..at].ends_with('/'))
                && matches!(key[at + DELTA_LOG.len()..].chars().next(), None | Some('/'));
            is_part.then(|| (&key[..at], TableKind::Delta))
        });
        let found = found.or_else(|| {
            let (folder, _) = key.rsplit_once('/').filter(|_| key.ends_with(ICEBERG.1))?;
            let table = folder.strip_suffix(ICEBERG.0)?;
            (table.is_empty() || table.ends_with('/')).then_some((table, TableKind::Iceberg))
        });
        if let Some((table, kind)) = found {
            lock(&self.0).insert((table.trim_end_matches('/').to_owned(), kind));
        }
    }

    /// Refuses objects of a table that was seen.
    pub(super) fn check<'a>(&self, client: &Client, mut keys: impl Iterator<Item = &'a str>) -> Result<()> {
        let tables = lock(&self.0);
        if tables.is_empty() {
            return Ok(());
        }
        let of = |key: &str| {
            let is_under =
                |table: &str| table.is_empty() || key.strip_prefix(table).is_some_and(|rest| rest.starts_with('/'));
            tables.iter().find(|(table, _)| is_under(table)).cloned()
        };
        match keys.find_map(|key| Some((key, of(key)?))) {
            None => Ok(()),
            Some((key, (table, kind))) => Err(refused(&client.url(&table), &client.url(key), kind)),
        }
    }
}

/// Looks for tables in the directories above these folders of a store, and in themselves: a request for each, or three
/// where one does not show all that is in it.
///
/// # Errors
/// Whatever the store says, but that it does not list: a folder that nobody may list is passed over.
pub(super) async fn look_above<'a>(
    client: &Arc<Client>,
    folders: impl Iterator<Item = &'a str>,
    tables: &ListedTables,
    metrics: &Arc<StoreMetrics>,
) -> Result<()> {
    // A web server knows no folders, or lists them in a way that takes long to find out.
    if client.scheme() == Scheme::Http {
        return Ok(());
    }
    let mut directories: BTreeSet<&str> = BTreeSet::new();
    for folder in folders {
        let above = std::iter::successors(Some(folder), |key| {
            (!key.is_empty()).then(|| key.rsplit_once('/').map_or("", |(above, _)| above))
        });
        for directory in above {
            if !directories.insert(directory) {
                break;
            }
        }
    }
    let directories: Vec<String> = directories.into_iter().map(str::to_owned).collect();
    stream::iter(directories)
        .map(|directory| async move {
            match kind_in_store(client, &directory, metrics).await {
                Ok(found) => Ok(found.map(|kind| (directory, kind))),
                Err(Error::Permission { .. } | Error::Denied { .. } | Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        })
        .buffer_unordered(client.tuning().max_requests)
        .try_for_each(|found| {
            lock(&tables.0).extend(found);
            std::future::ready(Ok(()))
        })
        .await
}

/// The kind of table that a directory of a store is.
async fn kind_in_store(
    client: &Arc<Client>,
    directory: &str,
    metrics: &Arc<StoreMetrics>,
) -> Result<Option<TableKind>> {
    let (log, metadata) = (paths::join(directory, DELTA_LOG), paths::join(directory, ICEBERG.0));
    let folders = client.list_folders(directory, metrics).await?;
    let may_have = |folder: &str| folders.as_ref().is_none_or(|all| all.iter().any(|found| found == folder));
    if may_have(&log) && (folders.is_some() || client.any_under(&log, |_| true, metrics).await?) {
        return Ok(Some(TableKind::Delta));
    }
    let is_metadata = |key: &str| key.ends_with(ICEBERG.1);
    let is_iceberg = may_have(&metadata) && client.any_under(&metadata, is_metadata, metrics).await?;
    Ok(is_iceberg.then_some(TableKind::Iceberg))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(key: &str) -> Option<(String, TableKind)> {
        let tables = ListedTables::default();
        tables.see(key);
        lock(&tables.0).first().cloned()
    }

    #[test]
    fn keys_that_make_a_table() {
        let delta = |table: &str| Some((table.to_owned(), TableKind::Delta));
        let iceberg = |table: &str| Some((table.to_owned(), TableKind::Iceberg));
        assert_eq!(kind_of("a/_delta_log/00000000000000000000.json"), delta("a"));
        assert_eq!(kind_of("_delta_log"), delta(""));
        assert_eq!(kind_of("a/b/_delta_log/"), delta("a/b"));
        assert_eq!(kind_of("a/metadata/v3.metadata.json"), iceberg("a"));
        assert_eq!(kind_of("metadata/1.metadata.json"), iceberg(""));
        for other in
            ["a/x_delta_log/0.json", "a/_delta_logs/0.json", "a/metadata/x.json", "a/xmetadata/1.metadata.json"]
        {
            assert_eq!(kind_of(other), None, "{other}");
        }
    }

    #[test]
    fn directories_up_to_the_root() {
        assert_eq!(directories_from("/a/b").collect::<Vec<_>>(), ["/a/b", "/a", "/"]);
        assert_eq!(directories_from("/").collect::<Vec<_>>(), ["/"]);
    }
}
