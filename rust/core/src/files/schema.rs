//! The schema of all files, and what is wrong with columns in which they differ.
//!
//! Columns may stand in another order. Columns that only later files have are not delivered, as with other readers of
//! many files: nothing asked for them. Nullability and metadata may differ. Where it is asked for, files may differ in
//! more ([`SchemaMerge`]). A column in which they differ otherwise is marked ([`super::refusal`]), and refused where it
//! is read.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};

use super::refusal::{Refusal, RefusalKind, has_zero_byte, refusal_of, refuse};
use super::widen::{same_type, wider};

/// In what files may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SchemaMerge {
    /// The columns of all files are delivered, and not those of the first file only.
    pub columns_of_all: bool,
    /// A file may lack a column, whose values are then null.
    pub missing_as_null: bool,
    /// A column has a type that holds its values of all files.
    pub widen: bool,
}

impl SchemaMerge {
    /// Whether the schema is that of all files, and not of the first.
    pub fn is_any(self) -> bool {
        self.columns_of_all || self.missing_as_null || self.widen
    }
}

/// The schema of the first file, with a mark on columns that cannot be read; the same one where there is none.
pub(super) fn reference(path: &str, schema: &SchemaRef) -> SchemaRef {
    let mut counts: HashMap<&str, usize> = HashMap::with_capacity(schema.fields().len());
    schema.fields().iter().for_each(|field| *counts.entry(field.name().as_str()).or_default() += 1);
    let mut is_marked = false;
    let marked: Vec<FieldRef> = schema
        .fields()
        .iter()
        .map(|field| {
            let is_twice = counts.get(field.name().as_str()).is_some_and(|&count| count > 1);
            own_refusal(path, field, is_twice).map_or_else(
                || Arc::clone(field),
                |refusal| {
                    is_marked = true;
                    refuse(field, &refusal)
                },
            )
        })
        .collect();
    if is_marked { Arc::new(Schema::new(marked)) } else { Arc::clone(schema) }
}

/// What is wrong with a file's column whatever other files have.
pub(super) fn own_refusal(path: &str, field: &Field, is_twice: bool) -> Option<Refusal> {
    let of = |what: String, cure: &str| Refusal {
        kind: RefusalKind::Schema,
        path: path.to_owned(),
        what,
        cure: format!("{cure}, or leave the column out (columns=[…])"),
    };
    let name = field.name();
    if let Some(refusal) = refusal_of(field) {
        return Some(Refusal { path: path.to_owned(), ..refusal });
    }
    if has_zero_byte(field) {
        let what = format!("column {name:?} has a zero byte in its name or a field's, which cannot be passed on");
        return Some(of(what, "rename it"));
    }
    is_twice.then(|| of(format!("column {name:?} is there twice, and columns are known by name"), "rename one of them"))
}

/// Whether a file has every column of the reference with its type, and nothing else has to be said of these.
pub(super) fn fits(reference: &Schema, schema: &Schema) -> bool {
    // Longer ones may have a name twice.
    reference.fields().len() == schema.fields().len()
        && reference.fields().iter().zip(schema.fields()).all(|(known, found)| {
            known.name() == found.name()
                && (refusal_of(known).is_some()
                    || (refusal_of(found).is_none() && same_type(known.data_type(), found.data_type())))
        })
}

/// Takes the schema of the file at `path` into that of the files before it, from the one at `first` on; `origins` has,
/// for each column, the file that brought its type.
pub(super) fn merge(
    merged: &mut Vec<FieldRef>,
    origins: &mut Vec<String>,
    first: &str,
    path: &str,
    schema: &Schema,
    schema_merge: SchemaMerge,
) {
    let mut by_name: HashMap<&str, (&FieldRef, bool)> = HashMap::with_capacity(schema.fields().len());
    for field in schema.fields() {
        by_name.entry(field.name()).and_modify(|(_, is_twice)| *is_twice = true).or_insert((field, false));
    }
    for (known, origin) in merged.iter_mut().zip(origins.iter_mut()) {
        if refusal_of(known).is_some_and(|refusal| refusal.kind != RefusalKind::Fields) {
            continue;
        }
        let Some((found, is_twice)) = by_name.get(known.name().as_str()) else {
            if !schema_merge.missing_as_null {
                *known = refuse(known, &missing(origin, known, path));
            }
            continue;
        };
        if let Some(refusal) = own_refusal(path, found, *is_twice) {
            *known = refuse(known, &refusal);
            continue;
        }
        if same_type(known.data_type(), found.data_type()) {
            continue;
        }
        let wide = if schema_merge.widen { wider(known.data_type(), found.data_type()) } else { None };
        match wide {
            Some(wide) => {
                if !same_type(known.data_type(), &wide) {
                    path.clone_into(origin);
                }
                *known = Arc::new(known.as_ref().clone().with_data_type(wide));
            }
            None => *known = differing(origin, known, path, found),
        }
    }
    if schema_merge.columns_of_all {
        let known: HashSet<String> = merged.iter().map(|field| field.name().clone()).collect();
        for field in schema.fields().iter().filter(|field| !known.contains(field.name())) {
            let is_twice = by_name.get(field.name().as_str()).is_some_and(|(_, is_twice)| *is_twice);
            let refusal = own_refusal(path, field, is_twice)
                .or_else(|| (!schema_merge.missing_as_null).then(|| missing(path, field, first)));
            merged.push(refusal.map_or_else(|| Arc::clone(field), |refusal| refuse(field, &refusal)));
            origins.push(path.to_owned());
        }
    }
}

fn missing(first: &str, wanted: &Field, path: &str) -> Refusal {
    Refusal {
        kind: RefusalKind::Schema,
        path: path.to_owned(),
        what: format!("column {:?} ({}) is missing, and {first} has it", wanted.name(), wanted.data_type()),
        cure:
            "write the file again with it, leave the file or the column out, or take missing_columns=\"null\", which \
               fills it with nulls"
                .to_owned(),
    }
}

/// The known column with a mark that the file at `path` has another type of it; of structs, also on the fields in
/// which they differ, so that the others can be read.
fn differing(first: &str, known: &FieldRef, path: &str, found: &Field) -> FieldRef {
    let (known_type, found_type) = (known.data_type(), found.data_type());
    let cure = if other_fields(known_type, found_type) {
        "missing_columns=\"null\" and widen_types=True are for whole columns, not for fields of a struct: write the file \
         again with the same fields in the same order, leave it out, or read the fields that all files have \
         (columns=[\"column.field\"])"
    } else if wider(known_type, found_type).is_some() {
        "cast one of them, leave the file or the column out, or take widen_types=True"
    } else {
        "cast one of them, or leave the file or the column out"
    };
    let of = |name: &str, what: String, kind| Refusal {
        kind,
        path: path.to_owned(),
        what: format!("column {name:?} {what} in the first file that has it, {first}"),
        cure: cure.to_owned(),
    };
    mark(known.name(), known, Some(found), &of)
}

type Reason<'a> = dyn Fn(&str, String, RefusalKind) -> Refusal + 'a;

fn mark(name: &str, known: &FieldRef, found: Option<&Field>, of: &Reason<'_>) -> FieldRef {
    let Some(found) = found else {
        return refuse(known, &of(name, format!("is missing here and is {}", known.data_type()), RefusalKind::Schema));
    };
    let what = format!("is {} here and {}", found.data_type(), known.data_type());
    let Some((inner, others)) = struct_fields(known.data_type()).zip(struct_fields(found.data_type())) else {
        return refuse(known, &of(name, what, RefusalKind::Schema));
    };
    let fields = inner.iter().map(|field| {
        let other = others.iter().find(|other| other.name() == field.name());
        let is_same = other.is_some_and(|other| same_type(field.data_type(), other.data_type()));
        if is_same || refusal_of(field).is_some_and(|refusal| refusal.kind != RefusalKind::Fields) {
            return Arc::clone(field);
        }
        mark(&format!("{name}.{}", field.name()), field, other.map(AsRef::as_ref), of)
    });
    let marked = with_struct_fields(known.data_type(), fields.collect());
    let refusal = refusal_of(known).unwrap_or_else(|| of(name, what, RefusalKind::Fields));
    refuse(&known.as_ref().clone().with_data_type(marked), &refusal)
}

/// The fields of a struct, or of the structs in a list.
fn struct_fields(data_type: &DataType) -> Option<&[FieldRef]> {
    match data_type {
        DataType::Struct(fields) => Some(fields),
        DataType::List(child) | DataType::LargeList(child) => struct_fields(child.data_type()),
        _ => None,
    }
}

fn with_struct_fields(data_type: &DataType, fields: Vec<FieldRef>) -> DataType {
    let within = |child: &FieldRef, fields| {
        Arc::new(child.as_ref().clone().with_data_type(with_struct_fields(child.data_type(), fields)))
    };
    match data_type {
        DataType::List(child) => DataType::List(within(child, fields)),
        DataType::LargeList(child) => DataType::LargeList(within(child, fields)),
        _ => DataType::Struct(fields.into()),
    }
}

/// Whether a struct, at any depth of both, has other fields or has them in another order.
fn other_fields(a: &DataType, b: &DataType) -> bool {
    let child = |a: &Field, b: &Field| other_fields(a.data_type(), b.data_type());
    match (a, b) {
        (DataType::Struct(a), DataType::Struct(b)) => {
            a.len() != b.len() || a.iter().zip(b).any(|(a, b)| a.name() != b.name() || child(a, b))
        }
        (
            DataType::List(a) | DataType::LargeList(a) | DataType::FixedSizeList(a, _),
            DataType::List(b) | DataType::LargeList(b) | DataType::FixedSizeList(b, _),
        )
        | (DataType::Map(a, _), DataType::Map(b, _)) => child(a, b),
        _ => false,
    }
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
