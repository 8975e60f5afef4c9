//! The rows whose key falls between two fractions: a split that keeps all rows of a user, a site or a family together.
//!
//! A key is the values of some columns. They are written in one canonical form, whatever type a file has for them, and
//! hashed; the hash is a fraction of 2⁶⁴. docs/order.md has the form.

use arrow_array::{Array, ArrayRef};
use arrow_buffer::BooleanBuffer;
use arrow_schema::{DataType, TimeUnit};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::comparable::{Comparable, comparable, comparable_kind, plain, scale};
use super::evaluate::float_bits;
use crate::order::fixed_fraction;
use crate::{Error, Result};

const NULL: u8 = 0;
const INTEGER: u8 = 1;
const FLOAT: u8 = 2;
const INSTANT: u8 = 3;
const TIME_OF_DAY: u8 = 4;
const DURATION: u8 = 5;
const BYTES: u8 = 6;

/// The rows whose keys have fractions from `low` up to `high`.
#[derive(Debug, Clone, PartialEq)]
pub struct KeySubset {
    /// The key's columns, numbered among the predicate's.
    columns: Vec<usize>,
    /// In units of 2⁻⁶⁴.
    low: u128,
    high: u128,
    seed: u64,
}

impl KeySubset {
    /// Of keys in these columns.
    ///
    /// # Errors
    /// Anything but 0 ≤ low < high ≤ 1; no column.
    pub fn new(columns: Vec<usize>, low: f64, high: f64, seed: u64) -> Result<Self> {
        if !(0.0 <= low && low < high && high <= 1.0) || columns.is_empty() {
            return Err(Error::internal("a subset of keys has columns, and fractions that go up from 0 to 1"));
        }
        Ok(Self { columns, low: fixed_fraction(low), high: fixed_fraction(high), seed })
    }

    /// The key's columns, numbered among the predicate's.
    pub(super) fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// Which of these rows are in it; `arrays`: the predicate's columns.
    pub(super) fn rows(&self, arrays: &[ArrayRef], rows: usize) -> Result<BooleanBuffer> {
        let keys = self.columns.iter().map(|&column| plain(&arrays[column])).collect::<Result<Vec<_>>>()?;
        let keys = keys.iter().map(Key::of).collect::<Result<Vec<_>>>()?;
        let mut form = Vec::new();
        Ok(BooleanBuffer::collect_bool(rows, |row| {
            form.clear();
            keys.iter().for_each(|key| key.write(row, &mut form));
            (self.low..self.high).contains(&u128::from(xxh3_64_with_seed(&form, self.seed)))
        }))
    }
}

/// Whether values of a type can be a key.
pub(super) fn can_be_key(data_type: &DataType) -> bool {
    comparable_kind(data_type).is_some()
}

/// A column of keys.
struct Key<'a> {
    array: &'a ArrayRef,
    values: Comparable<'a>,
    /// The kind of its integers, and what makes them integers or nanoseconds.
    tag: u8,
    factor: i128,
    /// Of decimals.
    scale: i8,
}

impl<'a> Key<'a> {
    fn of(array: &'a ArrayRef) -> Result<Self> {
        let unit = |unit: TimeUnit| match unit {
            TimeUnit::Second => 1_000_000_000,
            TimeUnit::Millisecond => 1_000_000,
            TimeUnit::Microsecond => 1_000,
            TimeUnit::Nanosecond => 1,
        };
        let (tag, factor) = match array.data_type() {
            DataType::Date32 => (INSTANT, 86_400_000_000_000),
            DataType::Date64 => (INSTANT, 1_000_000),
            DataType::Timestamp(of, _) => (INSTANT, unit(*of)),
            DataType::Time32(of) | DataType::Time64(of) => (TIME_OF_DAY, unit(*of)),
            DataType::Duration(of) => (DURATION, unit(*of)),
            _ => (INTEGER, 1),
        };
        let scale = scale(array.data_type()).unwrap_or(0);
        Ok(Self { array, values: comparable(array)?, tag, factor, scale })
    }

    fn write(&self, row: usize, form: &mut Vec<u8>) {
        if self.array.is_null(row) {
            return form.push(NULL);
        }
        match &self.values {
            Comparable::Int(values) => integer(self.tag, i128::from(values[row]) * self.factor, form),
            Comparable::Wide(values) => self.decimal(values[row], form),
            Comparable::Float(values) => float(values[row], form),
            Comparable::Bytes(values) => {
                form.push(BYTES);
                form.extend((values[row].len() as u64).to_le_bytes());
                form.extend(values[row]);
            }
        }
    }

    /// A decimal, or an integer that is wide: those without a fraction are integers.
    fn decimal(&self, unscaled: i128, form: &mut Vec<u8>) {
        let power = 10_i128.checked_pow(self.scale.unsigned_abs().into());
        let whole = match (power, self.scale) {
            (Some(power), 0..) => (unscaled % power == 0).then(|| unscaled / power),
            (Some(power), _) => unscaled.checked_mul(power),
            (None, _) => (unscaled == 0).then_some(0),
        };
        match whole {
            Some(value) => integer(INTEGER, value, form),
            None => float(unscaled as f64 / 10_f64.powi(self.scale.into()), form),
        }
    }
}

fn integer(tag: u8, value: i128, form: &mut Vec<u8>) {
    form.push(tag);
    form.extend(value.to_le_bytes());
}

/// A float without a fraction is an integer: pandas makes floats of integers that have nulls.
fn float(value: f64, form: &mut Vec<u8>) {
    if value.fract() == 0.0 && value.abs() < 2_f64.powi(64) {
        return integer(INTEGER, value as i128, form);
    }
    form.push(FLOAT);
    form.extend(float_bits(value).to_le_bytes());
}
