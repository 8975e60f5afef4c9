//! The options that a type takes, checked, and the keys that result.

use std::collections::HashSet;

use arrow_schema::DataType;

use super::output::{ArrayLayout, Node, OutputKey, Role};
use super::text::{is_string, is_text};
use crate::decode::scalar::Scalar;
use crate::decode::spec::ColumnSpec;
use crate::decode::vocabulary::has_keys;
use crate::decode::{self, Nulls, Number};
use crate::{Error, Result};

/// Whether anything but a policy that only looks was asked for.
pub(super) fn changes(spec: &ColumnSpec) -> bool {
    spec.dtype.is_some()
        || spec.encode.is_some()
        || spec.unscaled
        || !matches!(spec.lists, decode::Lists::Jagged | decode::Lists::Objects)
        || matches!(spec.nulls, Some(Nulls::Fill | Nulls::Nan | Nulls::Mask))
}

/// Options that were asked of this very column must concern its type.
pub(super) fn check_concerns(path: &str, data_type: &DataType, spec: &ColumnSpec) -> Result<()> {
    let item = innermost(data_type);
    let encoded = spec.encode.is_some() || matches!(item, DataType::Dictionary(..));
    let is_list = matches!(data_type, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..));
    let number = Number::of(item).is_some() || item.is_decimal() || *item == DataType::Null;
    let wrong = |option: &str, what: &str| {
        Err(Error::Unsupported(format!("column {path:?} is {data_type}; {option} is for {what}")))
    };
    if spec.asks("lists") && !is_list && !matches!(data_type, DataType::Map(..)) {
        return Err(not_numbers(path, data_type, &spec.lists));
    }
    if spec.asks("dtype") && !number && !encoded && !matches!(item, DataType::FixedSizeBinary(_)) {
        return wrong("dtype=", "numbers, dates, ids and raw bytes of one width");
    }
    if spec.asks("encode") && !has_keys(item) {
        return wrong("encode=", "strings, binary data, integers and lists of them");
    }
    if spec.asks("strings") && !is_text(item) {
        return wrong("strings=", "strings and binary data");
    }
    if spec.asks("errors") && !is_string(value_type(item)) && !matches!(item, DataType::Struct(_) | DataType::Map(..)) {
        return wrong("errors=", "strings");
    }
    if spec.asks("decimal") && !item.is_decimal() {
        return wrong("decimal=", "decimals");
    }
    Ok(())
}

pub(super) fn not_numbers(path: &str, data_type: &DataType, lists: &decode::Lists) -> Error {
    let asked = match lists {
        decode::Lists::Fixed => "fixed",
        decode::Lists::Padded(_) => "padded",
        decode::Lists::Jagged => "jagged",
        decode::Lists::Objects => "objects",
    };
    let what = if asked == "objects" { "lists" } else { "lists of numbers, of one level" };
    Error::Argument(format!("column {path:?} is {data_type}; lists=\"{asked}\" is for {what}"))
}

pub(super) fn innermost(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::List(child) | DataType::LargeList(child) | DataType::FixedSizeList(child, _) => {
            innermost(child.data_type())
        }
        other => other,
    }
}

/// The type of a dictionary's values, or the type as it is.
fn value_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => values,
        other => other,
    }
}

/// Whether a default of `encode` concerns it: numbers are not ids unless they are asked to be.
pub(super) fn is_id(data_type: &DataType) -> bool {
    is_text(data_type) || matches!(data_type, DataType::Dictionary(..))
}

/// Whether it is one number a value, as Arrow data.
pub(super) fn is_flat(data_type: &DataType) -> bool {
    match data_type {
        DataType::FixedSizeList(child, _) => is_flat(child.data_type()),
        DataType::Dictionary(..) => true,
        other => Number::of(other).is_some() || other.is_decimal() || is_text(other),
    }
}

pub(super) fn is_dense(keys: &[OutputKey]) -> bool {
    matches!(keys.first(), Some(OutputKey { node: Node::Array(ArrayLayout::Dense(_)), .. }))
}

/// What was asked of lists, for the items: these have the options of values.
pub(super) fn inner(spec: &ColumnSpec) -> ColumnSpec {
    let mut spec = spec.clone();
    // What the column as a whole was asked is checked there.
    spec.asked.retain(|asked| asked == "encode");
    spec.lists = decode::Lists::Jagged;
    spec
}

pub(super) fn value(node: Node) -> OutputKey {
    OutputKey { name: String::new(), role: Role::Value, node }
}

/// The keys, with those of masks where there are some; the items of `lists` have masks of their own.
pub(super) fn masked(mut keys: Vec<OutputKey>, nulls: Nulls, spec: &ColumnSpec, lists: bool) -> Vec<OutputKey> {
    if nulls == Nulls::Mask {
        let of_items = keys.len() > 1;
        keys.truncate(1);
        let node = match &keys[0].node {
            Node::Array(ArrayLayout::Arrow) => Node::Array(ArrayLayout::Arrow),
            _ => Node::Array(ArrayLayout::Dense(Number::Bool)),
        };
        keys.push(OutputKey { name: spec.mask_suffix.clone(), role: Role::Mask, node: node.clone() });
        if lists && of_items {
            keys.push(OutputKey { name: format!("__item{}", spec.mask_suffix), role: Role::ItemMask, node });
        }
    }
    keys
}

pub(super) fn item_mask(part: ArrayLayout, spec: &ColumnSpec) -> OutputKey {
    OutputKey { name: format!("__item{}", spec.mask_suffix), role: Role::ItemMask, node: Node::Array(part) }
}

/// The bytes of a fill; zeros where there is none.
pub(super) fn bytes_of(path: &str, fill: Option<&Scalar>, number: Number) -> Result<[u8; 8]> {
    let Some(fill) = fill else { return Ok([0; 8]) };
    number.bytes(fill).ok_or_else(|| {
        let shown = match fill {
            Scalar::Bool(value) => value.to_string(),
            Scalar::Int(value) => value.to_string(),
            Scalar::Float(value) => value.to_string(),
            Scalar::Text(value) => format!("{value:?}"),
            Scalar::Bytes(value) => format!("{value:?}"),
        };
        Error::Argument(format!("fill={shown} does not fit column {path:?}, which is delivered as {}", number.name()))
    })
}

/// Every key once.
pub(crate) fn check_clash<'a>(path: &str, names: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(Error::Argument(format!(
                "{path}: two things would be delivered as {name:?}; give mask_suffix= or length_suffix= another value"
            )));
        }
    }
    Ok(())
}
