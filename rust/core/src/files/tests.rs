//! Whole plans over files that exist.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use arrow_array::{ArrayRef, Float32Array, Int32Array, ListArray, RecordBatch, StructArray, types::Int32Type};
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};

use super::*;
use crate::{Error, Result};

/// Writes columns as one file with row groups of `group` rows.
pub(super) fn write(path: &Path, columns: Vec<(&str, ArrayRef)>, group: usize) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group)).build();
    let mut writer = ArrowWriter::try_new(fs::File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn ints(values: impl IntoIterator<Item = i32>) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(values))
}

fn nulls(values: &[Option<i32>]) -> ArrayRef {
    Arc::new(Int32Array::from(values.to_vec()))
}

fn planned(dir: &Path) -> Result<Plan> {
    build_plan(
        &[dir.to_str().unwrap().to_owned()],
        3,
        SchemaMerge::default(),
        &remote::StoreAccess::default(),
        None,
        true,
    )
}

#[test]
fn a_plan_of_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("a.parquet"), vec![("x", ints(0..10))], 4);
    write(&dir.path().join("a-b/x.parquet"), vec![("x", ints(0..3))], 4);
    write(&dir.path().join("a/b.parquet"), vec![("x", ints(0..0))], 4);
    let plan = planned(dir.path()).unwrap();
    let files: Vec<_> = plan.files().map(|f| (f.name.to_owned(), f.rows, f.groups)).collect();
    let expected = [("a-b/x.parquet", 3, 0..1), ("a.parquet", 10, 1..4), ("a/b.parquet", 0, 4..4)];
    assert_eq!(files, expected.map(|(n, r, g)| (n.to_owned(), r, g)));
    assert_eq!(plan.group_rows(), [3, 4, 4, 2]);
    assert!(plan.group_bytes().iter().all(|&b| b > 0));
    assert_eq!((plan.num_files(), plan.num_rows(), plan.num_row_groups()), (3, 13, 4));
    assert_eq!([0, 1, 2, 3].map(|g| plan.file_of_group(g)), [0, 1, 1, 1]);
    for (at, file) in plan.files().enumerate() {
        let footer = footer::read(&plan.path(at)).unwrap();
        assert_eq!((footer.hash, footer.size), (file.hash, file.size));
        assert_eq!(fs::metadata(plan.path(at)).unwrap().len(), file.size);
    }
    assert_eq!(
        build_plan(&[plan.path(1)], 1, SchemaMerge::default(), &remote::StoreAccess::default(), None, true)
            .unwrap()
            .root(),
        plan.root()
    );
    let copy = tempfile::tempdir().unwrap();
    for file in ["a.parquet", "a-b/x.parquet", "a/b.parquet"] {
        fs::create_dir_all(copy.path().join(file).parent().unwrap()).unwrap();
        fs::copy(dir.path().join(file), copy.path().join(file)).unwrap();
    }
    assert_eq!(planned(copy.path()).unwrap().digest(), plan.digest());
    assert_eq!(Plan::from_bytes(&plan.to_bytes()).unwrap(), plan);
}

#[test]
fn nulls_that_statistics_show() {
    let dir = tempfile::tempdir().unwrap();
    let list = || -> ArrayRef {
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])]))
    };
    let nested = |inner: ArrayRef| -> ArrayRef { Arc::new(StructArray::try_from(vec![("in", inner)]).unwrap()) };
    let file = |name: &str, x: &[Option<i32>], s: &[Option<i32>]| {
        let columns = vec![("l", list()), ("x", nulls(x)), ("s", nested(nulls(s))), ("y", nulls(&[Some(1); 3]))];
        write(&dir.path().join(name), columns, 2);
    };
    let (full, gap) = ([Some(1), Some(2), Some(3)], [Some(1), Some(2), None]);
    file("a.parquet", &full, &full);
    file("b.parquet", &full, &gap);
    file("c.parquet", &gap, &gap);
    let plan = planned(dir.path()).unwrap();
    assert_eq!(plan.first_null(), [None, Some(2), Some(1), None]);
    assert_eq!(plan.select(&[0, 2]).unwrap().first_null(), [None, Some(1), None, None]);
}

#[test]
fn columns_in_another_order_and_empty_files_fit() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("a.parquet"), vec![("x", ints(0..2)), ("y", nulls(&[None, None]))], 4);
    write(&dir.path().join("b.parquet"), vec![("y", nulls(&[])), ("z", ints([])), ("x", nulls(&[]))], 4);
    write(&dir.path().join("c.parquet"), vec![("y", ints([1])), ("x", nulls(&[None]))], 4);
    let plan = planned(dir.path()).unwrap();
    assert_eq!(plan.first_null(), [Some(2), Some(0)]);
    assert_eq!(plan.schema().fields().len(), 2);
}

#[test]
fn the_first_file_that_is_damaged_is_named_and_the_first_that_differs_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    for file in 0..100 {
        write(&dir.path().join(format!("{file:03}.parquet")), vec![("x", ints(0..2))], 4);
    }
    let floats: ArrayRef = Arc::new(Float32Array::from(vec![1.0]));
    write(&dir.path().join("047.parquet"), vec![("x", floats)], 4);
    write(&dir.path().join("048.parquet"), vec![("y", ints([1]))], 4);
    fs::write(dir.path().join("049.parquet"), b"").unwrap();
    fs::write(dir.path().join("050.parquet"), b"").unwrap();
    let root = [dir.path().to_str().unwrap().to_owned()];
    let build =
        |threads| build_plan(&root, threads, SchemaMerge::default(), &remote::StoreAccess::default(), None, true);
    for threads in [1, 4, 64] {
        let error = build(threads).unwrap_err();
        assert!(matches!(&error, Error::Corrupt { path, .. } if path.ends_with("049.parquet")), "{error}");
    }
    fs::remove_file(dir.path().join("049.parquet")).unwrap();
    fs::remove_file(dir.path().join("050.parquet")).unwrap();
    for (first, what) in [("047.parquet", "Float32"), ("048.parquet", "\"x\"")] {
        for threads in [1, 4, 64] {
            let refused = refusal::refusal_of(build(threads).unwrap().schema().field(0)).unwrap();
            assert!(refused.path.ends_with(first) && refused.what.contains(what), "{refused:?}");
        }
        fs::remove_file(dir.path().join(first)).unwrap();
    }
    assert_eq!(refusal::refusal_of(planned(dir.path()).unwrap().schema().field(0)), None);
}

#[test]
fn what_may_not_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    write(&path, vec![("x", ints(0..2))], 4);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(&path).is_ok() {
        return; // this user may read anything
    }
    assert!(matches!(planned(dir.path()), Err(Error::Permission { path }) if path.ends_with("a.parquet")));
}
