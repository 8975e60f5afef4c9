//! A column to deliver, made of one source or of several.

use std::sync::Arc;

use super::convert::{ArrayLayout, Node, OutputKey, Role};
use super::pack::Pack;
use super::source_column::{self, Delivered, SourceColumn, VirtualColumn, source};
use super::spec::{ColumnSpec, ProjectionSpec};
use super::{Nulls, Number};
use crate::{Error, Result};

/// One column to deliver: of one source, or several sources of one number as a matrix (n, k).
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Where its values come from.
    pub sources: Vec<SourceColumn>,
    /// Whether it is a matrix.
    pub is_matrix: bool,
    /// The keys of a batch that it fills, by their full names: one array each.
    pub keys: Vec<OutputKey>,
    /// How its lists are packed into sequences, if they are.
    pub pack: Option<Arc<Pack>>,
}

impl Column {
    /// The bytes of a row of it, decoded; None where rows differ.
    pub fn width(&self) -> Option<u64> {
        self.sources.iter().map(SourceColumn::width).sum()
    }

    /// How many arrays it is decoded as: one a source, and of packed sequences one in all.
    pub(crate) fn num_decoded(&self) -> usize {
        if self.pack.is_some() { 1 } else { self.sources.len() }
    }

    /// The names of the top-level columns of the files that it is read from.
    pub fn roots(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().filter(|source| source.virtual_column.is_none()).map(|source| source.path.root.as_str())
    }
}

/// One column as it is, under `key`.
pub(super) fn single(
    key: &str,
    delivered: &Delivered<'_>,
    name: &str,
    asked: &ProjectionSpec,
    group: Option<&ColumnSpec>,
) -> Result<Column> {
    let spec = match (asked.specs.get(name), group) {
        (Some(spec), _) => spec.clone(),
        (None, Some(group)) => group.clone(),
        (None, None) => asked.of(name, None),
    };
    let source = source(delivered, name, asked, &spec)?;
    let keys =
        source.conversion.keys().iter().map(|made| OutputKey { name: format!("{key}{}", made.name), ..made.clone() });
    Ok(Column { name: key.to_owned(), keys: keys.collect(), sources: vec![source], is_matrix: false, pack: None })
}

/// Where each row comes from: its file, and its number there.
pub(super) fn row_id(asked: &ProjectionSpec) -> Result<[Column; 2]> {
    let column = |name: &str, of| {
        let source = source_column::row_id(name, of, asked)?;
        let named = |made: &OutputKey| OutputKey { name: format!("{name}{}", made.name), ..made.clone() };
        let keys = source.conversion.keys().iter().map(named).collect();
        Ok::<_, Error>(Column { name: name.to_owned(), keys, sources: vec![source], is_matrix: false, pack: None })
    };
    Ok([column("row_id__file", VirtualColumn::File)?, column("row_id__row", VirtualColumn::Row)?])
}

/// Several columns of one number each, beside one another.
pub(super) fn matrix(
    key: &str,
    delivered: &Delivered<'_>,
    members: &[String],
    asked: &ProjectionSpec,
    group: Option<&ColumnSpec>,
) -> Result<Column> {
    if members.is_empty() {
        return Err(Error::Argument(format!("groups: {key:?} has no columns")));
    }
    let tensors = ProjectionSpec { tensors: true, ..asked.clone() };
    let mut sources = Vec::with_capacity(members.len());
    let mut number: Option<(Number, &str)> = None;
    for name in members {
        let mut spec = match (asked.specs.get(name), group) {
            (Some(spec), _) => spec.clone(),
            (None, Some(group)) => ColumnSpec { asked: Vec::new(), ..group.clone() },
            (None, None) => asked.of(name, None),
        };
        let masks = group.is_some_and(|group| group.nulls == Some(Nulls::Mask));
        if spec.nulls == Some(Nulls::Mask) && !masks {
            return Err(Error::Argument(format!(
                "column {name:?} stands in the matrix {key:?}, which has one mask or none: give nulls=\"mask\" to {key:?}"
            )));
        }
        // A matrix has no nulls, of Arrow data neither; those of ids have an id.
        let refused = if spec.encode.is_some() { None } else { Some(Nulls::Error) };
        spec.nulls = if masks { Some(Nulls::Mask) } else { spec.nulls.filter(|n| *n != Nulls::Keep).or(refused) };
        let source = source(delivered, name, &tensors, &spec)?;
        let found = source.conversion.number().ok_or_else(|| {
            Error::Unsupported(format!(
                "column {name:?} is {}, which has no place in the matrix {key:?}: its columns are one number a row",
                source.field.data_type()
            ))
        })?;
        match number {
            Some((number, first)) if number != found => {
                return Err(Error::Argument(format!(
                    "the matrix {key:?} is of one dtype, and column {first:?} is {} where {name:?} is {}: cast them by \
                     column_options={{{key:?}: ColumnOptions(dtype=…)}}",
                    number.name(),
                    found.name()
                )));
            }
            _ => number = number.or(Some((found, name))),
        }
        sources.push(source);
    }
    let node = |number| Node::Array(if asked.tensors { ArrayLayout::Dense(number) } else { ArrayLayout::Arrow });
    let number = number.map_or(Number::F32, |(number, _)| number);
    let mut keys = vec![OutputKey { name: key.to_owned(), role: Role::Value, node: node(number) }];
    if let Some(group) = group.filter(|group| group.nulls == Some(Nulls::Mask)) {
        let name = format!("{key}{}", group.mask_suffix);
        keys.push(OutputKey { name, role: Role::Mask, node: node(Number::Bool) });
    }
    Ok(Column { name: key.to_owned(), keys, sources, is_matrix: true, pack: None })
}
