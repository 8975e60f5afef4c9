use arrow_schema::{DataType, Field};
use proptest::prelude::*;

use super::*;
use crate::files::AbsentFile;

pub(in crate::files) fn schema() -> SchemaRef {
    let extension = [("ARROW:extension:name".to_owned(), "arrow.fixed_shape_tensor".to_owned())];
    let item = Arc::new(Field::new("item", DataType::Float32, false));
    Arc::new(Schema::new(vec![
        Field::new("x", DataType::Int64, true),
        Field::new("image", DataType::FixedSizeList(item, 12), false).with_metadata(extension),
    ]))
}

pub(in crate::files) fn parts(files: &[(&str, &[u64])]) -> PlanParts {
    let groups: Vec<u64> = files.iter().flat_map(|(_, rows)| rows.iter().copied()).collect();
    PlanParts {
        root: "/data".to_owned(),
        names: files.iter().map(|(name, _)| (*name).to_owned()).collect(),
        hashes: (0..files.len() as u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect(),
        sizes: (0..files.len() as u64).map(|i| i * 1000).collect(),
        group_counts: files.iter().map(|(_, rows)| rows.len() as u32).collect(),
        group_bytes: groups.iter().map(|rows| rows * 8).collect(),
        decoded_bytes: groups.iter().map(|rows| rows * 16).collect(),
        group_rows: groups,
        schema: schema(),
        first_null: vec![None; 2],
    }
}

pub(in crate::files) fn plan(files: &[(&str, &[u64])]) -> Plan {
    Plan::from_parts(parts(files)).unwrap()
}

#[test]
fn entries_and_sums() {
    let plan = plan(&[("a", &[]), ("b", &[1, 2]), ("c", &[]), ("d", &[0, 4])]);
    assert_eq!((plan.num_files(), plan.num_rows(), plan.num_bytes()), (4, 7, 56));
    assert_eq!((0..4).map(|g| plan.file_of_group(g)).collect::<Vec<_>>(), [1, 1, 3, 3]);
    assert_eq!((plan.path(1), plan.groups(3), plan.name(2)), ("/data/b".to_owned(), 2..4, "c"));
}

#[test]
fn the_digest_is_of_names_rows_and_hashes() {
    let base = parts(&[("a", &[1, 2]), ("bc", &[3])]);
    let digest = |change: &dyn Fn(&mut PlanParts)| {
        let mut parts = base.clone();
        change(&mut parts);
        Plan::from_parts(parts).unwrap().digest()
    };
    let same = digest(&|_| {});
    assert_eq!(same, digest(&|p| p.root = "/else".to_owned()));
    assert_eq!(same, digest(&|p| p.sizes[0] = 7));
    assert_ne!(same, digest(&|p| p.names[0] = "b".to_owned()));
    assert_ne!(same, digest(&|p| p.hashes[1] = 7));
    assert_ne!(same, digest(&|p| p.group_rows[2] = 7));
    let mut bytes = Vec::new();
    for (name, rows, hash) in [("a", 3_u64, base.hashes[0]), ("bc", 3, base.hashes[1])] {
        bytes.extend((name.len() as u64).to_le_bytes());
        bytes.extend(name.as_bytes());
        bytes.extend(rows.to_le_bytes());
        bytes.extend(hash.to_le_bytes());
    }
    assert_eq!(same, xxhash_rust::xxh3::xxh3_128(&bytes));
}

#[test]
fn parts_that_do_not_fit() {
    let wrong = |change: &dyn Fn(&mut PlanParts)| {
        let mut parts = parts(&[("a", &[1, 2]), ("b", &[3])]);
        change(&mut parts);
        assert!(matches!(Plan::from_parts(parts), Err(Error::Argument(_))));
    };
    wrong(&|p| p.hashes.truncate(1));
    wrong(&|p| p.decoded_bytes.truncate(1));
    wrong(&|p| p.group_counts[0] = 3);
    wrong(&|p| p.group_counts[0] = 1);
    wrong(&|p| p.names.swap(0, 1));
    wrong(&|p| p.names[1] = "a".to_owned());
    wrong(&|p| p.names[0] = String::new());
    wrong(&|p| p.names[1] = "x".repeat(5000));
    wrong(&|p| p.group_rows[0] = u64::MAX);
    wrong(&|p| p.group_bytes[0] = u64::MAX);
    wrong(&|p| p.first_null[0] = Some(2));
    wrong(&|p| p.first_null.truncate(1));
}

#[test]
fn selections() {
    let all = plan(&[("a", &[1]), ("b", &[2, 3]), ("c", &[]), ("d", &[4])]);
    let some = all.select(&[1, 3]).unwrap();
    assert_eq!((some.name(0), some.name(1), some.decoded_bytes()), ("b", "d", &[32, 48, 64][..]));
    assert_eq!(some.file(1).hash, all.file(3).hash);
    assert_eq!(all.select(&[0, 1, 2, 3]).unwrap(), all);
    assert_eq!(all.select(&[]).unwrap().num_rows(), 0);
    for wrong in [&[1, 1][..], &[2, 1], &[4]] {
        assert!(all.select(wrong).is_err());
    }
}

#[test]
fn an_absent_file_stands_where_it_stood() {
    let all = plan(&[("a", &[1]), ("b", &[2, 3]), ("c", &[]), ("d", &[4])]);
    let absent = |file: usize| AbsentFile {
        name: all.name(file).to_owned(),
        hash: all.file(file).hash,
        rows: all.group_rows()[all.groups(file)].to_vec(),
        bytes: all.group_bytes()[all.groups(file)].to_vec(),
        passing: Vec::new(),
    };
    for gone in [vec![], vec![1], vec![0, 3], vec![0, 1, 2, 3]] {
        let left: Vec<usize> = (0..4).filter(|file| !gone.contains(file)).collect();
        let found = all.select(&left).unwrap().with_absent(gone.iter().map(|&file| absent(file)).collect()).unwrap();
        assert_eq!(
            (found.digest(), found.group_rows(), found.group_bytes()),
            (all.digest(), all.group_rows(), all.group_bytes())
        );
        assert_eq!([0, 1, 2, 3].map(|file| found.groups(file)), [0, 1, 2, 3].map(|file| all.groups(file)));
    }
    assert!(all.with_absent(vec![absent(0)]).is_err(), "it is in the plan");
    let short = AbsentFile { name: "x".to_owned(), bytes: Vec::new(), ..absent(0) };
    assert!(all.with_absent(vec![short]).is_err());
}

#[test]
fn a_schemas_own_metadata_is_dropped() {
    let mut parts = parts(&[("a", &[1])]);
    let metadata = [("pandas".to_owned(), "{}".to_owned())];
    parts.schema = Arc::new(Schema::new_with_metadata(schema().fields().clone(), metadata));
    assert_eq!(Plan::from_parts(parts).unwrap().schema(), &schema());
}

pub(in crate::files) fn any_plan() -> impl Strategy<Value = Plan> {
    let groups = prop::collection::vec((0..1_u64 << 40, 0..1_u64 << 50), 0..5);
    let files = prop::collection::btree_map("[a-cé/]{0,5}[a-z]", (any::<u64>(), any::<u64>(), groups), 0..20);
    (files, any::<prop::sample::Index>()).prop_map(|(files, null)| {
        let files: Vec<_> = files.into_iter().filter(|(name, _)| !name.starts_with('/')).collect();
        let groups = || files.iter().flat_map(|(_, (_, _, groups))| groups);
        let first = (!files.is_empty()).then(|| null.index(files.len()) as u32);
        Plan::from_parts(PlanParts {
            root: "/röot".to_owned(),
            names: files.iter().map(|(name, _)| name.clone()).collect(),
            hashes: files.iter().map(|(_, file)| file.0).collect(),
            sizes: files.iter().map(|(_, file)| file.1).collect(),
            group_counts: files.iter().map(|(_, file)| file.2.len() as u32).collect(),
            group_rows: groups().map(|g| g.0).collect(),
            group_bytes: groups().map(|g| g.1).collect(),
            decoded_bytes: groups().map(|g| g.1.wrapping_mul(g.0 + 3)).collect(),
            schema: schema(),
            first_null: vec![first, None],
        })
        .unwrap()
    })
}

proptest! {
    #[test]
    fn every_group_is_in_its_file(plan in any_plan()) {
        for group in 0..plan.num_row_groups() {
            prop_assert!(plan.groups(plan.file_of_group(group)).contains(&group));
        }
    }
}

#[test]
fn folders_and_counts_are_kept_in_bytes_and_in_a_selection() {
    let plain = plan(&[("a", &[5, 2]), ("b", &[]), ("c", &[3])]);
    let field = Field::new("k", DataType::Utf8, true);
    let values: arrow_array::ArrayRef = Arc::new(arrow_array::StringArray::from(vec![Some("x"), None, Some("z")]));
    let values = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![values]).unwrap();
    let passing = SelectedRows { rule: "some rule".to_owned(), counts: vec![4, 0, 3] };
    let full = plain.with_partitions(values.clone()).unwrap().with_passing(passing.clone()).unwrap();
    assert_eq!((full.digest(), full.line_rows()), (plain.digest(), &[4_u64, 0, 3][..]));
    for plan in [&plain, &plain.with_passing(passing.clone()).unwrap(), &full] {
        assert_eq!(Plan::from_bytes(&plan.to_bytes()).unwrap(), *plan);
    }
    let some = full.select(&[1, 2]).unwrap();
    assert_eq!(some.line_rows(), [3]);
    assert_eq!(some.partitions().unwrap(), &values.slice(1, 2));
    assert!(plain.with_partitions(values.slice(0, 2)).is_err());
    assert!(plain.with_passing(SelectedRows { counts: vec![1, 1], ..passing.clone() }).is_err());
    assert!(plain.with_passing(SelectedRows { counts: vec![6, 0, 0], ..passing }).is_err());
}
