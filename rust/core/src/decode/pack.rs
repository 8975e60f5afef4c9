//! A column of lists of tokens, packed into sequences of one length.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::{ArrayRef, StructArray, new_empty_array};
use arrow_schema::{DataType, Field, Fields};

use super::column::Column;
use super::convert::{ArrayLayout, Node, OutputKey, Role};
use super::pack_views::views;
use super::source_column::{Delivered, SourceColumn, source};
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
    /// Each document has a slot of a multiple of so many places, of which the last may be padding.
    pub align: usize,
    /// Columns of lists that are as long as the documents' lists, delivered beside the tokens.
    pub along: Vec<String>,
    /// Columns of numbers, delivered a segment.
    pub meta: Vec<String>,
    /// A column that says how many first tokens of a list are no labels.
    pub prompt_length: Option<String>,
    /// A column that says how many tokens each list has.
    pub length: Option<String>,
}

/// The columns that sequences are made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PackColumns<'a> {
    /// The documents' lists.
    pub(crate) lists: &'a SourceColumn,
    pub(crate) along: &'a [SourceColumn],
    pub(crate) meta: &'a [SourceColumn],
    pub(crate) prompts: Option<&'a SourceColumn>,
    pub(crate) lengths: Option<&'a SourceColumn>,
}

impl<'a> PackColumns<'a> {
    /// Those of these sources, in the order of [`Pack::columns`].
    pub(super) fn new(pack: &Pack, sources: &'a [SourceColumn]) -> Option<Self> {
        let (lists, rest) = sources.split_first()?;
        let (along, rest) = rest.split_at_checked(pack.along.len())?;
        let (meta, rest) = rest.split_at_checked(pack.meta.len())?;
        let mut rest = rest.iter();
        let prompts = pack.prompt_length.as_ref().and_then(|_| rest.next());
        let lengths = pack.length.as_ref().and_then(|_| rest.next());
        Some(Self { lists, along, meta, prompts, lengths })
    }

    /// The lists, without what is delivered beside them.
    pub(crate) fn alone(self) -> Self {
        Self { along: &[], meta: &[], prompts: None, ..self }
    }

    /// All of them, in order.
    pub(crate) fn all(self) -> impl Iterator<Item = &'a SourceColumn> {
        std::iter::once(self.lists).chain(self.along).chain(self.meta).chain(self.prompts).chain(self.lengths)
    }
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

    /// The tokens of a document whose list has so many items; none of an empty one.
    pub(crate) fn tokens(&self, items: u64) -> u64 {
        if items == 0 { 0 } else { items + self.around() }
    }

    /// The places that so many tokens take.
    pub(crate) fn slot(&self, tokens: u64) -> u64 {
        tokens.next_multiple_of(self.align.max(1) as u64)
    }

    /// The names of the columns that it is read from, the documents' first.
    pub(super) fn columns(&self) -> impl Iterator<Item = &String> {
        let beside = self.along.iter().chain(&self.meta).chain(&self.prompt_length).chain(&self.length);
        std::iter::once(&self.column).chain(beside)
    }

    /// Bytes of a sequence: as it is decoded, and as it is delivered.
    pub(crate) fn row_bytes(&self, columns: PackColumns<'_>) -> (u64, u64) {
        let width = |list: &SourceColumn| token_width(list.field.data_type()).unwrap_or(1) as u64;
        let along = columns.along.iter().map(width).sum::<u64>() * self.seq_len as u64;
        let labels = if self.labels.is_some() { 8 } else { 0 };
        (self.width() as u64 * width(columns.lists) + along, self.seq_len as u64 * (16 + labels) + along)
    }

    /// The type of sequences as they are decoded: `width` tokens, those that are padding 0; the tokens of each of a row's
    /// pieces; of every column beside them the items of the places; of every number a document, one a piece; and how many
    /// tokens of each piece are no labels.
    pub(crate) fn block_fields(&self, columns: PackColumns<'_>) -> Result<Fields> {
        let fixed = |number: &DataType, width: usize| {
            let width = i32::try_from(width).map_err(|_| Error::Argument("seq_len is over 2**31".to_owned()))?;
            Ok::<_, Error>(DataType::FixedSizeList(Arc::new(Field::new("item", number.clone(), false)), width))
        };
        let a_piece = |number: DataType| DataType::List(Arc::new(Field::new("item", number, false)));
        let token = item_type(columns.lists.field.data_type()).ok_or_else(|| Error::internal("a pack of no lists"))?;
        let mut fields = vec![
            Field::new("ids", fixed(token, self.width())?, false),
            Field::new("pieces", a_piece(DataType::Int32), false),
        ];
        for along in columns.along {
            let number = item_type(along.field.data_type()).and_then(Number::of);
            let number = number.ok_or_else(|| Error::internal("items of no number"))?;
            fields.push(Field::new(&along.name, fixed(&number.carrier(), self.seq_len)?, false));
        }
        for meta in columns.meta {
            let number = Number::of(meta.field.data_type()).ok_or_else(|| Error::internal("no number"))?;
            fields.push(Field::new(&meta.name, a_piece(number.carrier()), false));
        }
        if columns.prompts.is_some() {
            fields.push(Field::new("prompts", a_piece(DataType::Int32), false));
        }
        Ok(Fields::from(fields))
    }

    /// No sequence, as it is delivered.
    pub(super) fn empty(&self, column: &Column) -> Result<ArrayRef> {
        let columns = PackColumns::new(self, &column.sources).ok_or_else(|| Error::internal("a pack of no lists"))?;
        views(self, &new_empty_array(&DataType::Struct(self.block_fields(columns)?)))
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
    let mut sources = vec![source];
    for name in pack.columns().skip(1) {
        sources.push(self::source(delivered, name, &ProjectionSpec::default(), &ColumnSpec::default())?);
    }
    let columns = PackColumns::new(&pack, &sources).ok_or_else(|| Error::internal("a pack of no lists"))?;
    let key = |name: &str, layout| OutputKey { name: name.to_owned(), role: Role::Value, node: Node::Array(layout) };
    let mut keys = vec![key("input_ids", ArrayLayout::Dense(Number::I64))];
    if pack.labels.is_some() {
        keys.push(key("labels", ArrayLayout::Dense(Number::I64)));
    }
    keys.push(key("position_ids", ArrayLayout::Dense(Number::I32)));
    keys.push(key("segment_ids", ArrayLayout::Dense(Number::I32)));
    for along in columns.along {
        let found = item_type(along.field.data_type()).and_then(Number::of);
        let number = found.ok_or_else(|| of_another_type(along, "along= takes lists of numbers"))?;
        keys.push(key(&along.name, ArrayLayout::Dense(number)));
    }
    keys.push(key("cu_seqlens", ArrayLayout::Jagged(Number::I32)));
    if pack.align > 1 {
        keys.push(key("segment_lengths", ArrayLayout::Jagged(Number::I32)));
    }
    for meta in columns.meta {
        let number = Number::of(meta.field.data_type())
            .ok_or_else(|| of_another_type(meta, "meta= takes a number in each row"))?;
        keys.push(key(&meta.name, ArrayLayout::Jagged(number)));
    }
    for (argument, column) in [("prompt_length", columns.prompts), ("length", columns.lengths)] {
        if let Some(column) = column.filter(|column| !column.field.data_type().is_integer()) {
            return Err(of_another_type(column, &format!("{argument}= takes an integer in each row")));
        }
    }
    let mut seen = HashSet::new();
    if let Some(twice) = keys.iter().find(|key| !seen.insert(key.name.as_str())) {
        return Err(Error::Argument(format!(
            "pack= would deliver two things as {:?}: name a column once in along= and meta=, and none that has the name \
             of a key of packed batches",
            twice.name
        )));
    }
    Ok(Column { name: pack.column.clone(), sources, is_matrix: false, keys, pack: Some(Arc::new(pack)) })
}

fn of_another_type(column: &SourceColumn, takes: &str) -> Error {
    let (name, data_type) = (&column.name, column.field.data_type());
    Error::Unsupported(format!(
        "column {name:?} is {data_type}, and {takes}: cast it where it was written, or leave it out"
    ))
}

/// Arrays under their keys.
pub(super) fn bundled(names: &[&str], arrays: Vec<ArrayRef>, rows: usize) -> Result<ArrayRef> {
    let fields: Fields =
        names.iter().zip(&arrays).map(|(name, array)| Field::new(*name, array.data_type().clone(), false)).collect();
    StructArray::try_new_with_length(fields, arrays, None, rows)
        .map(|made| Arc::new(made) as ArrayRef)
        .map_err(Error::from)
}
