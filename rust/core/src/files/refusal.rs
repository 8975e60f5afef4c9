//! Columns that cannot be read, and why.
//!
//! A plan is made of all files, whatever their columns are. That a column's type is not supported, or that files differ
//! in it, is an error for whoever reads that column, and for nobody else: the reason is kept in the metadata of the
//! column's field, and so in every copy of the plan.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema};

use super::readable_schema::fields_in;
use crate::{Error, Result};

/// The key of the reason among a field's metadata.
const KEY: &str = "shardline.refused";
/// What separates the parts of a reason.
const SEPARATOR: char = '\u{1f}';
/// An error lists no more columns than this.
const MOST_LISTED: usize = 20;

/// Why a column cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Refusal {
    /// Of which kind it is.
    pub(crate) kind: RefusalKind,
    /// The file that shows it; empty where the plan does not know it yet.
    pub(crate) path: String,
    /// What is wrong with the column, which it names.
    pub(crate) what: String,
    /// What to do.
    pub(crate) cure: String,
}

/// The kinds of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RefusalKind {
    /// Its type, codec or encoding is not supported.
    Unsupported,
    /// Files differ in it, or it cannot be named.
    Schema,
    /// Files differ in some of its fields, which have reasons of their own.
    Fields,
}

impl Refusal {
    fn text(&self) -> String {
        let kind = match self.kind {
            RefusalKind::Unsupported => "unsupported",
            RefusalKind::Schema => "schema",
            RefusalKind::Fields => "fields",
        };
        [kind, &self.cure, &self.what, &self.path].join(&SEPARATOR.to_string())
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, SEPARATOR);
        let kind = match parts.next()? {
            "unsupported" => RefusalKind::Unsupported,
            "schema" => RefusalKind::Schema,
            "fields" => RefusalKind::Fields,
            _ => return None,
        };
        let (cure, what, path) = (parts.next()?.to_owned(), parts.next()?.to_owned(), parts.next()?.to_owned());
        Some(Self { kind, path, what, cure })
    }
}

/// The reason why a field cannot be read, if there is one.
pub(crate) fn refusal_of(field: &Field) -> Option<Refusal> {
    field.metadata().get(KEY).and_then(|text| Refusal::parse(text))
}

/// The field with a reason why it cannot be read.
pub(crate) fn refuse(field: &Field, refusal: &Refusal) -> FieldRef {
    let mut metadata = field.metadata().clone();
    metadata.insert(KEY.to_owned(), refusal.text());
    Arc::new(field.clone().with_metadata(metadata))
}

/// The field without a reason.
pub(crate) fn accepted(field: &Field) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.remove(KEY);
    field.clone().with_metadata(metadata)
}

/// A field that stands for a column of an unsupported type, with as many leaves as it has in the file.
pub(crate) fn unsupported(name: &str, leaves: usize, why: &str) -> FieldRef {
    let data_type = match leaves {
        1 => DataType::Null,
        _ => DataType::Struct((0..leaves).map(|leaf| Field::new(leaf.to_string(), DataType::Null, true)).collect()),
    };
    let refusal = Refusal {
        kind: RefusalKind::Unsupported,
        path: String::new(),
        what: format!("column {name:?} is not supported: {why}"),
        cure: "cast it, or leave the column out (columns=[…])".to_owned(),
    };
    refuse(&Field::new(name, data_type, true), &refusal)
}

/// The schema without the names that Python's Arrow cannot take: those with a zero byte, at any depth.
pub fn exportable(schema: &Schema) -> Schema {
    let fields = schema.fields().iter().filter(|field| !has_zero_byte(field));
    Schema::new(fields.cloned().collect::<Vec<_>>())
}

/// Whether a name in the field has a zero byte.
pub(crate) fn has_zero_byte(field: &Field) -> bool {
    field.name().contains('\0') || fields_in(field.data_type()).iter().any(|field| has_zero_byte(field))
}

/// Checks that these columns can be read.
///
/// # Errors
/// One that lists all that cannot.
pub(crate) fn check_readable(refusals: Vec<Refusal>) -> Result<()> {
    let Some(first) = refusals.first() else { return Ok(()) };
    let path = first.path.clone();
    let mut whats: Vec<String> = Vec::new();
    let mut cures: Vec<&str> = Vec::new();
    for refusal in refusals.iter().take(MOST_LISTED) {
        let elsewhere = if refusal.path == path { String::new() } else { format!("{}: ", refusal.path) };
        whats.push(format!("{elsewhere}{}", refusal.what));
        if !cures.contains(&refusal.cure.as_str()) {
            cures.push(&refusal.cure);
        }
    }
    if refusals.len() > MOST_LISTED {
        whats.push(format!("and {} columns more", refusals.len() - MOST_LISTED));
    }
    let detail = format!("{}; {}", whats.join("; "), cures.join("; "));
    if refusals.iter().all(|refusal| refusal.kind == RefusalKind::Unsupported) {
        return Err(Error::Unsupported(format!("{path}: {detail}")));
    }
    Err(Error::Schema { path, detail })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_read_back() {
        for kind in [RefusalKind::Unsupported, RefusalKind::Schema, RefusalKind::Fields] {
            let refusal = Refusal { kind, path: "/a\u{1f}b".into(), what: "w".into(), cure: "c".into() };
            let field = refuse(&Field::new("x", DataType::Int8, true), &refusal);
            assert_eq!(refusal_of(&field), Some(refusal));
        }
        assert_eq!(refusal_of(&Field::new("x", DataType::Int8, true)), None);
    }

    #[test]
    fn all_are_listed_with_each_cure_once() {
        let of = |what: &str, path: &str, cure: &str, kind| Refusal {
            kind,
            path: path.into(),
            what: what.into(),
            cure: cure.into(),
        };
        assert!(check_readable(Vec::new()).is_ok());
        let unsupported =
            vec![of("a", "p", "c", RefusalKind::Unsupported), of("b", "p", "c", RefusalKind::Unsupported)];
        assert!(matches!(check_readable(unsupported), Err(Error::Unsupported(what)) if what == "p: a; b; c"));
        let both = vec![of("a", "p", "c", RefusalKind::Schema), of("b", "q", "d", RefusalKind::Unsupported)];
        assert!(matches!(check_readable(both), Err(Error::Schema { detail, .. }) if detail == "a; q: b; c; d"));
        let many = vec![of("a", "p", "c", RefusalKind::Schema); 25];
        assert!(check_readable(many).unwrap_err().to_string().contains("and 5 columns more"));
    }

    #[test]
    fn names_with_a_zero_byte_are_left_out() {
        let inner = DataType::Struct(vec![Field::new("b\0", DataType::Int8, true)].into());
        let schema = Schema::new(vec![
            Field::new("a\0", DataType::Int8, true),
            Field::new("x", DataType::Int8, true),
            Field::new("s", DataType::List(Arc::new(Field::new("item", inner, true))), true),
        ]);
        assert_eq!(exportable(&schema).fields().len(), 1);
    }
}
