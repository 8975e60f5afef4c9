//! A cache of schemas: files of one writer have the same, which is parsed once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use arrow_schema::{FieldRef, Schema, SchemaRef};
use parquet::file::metadata::{
    KeyValue, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader, ParquetStatisticsPolicy,
};
use parquet::schema::types::SchemaDescPtr;

use super::footer_precheck::{FooterFacts, precheck};
use super::footer_repair::repair;
use super::readable_schema::arrow_schema;
use super::refusal::unsupported;
use super::table_columns::TableColumns;

/// How many schemas are kept.
const MAX_MET: usize = 8;
/// Larger ones are not kept.
const MAX_BYTES: usize = 256 << 10;

/// The beginning of footers that passed the precheck, and their schema.
#[derive(Debug)]
struct CachedSchema {
    /// All up to the end of the schema.
    head: Box<[u8]>,
    /// The writer's Arrow schema among them.
    key_values: Option<Vec<KeyValue>>,
    parquet: SchemaDescPtr,
    arrow: SchemaRef,
}

/// The cached schemas, the most recently parsed first.
struct SchemaCache(Mutex<VecDeque<Arc<CachedSchema>>>);

static CACHE: SchemaCache = SchemaCache::new();

/// Which statistics of columns are parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatisticsKept {
    None,
    /// Bounds and nulls.
    Values,
    /// Also bytes and levels.
    ValuesAndSizes,
}

/// Parses a footer in which this was `seen`: what it says, and its Arrow schema; or what is wrong with it.
pub(crate) fn decode(
    footer: &[u8],
    seen: &FooterFacts,
    statistics: StatisticsKept,
) -> Result<(ParquetMetaData, SchemaRef), String> {
    CACHE.decode(footer, seen, statistics)
}

/// The same of a footer that was looked through before, when its file was planned.
pub(crate) fn decode_again(footer: &[u8], statistics: StatisticsKept) -> Result<(ParquetMetaData, SchemaRef), String> {
    CACHE.decode_again(footer, statistics)
}

/// The same of a table's file: its columns under the table's names.
pub(crate) fn decode_of_table(
    footer: &[u8],
    statistics: StatisticsKept,
    table: &TableColumns,
) -> Result<(ParquetMetaData, SchemaRef), String> {
    let (metadata, _) = decode_again(footer, statistics)?;
    let renamed = table.rename(&metadata.file_metadata().schema_descr_ptr())?;
    if renamed.is_same {
        return Ok((metadata, Arc::clone(&renamed.arrow)));
    }
    let options = options(statistics).with_schema(Arc::clone(&renamed.parquet));
    let metadata = ParquetMetaDataReader::decode_metadata_with_options(footer, Some(&options));
    Ok((metadata.map_err(|error| error.to_string())?, Arc::clone(&renamed.arrow)))
}

impl SchemaCache {
    const fn new() -> Self {
        Self(Mutex::new(VecDeque::new()))
    }

    fn decode(
        &self,
        footer: &[u8],
        seen: &FooterFacts,
        statistics: StatisticsKept,
    ) -> Result<(ParquetMetaData, SchemaRef), String> {
        let head = &footer[..seen.schema_end];
        let known = self.find(|cached| cached.head.as_ref() == head);
        self.decode_with(footer, head, known, statistics)
    }

    fn decode_again(&self, footer: &[u8], statistics: StatisticsKept) -> Result<(ParquetMetaData, SchemaRef), String> {
        match self.find(|cached| footer.starts_with(&cached.head)) {
            Some(known) => self.decode_with(footer, &footer[..known.head.len()], Some(known), statistics),
            None => self.decode(footer, &precheck(footer)?, statistics),
        }
    }

    fn decode_with(
        &self,
        footer: &[u8],
        head: &[u8],
        known: Option<Arc<CachedSchema>>,
        statistics: StatisticsKept,
    ) -> Result<(ParquetMetaData, SchemaRef), String> {
        let options = match &known {
            Some(known) => options(statistics).with_schema(Arc::clone(&known.parquet)),
            None => options(statistics),
        };
        let metadata = match ParquetMetaDataReader::decode_metadata_with_options(footer, Some(&options)) {
            Ok(metadata) => metadata,
            Err(error) => return decode_repaired(footer, statistics).ok_or_else(|| error.to_string()),
        };
        let file = metadata.file_metadata();
        let key_values = file.key_value_metadata();
        let is_of_same = |cached: &CachedSchema| *cached.head == *head && cached.key_values.as_ref() == key_values;
        if let Some(known) = known.filter(|known| is_of_same(known)).or_else(|| self.find(is_of_same)) {
            return Ok((metadata, Arc::clone(&known.arrow)));
        }
        let arrow = arrow_schema(file.schema_descr(), key_values)
            .map_err(|e| format!("its schema cannot be read as Arrow: {e}"))?;
        let arrow = Arc::new(arrow);
        let of_pair = |pair: &KeyValue| pair.key.len() + pair.value.as_ref().map_or(0, String::len);
        if head.len() + key_values.iter().copied().flatten().map(of_pair).sum::<usize>() <= MAX_BYTES {
            let (parquet, arrow) = (file.schema_descr_ptr(), Arc::clone(&arrow));
            self.keep(CachedSchema { head: head.into(), key_values: key_values.cloned(), parquet, arrow });
        }
        Ok((metadata, arrow))
    }

    /// Nobody waits for another thread: in a forked child that may not exist.
    fn find(&self, fits: impl Fn(&CachedSchema) -> bool) -> Option<Arc<CachedSchema>> {
        let cached = self.0.try_lock().ok()?;
        cached.iter().find(|cached| fits(cached)).cloned()
    }

    fn keep(&self, schema: CachedSchema) {
        if let Ok(mut cached) = self.0.try_lock() {
            cached.push_front(Arc::new(schema));
            cached.truncate(MAX_MET);
        }
    }
}

/// A footer that is refused as it is; None where it is refused when mended too.
fn decode_repaired(footer: &[u8], statistics: StatisticsKept) -> Option<(ParquetMetaData, SchemaRef)> {
    let repaired = repair(footer)?;
    let options = options(statistics);
    let metadata = ParquetMetaDataReader::decode_metadata_with_options(&repaired.footer, Some(&options)).ok()?;
    let leaves = metadata.file_metadata().schema_descr();
    let arrow = arrow_schema(leaves, metadata.file_metadata().key_value_metadata()).ok()?;
    let mut fields: Vec<FieldRef> = arrow.fields().to_vec();
    for (leaf, why) in repaired.unsupported {
        let root = (leaf < leaves.num_columns()).then(|| leaves.get_column_root_idx(leaf))?;
        let count = (0..leaves.num_columns()).filter(|&leaf| leaves.get_column_root_idx(leaf) == root).count();
        let field = fields.get_mut(root)?;
        *field = unsupported(field.name(), count, &why);
    }
    let arrow = Arc::new(Schema::new(fields));
    Some((metadata, arrow))
}

/// What is read of a footer.
fn options(statistics: StatisticsKept) -> ParquetMetaDataOptions {
    let policy = |keep| if keep { ParquetStatisticsPolicy::KeepAll } else { ParquetStatisticsPolicy::SkipAll };
    ParquetMetaDataOptions::new()
        .with_column_stats_policy(policy(statistics != StatisticsKept::None))
        .with_size_stats_policy(policy(statistics == StatisticsKept::ValuesAndSizes))
        .with_encoding_stats_policy(ParquetStatisticsPolicy::SkipAll)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::footer_precheck::precheck;
    use arrow_array::{ArrayRef, Int32Array, RecordBatch, StringArray};
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;

    fn footer(names: [&str; 2], rows: i32, created_by: &str, note: &str) -> Vec<u8> {
        let columns: [ArrayRef; 2] = [
            Arc::new(Int32Array::from_iter_values(0..rows)),
            Arc::new(StringArray::from_iter_values((0..rows).map(|i| i.to_string()))),
        ];
        let batch = RecordBatch::try_from_iter(names.into_iter().zip(columns)).unwrap();
        let mut file = Vec::new();
        let notes = vec![KeyValue::new("note".to_owned(), note.to_owned())];
        let properties = WriterProperties::builder()
            .set_created_by(created_by.to_owned())
            .set_key_value_metadata(Some(notes))
            .build();
        let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let end = file.len() - 8;
        let length = u32::from_le_bytes(*file[end..].first_chunk().unwrap()) as usize;
        file[end - length..end].to_vec()
    }

    fn decoded(cached: &SchemaCache, footer: &[u8]) -> (ParquetMetaData, SchemaRef) {
        let planned = cached.decode(footer, &precheck(footer).unwrap(), StatisticsKept::ValuesAndSizes).unwrap();
        assert_eq!(planned, cached.decode_again(footer, StatisticsKept::ValuesAndSizes).unwrap());
        planned
    }

    #[test]
    fn footers_of_one_schema_share_it_and_say_what_they_say_alone() {
        let cached = SchemaCache::new();
        for round in 0..3 {
            for names in [["a", "b"], ["a", "c"]] {
                for (rows, note) in [(3, "p"), (5, "q"), (7, "p")] {
                    let footer = footer(names, rows, &format!("round {round}"), note);
                    let (metadata, schema) = decoded(&cached, &footer);
                    let options = options(StatisticsKept::ValuesAndSizes);
                    let alone = ParquetMetaDataReader::decode_metadata_with_options(&footer, Some(&options)).unwrap();
                    assert_eq!(metadata, alone);
                    let file = alone.file_metadata();
                    assert_eq!(*schema, arrow_schema(file.schema_descr(), file.key_value_metadata()).unwrap());
                }
            }
        }
        let (one, other) = (footer(["a", "b"], 3, "x", "p"), footer(["a", "b"], 9, "y", "p"));
        assert!(Arc::ptr_eq(&decoded(&cached, &one).1, &decoded(&cached, &other).1));
    }

    #[test]
    fn a_schema_in_two_places_is_refused() {
        let footer = footer(["a", "b"], 3, "x", "p");
        let end = precheck(&footer).unwrap().schema_end;
        let start = footer.iter().position(|&byte| byte == 0x19).unwrap() + 1; // field 2, a list
        // Field 2 again, right behind itself: its number follows by 0, so it is written out.
        let twice = [&footer[..end], &[0x09, 0x04], &footer[start..end], &footer[end..]].concat();
        assert_eq!(precheck(&twice), Err("it has two schemas"));
    }
}
