//! The sections of a saved plan: what is known of its files beside their footers, each under a name and a version.
//!
//! A section says whether it is needed. A reader that does not know one, or not its version, refuses the plan if it is,
//! since it would read other rows than those meant, and otherwise ignores it.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use roaring::RoaringTreemap;

use super::batch_ipc::{batch_from_bytes, batch_to_bytes};
use super::codec::{schema_bytes, schema_of};
use super::deleted_rows;
use super::plan::Plan;
use super::row_counts::SelectedRows;
use super::token_line::TokenLine;
use super::wire::{Decoder, put, put as encode_number, put_bytes, put_series};

/// The version of every section below.
const VERSION: u64 = 1;
const DECODED: &str = "decoded bytes";
const PARTITIONS: &str = "partition values";
const PASSING: &str = "passing rows";
const TAGS: &str = "tags";
const DELETED: &str = "deleted rows";
const SOURCE: &str = "source";
const COLUMNS: &str = "table columns";
const TOKENS: &str = "token counts";
const BUNDLES: &str = "sequences of bundles";

/// Why sections cannot be read.
pub(super) enum Unreadable {
    Damaged,
    /// What to say of it.
    Refused(String),
}

/// What the sections hold.
#[derive(Default)]
pub(super) struct Sections {
    pub(super) decoded_bytes: Option<Vec<u64>>,
    pub(super) partitions: Option<RecordBatch>,
    pub(super) passing: Option<SelectedRows>,
    pub(super) tags: Option<Vec<String>>,
    pub(super) deleted: Option<Vec<(usize, RoaringTreemap)>>,
    pub(super) source: Option<String>,
    pub(super) columns: Option<SchemaRef>,
    pub(super) token_line: Option<TokenLine>,
    pub(super) bundle_counts: Option<Vec<u64>>,
}

/// Appends a section.
pub(super) fn put_section(out: &mut Vec<u8>, name: &str, version: u64, is_needed: bool, body: &[u8]) {
    put_bytes(out, name.as_bytes());
    put(out, version);
    out.push(u8::from(is_needed));
    put_bytes(out, body);
}

/// Appends all that a plan has.
pub(super) fn put_sections(out: &mut Vec<u8>, plan: &Plan) {
    let mut put = |name, is_needed, body: &[u8]| put_section(out, name, VERSION, is_needed, body);
    let mut series = Vec::new();
    put_series(&mut series, plan.decoded_bytes());
    put(DECODED, true, &series);
    // What cannot be written is not there to be read either: that it is missing is noticed when it is asked for.
    if let Some(values) = plan.partitions().and_then(|values| batch_to_bytes(values).ok()) {
        put(PARTITIONS, true, &values);
    }
    if let Some(passing) = plan.passing() {
        let mut body = Vec::new();
        put_bytes(&mut body, passing.rule.as_bytes());
        put_series(&mut body, &passing.counts);
        put(PASSING, true, &body);
    }
    if let Some(line) = plan.token_line() {
        let mut body = Vec::new();
        put_bytes(&mut body, line.rule().as_bytes());
        encode_number(&mut body, line.seq_len());
        encode_number(&mut body, line.width());
        put_series(&mut body, line.tokens());
        put(TOKENS, true, &body);
        if let Some(counts) = line.bundle_counts() {
            let mut body = Vec::new();
            encode_number(&mut body, counts.len() as u64);
            put_series(&mut body, counts);
            put(BUNDLES, true, &body);
        }
    }
    if !plan.tags().is_empty() {
        let mut body = Vec::new();
        plan.tags().iter().for_each(|tag| put_bytes(&mut body, tag.as_bytes()));
        put(TAGS, false, &body);
    }
    if let Some(deleted) = plan.deleted() {
        put(DELETED, true, &deleted.to_bytes());
    }
    if let Some(source) = plan.source() {
        put(SOURCE, true, source.as_bytes());
    }
    if let Some(table) = plan.table() {
        put(COLUMNS, true, &schema_bytes(table.stored()));
    }
}

/// The sections that are all of the rest, of a plan of so many files and row groups.
pub(super) fn read_sections(input: &mut Decoder<'_>, files: usize, groups: usize) -> Result<Sections, Unreadable> {
    let mut found = Sections::default();
    while !input.0.is_empty() {
        let (name, version, is_needed, body) = read_section(input).ok_or(Unreadable::Damaged)?;
        let known = [DECODED, PARTITIONS, PASSING, TAGS, DELETED, SOURCE, COLUMNS, TOKENS, BUNDLES];
        let is_known = version == VERSION && known.contains(&name);
        if is_known {
            found.take(name, body, files, groups).ok_or(Unreadable::Damaged)?;
        } else if is_needed {
            return Err(Unreadable::Refused(format!(
                "it has {name:?} in version {version}, which this shardline does not know and without which it would \
                 read other rows; use the version that saved it, or a later one"
            )));
        }
    }
    Ok(found)
}

fn read_section<'a>(input: &mut Decoder<'a>) -> Option<(&'a str, u64, bool, &'a [u8])> {
    let (name, version) = (input.text()?, input.number()?);
    let is_needed = match input.take(1)? {
        [0] => false,
        [1] => true,
        _ => return None,
    };
    Some((name, version, is_needed, input.bytes()?))
}

impl Sections {
    /// Takes a section in; `None` where it came before, or its body is not one.
    fn take(&mut self, name: &str, body: &[u8], files: usize, groups: usize) -> Option<()> {
        let mut body = Decoder(body);
        let is_first = match name {
            DECODED => self.decoded_bytes.replace(body.series(groups)?).is_none(),
            PARTITIONS => self.partitions.replace(batch_from_bytes(std::mem::take(&mut body.0)).ok()?).is_none(),
            PASSING => {
                let passing = SelectedRows { rule: body.text()?.to_owned(), counts: body.series(groups)? };
                self.passing.replace(passing).is_none()
            }
            DELETED => self.deleted.replace(deleted_rows::read(&mut body)?).is_none(),
            COLUMNS => self.columns.replace(schema_of(std::mem::take(&mut body.0))?).is_none(),
            SOURCE => {
                let source = str::from_utf8(std::mem::take(&mut body.0)).ok()?;
                self.source.replace(source.to_owned()).is_none()
            }
            TOKENS => {
                let (rule, seq_len, width) = (body.text()?.to_owned(), body.number()?, body.number()?);
                let line = TokenLine::new(rule, seq_len, width, body.series(groups)?).ok()?;
                self.token_line.replace(line).is_none()
            }
            BUNDLES => {
                let count = body.count(1)?;
                self.bundle_counts.replace(body.series(count)?).is_none()
            }
            _ => {
                let tags = std::iter::repeat_with(|| body.text().map(str::to_owned)).take(files);
                self.tags.replace(tags.collect::<Option<_>>()?).is_none()
            }
        };
        (is_first && body.0.is_empty()).then_some(())
    }
}
