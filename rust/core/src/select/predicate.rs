//! A filter as a tree of conditions on columns, in postfix notation.

use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch};

use super::key_subset::KeySubset;
use crate::{Error, Result};

/// A value that columns are compared with, in the column's own unit.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// Of integers, bools, dates, times, and decimals (unscaled).
    Int(i128),
    /// Of floats; and of integers and decimals, which are then compared as floats.
    Float(f64),
    /// Of texts and bytes.
    Bytes(Vec<u8>),
}

/// A test of a column's value. For a null it is neither true nor false, except where noted.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// `=`
    Equal(Literal),
    /// `<`
    Less(Literal),
    /// `<=`
    LessEqual(Literal),
    /// `>`, which is not the opposite of `<=` where there are NaNs.
    Greater(Literal),
    /// `>=`
    GreaterEqual(Literal),
    /// One of these. A null is in it if `null`, and else is not: it is never unknown, as in pyarrow.
    In {
        /// The values, all of one kind.
        values: Vec<Literal>,
        /// Whether a null is one of them.
        null: bool,
    },
    /// `=` another column's value, of the same type.
    EqualColumn(usize),
    /// `<` another column's value, of the same type.
    LessColumn(usize),
    /// A null; with `nan`, a NaN too. Never unknown.
    Null {
        /// Whether a NaN counts.
        nan: bool,
    },
    /// A NaN.
    Nan,
    /// True or false, whatever the value.
    Always(bool),
}

/// A test of one column, by its number.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// Of the predicate's columns.
    pub column: usize,
    /// The test.
    pub test: Test,
}

/// An operation of a filter in postfix notation.
#[derive(Debug, Clone, PartialEq)]
pub enum FilterOp {
    /// A condition.
    Test(Condition),
    /// True or false for every row.
    Constant(Option<bool>),
    /// Something that is not known yet: true, false or null.
    Unknown,
    /// Of the two steps before, Kleene's and.
    And,
    /// Of the two steps before, Kleene's or.
    Or,
    /// Of the step before.
    Not,
}

/// Evaluates a whole filter, one operation of which cannot be evaluated here.
pub trait Evaluator: std::fmt::Debug + Send + Sync {
    /// Which rows the filter is true of; the columns are the predicate's, of at most
    /// [`FILTER_BLOCK_ROWS`](super::FILTER_BLOCK_ROWS) rows.
    ///
    /// # Errors
    /// What it could not do, in words.
    fn passing(&self, columns: &RecordBatch) -> std::result::Result<BooleanArray, String>;
}

/// A filter, well-formed, over columns that are known by name.
#[derive(Debug, Clone)]
pub struct Predicate {
    pub(super) names: Vec<String>,
    pub(super) steps: Vec<FilterOp>,
    pub(super) evaluator: Option<Arc<dyn Evaluator>>,
    pub(super) subset: Option<KeySubset>,
}

impl Predicate {
    /// A filter of these steps, whose conditions count columns by their place in `names`.
    ///
    /// # Errors
    /// Steps that are no tree, columns that are not named.
    pub fn new(names: Vec<String>, steps: Vec<FilterOp>) -> Result<Self> {
        let mut depth = 0_usize;
        let bad = || Error::internal("the steps of a filter make no tree");
        for step in &steps {
            let taken = match step {
                FilterOp::And | FilterOp::Or => 2,
                FilterOp::Not => 1,
                _ => 0,
            };
            depth = depth.checked_sub(taken).ok_or_else(bad)? + 1;
            if let FilterOp::Test(Condition { column, test }) = step {
                let other = match test {
                    Test::EqualColumn(other) | Test::LessColumn(other) => *other,
                    _ => *column,
                };
                if (*column).max(other) >= names.len() {
                    return Err(bad());
                }
            }
        }
        if depth == 1 { Ok(Self { names, steps, evaluator: None, subset: None }) } else { Err(bad()) }
    }

    /// The same, evaluated by another: then its steps serve only to leave out what none of, or all of which passes.
    #[must_use]
    pub fn evaluated_by(self, evaluator: Arc<dyn Evaluator>) -> Self {
        Self { evaluator: Some(evaluator), ..self }
    }

    /// The same, of rows whose keys in these columns have fractions from `low` up to `high`.
    ///
    /// # Errors
    /// As [`KeySubset::new`].
    pub fn within(mut self, key: Vec<String>, low: f64, high: f64, seed: u64) -> Result<Self> {
        let mut columns = Vec::with_capacity(key.len());
        for name in key {
            columns.push(self.names.iter().position(|known| *known == name).unwrap_or(self.names.len()));
            if columns.last() == Some(&self.names.len()) {
                self.names.push(name);
            }
        }
        self.subset = Some(KeySubset::new(columns, low, high, seed)?);
        Ok(self)
    }

    /// The names of its columns.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}
