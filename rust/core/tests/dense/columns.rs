//! Columns to be written and read: every type, nesting and nullability, with nulls and empty lists or without.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, BooleanArray, FixedSizeListArray, Int32Array, LargeListArray, ListArray, StringArray, StructArray,
    make_array,
};
use arrow_buffer::{Buffer, MutableBuffer, NullBuffer, OffsetBuffer};
use arrow_data::ArrayData;
use arrow_schema::{DataType, Field, FieldRef, TimeUnit};
use proptest::prelude::*;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Nesting {
    Flat,
    List,
    LargeList,
    Fixed,
}

impl Nesting {
    pub const ALL: [Self; 4] = [Self::Flat, Self::List, Self::LargeList, Self::Fixed];
}

/// A value's type, by its place in a list.
#[derive(Debug, Clone, Copy)]
pub struct Item(usize);

impl Item {
    pub const ALL: [Self; 19] = {
        let mut all = [Self(0); 19];
        let mut i = 0;
        while i < all.len() {
            all[i] = Self(i);
            i += 1;
        }
        all
    };

    pub fn data_type(self) -> DataType {
        use DataType as A;
        let types = [
            A::Int8,
            A::Int16,
            A::Int32,
            A::Int64,
            A::UInt8,
            A::UInt16,
            A::UInt32,
            A::UInt64,
            A::Float16,
            A::Float32,
            A::Float64,
            A::Date32,
            A::Time32(TimeUnit::Second),
            A::Time32(TimeUnit::Millisecond),
            A::Time64(TimeUnit::Nanosecond),
            A::Timestamp(TimeUnit::Second, None),
            A::Timestamp(TimeUnit::Microsecond, Some("Europe/Paris".into())),
            A::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
            A::Duration(TimeUnit::Millisecond),
        ];
        types[self.0].clone()
    }

    /// `len` values that are some of `distinct` bit patterns, NaNs among them; runs of `run` on the whole.
    fn array(self, len: usize, distinct: u64, run: u64, seed: u64, nulls: Option<NullBuffer>) -> ArrayRef {
        let size = self.data_type().primitive_width().unwrap();
        let mut bytes = MutableBuffer::new(len * size);
        for i in 0..len as u64 {
            let value = mix(mix(seed + i / run) % distinct);
            bytes.extend_from_slice(&value.to_le_bytes()[..size]);
        }
        let buffer = Buffer::from(bytes);
        let data = ArrayData::builder(self.data_type()).len(len).add_buffer(buffer).nulls(nulls).build().unwrap();
        make_array(data)
    }
}

/// A hash of a number.
pub fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[derive(Debug, Clone)]
pub struct Column {
    pub item: Item,
    pub nesting: Nesting,
    pub nullable: bool,
    pub item_nullable: bool,
    pub rows: usize,
    /// Lists are shorter than this; or as long as this, where they are fixed.
    pub length: usize,
    pub distinct: u64,
    pub run: u64,
    pub seed: u64,
    /// One in so many rows, items, lists; 0 for none.
    pub null_rows: u64,
    pub null_items: u64,
    pub empty_lists: u64,
}

pub fn column() -> impl Strategy<Value = Column> {
    let kind = (0..Item::ALL.len(), 0..4_usize, any::<bool>(), any::<bool>());
    let shape = (1_usize..1500, prop_oneof![1_usize..4, 1_usize..40], any::<u64>());
    let values = (prop_oneof![Just(1_u64), 2_u64..300, Just(u64::MAX)], prop_oneof![Just(1_u64), 1_u64..50]);
    let rare = || prop_oneof![6 => Just(0_u64), 1 => 1_u64..500];
    let lists = prop_oneof![2 => Just(0_u64), 1 => 1_u64..30];
    (kind, shape, values, (rare(), rare(), lists)).prop_map(|(kind, shape, values, rare)| Column {
        item: Item::ALL[kind.0],
        nesting: Nesting::ALL[kind.1],
        nullable: kind.2,
        item_nullable: kind.3,
        rows: shape.0,
        length: shape.1,
        distinct: values.0,
        run: values.1,
        seed: shape.2 >> 1,
        null_rows: if kind.2 { rare.0 } else { 0 },
        null_items: if kind.3 { rare.1 } else { 0 },
        empty_lists: rare.2,
    })
}

impl Column {
    pub fn dense(item: Item, nesting: Nesting, nullable: bool, rows: usize, length: usize) -> Self {
        Self {
            item,
            nesting,
            nullable,
            item_nullable: nullable,
            rows,
            length,
            distinct: 100,
            run: 1,
            seed: 1,
            null_rows: 0,
            null_items: 0,
            empty_lists: 0,
        }
    }

    fn nulls(&self, one_in: u64, len: usize, salt: u64) -> Option<NullBuffer> {
        (one_in > 0).then(|| (0..len as u64).map(|i| !mix(self.seed ^ salt ^ i).is_multiple_of(one_in)).collect())
    }

    fn lengths(&self) -> Vec<usize> {
        let nulls = self.nulls(self.null_rows, self.rows, 1);
        (0..self.rows)
            .map(|row| {
                let random = mix(self.seed ^ (row as u64) << 20);
                let null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
                let empty = self.empty_lists > 0 && random.is_multiple_of(self.empty_lists);
                if null || empty { 0 } else { 1 + (random >> 8) as usize % self.length }
            })
            .collect()
    }

    pub fn array(&self) -> ArrayRef {
        let rows_nulls = self.nulls(self.null_rows, self.rows, 1);
        let values = |len| {
            let nulls = self.nulls(self.null_items, len, 2);
            self.item.array(len, self.distinct, self.run, self.seed, nulls)
        };
        let field: FieldRef = Arc::new(Field::new("item", self.item.data_type(), self.item_nullable));
        match self.nesting {
            Nesting::Flat => self.item.array(self.rows, self.distinct, self.run, self.seed, rows_nulls),
            Nesting::List => {
                let offsets = OffsetBuffer::<i32>::from_lengths(self.lengths());
                let values = values(offsets.last() as usize);
                Arc::new(ListArray::new(field, offsets, values, rows_nulls))
            }
            Nesting::LargeList => {
                let offsets = OffsetBuffer::<i64>::from_lengths(self.lengths());
                let values = values(offsets.last() as usize);
                Arc::new(LargeListArray::new(field, offsets, values, rows_nulls))
            }
            Nesting::Fixed => {
                let values = values(self.rows * self.length);
                Arc::new(FixedSizeListArray::new(field, self.length as i32, values, rows_nulls))
            }
        }
    }
}

/// Whether anything in a column is null.
pub fn has_nulls(column: &dyn Array) -> bool {
    column.null_count() + column.to_data().child_data().iter().map(ArrayData::null_count).sum::<usize>() > 0
}

/// Columns that are not for the dense decoder.
pub fn others() -> Vec<ArrayRef> {
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)])]);
    let nested = Arc::new(Field::new_list_field(lists.data_type().clone(), true));
    let field = Arc::new(Field::new("a", DataType::Int32, true));
    vec![
        Arc::new(BooleanArray::from(vec![true, false])),
        Arc::new(StringArray::from(vec!["a", "b"])),
        Arc::new(StructArray::from(vec![(field, numbers)])),
        Arc::new(ListArray::new(nested, OffsetBuffer::from_lengths([1]), Arc::new(lists), None)),
    ]
}
