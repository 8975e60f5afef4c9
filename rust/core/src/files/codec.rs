//! A plan as bytes, to be pickled, saved and sent to other processes.
//!
//! ```text
//! magic "SLplan" · version 2 · flags (1: partition values, 2: passing rows, 4: tags)
//! root · schema (Arrow IPC, as a flatbuffer) · columns × (first file with a null + 1, or 0) · number of files
//! files × (bytes shared with the name before · rest of the name · hash, 8 bytes · size · number of row groups)
//! number of row groups · each one's rows · bytes · decoded bytes (each as differences to the one before, zigzag)
//! with flag 1: the partition values (Arrow IPC stream, a row a file)
//! with flag 2: the rule · each row group's rows that pass (as the rows)
//! with flag 4: each file's tag
//! XXH3-64 of all before, 8 bytes
//! ```
//!
//! Numbers are LEB128 unless a width is named, and then little-endian; texts and the schema have their length before
//! them.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_ipc::convert::{IpcSchemaEncoder, try_fb_to_schema};
use arrow_ipc::writer::DictionaryTracker;
use xxhash_rust::xxh3::xxh3_64;

use super::batch_ipc::{batch_from_bytes, batch_to_bytes};
use super::paths::MAX_NAME;
use super::plan::{Plan, PlanParts};
use super::row_counts::SelectedRows;
use crate::{Error, Result};

const MAGIC: &[u8; 6] = b"SLplan";
const VERSION: u8 = 2;
const CHECKSUM: usize = 8;
const PARTITIONS: u8 = 1;
const PASSING: u8 = 2;
const TAGS: u8 = 4;

impl Plan {
    /// The plan as bytes; the same plan gives the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 * self.num_files() + 8 * self.num_row_groups() + 1024);
        out.extend_from_slice(MAGIC);
        // What cannot be written is not there to be read either: that it is missing is noticed when it is asked for.
        let partitions = self.partitions().and_then(|values| batch_to_bytes(values).ok());
        let tags = u8::from(!self.tags().is_empty()) * TAGS;
        let flags = tags + u8::from(partitions.is_some()) * PARTITIONS + u8::from(self.passing().is_some()) * PASSING;
        out.extend_from_slice(&[VERSION, flags]);
        put_bytes(&mut out, self.root().as_bytes());
        // Without a tracker, a schema with dictionaries cannot be written.
        let mut tracker = DictionaryTracker::new(false);
        let schema = IpcSchemaEncoder::new().with_dictionary_tracker(&mut tracker).schema_to_fb(self.schema());
        put_bytes(&mut out, schema.finished_data());
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
        put_series(&mut out, self.decoded_bytes());
        if let Some(partitions) = partitions {
            put_bytes(&mut out, &partitions);
        }
        if let Some(passing) = self.passing() {
            put_bytes(&mut out, passing.rule.as_bytes());
            put_series(&mut out, &passing.counts);
        }
        self.tags().iter().for_each(|tag| put_bytes(&mut out, tag.as_bytes()));
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
                "its format has version {version}, and this shardline reads version {VERSION}; use the version that saved it"
            )));
        }
        let damaged = || state("it is truncated or damaged");
        let (body, checksum) = bytes.split_last_chunk::<CHECKSUM>().ok_or_else(damaged)?;
        if xxh3_64(body) != u64::from_le_bytes(*checksum) {
            return Err(damaged());
        }
        let flags = body.get(MAGIC.len() + 1).copied().unwrap_or_default();
        let (parts, more) = decode(body.get(MAGIC.len() + 2..).unwrap_or_default(), flags).ok_or_else(damaged)?;
        let with_more = |mut plan: Self| {
            if let Some(values) = more.partitions {
                plan = plan.with_partitions(values)?;
            }
            plan = plan.with_tags(more.tags)?;
            match more.passing {
                Some(passing) => plan.with_passing(passing),
                None => Ok(plan),
            }
        };
        Self::from_parts(parts).and_then(with_more).map_err(|error| state(&error.to_string()))
    }
}

fn state(what: &str) -> Error {
    Error::State(format!("a saved plan cannot be read: {what}"))
}

/// What the flags say is there.
struct More {
    partitions: Option<RecordBatch>,
    passing: Option<SelectedRows>,
    tags: Vec<String>,
}

fn decode(body: &[u8], flags: u8) -> Option<(PlanParts, More)> {
    let mut input = Decoder(body);
    let root = str::from_utf8(input.bytes()?).ok()?.to_owned();
    let schema = arrow_ipc::root_as_schema(input.bytes()?).ok()?;
    let schema = Arc::new(try_fb_to_schema(schema).ok()?);
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
    let groups = input.count(3)?;
    let group_rows = input.series(groups)?;
    let group_bytes = input.series(groups)?;
    let decoded_bytes = input.series(groups)?;
    let partitions = match flags & PARTITIONS {
        0 => None,
        _ => Some(batch_from_bytes(input.bytes()?).ok()?),
    };
    let passing = match flags & PASSING {
        0 => None,
        _ => {
            Some(SelectedRows { rule: str::from_utf8(input.bytes()?).ok()?.to_owned(), counts: input.series(groups)? })
        }
    };
    let mut tags = Vec::new();
    for _ in 0..if flags & TAGS == 0 { 0 } else { files } {
        tags.push(str::from_utf8(input.bytes()?).ok()?.to_owned());
    }
    let whole = input.0.is_empty() && flags & !(PARTITIONS | PASSING | TAGS) == 0;
    let parts = PlanParts {
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
    };
    whole.then_some((parts, More { partitions, passing, tags }))
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Row groups are much alike: most differences take a byte or a few.
fn put_series(out: &mut Vec<u8>, values: &[u64]) {
    let mut last = 0_u64;
    for &value in values {
        let step = value.wrapping_sub(last).cast_signed();
        put(out, ((step << 1) ^ (step >> 63)).cast_unsigned());
        last = value;
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let part = u64::from(byte & 0x7f);
            value |= part << shift;
            if part << shift >> shift != part {
                return None;
            }
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(usize::try_from(length).ok()?)
    }

    fn series(&mut self, count: usize) -> Option<Vec<u64>> {
        let mut last = 0_u64;
        let next = || {
            let step = self.number()?;
            last = last.wrapping_add((step >> 1) ^ (step & 1).wrapping_neg());
            Some(last)
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    /// How many things of at least `size` bytes follow; `None` where the bytes left cannot hold them.
    fn count(&mut self, size: usize) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (count <= self.0.len() / size).then_some(count)
    }
}
