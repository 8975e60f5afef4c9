use std::{fs, path::Path};

use arrow_array::{ArrayRef, Int32Array, ListArray, StringArray, types::Int32Type};
use proptest::prelude::*;

use super::*;
use crate::files::decoded_bytes::DecodedSizes;
use crate::files::tests::write;

/// A file with flat, text and list columns in several row groups.
fn sample() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let lists = (0..9).map(|i| Some(vec![Some(i); 3]));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("x", Arc::new(Int32Array::from_iter_values(0..9))),
        ("s", Arc::new(StringArray::from_iter_values((0..9).map(|i| i.to_string())))),
        ("l", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists))),
    ];
    write(&path, columns, 4);
    fs::read(path).unwrap()
}

fn footer_of(file: &[u8]) -> Vec<u8> {
    let end = file.len() - 8;
    let length = u32::from_le_bytes(*file[end..].first_chunk().unwrap()) as usize;
    file[end - length..end].to_vec()
}

fn read_bytes(bytes: &[u8]) -> Result<Footer> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    read(file.path().to_str().unwrap())
}

/// That the error is about the file's content and says all these words.
fn says(bytes: &[u8], words: &[&str]) {
    match read_bytes(bytes) {
        Err(Error::Corrupt { detail, .. }) => assert!(words.iter().all(|w| detail.contains(w)), "{detail}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_good_file() {
    let bytes = sample();
    let footer = read_bytes(&bytes).unwrap();
    assert_eq!(footer.size, bytes.len() as u64);
    assert_eq!(footer.hash, xxh3_64(&footer_of(&bytes)));
    assert_eq!(footer.metadata.num_row_groups(), 3);
    assert_eq!(footer.schema.field(0).name(), "x");
}

#[test]
fn files_that_are_not_parquet() {
    says(b"", &["empty"]);
    says(b"PAR1", &["not a Parquet file", "4 bytes"]);
    says(b"hello, this is a text", &["not a Parquet file"]);
    says(b"PAR15678PAR1", &["truncated or corrupt"]);
    let mut encrypted = sample();
    let at = encrypted.len() - 1;
    encrypted[at] = b'E';
    says(&encrypted, &["encrypted"]);
    assert!(matches!(read("/no/such/file"), Err(Error::NotFound { .. })));
    assert!(matches!(read("/"), Err(Error::Corrupt { .. })));
    assert!(matches!(read("/dev/null"), Err(Error::Corrupt { .. })));
}

#[test]
fn truncated_anywhere() {
    let bytes = sample();
    for length in 12..bytes.len() {
        says(&bytes[..length], &["truncated"]);
    }
    says(&bytes[100..], &["corrupt", "does not begin"]);
}

#[test]
fn a_footer_larger_than_the_first_guess() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wide.parquet");
    let names: Vec<String> = (0..2000).map(|i| format!("a_column_with_a_long_name_{i}")).collect();
    let column: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    write(&path, names.iter().map(|n| (n.as_str(), Arc::clone(&column))).collect(), 10);
    let bytes = fs::read(&path).unwrap();
    assert!(footer_of(&bytes).len() > GUESS);
    let footer = read(path.to_str().unwrap()).unwrap();
    assert_eq!(footer.hash, xxh3_64(&footer_of(&bytes)));
    assert_eq!(footer.schema.fields().len(), 2000);
}

#[test]
fn counts_and_offsets_are_checked() {
    let bytes = sample();
    let footer = footer_of(&bytes);
    assert!(parse("f", &footer, bytes.len() as u64).is_ok());
    let small = parse("f", &footer, footer.len() as u64 + 20).unwrap_err().to_string();
    assert!(small.contains("do not lie in the file"), "{small}");
    assert!(parse("f", &footer, 10).unwrap_err().to_string().contains("larger than the file"));
    assert!(parse("f", b"", 100).is_err());
    // num_rows is field 3, the first i64 of the file's own struct, after the schema; 9 rows are 18 in zigzag.
    let at = footer.windows(3).position(|w| w == [0x16, 18, 0x19]).unwrap();
    for (wrong, word) in [(16, "counts 8 rows, and its row groups 9"), (1, "counts -1 rows")] {
        let mut footer = footer.clone();
        footer[at + 1] = wrong;
        let error = parse("f", &footer, bytes.len() as u64).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn encrypted_columns_under_a_plain_footer() {
    let bytes = sample();
    let mut footer = footer_of(&bytes);
    // After field 7, the column orders: field 8, a union whose first member is an empty struct.
    assert_eq!(footer.pop(), Some(0));
    footer.extend([0x1c, 0x1c, 0, 0, 0]);
    let error = parse("f", &footer, bytes.len() as u64 + 4).unwrap_err().to_string();
    assert!(error.contains("columns are encrypted"), "{error}");
}

/// Whatever a parsed footer says can be used without a check.
fn usable(footer: &Footer) {
    let groups = footer.metadata.row_groups();
    let rows: i64 = groups.iter().map(RowGroupMetaData::num_rows).sum();
    assert_eq!(rows, footer.metadata.file_metadata().num_rows());
    for column in groups.iter().flat_map(RowGroupMetaData::columns) {
        let (start, length) = column.byte_range();
        assert!(start + length <= footer.size);
    }
    let sizes = DecodedSizes::new(&footer.schema);
    groups.iter().for_each(|group| assert!(sizes.row_group(group) < u64::MAX || group.num_rows() > 0));
}

#[test]
fn every_byte_flipped() {
    let bytes = sample();
    let footer = footer_of(&bytes);
    for at in 0..footer.len() {
        for flip in [0x01, 0x10, 0x80, 0xff] {
            let mut footer = footer.clone();
            footer[at] ^= flip;
            if let Ok(footer) = parse("f", &footer, bytes.len() as u64) {
                usable(&footer);
            }
        }
    }
}

proptest! {
    #[test]
    fn mutated_footers_never_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..8),
    ) {
        thread_local!(static SAMPLE: Vec<u8> = sample());
        let (mut footer, size) = SAMPLE.with(|file| (footer_of(file), file.len() as u64));
        for (at, byte, what) in edits {
            let at = at.index(footer.len());
            match what {
                0 => footer[at] = byte,
                1 => footer.insert(at, byte),
                _ => drop(footer.remove(at)),
            }
        }
        if let Ok(footer) = parse("f", &footer, size) {
            usable(&footer);
        }
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), size in any::<u64>()) {
        let _ = parse("f", &bytes, size);
        let _ = read_bytes(&[b"PAR1", &bytes[..], b"PAR1"].concat());
        prop_assert!(read(Path::new("/no/such").to_str().unwrap()).is_err());
    }
}
