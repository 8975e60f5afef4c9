//! What the footers of files that were written alike have in common: their schema, which is read once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use arrow_schema::SchemaRef;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader};
use parquet::schema::types::SchemaDescPtr;

use super::skim::Seen;

/// How many schemas are kept.
const MAX_MET: usize = 8;
/// Larger ones are not kept.
const MAX_BYTES: usize = 256 << 10;

/// The bytes that a schema was read from, and what they mean.
#[derive(Debug)]
struct Shape {
    schema: Box<[u8]>,
    /// The writer's Arrow schema among them.
    key_values: Box<[u8]>,
    parquet: SchemaDescPtr,
    arrow: SchemaRef,
}

/// The latest first.
static MET: Mutex<VecDeque<Arc<Shape>>> = Mutex::new(VecDeque::new());

/// Parses a footer in which these sections were `seen`: what it says, and its Arrow schema; or what is wrong with it.
pub(crate) fn decode(
    footer: &[u8],
    seen: &Seen,
    options: ParquetMetaDataOptions,
) -> Result<(ParquetMetaData, SchemaRef), String> {
    let bytes = seen.schema.clone().map(|schema| (&footer[schema], &footer[seen.key_values.clone()]));
    let known = bytes.and_then(|(schema, key_values)| known(schema, key_values));
    let options = match &known {
        Some(known) => options.with_schema(Arc::clone(&known.parquet)),
        None => options,
    };
    let metadata =
        ParquetMetaDataReader::decode_metadata_with_options(footer, Some(&options)).map_err(|e| e.to_string())?;
    if let Some(known) = known {
        return Ok((metadata, Arc::clone(&known.arrow)));
    }
    let file = metadata.file_metadata();
    let arrow = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())
        .map_err(|e| format!("its schema cannot be read as Arrow: {e}"))?;
    let arrow = Arc::new(arrow);
    if let Some((schema, key_values)) = bytes.filter(|(schema, rest)| schema.len() + rest.len() <= MAX_BYTES) {
        let (parquet, arrow) = (file.schema_descr_ptr(), Arc::clone(&arrow));
        keep(Shape { schema: schema.into(), key_values: key_values.into(), parquet, arrow });
    }
    Ok((metadata, arrow))
}

/// Nobody waits for another thread: in a forked child that may not exist.
fn known(schema: &[u8], key_values: &[u8]) -> Option<Arc<Shape>> {
    let met = MET.try_lock().ok()?;
    met.iter().find(|met| *met.schema == *schema && *met.key_values == *key_values).cloned()
}

fn keep(shape: Shape) {
    if let Ok(mut met) = MET.try_lock() {
        met.push_front(Arc::new(shape));
        met.truncate(MAX_MET);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::skim::skim;
    use arrow_array::{ArrayRef, Int32Array, RecordBatch, StringArray};
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;

    fn footer(names: [&str; 2], rows: i32, created_by: &str) -> Vec<u8> {
        let columns: [ArrayRef; 2] = [
            Arc::new(Int32Array::from_iter_values(0..rows)),
            Arc::new(StringArray::from_iter_values((0..rows).map(|i| i.to_string()))),
        ];
        let batch = RecordBatch::try_from_iter(names.into_iter().zip(columns)).unwrap();
        let mut file = Vec::new();
        let properties = WriterProperties::builder().set_created_by(created_by.to_owned()).build();
        let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let end = file.len() - 8;
        let length = u32::from_le_bytes(*file[end..].first_chunk().unwrap()) as usize;
        file[end - length..end].to_vec()
    }

    fn decoded(footer: &[u8]) -> (ParquetMetaData, SchemaRef) {
        decode(footer, &skim(footer).unwrap(), ParquetMetaDataOptions::new()).unwrap()
    }

    #[test]
    fn footers_of_one_schema_share_it_and_say_what_they_say_alone() {
        for round in 0..3 {
            for names in [["a", "b"], ["a", "c"]] {
                for rows in [3, 5] {
                    let footer = footer(names, rows, &format!("round {round}"));
                    let (metadata, schema) = decoded(&footer);
                    let alone = ParquetMetaDataReader::decode_metadata(&footer).unwrap();
                    assert_eq!(metadata, alone);
                    let file = alone.file_metadata();
                    assert_eq!(
                        *schema,
                        parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata()).unwrap()
                    );
                }
            }
        }
        let (one, other) = (footer(["a", "b"], 3, "x"), footer(["a", "b"], 9, "y"));
        let shared = Arc::ptr_eq(&decoded(&one).1, &decoded(&other).1);
        assert!(shared || MET.try_lock().is_err(), "another test is at it");
    }

    #[test]
    fn a_schema_in_two_places_is_not_known_by_either() {
        let footer = footer(["a", "b"], 3, "x");
        let schema = skim(&footer).unwrap().schema.unwrap();
        // Field 2 again, right behind itself: its number follows by 0, so it is written out.
        let field = [0x09, 0x04];
        let twice = [&footer[..schema.end], &field, &footer[schema.clone()], &footer[schema.end..]].concat();
        let seen = skim(&twice).unwrap();
        assert_eq!(seen.schema, None);
    }
}
