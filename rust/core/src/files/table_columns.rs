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
    metadata.remove(STORED_NAME);
    metadata.remove(FIELD_ID);
    metadata.remove(ABSENT);
    metadata.remove(DEFAULT);
    let data_type = map_children(field.data_type(), &mut |child| Some(without_marks(child)));
    let field = field.as_ref().clone().with_metadata(metadata);
    Arc::new(match data_type {
        Some(data_type) => field.with_data_type(data_type),
        None => field,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_schema::{DataType, Field};
    use parquet::schema::parser::parse_message_type;

    fn descriptor(message: &str) -> SchemaDescPtr {
        Arc::new(SchemaDescriptor::new(Arc::new(parse_message_type(message).unwrap())))
    }

    fn field(name: &str, stored: &str, id: Option<i32>, data_type: DataType) -> Field {
        let mut marks = vec![(STORED_NAME.to_owned(), stored.to_owned())];
        marks.extend(id.map(|id| (FIELD_ID.to_owned(), id.to_string())));
        Field::new(name, data_type, true).with_metadata(marks.into_iter().collect::<std::collections::HashMap<_, _>>())
    }

    fn table(id: Option<i32>) -> TableColumns {
        let inner = DataType::Struct(vec![field("n", "c7", id.map(|_| 7), DataType::Utf8)].into());
        let item = Arc::new(Field::new("element", inner.clone(), true));
        TableColumns::try_new(Arc::new(Schema::new(vec![
            field("b", "a", id.map(|_| 1), DataType::Int64),
            field("a", "c2", id.map(|_| 2), DataType::Int32),
            field("s", "c3", id.map(|_| 3), inner),
            field("l", "c4", id.map(|_| 4), DataType::List(item)),
        ])))
        .unwrap()
    }

    #[test]
    fn columns_are_found_by_stored_names_at_every_depth() {
        let file = descriptor(
            "message m { required int32 c2; optional int64 a; optional int32 b; optional group c3 { optional binary c7 (UTF8); } \
             optional group c4 (LIST) { repeated group list { optional group element { optional binary c7 (UTF8); } } } }",
        );
        let table = table(None);
        let found = table.rename(&file).unwrap();
        let names: Vec<&str> = found.arrow.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["a", "b", "b (not in the table)", "s", "l"]);
        let texts: Vec<String> =
            (0..found.parquet.num_columns()).map(|leaf| found.parquet.column(leaf).path().string()).collect();
        assert_eq!(texts[3..], ["s.n", "l.list.element.n"]);
        assert!(Arc::ptr_eq(&found, &table.rename(&file).unwrap()));
        assert!(table.schema().fields().iter().all(|field| field.metadata().is_empty()));
    }

    #[test]
    fn ids_count_before_names() {
        let file = descriptor("message m { optional int64 x = 2; optional int64 c2 = 9; optional int64 y = 1; }");
        let found = table(Some(1)).rename(&file).unwrap();
        let names: Vec<&str> = found.arrow.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["a", "c2", "b"]);
    }

    #[test]
    fn a_column_has_several_names_in_files_without_ids() {
        let made = |fields| TableColumns::try_new(Arc::new(Schema::new(fields))).unwrap();
        let names = made(vec![
            field("b", "old\0older", Some(1), DataType::Int64),
            field("old", "", Some(2), DataType::Int64),
        ]);
        for (message, wanted) in [
            ("message m { optional int64 older; }", vec!["b"]),
            ("message m { optional int64 old; optional int64 b; }", vec!["b", "b (not in the table)"]),
            ("message m { optional int64 x = 2; optional int64 old = 9; }", vec!["old", "old (not in the table)"]),
        ] {
            let found = names.rename(&descriptor(message)).unwrap();
            let found: Vec<&str> = found.arrow.fields().iter().map(|field| field.name().as_str()).collect();
            assert_eq!(found, wanted, "{message}");
        }
        let ids = made(vec![field("b", "", Some(1), DataType::Int64)]);
        assert!(ids.rename(&descriptor("message m { optional int64 y = 7; }")).is_ok());
        let refused = ids.rename(&descriptor("message m { optional int64 b; }")).unwrap_err();
        assert!(refused.contains("name mapping"), "{refused}");
    }

    #[test]
    fn a_file_without_a_column_that_would_not_be_null_is_refused() {
        let within = |inner: Field, name: &str| {
            let marks = std::collections::HashMap::from([(ABSENT.to_owned(), "because".to_owned())]);
            let inner = inner.with_metadata(marks);
            let outer = field(name, "s", None, DataType::Struct(vec![inner].into()));
            TableColumns::try_new(Arc::new(Schema::new(vec![outer]))).unwrap()
        };
        let table = within(Field::new("x", DataType::Int64, true), "s");
        assert!(table.rename(&descriptor("message m { optional group s { optional int64 x; } }")).is_ok());
        let refused = table.rename(&descriptor("message m { optional group s { optional int64 y; } }")).unwrap_err();
        assert!(refused.contains("\"x\"") && refused.contains("because"), "{refused}");
    }

    #[test]
    fn types_that_do_not_become_the_table_s_are_marked() {
        let table = table(None);
        let checked = |of: Option<DataType>| {
            let mut fields = table.schema().fields().to_vec();
            let file = Schema::new(of.map(|of| Field::new("b", of, true)).into_iter().collect::<Vec<_>>());
            table.check(&mut fields, &file, "/f");
            fields
        };
        for (of, is_refused) in [
            (None, false),
            (Some(DataType::Int32), false),
            (Some(DataType::Int64), false),
            (Some(DataType::Utf8), true),
            (Some(DataType::Float64), true),
        ] {
            let fields = checked(of);
            assert_eq!(refusal_of(&fields[0]).map(|refusal| refusal.path), is_refused.then(|| "/f".to_owned()));
            assert_eq!((fields.len(), fields[0].data_type()), (4, &DataType::Int64));
        }
    }
}
