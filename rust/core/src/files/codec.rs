//! A plan as bytes, to be pickled, saved and sent to other processes.
//!
//! ```text
//! magic "SLplan" · version 2
//! root · schema (Arrow IPC, as a flatbuffer) · columns × (first file with a null + 1, or 0) · number of files
//! files × (bytes shared with the name before · rest of the name · hash, 8 bytes · size · number of row groups)
//! number of row groups · each one's rows · each one's bytes (both as differences to the one before, zigzag)
//! sections × (name · version · 1 byte: is it needed · its bytes)
//! XXH3-64 of all before, 8 bytes
//!
//! section          needed  its bytes, in version 1
//! decoded bytes    yes     each row group's (as the rows)
//! partition values yes     an Arrow IPC stream, a row a file
//! passing rows     yes     the rule · each row group's rows that pass (as the rows)
//! token counts     yes     the rule · tokens of a sequence · bytes of a token · each row group's tokens (as the rows)
//! sequences of bundles yes how many bundles · the sequences of each (as the rows)
//! tags             no      each file's
//! deleted rows     yes     number of files × (index · positions, a portable 64-bit roaring bitmap)
//! source           yes     the table's version, as JSON
//! table columns    yes     their schema (Arrow IPC, as a flatbuffer), with what files call them as metadata
//! ```
//!
//! Numbers are LEB128 unless a width is named, and then little-endian; texts, the schema and a section's bytes have
//! their length before them. Names are free for what is to come: see [`super::sections`] for
//! what a reader does that does not know one.

use std::sync::Arc;

use arrow_ipc::convert::{IpcSchemaEncoder, try_fb_to_schema};
use arrow_ipc::writer::DictionaryTracker;
use arrow_schema::{Schema, SchemaRef};
use xxhash_rust::xxh3::xxh3_64;

use super::bundles::bundles;
use super::paths::MAX_NAME;
use super::plan::{Plan, PlanParts};
use super::sections::{Unreadable, put_sections, read_sections};
use super::table_columns::TableColumns;
use super::wire::{Decoder, put, put_bytes, put_series};
use crate::{Error, Result};

const MAGIC: &[u8; 6] = b"SLplan";
const VERSION: u8 = 2;
const CHECKSUM: usize = 8;

impl Plan {
    /// The plan as bytes; the same plan gives the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 * self.num_files() + 8 * self.num_row_groups() + 1024);
        out.extend_from_slice(MAGIC);
        out.push(VERSION);
        put_bytes(&mut out, self.root().as_bytes());
        put_bytes(&mut out, &schema_bytes(self.schema()));
        for first in self.first_null() {
            put(&mut out, first.map_or(0, |file| u64::from(file) + 1));
        }
        put(&mut out, self.num_files() as u64);
        let mut last: &[u8] = b"";
        for file in self.files() {
            let name = file.name.as_bytes();
            let shared = last.iter().zip(name).take_while(|(a, b)| a == b).count();
            put(&mut out, shared as u64);
            put_bytes(&mut out, &name[shared..]);
            out.extend_from_slice(&file.hash.to_le_bytes());
            put(&mut out, file.size);
            put(&mut out, file.groups.len() as u64);
            last = name;
        }
        put(&mut out, self.num_row_groups() as u64);
        put_series(&mut out, self.group_rows());
        put_series(&mut out, self.group_bytes());
        put_sections(&mut out, self);
        out.extend_from_slice(&xxh3_64(&out).to_le_bytes());
        out
    }

    /// The plan of bytes that [`Plan::to_bytes`] made. Whatever the bytes, it gives a plan or an error, and reserves
    /// no more memory than they can fill.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| state("these bytes are not one"))?;
        let version = *rest.first().ok_or_else(|| state("it is truncated"))?;
        if version != VERSION {
            return Err(state(&format!(
                "its format has version {version}, and this shardline reads version {VERSION}; plan the files anew and \
                 save that plan, or use the version that saved this one"
            )));
        }
        let damaged = || state("it is truncated or damaged");
        let (body, checksum) = bytes.split_last_chunk::<CHECKSUM>().ok_or_else(damaged)?;
        if xxh3_64(body) != u64::from_le_bytes(*checksum) {
            return Err(damaged());
        }
        let mut input = Decoder(body.get(MAGIC.len() + 1..).unwrap_or_default());
        let mut parts = decode(&mut input).ok_or_else(damaged)?;
        let sections = read_sections(&mut input, parts.names.len(), parts.group_rows.len());
        let sections = sections.map_err(|why| match why {
            Unreadable::Damaged => damaged(),
            Unreadable::Refused(what) => state(&what),
        })?;
        parts.decoded_bytes = sections.decoded_bytes.ok_or_else(damaged)?;
        let plan = || {
            let mut plan = Self::from_parts(parts)?.with_tags(sections.tags.unwrap_or_default())?;
            if let Some(values) = sections.partitions {
                plan = plan.with_partitions(values)?;
            }
            if let Some(deleted) = sections.deleted {
                plan = plan.with_deleted(deleted)?;
            }
            let table = sections.columns.map(TableColumns::try_new).transpose()?;
            plan = plan.with_table(table.map(Arc::new));
            if let Some(source) = sections.source {
                plan = plan.with_source(&source);
            }
            if let Some(passing) = sections.passing {
                plan = plan.with_passing(passing)?;
            }
            match (sections.token_line, sections.bundle_counts) {
                (Some(line), None) => plan.with_token_line(line),
                (Some(line), Some(counts)) => {
                    let bundles = bundles(&plan, line.tokens(), line.seq_len());
                    plan.with_token_line(line.with_bundles(bundles, counts)?)
                }
                (None, _) => Ok(plan),
            }
        };
        plan().map_err(|error: Error| state(&error.to_string()))
    }
}

/// A schema as a flatbuffer of Arrow IPC.
pub(super) fn schema_bytes(schema: &Schema) -> Vec<u8> {
    // Without a tracker, a schema with dictionaries cannot be written.
    let mut tracker = DictionaryTracker::new(false);
    let schema = IpcSchemaEncoder::new().with_dictionary_tracker(&mut tracker).schema_to_fb(schema);
    schema.finished_data().to_vec()
}

/// The schema of [`schema_bytes`].
pub(super) fn schema_of(bytes: &[u8]) -> Option<SchemaRef> {
    let schema = arrow_ipc::root_as_schema(bytes).ok()?;
    Some(Arc::new(try_fb_to_schema(schema).ok()?))
}

fn state(what: &str) -> Error {
    Error::State(format!("a saved plan cannot be read: {what}"))
}

/// All up to the sections, and so without the decoded bytes.
fn decode(input: &mut Decoder<'_>) -> Option<PlanParts> {
    let root = input.text()?.to_owned();
    let schema = schema_of(input.bytes()?)?;
    let first_null = (0..schema.fields().len())
        .map(|_| match input.number()? {
            0 => Some(None),
            file => Some(Some(u32::try_from(file - 1).ok()?)),
        })
        .collect::<Option<_>>()?;
    // A file takes 12 bytes at least.
    let files = input.count(12)?;
    let mut names: Vec<String> = Vec::with_capacity(files);
    let mut hashes = Vec::with_capacity(files);
    let mut sizes = Vec::with_capacity(files);
    let mut group_counts = Vec::with_capacity(files);
    let mut name: Vec<u8> = Vec::new();
    for _ in 0..files {
        let shared = usize::try_from(input.number()?).ok().filter(|&shared| shared <= name.len())?;
        name.truncate(shared);
        name.extend_from_slice(input.bytes()?);
        if name.len() > MAX_NAME {
            return None;
        }
        names.push(str::from_utf8(&name).ok()?.to_owned());
        hashes.push(u64::from_le_bytes(*input.take(8)?.first_chunk()?));
        sizes.push(input.number()?);
        group_counts.push(u32::try_from(input.number()?).ok()?);
    }
    let groups = input.count(2)?;
    let group_rows = input.series(groups)?;
    let group_bytes = input.series(groups)?;
    let decoded_bytes = Vec::new();
    Some(PlanParts {
        root,
        names,
        hashes,
        sizes,
        group_counts,
        group_rows,
        group_bytes,
        decoded_bytes,
        schema,
        first_null,
    })
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
