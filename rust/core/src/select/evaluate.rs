//! A filter evaluated over arrays, by three-valued logic: true, false or null for each row.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_buffer::BooleanBuffer;
use arrow_schema::{Field, Schema};

use super::comparable::{Comparable, comparable, plain};
use super::predicate::{Condition, Evaluator, FilterOp, Literal, Predicate, Test};
use crate::{Error, Result};

/// Kleene's three values, a bit a row.
#[derive(Debug, Clone)]
struct Truth {
    yes: BooleanBuffer,
    no: BooleanBuffer,
}

impl Truth {
    /// Of known values, where they are not null.
    fn of(values: BooleanBuffer, array: &dyn Array) -> Self {
        match array.logical_nulls() {
            None => Self { no: !&values, yes: values },
            Some(nulls) => Self { yes: &values & nulls.inner(), no: &!&values & nulls.inner() },
        }
    }

    fn known(yes: BooleanBuffer) -> Self {
        Self { no: !&yes, yes }
    }

    fn constant(value: Option<bool>, rows: usize) -> Self {
        let all = |set: bool| if set { BooleanBuffer::new_set(rows) } else { BooleanBuffer::new_unset(rows) };
        Self { yes: all(value == Some(true)), no: all(value == Some(false)) }
    }
}

/// The rows that pass by another's evaluation; what it could not do, in words.
pub(super) fn asked(
    evaluator: &dyn Evaluator,
    names: &[String],
    arrays: &[ArrayRef],
    rows: usize,
) -> std::result::Result<BooleanBuffer, String> {
    let arrays = arrays.iter().map(plain).collect::<Result<Vec<_>>>().map_err(|error| error.to_string())?;
    let fields: Vec<Field> =
        names.iter().zip(&arrays).map(|(name, array)| Field::new(name, array.data_type().clone(), true)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options);
    let found = evaluator.passing(&batch.map_err(|error| error.to_string())?)?;
    if found.len() != rows {
        return Err(format!("{} values came of {rows} rows", found.len()));
    }
    Ok(Truth::of(found.values().clone(), &found).yes)
}

/// The rows that pass, of `rows` rows; `arrays`: the predicate's columns.
pub(super) fn evaluate(predicate: &Predicate, arrays: &[ArrayRef], rows: usize) -> Result<BooleanBuffer> {
    let arrays = arrays.iter().map(plain).collect::<Result<Vec<_>>>()?;
    let mut stack: Vec<Truth> = Vec::new();
    let empty = || Error::internal("the steps of a filter make no tree");
    for step in &predicate.steps {
        let truth = match step {
            FilterOp::Test(condition) => test(condition, &arrays)?,
            FilterOp::Constant(value) => Truth::constant(*value, rows),
            FilterOp::Unknown => return Err(Error::internal("a part of the filter is not known")),
            FilterOp::Not => {
                let Truth { yes, no } = stack.pop().ok_or_else(empty)?;
                Truth { yes: no, no: yes }
            }
            FilterOp::And | FilterOp::Or => {
                let (b, a) = (stack.pop().ok_or_else(empty)?, stack.pop().ok_or_else(empty)?);
                if matches!(step, FilterOp::And) {
                    Truth { yes: &a.yes & &b.yes, no: &a.no | &b.no }
                } else {
                    Truth { yes: &a.yes | &b.yes, no: &a.no & &b.no }
                }
            }
        };
        stack.push(truth);
    }
    Ok(stack.pop().ok_or_else(empty)?.yes)
}

fn test(condition: &Condition, arrays: &[ArrayRef]) -> Result<Truth> {
    let array = &arrays[condition.column];
    Ok(match &condition.test {
        Test::Equal(literal) => Truth::of(compare(array, literal, |a, b| a == b, |a, b| a == b)?, array),
        Test::Less(literal) => Truth::of(compare(array, literal, |a, b| a < b, |a, b| a < b)?, array),
        Test::LessEqual(literal) => Truth::of(compare(array, literal, |a, b| a <= b, |a, b| a <= b)?, array),
        Test::Greater(literal) => Truth::of(compare(array, literal, |a, b| a > b, |a, b| a > b)?, array),
        Test::GreaterEqual(literal) => Truth::of(compare(array, literal, |a, b| a >= b, |a, b| a >= b)?, array),
        Test::In { values, null } => {
            let found = contained(array, values)?;
            let nulls = array.logical_nulls();
            Truth::known(match (nulls, null) {
                (None, _) => found,
                (Some(nulls), true) => &found | &!nulls.inner(),
                (Some(nulls), false) => &found & nulls.inner(),
            })
        }
        Test::EqualColumn(other) => columns(array, &arrays[*other], |a, b| a == b, |a, b| a == b)?,
        Test::LessColumn(other) => columns(array, &arrays[*other], |a, b| a < b, |a, b| a < b)?,
        Test::Null { nan } => {
            let mut yes = array.logical_nulls().map_or(BooleanBuffer::new_unset(array.len()), |nulls| !nulls.inner());
            if *nan && let Comparable::Float(values) = comparable(array)? {
                yes = &yes | &BooleanBuffer::collect_bool(values.len(), |row| values[row].is_nan());
            }
            Truth::known(yes)
        }
        Test::Nan => {
            let values = comparable(array)?.floats(array.data_type())?;
            Truth::of(BooleanBuffer::collect_bool(values.len(), |row| values[row].is_nan()), array)
        }
        Test::Always(value) => {
            let all = if *value { BooleanBuffer::new_set } else { BooleanBuffer::new_unset };
            Truth::of(all(array.len()), array)
        }
    })
}

/// Compares every value, a float as IEEE 754 does: a NaN with nothing, and the zeros as equal.
fn compare(
    array: &ArrayRef,
    literal: &Literal,
    floats: impl Fn(f64, f64) -> bool,
    others: impl Fn(&Ordered, &Ordered) -> bool,
) -> Result<BooleanBuffer> {
    let rows = array.len();
    Ok(match (comparable(array)?, literal) {
        (values, Literal::Float(literal)) => {
            let values = values.floats(array.data_type())?;
            BooleanBuffer::collect_bool(rows, |row| floats(values[row], *literal))
        }
        (Comparable::Int(values), Literal::Int(literal)) if i64::try_from(*literal).is_ok() => {
            let literal = Ordered::Int(*literal as i64);
            BooleanBuffer::collect_bool(rows, |row| others(&Ordered::Int(values[row]), &literal))
        }
        (Comparable::Bytes(values), Literal::Bytes(literal)) => {
            let literal = Ordered::Bytes(literal);
            BooleanBuffer::collect_bool(rows, |row| others(&Ordered::Bytes(values[row]), &literal))
        }
        (values, Literal::Int(literal)) => {
            let values = values.wide()?;
            let literal = Ordered::Wide(*literal);
            BooleanBuffer::collect_bool(rows, |row| others(&Ordered::Wide(values[row]), &literal))
        }
        _ => return Err(Error::internal("texts and numbers are not compared")),
    })
}

/// Two values of one kind.
#[derive(Debug, PartialEq, PartialOrd)]
enum Ordered<'a> {
    Int(i64),
    Wide(i128),
    Bytes(&'a [u8]),
}

fn columns(
    left: &ArrayRef,
    right: &ArrayRef,
    floats: impl Fn(f64, f64) -> bool,
    others: impl Fn(&Ordered, &Ordered) -> bool,
) -> Result<Truth> {
    let rows = left.len();
    let values = match (comparable(left)?, comparable(right)?) {
        (Comparable::Float(a), Comparable::Float(b)) => BooleanBuffer::collect_bool(rows, |row| floats(a[row], b[row])),
        (Comparable::Bytes(a), Comparable::Bytes(b)) => {
            BooleanBuffer::collect_bool(rows, |row| others(&Ordered::Bytes(a[row]), &Ordered::Bytes(b[row])))
        }
        (Comparable::Int(a), Comparable::Int(b)) => {
            BooleanBuffer::collect_bool(rows, |row| others(&Ordered::Int(a[row]), &Ordered::Int(b[row])))
        }
        (a, b) => {
            let (a, b) = (a.wide()?, b.wide()?);
            BooleanBuffer::collect_bool(rows, |row| others(&Ordered::Wide(a[row]), &Ordered::Wide(b[row])))
        }
    };
    let Truth { yes, no } = Truth::of(values, left);
    Ok(match right.logical_nulls() {
        None => Truth { yes, no },
        Some(nulls) => Truth { yes: &yes & nulls.inner(), no: &no & nulls.inner() },
    })
}

/// Equal floats have equal bits after this; here a NaN equals a NaN, as in pyarrow's `is_in`.
pub(super) fn float_bits(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { (value + 0.0).to_bits() }
}

fn contained(array: &ArrayRef, literals: &[Literal]) -> Result<BooleanBuffer> {
    fn among<T: Eq + Hash>(set: &HashSet<T>, rows: usize, of: impl Fn(usize) -> T) -> BooleanBuffer {
        BooleanBuffer::collect_bool(rows, |row| set.contains(&of(row)))
    }
    let rows = array.len();
    let Some(first) = literals.first() else { return Ok(BooleanBuffer::new_unset(rows)) };
    let values = comparable(array)?;
    Ok(match first {
        Literal::Float(_) => {
            let values = values.floats(array.data_type())?;
            let set =
                literals.iter().filter_map(|l| if let Literal::Float(v) = l { Some(float_bits(*v)) } else { None });
            among(&set.collect(), rows, |row| float_bits(values[row]))
        }
        Literal::Int(_) => {
            let values = values.wide()?;
            let set = literals.iter().filter_map(|l| if let Literal::Int(v) = l { Some(*v) } else { None });
            among(&set.collect(), rows, |row| values[row])
        }
        Literal::Bytes(_) => {
            let Comparable::Bytes(values) = values else { return Err(Error::internal("numbers are no texts")) };
            let set: HashSet<&[u8]> = literals
                .iter()
                .filter_map(|l| if let Literal::Bytes(v) = l { Some(v.as_slice()) } else { None })
                .collect();
            BooleanBuffer::collect_bool(rows, |row| set.contains(values[row]))
        }
    })
}
