use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use proptest::prelude::*;

use super::*;
use crate::fetch::Files;
use crate::files::{self, Plan, SelectedRows};
use crate::order::{RowSet, Sample};

fn steps() -> impl Strategy<Value = Vec<FilterOp>> {
    let int = prop_oneof![(-3_i128..4).prop_map(Literal::Int), (-3.0..4.0_f64).prop_map(Literal::Float)];
    let float = prop_oneof![Just(f64::NAN), Just(0.0), -2.0..2.0_f64].prop_map(Literal::Float);
    let text = "[ab]{0,2}".prop_map(|text| Literal::Bytes(text.into_bytes()));
    let tests = |column: usize, literal: BoxedStrategy<Literal>, floats: bool| {
        let one = literal.clone();
        let many = proptest::collection::vec(literal, 0..3);
        prop_oneof![
            (one, 0..5).prop_map(|(literal, which)| match which {
                0 => Test::Equal(literal),
                1 => Test::Less(literal),
                2 => Test::LessEqual(literal),
                3 => Test::Greater(literal),
                _ => Test::GreaterEqual(literal),
            }),
            (many, any::<bool>()).prop_map(|(values, null)| Test::In { values, null }),
            any::<bool>().prop_map(move |nan| Test::Null { nan: nan && floats }),
            any::<bool>().prop_map(Test::Always),
            Just(Test::LessColumn(column)),
            Just(Test::EqualColumn(column)),
        ]
        .prop_map(move |test| vec![FilterOp::Test(Condition { column, test })])
    };
    // Of one kind in a list of values.
    let ints = (-3_i128..4).prop_map(Literal::Int).boxed();
    let leaf = prop_oneof![
        tests(0, ints, false),
        int.prop_map(|literal| vec![FilterOp::Test(Condition { column: 0, test: Test::Less(literal) })]),
        tests(1, float.boxed(), true),
        tests(2, text.boxed(), false),
        proptest::option::of(any::<bool>()).prop_map(|value| vec![FilterOp::Constant(value)]),
    ];
    leaf.prop_recursive(4, 12, 2, |inner| {
        let two = (inner.clone(), inner.clone(), any::<bool>()).prop_map(|(mut a, b, and)| {
            a.extend(b);
            a.push(if and { FilterOp::And } else { FilterOp::Or });
            a
        });
        let not = inner.prop_map(|mut a| {
            a.push(FilterOp::Not);
            a
        });
        prop_oneof![two, not]
    })
}

fn names() -> Vec<String> {
    ["a", "b", "c"].map(str::to_owned).to_vec()
}

type Rows = Vec<(Option<i32>, Option<f64>, Option<String>)>;

fn rows() -> impl Strategy<Value = Rows> {
    let float = prop_oneof![Just(f64::NAN), Just(0.0), Just(-0.0), -2.0..2.0_f64];
    let row = (
        proptest::option::of(-3_i32..4),
        proptest::option::of(float),
        proptest::option::of("[ab]{0,2}".prop_map(String::from)),
    );
    proptest::collection::vec(row, 1..40)
}

fn arrays(rows: &Rows) -> Vec<ArrayRef> {
    vec![
        Arc::new(Int32Array::from_iter(rows.iter().map(|row| row.0))),
        Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.1))),
        Arc::new(StringArray::from_iter(rows.iter().map(|row| row.2.as_deref()))),
    ]
}

/// One row by hand: true, false or null.
fn by_hand(steps: &[FilterOp], (a, b, c): &(Option<i32>, Option<f64>, Option<String>)) -> Option<bool> {
    let compare = |column: usize, literal: &Literal| match (column, literal) {
        (0, Literal::Int(v)) => a.map(|a| i128::from(a).partial_cmp(v)),
        (0, Literal::Float(v)) => a.map(|a| f64::from(a).partial_cmp(v)),
        (1, Literal::Float(v)) => b.map(|b| b.partial_cmp(v)),
        (2, Literal::Bytes(v)) => c.as_ref().map(|c| c.as_bytes().partial_cmp(v.as_slice())),
        _ => unreachable!(),
    };
    let is_null = |column| [a.is_none(), b.is_none(), c.is_none()][column];
    let is_nan = |column| column == 1 && b.is_some_and(f64::is_nan);
    let mut stack: Vec<Option<bool>> = Vec::new();
    for step in steps {
        let value = match step {
            FilterOp::Test(Condition { column, test }) => match test {
                Test::Equal(v) => compare(*column, v).map(|o| o.is_some_and(|o| o.is_eq())),
                Test::Less(v) => compare(*column, v).map(|o| o.is_some_and(|o| o.is_lt())),
                Test::LessEqual(v) => compare(*column, v).map(|o| o.is_some_and(|o| o.is_le())),
                Test::Greater(v) => compare(*column, v).map(|o| o.is_some_and(|o| o.is_gt())),
                Test::GreaterEqual(v) => compare(*column, v).map(|o| o.is_some_and(|o| o.is_ge())),
                Test::In { null, .. } if is_null(*column) => Some(*null),
                Test::In { values, .. } => Some(values.iter().any(|v| {
                    let nans = matches!(v, Literal::Float(v) if v.is_nan()) && is_nan(*column);
                    nans || compare(*column, v).flatten().is_some_and(|o| o.is_eq())
                })),
                Test::Null { nan } => Some(is_null(*column) || (*nan && is_nan(*column))),
                Test::Nan => Some(is_nan(*column)).filter(|_| !is_null(*column)),
                Test::Always(value) => Some(*value).filter(|_| !is_null(*column)),
                Test::LessColumn(_) => Some(false).filter(|_| !is_null(*column)),
                Test::EqualColumn(_) => Some(!is_nan(*column)).filter(|_| !is_null(*column)),
            },
            FilterOp::Constant(value) => *value,
            FilterOp::Unknown => unreachable!(),
            FilterOp::Not => stack.pop().unwrap().map(|value| !value),
            FilterOp::And => match (stack.pop().unwrap(), stack.pop().unwrap()) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            FilterOp::Or => match (stack.pop().unwrap(), stack.pop().unwrap()) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
        };
        stack.push(value);
    }
    stack.pop().unwrap()
}

/// A plan of one file with these rows; its folder is removed with the first of the pair.
fn written(rows: &Rows, group: usize, statistics: bool) -> (tempfile::TempDir, Arc<Plan>) {
    let dir = tempfile::tempdir().unwrap();
    let fields = [DataType::Int32, DataType::Float64, DataType::Utf8];
    let fields: Vec<Field> = names().into_iter().zip(fields).map(|(name, of)| Field::new(name, of, true)).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays(rows)).unwrap();
    let enabled = if statistics { EnabledStatistics::Chunk } else { EnabledStatistics::None };
    let properties =
        WriterProperties::builder().set_max_row_group_row_count(Some(group)).set_statistics_enabled(enabled).build();
    let path = dir.path().join("a.parquet");
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let plan = files::build_plan(
        &[path.to_str().unwrap().to_owned()],
        1,
        files::SchemaMerge::default(),
        &files::remote::StoreAccess::default(),
        None,
        true,
    )
    .unwrap();
    (dir, Arc::new(plan))
}

proptest! {
    #[test]
    fn arrays_and_rows_agree(rows in rows(), steps in steps()) {
        let predicate = Predicate::new(names(), steps.clone()).unwrap();
        let found = evaluate::evaluate(&predicate, &arrays(&rows), rows.len()).unwrap();
        let wanted: Vec<bool> = rows.iter().map(|row| by_hand(&steps, row) == Some(true)).collect();
        prop_assert_eq!(found.iter().collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn files_are_counted_and_selected_as_their_rows_say(
        rows in rows(), steps in steps(), group in 1_usize..20, statistics: bool, sampled: bool, threads in 1_usize..3,
    ) {
        let (_dir, plan) = written(&rows, group, statistics);
        let sample = sampled.then(|| Sample::new(0.2, 0.8, 1).unwrap());
        let predicate = Predicate::new(names(), steps.clone()).unwrap();
        let selector = Arc::new(Selector::new(&plan, sample, Some(predicate)).unwrap());
        let groups: Vec<usize> = (0..plan.num_row_groups()).collect();
        let counts = count(&plan, files::remote::StoreAccess::default(), &selector, &groups, threads, |_| Ok(())).unwrap();
        let plan = Arc::new(plan.with_passing(SelectedRows { rule: "r".into(), counts: counts.clone() }).unwrap());
        let files = Files::with_statistics(Arc::clone(&plan));
        let selections = Selections::new(selector);
        for (number, chunk) in rows.chunks(group).enumerate() {
            let set = selections.rows(&files, number).unwrap();
            let in_sample = match &sample {
                Some(sample) => sample.rows(chunk.len() as u64, plan.file(0).hash, number as u64).unwrap(),
                None => RowSet::all(chunk.len() as u64),
            };
            let in_sample: Vec<u64> = in_sample.runs(0..in_sample.len()).flatten().collect();
            let wanted: Vec<u64> = (0..chunk.len() as u64)
                .filter(|row| in_sample.contains(row) && by_hand(&steps, &chunk[*row as usize]) == Some(true))
                .collect();
            prop_assert_eq!(set.runs(0..set.len()).flatten().collect::<Vec<u64>>(), wanted);
            prop_assert_eq!(set.len(), counts[number]);
        }
    }

    /// What is said of one row's values never leaves out what the filter comes to.
    #[test]
    fn folders_rule_out_nothing_that_passes(rows in rows(), steps in steps(), unknown in 0_usize..3) {
        let fields = names().into_iter().zip(arrays(&rows)).map(|(name, array)| {
            Field::new(name, array.data_type().clone(), true)
        });
        let values = RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), arrays(&rows)).unwrap();
        let hide = |step: &FilterOp| match step {
            FilterOp::Test(condition) if condition.column == unknown => FilterOp::Unknown,
            other => other.clone(),
        };
        let known = Predicate::new(names(), steps.clone()).unwrap();
        let partly = Predicate::new(names(), steps.iter().map(hide).collect()).unwrap();
        for predicate in [known, partly] {
            for (row, may) in rows.iter().zip(may_pass(&predicate, &values, &values).unwrap()) {
                prop_assert!(may || by_hand(&steps, row) != Some(true));
            }
        }
    }
}

#[test]
fn a_row_group_that_passes_another_number_is_an_error() {
    let (_dir, plan) = written(&vec![(Some(1), None, None); 9], 5, false);
    let condition = Condition { column: 0, test: Test::Equal(Literal::Int(1)) };
    let predicate = Predicate::new(names(), vec![FilterOp::Test(condition)]).unwrap();
    let selector = Arc::new(Selector::new(&plan, None, Some(predicate)).unwrap());
    let plan = Arc::new(plan.with_passing(SelectedRows { rule: "r".into(), counts: vec![5, 3] }).unwrap());
    let files = Files::with_statistics(plan);
    let selections = Selections::new(selector);
    assert_eq!(selections.rows(&files, 0).unwrap().len(), 5);
    let error = selections.rows(&files, 1).unwrap_err().to_string();
    assert!(error.contains("row group 1: 4 rows pass the filter now, and 3 did"), "{error}");
}

#[test]
fn steps_must_make_a_tree() {
    for steps in [vec![], vec![FilterOp::And], vec![FilterOp::Unknown, FilterOp::Unknown], vec![FilterOp::Not]] {
        assert!(Predicate::new(names(), steps).is_err());
    }
    let condition = Condition { column: 3, test: Test::Nan };
    assert!(Predicate::new(names(), vec![FilterOp::Test(condition)]).is_err());
}

#[test]
fn progress_may_stop_the_counting() {
    let (_dir, plan) = written(&vec![(Some(1), None, None); 9], 1, false);
    let condition = Condition { column: 0, test: Test::Nan };
    let predicate = Predicate::new(names(), vec![FilterOp::Test(condition)]).unwrap();
    assert!(Selector::new(&plan, None, Some(predicate)).is_err(), "an integer is never NaN");
    let predicate = Predicate::new(names(), vec![FilterOp::Constant(Some(true))]).unwrap();
    let selector = Selector::new(&plan, None, Some(predicate)).unwrap();
    let stopped =
        count(&plan, files::remote::StoreAccess::default(), &selector, &[0, 1, 2], 2, |_| Err(crate::Error::Closed));
    assert!(matches!(stopped, Err(crate::Error::Closed)));
    assert_eq!(count(&plan, files::remote::StoreAccess::default(), &selector, &[1, 2], 2, |_| Ok(())).unwrap(), [1, 1]);
}
