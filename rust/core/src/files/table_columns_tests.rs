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
    let names =
        made(vec![field("b", "old\0older", Some(1), DataType::Int64), field("old", "", Some(2), DataType::Int64)]);
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
