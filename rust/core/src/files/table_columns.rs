//! The columns of a table: what they are called in it, and in its files.
//!
//! A table finds a column of a file by its field id or by the name that it had when the file was written. Here the columns
//! of a footer are given the table's names as soon as it is parsed, at every depth, so that nothing after this knows that
//! they had others. Columns that the table does not have are given names that none of its columns has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use arrow_array::ArrayRef;
use arrow_schema::{FieldRef, Schema, SchemaRef};
use parquet::errors::ParquetError;
use parquet::schema::types::{SchemaDescPtr, SchemaDescriptor, Type};

use super::column_defaults::{DEFAULT, defaults_of};
use super::readable_schema::{arrow_schema, map_children};
use super::refusal::{Refusal, RefusalKind, refusal_of, refuse};
use super::schema::own_refusal;
use super::table_renames::{ABSENT, FIELD_ID, STORED_NAME, renamed_fields, stored_name};
use super::table_types::{becomes, with_table_times};
use crate::sync::lock;

/// How many of the files' schemas are remembered: most files have one of a few.
const CACHED: usize = 64;

/// A table's columns.
#[derive(Debug)]
pub struct TableColumns {
    /// With the names that they have in files, and ids, among the fields' metadata.
    stored: SchemaRef,
    /// Without.
    schema: SchemaRef,
    /// The values of columns in files that lack them, an array of one row each; null where there is none.
    defaults: HashMap<String, ArrayRef>,
    /// Of the schemas of files, by the descriptor that is shared by files of one writer: what becomes of them.
    cached: Mutex<Vec<(SchemaDescPtr, Arc<Renamed>)>>,
}

/// A file's columns under the table's names.
#[derive(Debug)]
pub(crate) struct Renamed {
    pub(crate) parquet: SchemaDescPtr,
    /// As the Parquet types say, whatever the writer's Arrow types were: the table says what they are.
    pub(crate) arrow: SchemaRef,
    /// Whether the columns have the table's names in the file too.
    pub(crate) is_same: bool,
}

impl PartialEq for TableColumns {
    fn eq(&self, other: &Self) -> bool {
        self.stored == other.stored
    }
}

impl TableColumns {
    /// The columns of a table, whose fields say by their metadata how they are found in files.
    ///
    /// # Errors
    /// A default that is no value of its column.
    pub fn try_new(stored: SchemaRef) -> crate::Result<Self> {
        let defaults = defaults_of(&stored)?;
        let schema = Arc::new(Schema::new(stored.fields().iter().map(without_marks).collect::<Vec<_>>()));
        Ok(Self { stored, schema, defaults, cached: Mutex::new(Vec::new()) })
    }

    /// The columns, by the table's names and with its types.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// With what says how they are found.
    pub(super) fn stored(&self) -> &SchemaRef {
        &self.stored
    }

    /// The value of a column in a file that lacks it, as an array of one row; None where that is null.
    pub(crate) fn default_of(&self, name: &str) -> Option<&ArrayRef> {
        self.defaults.get(name)
    }

    /// A file's columns under the table's names.
    ///
    /// # Errors
    /// A schema that cannot be put together again, or that Arrow cannot express.
    pub(crate) fn rename(&self, file: &SchemaDescPtr) -> Result<Arc<Renamed>, String> {
        let known =
            lock(&self.cached).iter().find(|(known, _)| Arc::ptr_eq(known, file)).map(|(_, made)| Arc::clone(made));
        if let Some(made) = known {
            return Ok(made);
        }
        let wrong = |error: ParquetError| format!("its columns cannot be found as the table's: {error}");
        let stored = file.root_schema();
        if let Some(why) = self.unfindable(stored) {
            return Err(why);
        }
        let fields = renamed_fields(stored.get_fields(), self.stored.fields()).map_err(wrong)?;
        let root = Type::group_type_builder(stored.name()).with_fields(fields).build().map_err(wrong)?;
        let is_same = root.get_fields() == stored.get_fields();
        let parquet = Arc::new(SchemaDescriptor::new(Arc::new(root)));
        let arrow = Arc::new(with_table_times(&parquet, &arrow_schema(&parquet, None).map_err(wrong)?));
        let made = Arc::new(Renamed { parquet, arrow, is_same });
        let mut cached = lock(&self.cached);
        cached.truncate(CACHED - 1);
        cached.insert(0, (Arc::clone(file), Arc::clone(&made)));
        Ok(made)
    }

    /// Why the columns of a file cannot be found, if they cannot: it has no ids, and the table knows columns by ids only.
    fn unfindable(&self, file: &Type) -> Option<String> {
        let needs_ids = !self.stored.fields().is_empty()
            && self
                .stored
                .fields()
                .iter()
                .all(|field| field.metadata().contains_key(FIELD_ID) && stored_name(field).is_empty());
        let has_ids = file.get_fields().iter().any(|column| column.get_basic_info().has_id());
        (needs_ids && !has_ids).then(|| {
            "it has no field ids, and the table has no name mapping (schema.name-mapping.default) to find its columns by: \
             set that property"
                .to_owned()
        })
    }

    /// Why a file without a column cannot be read, if it cannot.
    fn absent_reason(&self, name: &str) -> Option<&String> {
        self.stored.field_with_name(name).ok()?.metadata().get(ABSENT)
    }

    /// Marks those of the table's columns (`fields`) that the file at `path` has with a type that cannot become theirs.
    pub(super) fn check(&self, fields: &mut [FieldRef], file: &Schema, path: &str) {
        for field in fields.iter_mut().filter(|field| refusal_of(field).is_none()) {
            let mut found = file.fields().iter().filter(|found| found.name() == field.name());
            let Some(stored) = found.next() else {
                if let Some(why) = self.absent_reason(field.name()) {
                    let what = format!(
                        "this file lacks the column {:?}, and its rows do not have null in it: {why}",
                        field.name()
                    );
                    let cure = "shardline reads no other value for it: leave the column out (columns=[…]), or have the table \
                                write its files again";
                    let kind = RefusalKind::Schema;
                    *field = refuse(field, &Refusal { kind, path: path.to_owned(), what, cure: cure.to_owned() });
                }
                continue;
            };
            if let Some(refusal) = own_refusal(path, stored, found.next().is_some()) {
                *field = refuse(field, &refusal);
            } else if !becomes(stored.data_type(), field.data_type()) {
                let (stored, wanted) = (stored.data_type(), field.data_type());
                let what = format!("column {:?} is {stored} in this file and {wanted} in the table", field.name());
                let cure = "shardline does not turn the one into the other: leave the column out (columns=[…]), or have \
                            the table write its files again";
                let kind = RefusalKind::Schema;
                *field = refuse(field, &Refusal { kind, path: path.to_owned(), what, cure: cure.to_owned() });
            }
        }
    }
}

fn without_marks(field: &FieldRef) -> FieldRef {
    let mut metadata = field.metadata().clone();
    metadata.retain(|key, _| ![STORED_NAME, FIELD_ID, ABSENT, DEFAULT].contains(&key.as_str()));
    let data_type = map_children(field.data_type(), &mut |child| Some(without_marks(child)));
    let field = field.as_ref().clone().with_metadata(metadata);
    Arc::new(match data_type {
        Some(data_type) => field.with_data_type(data_type),
        None => field,
    })
}

#[cfg(test)]
#[path = "table_columns_tests.rs"]
mod tests;
