//! Which text in a column may be other than UTF-8, and what becomes of it.

use std::sync::Arc;

use arrow_schema::DataType;

use super::spec::{ColumnSpec, Encode, ProjectionSpec, Strings};
use crate::files::readable_schema::map_children;

/// What becomes of text that is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextPolicy {
    /// An error that names the row.
    Strict,
    /// U+FFFD in the place of what is not.
    Replace,
    /// Only its bytes matter.
    Bytes,
}

/// The policies of the text in a column, in the order of its leaves.
pub(super) fn policies(
    path: &str,
    data_type: &DataType,
    spec: &ColumnSpec,
    asked: &ProjectionSpec,
    into: &mut Vec<TextPolicy>,
) {
    match data_type {
        DataType::List(child) | DataType::LargeList(child) | DataType::FixedSizeList(child, _) => {
            policies(path, child.data_type(), spec, asked, into);
        }
        DataType::Map(entries, _) => {
            if let DataType::Struct(fields) = entries.data_type() {
                fields.iter().for_each(|field| policies(path, field.data_type(), spec, asked, into));
            }
        }
        DataType::Struct(fields) => {
            for field in fields {
                let within = format!("{path}.{}", field.name());
                policies(&within, field.data_type(), &asked.of(&within, Some(spec)), asked, into);
            }
        }
        leaf if is_text(leaf) => into.push(match &spec.encode {
            Some(Encode::Hash { .. }) => TextPolicy::Bytes,
            None if asked.tensors && spec.strings == Strings::Bytes && !is_dictionary(leaf) => TextPolicy::Bytes,
            _ if spec.replace => TextPolicy::Replace,
            Some(Encode::Codes { vocabulary: Some(_), .. }) => TextPolicy::Bytes,
            _ => TextPolicy::Strict,
        }),
        _ => {}
    }
}

fn is_dictionary(leaf: &DataType) -> bool {
    matches!(leaf, DataType::Dictionary(..))
}

/// Text, or a dictionary of it.
pub(super) fn is_text(leaf: &DataType) -> bool {
    plain_bytes(leaf).is_some()
}

/// Whether there is text in a column, in places that this module knows.
pub(super) fn has_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(child) | DataType::LargeList(child) | DataType::FixedSizeList(child, _) => {
            has_text(child.data_type())
        }
        DataType::Map(entries, _) => has_text(entries.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_text(field.data_type())),
        leaf => is_text(leaf),
    }
}

/// The type of the bytes of text.
fn plain_bytes(leaf: &DataType) -> Option<DataType> {
    Some(match leaf {
        DataType::Utf8 => DataType::Binary,
        DataType::LargeUtf8 => DataType::LargeBinary,
        DataType::Utf8View => DataType::BinaryView,
        DataType::Dictionary(keys, values) => DataType::Dictionary(keys.clone(), Box::new(plain_bytes(values)?)),
        _ => return None,
    })
}

/// The type with bytes in the place of text; None where there is none.
pub(super) fn bytes_type(data_type: &DataType) -> Option<DataType> {
    let mut all = std::iter::repeat(TextPolicy::Bytes);
    with_bytes(data_type, &mut all)
}

/// The type with bytes in the place of text of that policy.
pub(super) fn with_bytes(data_type: &DataType, policies: &mut dyn Iterator<Item = TextPolicy>) -> Option<DataType> {
    if is_text(data_type) {
        return (policies.next() == Some(TextPolicy::Bytes)).then(|| plain_bytes(data_type)).flatten();
    }
    map_children(data_type, &mut |field| {
        let made = with_bytes(field.data_type(), policies)?;
        Some(Arc::new(field.as_ref().clone().with_data_type(made)))
    })
}
