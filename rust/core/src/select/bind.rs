//! A filter bound to the columns of a plan.

use std::sync::Arc;

use arrow_array::new_empty_array;
use arrow_schema::DataType;

use super::comparable::{ComparableKind, comparable_kind};
use super::evaluate;
use super::key_subset::{KeySubset, can_be_key};
use super::predicate::{Condition, FilterOp, Literal, Predicate, Test};
use crate::decode::{Column, Projection, ProjectionSpec, TextPolicy};
use crate::files::Plan;
use crate::{Error, Result};

impl Predicate {
    /// Its columns in a plan, as they are read.
    ///
    /// # Errors
    /// A column that is not there, or of a type that the condition on it is not for.
    pub(super) fn columns(&self, plan: &Plan) -> Result<Arc<[Column]>> {
        let asked = ProjectionSpec { columns: Some(self.names.clone()), ..ProjectionSpec::default() };
        let projection = Projection::new(plan, &asked)?;
        for step in &self.steps {
            let FilterOp::Test(Condition { column, test }) = step else { continue };
            let data_type = projection.columns()[*column].sources[0].field.data_type();
            let other = match test {
                Test::EqualColumn(other) | Test::LessColumn(other) => {
                    projection.columns()[*other].sources[0].field.data_type()
                }
                _ => data_type,
            };
            if !fits(test, data_type) || plain_type(data_type) != plain_type(other) {
                return Err(Error::Unsupported(format!(
                    "filters compare column {:?}, which is {data_type}, with what it cannot be compared with",
                    self.names[*column]
                )));
            }
        }
        for &column in self.subset.iter().flat_map(KeySubset::columns) {
            let data_type = projection.columns()[column].sources[0].field.data_type();
            if !can_be_key(data_type) {
                return Err(Error::Unsupported(format!(
                    "subset_by: column {:?} is {data_type}, and a key is made of numbers, texts, bytes, dates and times; \
                     give other columns",
                    self.names[column]
                )));
            }
        }
        if let Some(evaluator) = &self.evaluator {
            let none = projection.sources().map(|source| new_empty_array(source.field.data_type())).collect::<Vec<_>>();
            evaluate::asked(evaluator.as_ref(), &self.names, &none, 0).map_err(Error::Unsupported)?;
        }
        let mut columns = projection.columns().to_vec();
        if self.evaluator.is_none() {
            // Texts are compared as bytes, whether they are UTF-8 or not.
            let sources = columns.iter_mut().flat_map(|column| &mut column.sources);
            sources.for_each(|source| source.texts.fill(TextPolicy::Bytes));
        }
        Ok(columns.into())
    }
}

fn plain_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => values,
        other => other,
    }
}

fn fits(test: &Test, data_type: &DataType) -> bool {
    let comparable_kind = comparable_kind(data_type);
    let takes = |literal: &Literal| {
        matches!(
            (literal, comparable_kind),
            (Literal::Int(_), Some(ComparableKind::Int | ComparableKind::Wide))
                | (Literal::Float(_), Some(ComparableKind::Int | ComparableKind::Wide | ComparableKind::Float))
                | (Literal::Bytes(_), Some(ComparableKind::Bytes))
        )
    };
    match test {
        Test::Equal(literal)
        | Test::Less(literal)
        | Test::LessEqual(literal)
        | Test::Greater(literal)
        | Test::GreaterEqual(literal) => takes(literal),
        Test::In { values, .. } => values.iter().all(takes),
        Test::EqualColumn(_) | Test::LessColumn(_) => comparable_kind.is_some(),
        Test::Nan | Test::Null { nan: true } => comparable_kind == Some(ComparableKind::Float),
        Test::Null { nan: false } | Test::Always(_) => true,
    }
}
