use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use proptest::prelude::*;

use super::*;
use crate::files::plan::tests::{any_plan, parts, plan};
use crate::files::sections::put_section;
use crate::files::{SelectedRows, TokenLine};

/// The bytes with other ones before their checksum, which fits again.
fn mended(bytes: &[u8], more: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = bytes[..bytes.len().saturating_sub(CHECKSUM)].to_vec();
    more(&mut bytes);
    let checksum = xxh3_64(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The message with which bytes are refused.
fn refused(bytes: &[u8]) -> String {
    match Plan::from_bytes(bytes) {
        Err(Error::State(message)) => message,
        other => panic!("{other:?}"),
    }
}

/// Plans with all that a plan may have beside its footers, or without.
fn any_full_plan() -> impl Strategy<Value = Plan> {
    (any_plan(), any::<[bool; 5]>()).prop_map(|(mut plan, with)| {
        let [with_tags, with_passing, with_partitions, with_tokens, with_bundles] = with;
        if with_tags {
            plan = plan.clone().with_tags(plan.files().map(|file| format!("tag of {}", file.name)).collect()).unwrap();
        }
        if with_passing {
            let counts = plan.group_rows().iter().map(|rows| rows / 3).collect();
            plan = plan.with_passing(SelectedRows { rule: "x > 1".to_owned(), counts }).unwrap();
        }
        if with_partitions {
            let field = Field::new("year", DataType::Utf8, true);
            let values: ArrayRef = Arc::new(StringArray::from_iter(plan.files().map(|file| Some(file.name))));
            let values = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![values]).unwrap();
            plan = plan.with_partitions(values).unwrap();
        }
        if with_tokens {
            let tokens = plan.group_rows().iter().map(|rows| rows % 1000 * 7).collect();
            let mut line = TokenLine::new("a pack".to_owned(), 64, 4, tokens).unwrap();
            if with_bundles {
                let bundles = bundles(&plan, line.tokens(), 64);
                let counts = bundles.iter().map(|bundle| bundle.groups.len() as u64 * 3).collect();
                line = line.with_bundles(bundles, counts).unwrap();
            }
            plan = plan.with_token_line(line).unwrap();
        }
        plan
    })
}

#[test]
fn bytes_of_other_kinds_and_versions() {
    let bytes = plan(&[("a", &[1])]).to_bytes();
    assert!(refused(b"").contains("not one"));
    assert!(refused(b"garbage").contains("not one"));
    for version in [1, 3] {
        let mut other = bytes.clone();
        other[6] = version;
        let message = refused(&other);
        assert!(message.contains(&format!("version {version}, and this shardline reads version 2")), "{message}");
    }
}

#[test]
fn bytes_that_are_cut_off_anywhere_are_refused() {
    let bytes = plan(&[("a", &[1, 2]), ("b", &[3])]).to_bytes();
    for length in MAGIC.len()..bytes.len() {
        assert!(refused(&bytes[..length]).contains("truncated"), "{length}");
        if length > MAGIC.len() + CHECKSUM {
            assert!(Plan::from_bytes(&mended(&bytes[..length], |_| {})).is_err(), "{length}");
        }
    }
}

#[test]
fn a_section_that_is_not_known_is_refused_only_if_it_is_needed() {
    let plan = plan(&[("a", &[1, 2]), ("b", &[3])]);
    let with = |name: &str, version, is_needed| {
        mended(&plan.to_bytes(), |bytes| put_section(bytes, name, version, is_needed, b"anything"))
    };
    assert_eq!(Plan::from_bytes(&with("sketches", 1, false)).unwrap(), plan);
    assert_eq!(Plan::from_bytes(&with("tags", 2, false)).unwrap(), plan);
    assert!(
        refused(&with("deletes", 1, true)).contains("\"deletes\" in version 1, which this shardline does not know")
    );
    assert!(refused(&with("passing rows", 2, true)).contains("\"passing rows\" in version 2"));
}

#[test]
fn sections_that_are_damaged_missing_or_there_twice_are_refused() {
    let plan = plan(&[("a", &[1, 2]), ("b", &[3])]);
    let series = [2, 2, 2];
    let bytes = plan.to_bytes();
    let twice = mended(&bytes, |bytes| put_section(bytes, "decoded bytes", 1, true, &series));
    assert!(refused(&twice).contains("damaged"));
    let mut lone = Vec::new();
    put_sections(&mut lone, &plan);
    let base = &bytes[..bytes.len() - CHECKSUM - lone.len()];
    for body in [&[][..], &series[..2], &[2, 2, 2, 2]] {
        let short = mended(&[base, &[0; CHECKSUM]].concat(), |bytes| {
            put_section(bytes, "decoded bytes", 1, true, body);
        });
        assert!(refused(&short).contains("damaged"), "{body:?}");
    }
    assert!(refused(&mended(&[base, &[0; CHECKSUM]].concat(), |_| {})).contains("damaged"));
    let tags = mended(&bytes, |bytes| put_section(bytes, "tags", 1, false, &[1, b'x']));
    assert!(refused(&tags).contains("damaged"));
}

#[test]
fn bytes_are_few() {
    let names: Vec<String> = (0..100).map(|i| format!("year=2024/part-{i:05}.snappy.parquet")).collect();
    let files: Vec<(&str, &[u64])> = names.iter().map(|name| (name.as_str(), &[125_000_u64; 10][..])).collect();
    let length = plan(&files).to_bytes().len();
    assert!(length < 7000, "{length} bytes for 100 files of 10 row groups");
}

#[test]
fn schemas_as_deep_as_files_may_have_survive() {
    let nested = |depth| {
        let list = |inner, _| DataType::List(Arc::new(Field::new("item", inner, true)));
        let group = |inner, _| DataType::Struct(vec![Field::new("in", inner, true)].into());
        let types = [(0..depth).fold(DataType::Int8, list), (0..depth).fold(DataType::Int8, group)];
        let mut parts = parts(&[]);
        parts.schema = Arc::new(Schema::new(types.map(|t| Field::new("x", t, true)).to_vec()));
        Plan::from_parts(parts).unwrap()
    };
    // A column at the bottom of 60 groups is the deepest that a footer may have.
    for depth in [1, 30, 59] {
        let plan = nested(depth);
        assert_eq!(Plan::from_bytes(&plan.to_bytes()).unwrap(), plan);
    }
}

proptest! {
    #[test]
    fn bytes_round_trip(plan in any_full_plan()) {
        let bytes = plan.to_bytes();
        let read = Plan::from_bytes(&bytes).unwrap();
        prop_assert_eq!(&read, &plan);
        prop_assert_eq!(read.to_bytes(), bytes);
    }

    #[test]
    fn a_flipped_bit_is_noticed(plan in any_full_plan(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut bytes = plan.to_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(matches!(Plan::from_bytes(&bytes), Err(Error::State(message)) if message.starts_with("a saved plan")));
    }

    #[test]
    fn mutated_bytes_never_panic(
        plan in any_full_plan(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..6),
        with_checksum in any::<bool>(),
    ) {
        let original = plan.to_bytes();
        let mut bytes = original.clone();
        for (at, byte, what) in edits {
            let at = at.index(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => bytes.truncate(at.max(1)),
            }
        }
        if with_checksum && bytes.len() > CHECKSUM {
            // So that what is behind it is tried too.
            let _ = Plan::from_bytes(&mended(&bytes, |_| {}));
        } else {
            prop_assert!(bytes == original || matches!(Plan::from_bytes(&bytes), Err(Error::State(_))));
        }
    }
}
