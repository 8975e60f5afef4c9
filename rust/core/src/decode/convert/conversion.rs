//! The conversion of a column, as it was resolved from its type and its specification.

use std::sync::{Arc, OnceLock};

use arrow_array::{Array, ArrayRef};

use super::arrays::bundle;
use super::location::{Policies, RowLocation, ValueLocation};
use super::operation::Op;
use super::output::{ArrayLayout, Node, OutputKey};
use crate::Result;
use crate::decode::Number;
use crate::decode::vocabulary::Vocabulary;

/// The conversion of a column.
#[derive(Debug, Clone)]
pub struct Conversion {
    pub(super) op: Op,
    /// The keys of its arrays, one each.
    pub(super) keys: Vec<OutputKey>,
    /// By path, the vocabularies that are to be set before anything is read.
    pub(super) vocabularies: Vec<(String, Arc<OnceLock<Vocabulary>>)>,
}

impl Conversion {
    /// The keys that it delivers: the name of each follows the column's.
    pub fn keys(&self) -> &[OutputKey] {
        &self.keys
    }

    /// The vocabularies that the values of a column, or of a field in it, are to give: by path.
    pub fn vocabularies(&self) -> &[(String, Arc<OnceLock<Vocabulary>>)] {
        &self.vocabularies
    }

    /// The number that it is one of a row, if it is.
    pub(crate) fn number(&self) -> Option<Number> {
        match self.keys.first() {
            Some(OutputKey { node: Node::Array(ArrayLayout::Dense(number)), .. })
                if matches!(self.op, Op::Numbers(_) | Op::Ids(_)) =>
            {
                Some(*number)
            }
            _ => None,
        }
    }

    /// The policies that its nulls could have, for messages.
    pub(crate) fn policies(&self) -> Policies {
        self.op.policies()
    }

    /// Checks and converts decoded rows: to one array a key, several as the fields of a struct array.
    ///
    /// # Errors
    /// Values that cannot be converted, each with its file, column and row.
    pub fn apply(&self, array: &ArrayRef, from: RowLocation<'_>) -> Result<ArrayRef> {
        let arrays = self.op.run(array, None, &ValueLocation { from, row: &|row| row, policies: self.policies() })?;
        bundle(arrays, array.len())
    }
}
