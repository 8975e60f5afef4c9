//! Whether a file fits the first one: same columns, same types.
//!
//! Columns may stand in another order. Columns that only later files have are not delivered, as with other readers of
//! many files: nothing asked for them. Nullability and metadata may differ.

use std::collections::HashSet;

use arrow_schema::{DataType, Field, Schema};

use crate::{Error, Result};

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
        let Some(found) = found else {
            return Err(differs(
                path,
                format!(
                    "column \"{name}\" ({}) is missing; the first file, {first}, has it: write the file again with it, \
                     or leave the file out",
                    wanted.data_type()
                ),
            ));
        };
        if !same_type(wanted.data_type(), found.data_type()) {
            return Err(differs(
                path,
                format!(
                    "column \"{name}\" is {} here and {} in the first file, {first}; cast one of them, or leave the file \
                     out",
                    found.data_type(),
                    wanted.data_type()
                ),
            ));
        }
    }
    if schema.fields().len() > reference.fields().len() {
        check_reference(path, schema)?;
    }
    Ok(())
}

fn differs(path: &str, detail: String) -> Error {
    Error::Schema { path: path.to_owned(), detail }
}

/// Equal but for what does not change the values' layout: nullability, metadata, and what a list calls its elements.
fn same_type(a: &DataType, b: &DataType) -> bool {
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
    use std::sync::Arc;

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

    #[test]
    fn a_name_twice_is_an_error() {
        let twice = schema(&[("x", DataType::Int32), ("x", DataType::Int64)]);
        assert!(check_reference("f", &twice).is_err());
        assert!(same(&schema(&[("x", DataType::Int32)]), &twice).is_err());
    }
}
