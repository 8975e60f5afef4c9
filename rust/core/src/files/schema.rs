//! The check that a file has the columns and types of the first one.
//!
//! Columns may stand in another order. Columns that only later files have are not delivered, as with other readers of
//! many files: nothing asked for them. Nullability and metadata may differ. Where it is asked for, the schema is that
//! of all files instead ([`SchemaMerge`]).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema};

use crate::{Error, Result};

/// In what files may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SchemaMerge {
    /// The columns of all files are delivered, and not those of the first file only.
    pub columns_of_all: bool,
    /// A file may lack a column, whose values are then null.
    pub missing_as_null: bool,
    /// A column has the widest type that it has in any file: of integers, of floats, of strings.
    pub widen: bool,
}

impl SchemaMerge {
    /// Whether the schema is that of all files, and not of the first.
    pub fn is_any(self) -> bool {
        self.columns_of_all || self.missing_as_null || self.widen
    }
}

/// Takes the schema of the file at `path` into that of the files before it, from the one at `first` on; `origins` has,
/// for each column, the file that brought its type.
pub fn merge(
    merged: &mut Vec<FieldRef>,
    origins: &mut Vec<String>,
    first: &str,
    path: &str,
    schema: &Schema,
    schema_merge: SchemaMerge,
) -> Result<()> {
    let by_name: HashMap<&str, usize> =
        schema.fields().iter().enumerate().map(|(at, field)| (field.name().as_str(), at)).collect();
    for (known, origin) in merged.iter_mut().zip(origins.iter_mut()) {
        let name = known.name();
        let Some(found) = by_name.get(name.as_str()).map(|&at| &schema.fields()[at]) else {
            if schema_merge.missing_as_null {
                continue;
            }
            return Err(missing(origin, known, path));
        };
        match wider(known.data_type(), found.data_type(), schema_merge.widen) {
            Some(None) => {}
            Some(Some(wide)) => {
                *known = Arc::new(known.as_ref().clone().with_data_type(wide));
                path.clone_into(origin);
            }
            None => return Err(differ(origin, known, path, found)),
        }
    }
    if schema_merge.columns_of_all {
        let known: HashSet<String> = merged.iter().map(|field| field.name().clone()).collect();
        for field in schema.fields().iter().filter(|field| !known.contains(field.name())) {
            if !schema_merge.missing_as_null {
                return Err(missing(path, field, first));
            }
            merged.push(field.clone());
            origins.push(path.to_owned());
        }
    }
    Ok(())
}

/// The type that holds the values of both: `Some(None)` where that is the first as it is.
fn wider(a: &DataType, b: &DataType, widen: bool) -> Option<Option<DataType>> {
    if same_type(a, b) {
        return Some(None);
    }
    if !widen {
        return None;
    }
    let child = |a: &FieldRef, b: &FieldRef| {
        let made = wider(a.data_type(), b.data_type(), widen)?;
        Some(made.map(|wide| Arc::new(a.as_ref().clone().with_data_type(wide))))
    };
    match (a, b) {
        (DataType::List(x), DataType::List(y)) => Some(child(x, y)?.map(DataType::List)),
        (DataType::LargeList(x), DataType::LargeList(y)) => Some(child(x, y)?.map(DataType::LargeList)),
        (DataType::FixedSizeList(x, n), DataType::FixedSizeList(y, m)) if n == m => {
            Some(child(x, y)?.map(|wide| DataType::FixedSizeList(wide, *n)))
        }
        _ if holds(a, b) => Some(None),
        _ if holds(b, a) => Some(Some(b.clone())),
        // Neither holds the other: int32 and uint32 are both int64.
        _ => {
            let all = [DataType::Int16, DataType::Int32, DataType::Int64];
            all.into_iter().find(|wide| holds(wide, a) && holds(wide, b)).map(Some)
        }
    }
}

/// Whether every value of `narrow` is one of `wide`, of the same kind.
pub(crate) fn holds(wide: &DataType, narrow: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Float16, Float32, Float64, Int8, Int16, Int32, Int64, LargeBinary, LargeUtf8, Null, UInt8,
        UInt16, UInt32, UInt64, Utf8, Utf8View,
    };
    match wide {
        Int64 => matches!(narrow, Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32 | Null),
        Int32 => matches!(narrow, Int8 | Int16 | UInt8 | UInt16 | Null),
        Int16 => matches!(narrow, Int8 | UInt8 | Null),
        UInt64 => matches!(narrow, UInt8 | UInt16 | UInt32 | Null),
        UInt32 => matches!(narrow, UInt8 | UInt16 | Null),
        UInt16 => matches!(narrow, UInt8 | Null),
        Float64 => matches!(narrow, Float16 | Float32 | Null),
        Float32 => matches!(narrow, Float16 | Null),
        LargeUtf8 => matches!(narrow, Utf8 | Utf8View | Null),
        LargeBinary => matches!(narrow, Binary | BinaryView | Null),
        // A column of nothing but nulls fits any other.
        other => matches!(narrow, Null) && !matches!(other, Null),
    }
}

/// Checks the first file's schema, which is the reference for all others.
pub fn check_reference(path: &str, schema: &Schema) -> Result<()> {
    if let Some(field) = schema.fields().iter().find(|field| field.name().contains('\0')) {
        let detail =
            format!("column {:?} has a zero byte in its name, which cannot be passed on; rename it", field.name());
        return Err(differs(path, detail));
    }
    let mut seen = HashSet::new();
    match schema.fields().iter().find(|field| !seen.insert(field.name().as_str())) {
        None => Ok(()),
        Some(field) => Err(differs(
            path,
            format!("column \"{}\" is there twice, and columns are known by name; rename one of them", field.name()),
        )),
    }
}

/// Checks that the file at `path` has every column of the reference, which the file at `first` has, with its type.
pub fn check_same(first: &str, reference: &Schema, path: &str, schema: &Schema) -> Result<()> {
    for (at, wanted) in reference.fields().iter().enumerate() {
        let name = wanted.name();
        let found = match schema.fields().get(at) {
            Some(field) if field.name() == name => Some(field),
            _ => schema.fields().iter().find(|field| field.name() == name),
        };
        let Some(found) = found else { return Err(missing(first, wanted, path)) };
        if !same_type(wanted.data_type(), found.data_type()) {
            return Err(differ(first, wanted, path, found));
        }
    }
    if schema.fields().len() > reference.fields().len() {
        check_reference(path, schema)?;
    }
    Ok(())
}

fn missing(first: &str, wanted: &Field, path: &str) -> Error {
    differs(
        path,
        format!(
            "column \"{}\" ({}) is missing, and {first} has it: write the file again with it, leave the file out, or take \
             missing_columns=\"null\", which fills it with nulls",
            wanted.name(),
            wanted.data_type(),
        ),
    )
}

fn differ(first: &str, wanted: &Field, path: &str, found: &Field) -> Error {
    let (wanted_type, found_type) = (wanted.data_type(), found.data_type());
    let cure = if other_fields(wanted_type, found_type) {
        "missing_columns=\"null\" and widen_types=True are for whole columns, not for fields of a struct: write the file \
         again with the same fields in the same order, or leave it out"
    } else if wider(wanted_type, found_type, true).is_some() {
        "cast one of them or leave the file out, or take widen_types=True"
    } else {
        "cast one of them or leave the file out"
    };
    differs(
        path,
        format!(
            "column \"{}\" is {found_type} here and {wanted_type} in the first file that has it, {first}; {cure}",
            wanted.name(),
        ),
    )
}

/// Whether a struct, at any depth of both, has other fields or has them in another order.
fn other_fields(a: &DataType, b: &DataType) -> bool {
    let child = |a: &Field, b: &Field| other_fields(a.data_type(), b.data_type());
    match (a, b) {
        (DataType::Struct(a), DataType::Struct(b)) => {
            a.len() != b.len() || a.iter().zip(b).any(|(a, b)| a.name() != b.name() || child(a, b))
        }
        (DataType::List(a), DataType::List(b)) | (DataType::LargeList(a), DataType::LargeList(b)) => child(a, b),
        (DataType::FixedSizeList(a, _), DataType::FixedSizeList(b, _)) | (DataType::Map(a, _), DataType::Map(b, _)) => {
            child(a, b)
        }
        _ => false,
    }
}

fn differs(path: &str, detail: String) -> Error {
    Error::Schema { path: path.to_owned(), detail }
}

/// Equal but for what does not change the values' layout: nullability, metadata, and what a list calls its elements.
pub(crate) fn same_type(a: &DataType, b: &DataType) -> bool {
    use DataType::{
        Dictionary, FixedSizeList, LargeList, LargeListView, List, ListView, Map, RunEndEncoded, Struct, Union,
    };
    let child = |a: &Field, b: &Field| same_type(a.data_type(), b.data_type());
    match (a, b) {
        (List(a), List(b)) | (LargeList(a), LargeList(b)) => child(a, b),
        (ListView(a), ListView(b)) | (LargeListView(a), LargeListView(b)) => child(a, b),
        (FixedSizeList(a, n), FixedSizeList(b, m)) => n == m && child(a, b),
        (Map(a, n), Map(b, m)) => n == m && child(a, b),
        (Struct(a), Struct(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.name() == b.name() && child(a, b))
        }
        (Dictionary(a, v), Dictionary(b, w)) => same_type(a, b) && same_type(v, w),
        (RunEndEncoded(a, v), RunEndEncoded(b, w)) => child(a, b) && child(v, w),
        (Union(a, m), Union(b, n)) => {
            m == n && a.len() == b.len() && a.iter().zip(b.iter()).all(|((i, a), (j, b))| i == j && child(a, b))
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(fields: &[(&str, DataType)]) -> Schema {
        Schema::new(fields.iter().map(|(n, t)| Field::new(*n, t.clone(), true)).collect::<Vec<_>>())
    }

    fn same(a: &Schema, b: &Schema) -> Result<()> {
        check_same("first.parquet", a, "other.parquet", b)
    }

    fn list(name: &str, of: DataType, nullable: bool) -> DataType {
        DataType::List(Arc::new(Field::new(name, of, nullable)))
    }

    #[test]
    fn order_extras_nullability_and_metadata_may_differ() {
        let a = schema(&[("x", DataType::Int32), ("y", list("item", DataType::Int8, true))]);
        let b = schema(&[("z", DataType::Utf8), ("y", list("element", DataType::Int8, false)), ("x", DataType::Int32)]);
        assert!(same(&a, &b).is_ok());
        let field = Field::new("x", DataType::Int32, false).with_metadata([("k".to_owned(), "v".to_owned())]);
        assert!(same(&schema(&[("x", DataType::Int32)]), &Schema::new(vec![field])).is_ok());
    }

    #[test]
    fn differences_name_file_column_and_types() {
        let a = schema(&[("x", DataType::Int32), ("y", DataType::Float32)]);
        let missing = same(&a, &schema(&[("x", DataType::Int32)])).unwrap_err().to_string();
        for word in ["other.parquet", "\"y\"", "Float32", "missing", "first.parquet"] {
            assert!(missing.contains(word), "{missing}");
        }
        let other = same(&a, &schema(&[("x", DataType::Int64), ("y", DataType::Float32)])).unwrap_err().to_string();
        for word in ["other.parquet", "\"x\"", "Int32", "Int64", "first.parquet"] {
            assert!(other.contains(word), "{other}");
        }
        let lists = |t| schema(&[("l", list("item", t, true))]);
        assert!(same(&lists(DataType::Int8), &lists(DataType::UInt8)).is_err());
    }

    const UNION: SchemaMerge = SchemaMerge { columns_of_all: true, missing_as_null: true, widen: false };

    fn merged(schema_merge: SchemaMerge, schemas: &[Schema]) -> Result<Vec<(String, DataType)>> {
        let mut fields: Vec<FieldRef> = schemas[0].fields().to_vec();
        let mut origins = vec!["0.parquet".to_owned(); fields.len()];
        for (number, schema) in schemas.iter().enumerate().skip(1) {
            merge(&mut fields, &mut origins, "0.parquet", &format!("{number}.parquet"), schema, schema_merge)?;
        }
        Ok(fields.iter().map(|field| (field.name().clone(), field.data_type().clone())).collect())
    }

    #[test]
    fn drift_is_taken_in_where_it_is_asked_for() {
        use DataType::{Float32, Float64, Int16, Int32, Int64, LargeUtf8, UInt32, Utf8};
        let a = schema(&[("x", Int32), ("y", list("item", Float32, true))]);
        let b = schema(&[("z", Utf8), ("x", Int64)]);
        let c = schema(&[("x", Int16), ("y", list("element", Float64, true)), ("z", LargeUtf8)]);
        let both = merged(SchemaMerge { widen: true, ..UNION }, &[a.clone(), b.clone(), c]).unwrap();
        let wanted = [("x", Int64), ("y", list("item", Float64, true)), ("z", LargeUtf8)];
        assert_eq!(both, wanted.map(|(name, of)| (name.to_owned(), of)));
        let error = merged(UNION, &[a.clone(), b.clone()]).unwrap_err().to_string();
        assert!(
            error.contains("1.parquet") && error.contains("0.parquet") && error.contains("widen_types=True"),
            "{error}"
        );
        let error = same(&a, &schema(&[("y", list("item", Float64, true)), ("x", Int32)])).unwrap_err().to_string();
        assert!(error.contains("or take widen_types=True"), "{error}");
        let error = same(&a, &schema(&[("y", Utf8), ("x", Int32)])).unwrap_err().to_string();
        assert!(!error.contains("widen"), "{error}");
        let error =
            merged(SchemaMerge { widen: true, ..SchemaMerge::default() }, &[a.clone(), b]).unwrap_err().to_string();
        assert!(error.contains("\"y\"") && error.contains("missing") && error.contains("missing_columns"), "{error}");
        let unsigned = schema(&[("x", UInt32), ("y", list("item", Float32, true))]);
        let wide = merged(SchemaMerge { widen: true, ..SchemaMerge::default() }, &[a.clone(), unsigned]).unwrap();
        assert_eq!(wide[0].1, Int64);
        let text = schema(&[("x", Utf8), ("y", list("item", Float32, true))]);
        assert!(merged(SchemaMerge { widen: true, ..UNION }, &[a, text]).is_err());
    }

    #[test]
    fn columns_of_all_and_missing_columns_are_two_choices() {
        let a = schema(&[("x", DataType::Int32), ("y", DataType::Utf8)]);
        let more = schema(&[("x", DataType::Int32), ("y", DataType::Utf8), ("z", DataType::Utf8)]);
        let fewer = schema(&[("z", DataType::Utf8), ("x", DataType::Int32)]);
        let names = |found: Vec<(String, DataType)>| found.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let lax = SchemaMerge { missing_as_null: true, ..SchemaMerge::default() };
        assert_eq!(names(merged(lax, &[a.clone(), more.clone(), fewer.clone()]).unwrap()), ["x", "y"]);
        assert_eq!(names(merged(UNION, &[a.clone(), more.clone(), fewer.clone()]).unwrap()), ["x", "y", "z"]);
        let strict = SchemaMerge { columns_of_all: true, ..SchemaMerge::default() };
        assert_eq!(names(merged(strict, &[more.clone(), more.clone()]).unwrap()), ["x", "y", "z"]);
        for (files, lacking, column) in [
            ([a, more.clone()], "0.parquet: column \"z\"", "1.parquet has it"),
            ([more, fewer], "1.parquet: column \"y\"", "0.parquet has it"),
        ] {
            let error = merged(strict, &files).unwrap_err().to_string();
            assert!(error.contains(lacking) && error.contains(column), "{error}");
        }
    }

    #[test]
    fn a_name_twice_is_an_error() {
        let twice = schema(&[("x", DataType::Int32), ("x", DataType::Int64)]);
        assert!(check_reference("f", &twice).is_err());
        assert!(same(&schema(&[("x", DataType::Int32)]), &twice).is_err());
    }
}
