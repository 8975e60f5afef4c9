//! The path of a field in a column: its leaves in a file, its type, and its values.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, GenericListArray, OffsetSizeTrait, make_array};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field};

use crate::files::readable_schema::fields_in;
use crate::files::refusal::{Refusal, RefusalKind, refusal_of};
use crate::{Error, Result};

/// A step into a column.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PathSegment {
    /// A field of a struct.
    Field(String),
    /// The items of a list.
    Items,
}

/// The way from a top-level column to what is read of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The top-level column.
    pub root: String,
    steps: Vec<PathSegment>,
}

impl Path {
    /// A column as a whole.
    pub fn whole(root: &str) -> Self {
        Self { root: root.to_owned(), steps: Vec::new() }
    }

    /// What `name` names: a column, or else a field in one, as `user.age` or (by Parquet's own names)
    /// `items.list.element.price`; `items.price` says the same. A column's own name may have dots.
    pub fn find<'a>(column: impl Fn(&str) -> Option<&'a Field>, name: &str) -> Option<Self> {
        if column(name).is_some() {
            return Some(Self::whole(name));
        }
        for (end, _) in name.rmatch_indices('.') {
            let (root, rest) = (&name[..end], &name[end + 1..]);
            if let Some(steps) = column(root).and_then(|field| steps(field.data_type(), rest)) {
                return Some(Self { root: root.to_owned(), steps });
            }
        }
        None
    }

    /// Whether it is a column as a whole.
    pub fn is_whole(&self) -> bool {
        self.steps.is_empty()
    }

    /// The leaves of what is read, counted among those of its root, and its type.
    ///
    /// # Errors
    /// A file whose column is of another kind.
    pub(crate) fn resolve(&self, root: &DataType) -> Result<(Range<usize>, DataType)> {
        let (start, data_type) = leaf_of(root, &self.steps)
            .ok_or_else(|| Error::internal(format!("column {:?} has not the fields that were planned", self.root)))?;
        let count = if self.is_whole() { leaves(root) } else { leaves(innermost(&data_type, &self.steps)) };
        Ok((start..start + count, data_type))
    }

    /// Whether a file's column has what it leads to.
    pub(crate) fn is_in(&self, root: &DataType) -> bool {
        leaf_of(root, &self.steps).is_some()
    }

    /// Whether it leads through lists.
    pub(crate) fn has_items(&self) -> bool {
        self.steps.contains(&PathSegment::Items)
    }

    /// Why what is read cannot be, if it cannot; `root`: its column.
    pub(crate) fn refusal(&self, root: &Field) -> Option<Refusal> {
        refused(root, &self.steps)
    }

    /// Its values out of those of its root, of which no more than its leaves were read.
    pub(crate) fn take(&self, array: ArrayRef) -> Result<ArrayRef> {
        taken(array, &self.steps)
    }
}

/// The steps that a path means in a type.
fn steps(data_type: &DataType, path: &str) -> Option<Vec<PathSegment>> {
    match data_type {
        DataType::Struct(fields) => {
            for field in fields {
                if field.name() == path {
                    return Some(vec![PathSegment::Field(path.to_owned())]);
                }
                let rest = path.strip_prefix(field.name().as_str()).and_then(|rest| rest.strip_prefix('.'));
                if let Some(mut more) = rest.and_then(|rest| steps(field.data_type(), rest)) {
                    more.insert(0, PathSegment::Field(field.name().clone()));
                    return Some(more);
                }
            }
            None
        }
        DataType::List(child) | DataType::LargeList(child) => {
            let own = [format!("list.{}", child.name()), "list.element".into(), "list.item".into()];
            let mut rests = own.iter().filter_map(|own| path.strip_prefix(own.as_str())?.strip_prefix('.'));
            let rest = rests.next().unwrap_or(path);
            let mut more = steps(child.data_type(), rest)?;
            more.insert(0, PathSegment::Items);
            Some(more)
        }
        _ => None,
    }
}

/// Why the field that the steps lead to cannot be read: the reason of the first that has no others inside.
fn refused(field: &Field, path: &[PathSegment]) -> Option<Refusal> {
    let own = refusal_of(field);
    if own.as_ref().is_some_and(|refusal| refusal.kind != RefusalKind::Fields) {
        return own;
    }
    let Some((step, rest)) = path.split_first() else { return own };
    match (step, field.data_type()) {
        (PathSegment::Field(name), DataType::Struct(fields)) => {
            fields.iter().find(|field| field.name() == name).and_then(|field| refused(field, rest))
        }
        (PathSegment::Items, DataType::List(child) | DataType::LargeList(child)) => refused(child, rest),
        _ => own,
    }
}

/// The first leaf under the steps, and the type of what is there.
fn leaf_of(data_type: &DataType, steps: &[PathSegment]) -> Option<(usize, DataType)> {
    let Some((step, rest)) = steps.split_first() else { return Some((0, data_type.clone())) };
    match (step, data_type) {
        (PathSegment::Field(name), DataType::Struct(fields)) => {
            let at = fields.iter().position(|field| field.name() == name)?;
            let before: usize = fields[..at].iter().map(|field| leaves(field.data_type())).sum();
            let (start, found) = leaf_of(fields[at].data_type(), rest)?;
            Some((before + start, found))
        }
        (PathSegment::Items, DataType::List(child) | DataType::LargeList(child)) => {
            let (start, found) = leaf_of(child.data_type(), rest)?;
            let child = Arc::new(Field::new("item", found, true));
            let list =
                if matches!(data_type, DataType::List(_)) { DataType::List(child) } else { DataType::LargeList(child) };
            Some((start, list))
        }
        _ => None,
    }
}

/// What the lists of the steps hold in the end.
fn innermost<'a>(data_type: &'a DataType, steps: &[PathSegment]) -> &'a DataType {
    match data_type {
        DataType::List(child) | DataType::LargeList(child) if steps.contains(&PathSegment::Items) => {
            let at = steps.iter().position(|step| *step == PathSegment::Items).unwrap_or(0);
            innermost(child.data_type(), &steps[at + 1..])
        }
        other => other,
    }
}

/// The Parquet leaves of a type.
fn leaves(data_type: &DataType) -> usize {
    match fields_in(data_type) {
        [] => usize::from(!matches!(data_type, DataType::Struct(_))),
        fields => fields.iter().map(|field| leaves(field.data_type())).sum(),
    }
}

fn taken(array: ArrayRef, steps: &[PathSegment]) -> Result<ArrayRef> {
    let Some((step, rest)) = steps.split_first() else { return Ok(array) };
    match (step, array.data_type()) {
        (PathSegment::Field(name), DataType::Struct(_)) => {
            let outer = array.as_struct();
            let child = outer.column_by_name(name).ok_or_else(|| Error::internal(format!("no field {name:?}")))?;
            let child = match outer.nulls() {
                None => child.clone(),
                Some(_) if *child.data_type() == DataType::Null => child.clone(),
                Some(nulls) => {
                    let both = NullBuffer::union(Some(nulls), child.nulls());
                    let data = child.to_data().into_builder().nulls(both).build();
                    make_array(data?)
                }
            };
            taken(child, rest)
        }
        (PathSegment::Items, DataType::List(_)) => items::<i32>(array.as_list(), rest),
        (PathSegment::Items, DataType::LargeList(_)) => items::<i64>(array.as_list(), rest),
        (_, other) => Err(Error::internal(format!("a field of {other}"))),
    }
}

fn items<O: OffsetSizeTrait>(lists: &GenericListArray<O>, rest: &[PathSegment]) -> Result<ArrayRef> {
    let values = taken(lists.values().clone(), rest)?;
    let field = Arc::new(Field::new("item", values.data_type().clone(), true));
    GenericListArray::<O>::try_new(field, lists.offsets().clone(), values, lists.nulls().cloned())
        .map(|lists| Arc::new(lists) as ArrayRef)
        .map_err(Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_schema::{Fields, Schema};

    fn schema() -> Schema {
        let price = Field::new("price", DataType::Float32, true);
        let item = Fields::from(vec![Field::new("name", DataType::Utf8, true), price]);
        let user = Fields::from(vec![Field::new("id", DataType::Int64, true), Field::new("age", DataType::Int8, true)]);
        Schema::new(vec![
            Field::new("a.b", DataType::Int8, true),
            Field::new("user", DataType::Struct(user), true),
            Field::new("items", DataType::List(Arc::new(Field::new("element", DataType::Struct(item), true))), true),
        ])
    }

    fn find(schema: &Schema, name: &str) -> Option<Path> {
        Path::find(|column| schema.field_with_name(column).ok(), name)
    }

    #[test]
    fn names_are_found_whole_first() {
        let schema = schema();
        assert!(find(&schema, "a.b").unwrap().is_whole());
        assert!(find(&schema, "user").unwrap().is_whole());
        assert_eq!(find(&schema, "user.name"), None);
        assert_eq!(find(&schema, "a.b.c"), None);
        let age = find(&schema, "user.age").unwrap();
        assert_eq!(age.resolve(schema.field(1).data_type()).unwrap(), (1..2, DataType::Int8));
        for name in ["items.list.element.price", "items.list.item.price", "items.price"] {
            let price = find(&schema, name).unwrap();
            let (leaves, data_type) = price.resolve(schema.field(2).data_type()).unwrap();
            assert_eq!(leaves, 1..2, "{name}");
            assert_eq!(data_type, DataType::List(Arc::new(Field::new("item", DataType::Float32, true))));
        }
        assert_eq!(find(&schema, "items.list.element"), None);
    }
}
