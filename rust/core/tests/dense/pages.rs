//! Pages made by hand: lists cut anywhere between pages of version 1, runs of every kind, and damage.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{Array, ListArray};
use arrow_schema::{DataType, Field};
use bytes::Bytes;
use parquet::basic::{Encoding, Repetition, Type as Physical};
use parquet::column::page::Page;
use parquet::schema::types::{ColumnDescriptor, ColumnPath, Type};
use proptest::prelude::*;
use shardline_core::decode::dense::{DenseColumn, Read};

use crate::columns::mix;
use crate::hostile::Pages;

/// Writes numbers as runs whose kinds and lengths are random.
fn hybrid(numbers: &[u32], width: usize, seed: u64) -> Vec<u8> {
    let (mut out, mut at, mut step) = (vec![], 0, 0);
    while at < numbers.len() {
        step += 1;
        let same = numbers[at..].iter().take_while(|number| **number == numbers[at]).count();
        let packed = mix(seed ^ step).is_multiple_of(2) || same < 3;
        if packed {
            let groups = (1 + mix(seed ^ step << 8) as usize % 90).min((numbers.len() - at).div_ceil(8));
            varint((groups as u64) << 1 | 1, &mut out);
            let start = out.len();
            out.resize(start + groups * width, 0);
            for (i, number) in numbers[at..].iter().take(groups * 8).enumerate() {
                for bit in (0..width).filter(|bit| number >> bit & 1 == 1) {
                    out[start + (i * width + bit) / 8] |= 1 << ((i * width + bit) % 8);
                }
            }
            at = (at + groups * 8).min(numbers.len());
        } else {
            let len = 1 + mix(seed ^ step << 8) as usize % same;
            varint((len as u64) << 1, &mut out);
            out.extend(&numbers[at].to_le_bytes()[..width.div_ceil(8)]);
            at += len;
        }
    }
    out
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number > 127 {
        out.push(number as u8 | 128);
        number >>= 7;
    }
    out.push(number as u8);
}

const DISTINCT: u32 = 300;

fn value(index: u32) -> i32 {
    mix(u64::from(index)) as i32
}

/// An optional list of optional int32, in pages that each end after one of `cuts` slots.
fn pages_of(lists: &[Vec<u32>], cuts: &[usize], v2: bool, seed: u64) -> Vec<Page> {
    let mut slots: Vec<(u32, u32, Option<u32>)> = vec![]; // repetition, definition, index
    for list in lists {
        if list.is_empty() {
            slots.push((0, 1, None));
        }
        slots.extend(list.iter().enumerate().map(|(i, index)| (u32::from(i > 0), 3, Some(*index))));
    }
    let dictionary = (0..DISTINCT).flat_map(|index| value(index).to_le_bytes()).collect::<Vec<u8>>();
    let mut pages = vec![Page::DictionaryPage {
        buf: dictionary.into(),
        num_values: DISTINCT,
        encoding: Encoding::PLAIN,
        is_sorted: false,
    }];
    let (mut rest, mut cuts) = (&slots[..], cuts.iter().cycle());
    while !rest.is_empty() {
        let mut cut = (*cuts.next().unwrap()).min(rest.len());
        while v2 && cut < rest.len() && rest[cut].0 != 0 {
            cut += 1;
        }
        let (page, after) = rest.split_at(cut);
        rest = after;
        pages.push(page_of(page, v2, mix(seed ^ pages.len() as u64)));
    }
    pages
}

fn page_of(slots: &[(u32, u32, Option<u32>)], v2: bool, seed: u64) -> Page {
    let rep = hybrid(&slots.iter().map(|slot| slot.0).collect::<Vec<_>>(), 1, seed);
    let def = hybrid(&slots.iter().map(|slot| slot.1).collect::<Vec<_>>(), 2, seed ^ 1);
    let indices: Vec<u32> = slots.iter().filter_map(|slot| slot.2).collect();
    let (encoding, values) = if seed.is_multiple_of(3) {
        (Encoding::PLAIN, indices.iter().flat_map(|index| value(*index).to_le_bytes()).collect())
    } else {
        let width = 9 + seed % 24;
        let mut bytes = vec![width as u8];
        bytes.extend(hybrid(&indices, width as usize, seed ^ 2));
        (Encoding::RLE_DICTIONARY, bytes)
    };
    let num_values = slots.len() as u32;
    if v2 {
        return Page::DataPageV2 {
            num_rows: slots.iter().filter(|slot| slot.0 == 0).count() as u32,
            num_nulls: num_values - indices.len() as u32,
            def_levels_byte_len: def.len() as u32,
            rep_levels_byte_len: rep.len() as u32,
            buf: [rep, def, values].concat().into(),
            num_values,
            encoding,
            is_compressed: false,
            statistics: None,
        };
    }
    let length = |bytes: &[u8]| (bytes.len() as u32).to_le_bytes().to_vec();
    Page::DataPage {
        buf: [length(&rep), rep, length(&def), def, values].concat().into(),
        num_values,
        encoding,
        def_level_encoding: Encoding::RLE,
        rep_level_encoding: Encoding::RLE,
        statistics: None,
    }
}

fn column(pages: Vec<Page>) -> DenseColumn {
    let leaf = Type::primitive_type_builder("element", Physical::INT32).with_repetition(Repetition::OPTIONAL);
    let leaf = Arc::new(leaf.build().unwrap());
    let descr = ColumnDescriptor::new(leaf, 3, 1, ColumnPath::from("x.list.element"));
    let field = Field::new("x", DataType::new_list(DataType::Int32, true), true);
    let slots: u64 = pages.iter().filter(|page| page.is_data_page()).map(|page| u64::from(page.num_values())).sum();
    DenseColumn::try_new(Box::new(Pages(pages.into_iter())), &descr, &field).unwrap().with_num_values(slots)
}

fn lists() -> impl Strategy<Value = Vec<Vec<u32>>> {
    let index = prop_oneof![Just(7_u32), 0..DISTINCT];
    let long = (prop::collection::vec(index, 1..60), 1_usize..40)
        .prop_map(|(list, times)| list.iter().flat_map(|index| std::iter::repeat_n(*index, times)).collect());
    let short = prop::collection::vec(0..DISTINCT, 0..4);
    prop::collection::vec(prop_oneof![3 => short, 1 => long], 1..60)
}

fn steps() -> impl Strategy<Value = Vec<(bool, usize)>> {
    prop::collection::vec((any::<bool>(), 1_usize..30), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lists_go_on_over_any_number_of_pages(
        lists in lists(), cuts in prop::collection::vec(1_usize..300, 1..9), v2: bool, seed: u64, steps in steps(),
    ) {
        let mut column = column(pages_of(&lists, &cuts, v2, seed));
        let mut row = 0;
        for (skip, rows) in steps.iter().cycle() {
            let rows = (*rows).min(lists.len() - row);
            if *skip {
                column.skip(rows).unwrap();
            } else {
                let Read::Array(array) = column.read(rows).unwrap() else { panic!("dense at row {row}") };
                let expected = lists[row..row + rows].iter().map(|list| Some(list.iter().map(|i| Some(value(*i)))));
                let expected = ListArray::from_iter_primitive::<Int32Type, _, _>(expected);
                array.to_data().validate_full().unwrap();
                let same = array.as_any().downcast_ref::<ListArray>().unwrap().iter().eq(expected.iter());
                prop_assert!(same, "rows {row} to {}", row + rows);
            }
            row += rows;
            if row == lists.len() {
                break;
            }
        }
        prop_assert!(column.read(1).is_err());
    }

    #[test]
    fn damaged_pages_give_errors_or_values_and_never_a_panic(
        lists in lists(), cuts in prop::collection::vec(1_usize..300, 1..9), v2: bool, seed: u64, steps in steps(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_u8..8, any::<u32>()), 1..6),
    ) {
        let mut pages = pages_of(&lists, &cuts, v2, seed);
        for (page, at, kind, random) in damage {
            let at_page = page.index(pages.len());
            harm(&mut pages[at_page], at.index(1 << 16), kind, random);
        }
        let mut column = column(pages);
        for (skip, rows) in steps.iter().cycle().take(40) {
            let done = if *skip { column.skip(*rows).is_ok() } else {
                match column.read(*rows) {
                    Ok(Read::Array(array)) => array.len() == *rows && array.to_data().validate_full().is_ok(),
                    Ok(Read::NotDense) => break,
                    Err(_) => false,
                }
            };
            if !done {
                break;
            }
        }
    }
}

/// Changes one thing in a page: a bit, a byte, its length, or a number of its header.
fn harm(page: &mut Page, at: usize, kind: u8, random: u32) {
    let few = random % 5000;
    match page {
        Page::DataPage { buf, num_values, .. } => match kind {
            0 => *num_values = few,
            _ => harm_bytes(buf, at, kind, random),
        },
        Page::DataPageV2 { buf, num_values, num_rows, def_levels_byte_len, rep_levels_byte_len, .. } => match kind {
            0 => *num_values = few,
            1 => *num_rows = few % 50,
            2 => *def_levels_byte_len = few % 64,
            3 => *rep_levels_byte_len = random,
            _ => harm_bytes(buf, at, kind, random),
        },
        Page::DictionaryPage { buf, num_values, .. } => match kind {
            0 => *num_values = few,
            1 => *num_values = random,
            _ => harm_bytes(buf, at, kind, random),
        },
    }
}

fn harm_bytes(buf: &mut Bytes, at: usize, kind: u8, random: u32) {
    let mut bytes = buf.to_vec();
    if !bytes.is_empty() {
        let at = if kind.is_multiple_of(2) { at % bytes.len() } else { at % bytes.len().min(16) };
        match kind {
            7 => bytes.truncate(at),
            1..4 => bytes[at] ^= 1 << (random % 8),
            _ => bytes[at] = random as u8,
        }
    }
    *buf = bytes.into();
}

/// An optional flat int32 column of these data pages.
fn flat(pages: Vec<Page>) -> DenseColumn {
    let leaf = Type::primitive_type_builder("x", Physical::INT32).with_repetition(Repetition::OPTIONAL);
    let descr = ColumnDescriptor::new(Arc::new(leaf.build().unwrap()), 1, 0, ColumnPath::from("x"));
    let field = Field::new("x", DataType::Int32, true);
    DenseColumn::try_new(Box::new(Pages(pages.into_iter())), &descr, &field).unwrap()
}

fn flat_page(num_values: u32, encoding: Encoding, def_level_encoding: Encoding, bytes: &'static [u8]) -> Page {
    Page::DataPage {
        buf: Bytes::from_static(bytes),
        num_values,
        encoding,
        def_level_encoding,
        rep_level_encoding: Encoding::RLE,
        statistics: None,
    }
}

#[test]
fn a_page_of_a_few_bytes_cannot_ask_for_gigabytes() {
    // Levels: 2^32 - 1 times 1. Indices of 0 bits: as many zeros.
    let bytes = b"\x06\0\0\0\xfe\xff\xff\xff\x1f\x01\x00\xfe\xff\xff\xff\x1f";
    let page = || flat_page(u32::MAX, Encoding::RLE_DICTIONARY, Encoding::RLE, bytes);
    let dictionary = || Page::DictionaryPage {
        buf: Bytes::from_static(&[7; 4]),
        num_values: 1,
        encoding: Encoding::PLAIN,
        is_sorted: false,
    };
    let Ok(Read::Array(array)) = flat(vec![dictionary(), page()]).read(5) else { panic!("it is well formed") };
    assert_eq!(array.len(), 5);
    let error = flat(vec![dictionary(), page()]).with_num_values(1000).read(5).unwrap_err();
    assert_eq!(error.to_string(), "the pages hold more values than the chunk");
    assert!(flat(vec![dictionary(), page()]).read(usize::MAX).is_err());
}

#[test]
#[expect(deprecated)]
fn levels_in_the_encoding_of_old_are_skipped_but_not_read() {
    let old = || flat_page(2, Encoding::PLAIN, Encoding::BIT_PACKED, b"\xc0\x01\0\0\0\x02\0\0\0");
    let new = || flat_page(1, Encoding::PLAIN, Encoding::RLE, b"\x02\0\0\0\x02\x01\x03\0\0\0");
    assert!(matches!(flat(vec![old(), new()]).read(1), Ok(Read::NotDense)));
    let mut column = flat(vec![old(), new()]);
    column.skip(2).unwrap();
    let Ok(Read::Array(array)) = column.read(1) else { panic!("dense again") };
    assert_eq!(array.to_data().buffers()[0].typed_data::<i32>(), [3]);
}

#[test]
fn a_page_of_a_few_bytes_cannot_claim_two_billion_lists() {
    // Repetition: 2^31 - 1 times 0. Definition: as many empty lists.
    let bytes = b"\x06\0\0\0\xfe\xff\xff\xff\x0f\x00\x06\0\0\0\xfe\xff\xff\xff\x0f\x01";
    let page = flat_page(i32::MAX as u32, Encoding::PLAIN, Encoding::RLE, bytes);
    assert!(matches!(column(vec![page]).read(1), Ok(Read::NotDense)));
}

#[test]
fn an_empty_page_hides_no_list_that_begins_nowhere() {
    let inside = || page_of(&[(1, 3, Some(1)), (1, 3, Some(2)), (0, 3, Some(3)), (1, 3, Some(4))], false, 0);
    for pages in [vec![inside()], vec![page_of(&[], false, 0), inside()]] {
        assert!(matches!(column(pages).read(1), Ok(Read::NotDense)));
    }
}

#[test]
fn rows_that_are_passed_over_are_as_many_as_rows_that_are_read() {
    let page = || Page::DataPageV2 {
        buf: Bytes::from_static(b"\x28\x01"),
        num_values: 20,
        encoding: Encoding::PLAIN,
        num_nulls: 20,
        num_rows: 10,
        def_levels_byte_len: 2,
        rep_levels_byte_len: 0,
        is_compressed: false,
        statistics: None,
    };
    assert!(flat(vec![page()]).read(10).is_err());
    assert!(flat(vec![page()]).skip(10).is_err());
}
