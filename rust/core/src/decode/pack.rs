//! A column of lists of tokens, packed into sequences of one length.

use std::sync::Arc;

use arrow_array::{ArrayRef, StructArray, new_empty_array};
use arrow_schema::{DataType, Field, Fields};

use super::column::Column;
use super::convert::{ArrayLayout, Node, OutputKey, Role};
use super::pack_views::views;
use super::source_column::{Delivered, source};
use super::spec::{ColumnSpec, ProjectionSpec};
use super::{Number, Scalar};
use crate::{Error, Result};

/// What the label of a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Labels {
    /// The next token of its document.
    Next,
    /// The token itself, for models that shift labels by one: none for the first of a document.
    Input,
}

/// What becomes of documents of more tokens than a sequence, where documents are packed whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Long {
    /// They are cut in pieces, all of a sequence's length but the last.
    Split,
    /// The first tokens are kept.
    Truncate,
    /// They are left out.
    Drop,
    /// They are an error.
    Error,
}

/// How the lists of a column are packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pack {
    /// The column of lists: each that is not empty is a document.
    pub column: String,
    /// L: the tokens of a sequence.
    pub seq_len: usize,
    /// The token before each document.
    pub bos: Option<i64>,
    /// The token after each document.
    pub eos: Option<i64>,
    /// The labels that are delivered.
    pub labels: Option<Labels>,
    /// Whether the token after a sequence is read too, as the last label.
    pub extra_token: bool,
    /// What becomes of long documents; None where documents stand end to end.
    pub fit: Option<Long>,
    /// Whether tokens are counted by reading the lists, whatever footers say.
    pub by_reading: bool,
}

impl Pack {
    /// The tokens that are read for a sequence.
    pub fn width(&self) -> usize {
        self.seq_len + usize::from(self.extra_token)
    }

    /// The tokens that each document has beside its list's.
    pub(crate) fn around(&self) -> u64 {
        u64::from(self.bos.is_some()) + u64::from(self.eos.is_some())
    }

    /// Bytes of a sequence: as it is decoded, and as it is delivered.
    pub(crate) fn row_bytes(&self, token_width: u64) -> (u64, u64) {
        let labels = if self.labels.is_some() { 8 } else { 0 };
        (self.width() as u64 * token_width, self.seq_len as u64 * (16 + labels))
    }

    /// The type of sequences as they are decoded: `width` tokens, those after the line's end 0, and the tokens that are
    /// in a row of each document.
    pub(crate) fn block_fields(&self, token: &DataType) -> Result<Fields> {
        let width = i32::try_from(self.width()).map_err(|_| Error::Argument("seq_len is over 2**31".to_owned()))?;
        let ids = DataType::FixedSizeList(Arc::new(Field::new("item", token.clone(), false)), width);
        let pieces = DataType::List(Arc::new(Field::new("item", DataType::Int32, false)));
        Ok(Fields::from(vec![Field::new("ids", ids, false), Field::new("pieces", pieces, false)]))
    }

    /// No sequence, as it is delivered.
    pub(super) fn empty(&self, column: &Column) -> Result<ArrayRef> {
        let token = column.sources.first().and_then(|source| item_type(source.field.data_type()));
        let fields = self.block_fields(token.ok_or_else(|| Error::internal("a pack of no lists"))?)?;
        views(self, &new_empty_array(&DataType::Struct(fields)))
    }
}

/// The type of a list's items.
pub(crate) fn item_type(list: &DataType) -> Option<&DataType> {
    match list {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => Some(item.data_type()),
        _ => None,
    }
}

/// The bytes of an item of lists; None where they are no numbers of one width.
pub fn token_width(list: &DataType) -> Option<usize> {
    item_type(list)?.primitive_width()
}

/// The column that delivers sequences.
pub(super) fn packed(delivered: &Delivered<'_>, pack: Pack) -> Result<Column> {
    let name = pack.column.as_str();
    let source = source(delivered, name, &ProjectionSpec::default(), &ColumnSpec::default())?;
    let data_type = source.field.data_type();
    let number =
        item_type(data_type).filter(|item| item.is_integer() && **item != DataType::UInt64).and_then(Number::of);
    let Some(number) = number else {
        let what = match item_type(data_type) {
            Some(item) if item_type(item).is_some() => "flatten them to one list a document",
            Some(_) => "cast them to int32 or int64 where they were written",
            None => "name a column that has a list of token ids in each row",
        };
        return Err(Error::Unsupported(format!(
            "column {name:?} is {data_type}, and pack= takes lists of integers of up to 32 bits, or int64: {what}"
        )));
    };
    for (argument, id) in [("bos", pack.bos), ("eos", pack.eos)] {
        if let Some(id) = id.filter(|id| number.bytes(&Scalar::Int(i128::from(*id))).is_none()) {
            return Err(Error::Argument(format!(
                "{argument}={id} of pack= is no {}, which the tokens of column {name:?} are: give the id that the \
                 tokenizer has, or write the column in a wider type",
                number.name()
            )));
        }
    }
    let key = |name: &str, layout| OutputKey { name: name.to_owned(), role: Role::Value, node: Node::Array(layout) };
    let mut keys = vec![key("input_ids", ArrayLayout::Dense(Number::I64))];
    if pack.labels.is_some() {
        keys.push(key("labels", ArrayLayout::Dense(Number::I64)));
    }
    keys.push(key("position_ids", ArrayLayout::Dense(Number::I32)));
    keys.push(key("segment_ids", ArrayLayout::Dense(Number::I32)));
    keys.push(key("cu_seqlens", ArrayLayout::Jagged(Number::I32)));
    Ok(Column { name: name.to_owned(), sources: vec![source], is_matrix: false, keys, pack: Some(Arc::new(pack)) })
}

/// Arrays under their keys.
pub(super) fn bundled(names: &[&str], arrays: Vec<ArrayRef>, rows: usize) -> Result<ArrayRef> {
    let fields: Fields =
        names.iter().zip(&arrays).map(|(name, array)| Field::new(*name, array.data_type().clone(), false)).collect();
    StructArray::try_new_with_length(fields, arrays, None, rows)
        .map(|made| Arc::new(made) as ArrayRef)
        .map_err(Error::from)
}
