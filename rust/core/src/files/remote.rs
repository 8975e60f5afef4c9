//! The building of a plan over a store: listing it, and reading footers in parallel.

use std::sync::Arc;

use futures_util::future::join;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::file_filter::{FileFilter, pick};
use super::footer::{self, Footer, MAGIC, TAIL};
use super::footers::{FooterSummary, Reference};
use super::plan::Plan;
use super::schema::SchemaMerge;
use super::table_columns::TableColumns;
use super::table_guard::{self, ListedTables};
use super::{listing, paths};
use crate::store::{Cancel, Client, Location, Object, Options, Runtime, Scheme, Stamp, StoreMetrics, is_remote};
use crate::{Error, Result};

/// The first guess of how much of an object's end holds its footer; later ones go by the footers seen.
const GUESS: u64 = 16 << 10;
/// Guesses are rounded up to this, and no smaller.
const GRAIN: u64 = 8 << 10;
/// No guess is larger.
const MOST: u64 = 1 << 20;
/// Footers in hand for every request under way, so that a slow one does not hold the others up.
const AHEAD: usize = 4;

/// How a store is read.
#[derive(Debug, Clone, Default)]
pub struct StoreAccess {
    /// The caller's options.
    pub options: Options,
    /// Ends the wait.
    pub cancel: Cancel,
    /// Counts.
    pub metrics: Arc<StoreMetrics>,
}

/// Lists what the URLs stand for, all of one store, and reads the footers.
pub(super) fn build_plan(
    urls: &[String],
    schema_merge: SchemaMerge,
    from: &StoreAccess,
    keep: Option<FileFilter<'_>>,
    guards_tables: bool,
) -> Result<Plan> {
    if let Some(local) = urls.iter().find(|url| !is_remote(url)) {
        return Err(Error::Argument(format!(
            "{local}: this path is on this machine, and others are in a store; give one kind"
        )));
    }
    let places = urls.iter().map(|url| Location::parse(url)).collect::<Result<Vec<_>>>()?;
    let Some(first) = places.first() else { return Err(Error::Argument("no paths were given".to_owned())) };
    if let Some(other) = places.iter().find(|place| place.base != first.base) {
        return Err(Error::Argument(format!(
            "{}, {}: the paths are in two stores or buckets; make a dataset of each",
            first.base, other.base
        )));
    }
    // The runtime and its connections end with this function, unless somebody else reads with them.
    let runtime = Runtime::get()?;
    let client = runtime.client(first, &from.options)?;
    let planned = runtime.wait(&from.cancel, async {
        let tables = ListedTables::default();
        let (root, mut objects, starts) = find(&client, &places, from, &tables).await?;
        if guards_tables {
            tables.check(&client, keys(&objects))?;
        }
        let starts = if guards_tables { starts } else { Vec::new() };
        let found: Vec<String> = keys(&objects).map(str::to_owned).collect();
        if let Some(keep) = keep {
            objects = pick(keep(&names(&root, &objects))?, &objects)?;
        }
        // Side by side: the folders above are looked at while footers are read.
        let above = table_guard::look_above(&client, starts.iter().map(String::as_str), &tables, &from.metrics);
        let (looked, planned) = join(above, footers(&client, &root, objects, schema_merge, None, from)).await;
        looked?;
        if guards_tables {
            tables.check(&client, found.iter().map(String::as_str))?;
        }
        planned
    });
    drop(client);
    drop(runtime);
    planned
}

/// Reads the footers of a table's files, whose names and sizes the table knows.
pub(super) fn build_table(
    root: &str,
    files: Vec<(String, u64)>,
    schema_merge: SchemaMerge,
    columns: &Arc<TableColumns>,
    from: &StoreAccess,
) -> Result<Plan> {
    let place = Location::parse(root)?;
    let object =
        |(name, size): (String, u64)| Object { key: paths::join(&place.key, &name), stamp: Stamp::planned(size, "") };
    let objects = files.into_iter().map(object).collect();
    let runtime = Runtime::get()?;
    let client = runtime.client(&place, &from.options)?;
    let read = footers(&client, &place.key, objects, schema_merge, Some(columns), from);
    let planned = runtime.wait(&from.cancel, read);
    drop(client);
    drop(runtime);
    planned
}

/// What a place stands for.
struct Found {
    root: String,
    objects: Vec<Object>,
    /// The lowest folder in which no listing has looked for a table's log, if there is one.
    start: Option<String>,
}

impl Found {
    fn listed(root: &str, objects: Vec<Object>) -> Self {
        let start = (!root.is_empty()).then(|| folder(root).to_owned());
        Self { root: root.to_owned(), objects, start }
    }
}

/// The folder that a key stands in.
fn folder(key: &str) -> &str {
    key.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The root's key, the objects in the order of their names, and the folders from which on, upwards, no listing has
/// looked for tables.
async fn find(
    client: &Arc<Client>,
    places: &[Location],
    from: &StoreAccess,
    tables: &ListedTables,
) -> Result<(String, Vec<Object>, Vec<String>)> {
    let found: Vec<Found> = stream::iter(places)
        .map(|place| one(client, place, from, tables))
        .buffered(client.tuning().max_requests)
        .try_collect()
        .await?;
    let roots: Vec<String> = found.iter().map(|found| found.root.clone()).collect();
    let starts = found.iter().filter_map(|found| found.start.clone()).collect();
    let root = paths::common(&roots).trim_start_matches('/').to_owned();
    let mut objects: Vec<Object> = found.into_iter().flat_map(|found| found.objects).collect();
    objects.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    if let Some(twice) = objects.windows(2).find(|pair| pair[0].key == pair[1].key) {
        return Err(Error::Argument(format!(
            "{}: this object is named twice by the paths given; its rows would come twice: leave one of the paths out",
            client.url(&twice[0].key)
        )));
    }
    Ok((root, objects, starts))
}

/// One place's root and its objects.
async fn one(client: &Arc<Client>, place: &Location, from: &StoreAccess, tables: &ListedTables) -> Result<Found> {
    if let Some(at) =
        place.key.find(['*', '?', '[']).filter(|_| place.scheme != Scheme::Http || place.key.contains('*'))
    {
        let root = place.key[..at].rfind('/').map_or("", |slash| &place.key[..slash]);
        let pattern = place.key[root.len()..].trim_start_matches('/');
        return glob(client, place, root, pattern, from, tables).await.map(|objects| Found::listed(root, objects));
    }
    if !place.is_prefix
        && let Some(object) = client.head(&place.key, &from.metrics).await?
        && (place.scheme == Scheme::Http || object.stamp.size > 0 || paths::parquet_extension(place.key.as_bytes()))
    {
        let parent = folder(&place.key).to_owned();
        // Some stores show a folder as an empty object; it is one if something lies under it.
        if object.stamp.size > 0 || under(client, &place.key, from, tables).await?.is_empty() {
            return Ok(Found { start: Some(parent.clone()), root: parent, objects: vec![object] });
        }
    }
    let all = under(client, &place.key, from, tables).await.map_err(|error| unlisted(place, error))?;
    let count = all.len();
    let objects: Vec<Object> =
        all.into_iter().filter(|object| paths::parquet_extension(object.key.as_bytes())).collect();
    if objects.is_empty() {
        let url = place.url();
        let message = match count {
            0 => format!("{url}: no such object, and no objects under it (names that begin with _ or . are left out)"),
            n => format!(
                "{url}: of {n} object(s) under it none ends in .parquet, .parq or .pq; to read others, give them or a glob"
            ),
        };
        return Err(Error::NoFiles { message });
    }
    Ok(Found::listed(&place.key, objects))
}

/// A web server that cannot list says so in its own way.
fn unlisted(place: &Location, error: Error) -> Error {
    match error {
        Error::NotFound { .. } | Error::Io { .. } if place.scheme == Scheme::Http => Error::NoFiles {
            message: format!(
                "{}: no such file, and no folder that this server lists (it would have to speak WebDAV); give the files' URLs as \
                 a list",
                place.url()
            ),
        },
        other => other,
    }
}

/// The objects under a prefix whose names are not hidden, and that stand for no folder.
async fn under(client: &Arc<Client>, root: &str, from: &StoreAccess, tables: &ListedTables) -> Result<Vec<Object>> {
    let visible = |key: &str| !paths::relative(root, key).split('/').any(|part| paths::hidden(part.as_bytes()));
    let enters = |prefix: &str| {
        tables.see(prefix);
        visible(prefix)
    };
    let mut objects = client.list(root, enters, &from.metrics).await?;
    objects.iter().for_each(|object| tables.see(&object.key));
    objects.retain(|object| object.key.len() > root.len() && visible(&object.key));
    objects.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    let folders: Vec<bool> = objects
        .iter()
        .map(|object| {
            let inside = format!("{}/", object.key);
            let at = objects.partition_point(|other| other.key < inside);
            object.stamp.size == 0 && objects.get(at).is_some_and(|other| other.key.starts_with(&inside))
        })
        .collect();
    let mut folders = folders.iter();
    objects.retain(|_| !folders.next().copied().unwrap_or(false));
    Ok(objects)
}

async fn glob(
    client: &Arc<Client>,
    place: &Location,
    root: &str,
    pattern: &str,
    from: &StoreAccess,
    tables: &ListedTables,
) -> Result<Vec<Object>> {
    let url = place.url();
    let matcher = listing::compile(&url, pattern)?;
    let mut objects = under(client, root, from, tables).await.map_err(|error| unlisted(place, error))?;
    objects.retain(|object| matcher.is_match(paths::relative(root, &object.key)));
    if objects.is_empty() {
        let message = format!("{url}: as a glob it matches no object (names that begin with _ or . are left out)");
        return Err(Error::NoFiles { message });
    }
    Ok(objects)
}

/// Reads all footers, many at once; where files are wrong, the error is that of the first one in the line's order.
async fn footers(
    client: &Arc<Client>,
    root: &str,
    objects: Vec<Object>,
    schema_merge: SchemaMerge,
    table: Option<&Arc<TableColumns>>,
    from: &StoreAccess,
) -> Result<Plan> {
    let Some(first) = objects.first() else { return Err(Error::NoFiles { message: client.url(root) }) };
    let (footer, stamp) = read(client, &first.key, &first.stamp, GUESS, &from.metrics).await?;
    // Footers of one data set are much alike: a quarter more than the first one's.
    let guess = ((footer.1 + TAIL) * 5 / 4).next_multiple_of(GRAIN).min(MOST);
    let reference = Arc::new(Reference::new(client.url(&first.key), &footer.0, schema_merge, table)?);
    let kept = reference.summary(&client.url(&first.key), &footer.0)?;
    let rest = stream::iter(objects[1..].to_vec())
        .map(|object| {
            let (client, reference, metrics) = (Arc::clone(client), Arc::clone(&reference), Arc::clone(&from.metrics));
            let task = tokio::spawn(async move {
                let (footer, stamp) = read(&client, &object.key, &object.stamp, guess, &metrics).await?;
                Ok::<_, Error>((reference.summary(&client.url(&object.key), &footer.0)?, stamp))
            });
            async move { task.await.unwrap_or_else(|_| Err(Error::internal("a task that read footers panicked"))) }
        })
        .buffered(client.tuning().max_requests * AHEAD);
    let found: Vec<(FooterSummary, Stamp)> = stream::iter([Ok((kept, stamp))]).chain(rest).try_collect().await?;
    let tags = found.iter().map(|(_, stamp)| stamp.text()).collect();
    let summaries: Vec<(usize, FooterSummary)> =
        found.into_iter().map(|(summaries, _)| summaries).enumerate().collect();
    reference.plan(client.url(root), names(root, &objects), summaries)?.with_tags(tags)
}

fn keys(objects: &[Object]) -> impl Iterator<Item = &str> {
    objects.iter().map(|object| object.key.as_str())
}

fn names(root: &str, objects: &[Object]) -> Vec<String> {
    objects.iter().map(|object| paths::relative(root, &object.key).to_owned()).collect()
}

/// A footer with its length, and the stamp of the object that it is of.
async fn read(
    client: &Arc<Client>,
    key: &str,
    stamp: &Stamp,
    guess: u64,
    metrics: &Arc<StoreMetrics>,
) -> Result<((Footer, u64), Stamp)> {
    let (bytes, stamp) = footer_bytes(client, key, stamp, guess, metrics).await?;
    let footer = footer::parse(&client.url(key), &bytes, stamp.size)?;
    Ok(((footer, bytes.len() as u64), stamp))
}

/// The bytes of an object's footer, in one request where `guess` is large enough.
pub(crate) async fn footer_bytes(
    client: &Arc<Client>,
    key: &str,
    stamp: &Stamp,
    guess: u64,
    metrics: &Arc<StoreMetrics>,
) -> Result<(bytes::Bytes, Stamp)> {
    let (url, size) = (client.url(key), stamp.size);
    let guess = guess.min(size);
    let (tail, stamp) = range(client, key, size - guess..size, stamp, metrics).await?;
    let start = if tail.ends_with(MAGIC) {
        MAGIC.to_vec()
    } else {
        client.get(key, 0..size.min(4), &stamp, metrics).await?.0.to_vec()
    };
    let length = footer::footer_length(&url, &tail, size, || Ok(start))?;
    if length + TAIL > guess {
        return range(client, key, size - length - TAIL..size - TAIL, &stamp, metrics).await;
    }
    let end = tail.len() - TAIL as usize;
    Ok((tail.slice(end - length as usize..end), stamp))
}

/// A range, from the local cache if there is one and it is there.
async fn range(
    client: &Arc<Client>,
    key: &str,
    range: std::ops::Range<u64>,
    stamp: &Stamp,
    metrics: &Arc<StoreMetrics>,
) -> Result<(bytes::Bytes, Stamp)> {
    let (mut bytes, stamp) = client.get_kept(key, vec![range], stamp, metrics).await?;
    Ok((bytes.pop().unwrap_or_default(), stamp))
}
