use super::*;
use crate::Error;
use crate::files::refusal::check_readable;

fn schema(fields: &[(&str, DataType)]) -> Schema {
    Schema::new(fields.iter().map(|(n, t)| Field::new(*n, t.clone(), true)).collect::<Vec<_>>())
}

fn list(name: &str, of: DataType, nullable: bool) -> DataType {
    DataType::List(Arc::new(Field::new(name, of, nullable)))
}

fn merged(schema_merge: SchemaMerge, schemas: &[&Schema]) -> Vec<FieldRef> {
    let mut fields = reference("0.parquet", &Arc::new(schemas[0].clone())).fields().to_vec();
    let mut origins = vec!["0.parquet".to_owned(); fields.len()];
    for (number, schema) in schemas.iter().enumerate().skip(1) {
        merge(&mut fields, &mut origins, "0.parquet", &format!("{number}.parquet"), schema, schema_merge);
    }
    fields
}

/// The error for whoever reads all columns.
fn error(schema_merge: SchemaMerge, schemas: &[&Schema]) -> Option<String> {
    let refusals = merged(schema_merge, schemas).iter().filter_map(|field| refusal_of(field)).collect();
    check_readable(refusals).err().map(|error| error.to_string())
}

const STRICT: SchemaMerge = SchemaMerge { columns_of_all: false, missing_as_null: false, widen: false };
const UNION: SchemaMerge = SchemaMerge { columns_of_all: true, missing_as_null: true, widen: false };

#[test]
fn order_extras_nullability_and_metadata_may_differ() {
    let a = schema(&[("x", DataType::Int32), ("y", list("item", DataType::Int8, true))]);
    let b = schema(&[("z", DataType::Utf8), ("y", list("element", DataType::Int8, false)), ("x", DataType::Int32)]);
    assert_eq!(error(STRICT, &[&a, &b]), None);
    let field = Field::new("x", DataType::Int32, false).with_metadata([("k".to_owned(), "v".to_owned())]);
    let (x, other) = (schema(&[("x", DataType::Int32)]), Schema::new(vec![field]));
    assert!(fits(&x, &other));
    assert_eq!(error(STRICT, &[&x, &other]), None);
}

#[test]
fn all_differences_are_listed_with_their_files_and_types() {
    let a = schema(&[("x", DataType::Int32), ("y", DataType::Float32), ("z", DataType::Utf8)]);
    let b = schema(&[("x", DataType::Int64), ("z", DataType::Utf8)]);
    assert!(!fits(&a, &b));
    let found = error(STRICT, &[&a, &b]).unwrap();
    for words in [
        "1.parquet: column \"x\" is Int64 here and Int32",
        "0.parquet",
        "column \"y\" (Float32) is missing",
        "widen_types",
    ] {
        assert!(found.contains(words), "{found}");
    }
    let lists = |t| schema(&[("l", list("item", t, true))]);
    let error = error(STRICT, &[&lists(DataType::Int8), &lists(DataType::Utf8)]).unwrap();
    assert!(!error.contains("widen"), "{error}");
}

#[test]
fn the_first_file_that_differs_is_named() {
    let of = |x| schema(&[("x", x), ("y", DataType::Utf8)]);
    let found = error(STRICT, &[&of(DataType::Int32), &of(DataType::Int32), &of(DataType::Int8), &of(DataType::Utf8)]);
    assert!(found.unwrap().starts_with("2.parquet: column \"x\" is Int8 here and Int32"));
}

#[test]
fn drift_is_taken_in_where_it_is_asked_for() {
    use DataType::{Float32, Float64, Int16, Int32, Int64, LargeUtf8, UInt32, Utf8};
    let types = |schema_merge, schemas: &[&Schema]| {
        let fields = merged(schema_merge, schemas);
        assert!(fields.iter().all(|field| refusal_of(field).is_none()), "{fields:?}");
        fields.iter().map(|field| (field.name().clone(), field.data_type().clone())).collect::<Vec<_>>()
    };
    let a = schema(&[("x", Int32), ("y", list("item", Float32, true))]);
    let b = schema(&[("z", Utf8), ("x", Int64)]);
    let c = schema(&[("x", Int16), ("y", list("element", Float64, true)), ("z", LargeUtf8)]);
    let wanted = [("x", Int64), ("y", list("item", Float64, true)), ("z", LargeUtf8)];
    let wide = SchemaMerge { widen: true, ..STRICT };
    assert_eq!(
        types(SchemaMerge { widen: true, ..UNION }, &[&a, &b, &c]),
        wanted.map(|(name, of)| (name.to_owned(), of))
    );
    assert!(error(UNION, &[&a, &b]).unwrap().contains("widen_types=True"));
    let found = error(wide, &[&a, &b]).unwrap();
    assert!(found.contains("\"y\"") && found.contains("missing_columns"), "{found}");
    let unsigned = schema(&[("x", UInt32), ("y", list("item", Float32, true))]);
    assert_eq!(types(wide, &[&a, &unsigned])[0].1, Int64);
    let text = schema(&[("x", Utf8), ("y", list("item", Float32, true))]);
    assert!(error(SchemaMerge { widen: true, ..UNION }, &[&a, &text]).is_some());
}

#[test]
fn columns_of_all_and_missing_columns_are_two_choices() {
    let a = schema(&[("x", DataType::Int32), ("y", DataType::Utf8)]);
    let more = schema(&[("x", DataType::Int32), ("y", DataType::Utf8), ("z", DataType::Utf8)]);
    let fewer = schema(&[("z", DataType::Utf8), ("x", DataType::Int32)]);
    let names = |schema_merge, schemas: &[&Schema]| {
        assert_eq!(error(schema_merge, schemas), None);
        merged(schema_merge, schemas).iter().map(|field| field.name().clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(SchemaMerge { missing_as_null: true, ..STRICT }, &[&a, &more, &fewer]), ["x", "y"]);
    assert_eq!(names(UNION, &[&a, &more, &fewer]), ["x", "y", "z"]);
    let strict = SchemaMerge { columns_of_all: true, ..STRICT };
    assert_eq!(names(strict, &[&more, &more]), ["x", "y", "z"]);
    for (files, lacking, column) in [
        ([&a, &more], "0.parquet: column \"z\"", "1.parquet has it"),
        ([&more, &fewer], "1.parquet: column \"y\"", "0.parquet has it"),
    ] {
        let error = error(strict, &files).unwrap();
        assert!(error.contains(lacking) && error.contains(column), "{error}");
    }
}

#[test]
fn a_name_twice_marks_that_column_only() {
    let twice = schema(&[("x", DataType::Int32), ("x", DataType::Int64), ("y", DataType::Utf8)]);
    let once = schema(&[("x", DataType::Int32), ("y", DataType::Utf8)]);
    for schemas in [[&twice, &twice], [&once, &twice], [&twice, &once]] {
        let fields = merged(STRICT, &schemas);
        for field in &fields {
            assert_eq!(refusal_of(field).is_some(), field.name() == "x", "{fields:?}");
        }
        assert!(error(STRICT, &schemas).unwrap().contains("\"x\" is there twice"));
    }
}

#[test]
fn fields_in_which_structs_agree_are_not_marked() {
    let of = |a: DataType, more: bool| {
        let mut fields = vec![Field::new("a", a, true), Field::new("b", DataType::Utf8, true)];
        fields.truncate(if more { 2 } else { 1 });
        schema(&[("l", list("item", DataType::Struct(fields.into()), true))])
    };
    let fields = merged(STRICT, &[&of(DataType::Int8, true), &of(DataType::Int8, false), &of(DataType::Int16, true)]);
    assert_eq!(refusal_of(&fields[0]).map(|refusal| refusal.kind), Some(RefusalKind::Fields));
    let DataType::List(item) = fields[0].data_type() else { panic!() };
    let DataType::Struct(inner) = item.data_type() else { panic!() };
    let paths = [0, 1].map(|at| refusal_of(&inner[at]).unwrap().path);
    assert_eq!(paths, ["2.parquet", "1.parquet"]);
    let one = merged(STRICT, &[&of(DataType::Int8, true), &of(DataType::Int8, false)]);
    let DataType::List(item) = one[0].data_type() else { panic!() };
    let DataType::Struct(inner) = item.data_type() else { panic!() };
    assert_eq!(refusal_of(&inner[0]), None);
    assert!(matches!(
        check_readable(vec![refusal_of(&one[0]).unwrap()]),
        Err(Error::Schema { detail, .. }) if detail.contains("whole columns")
    ));
}
