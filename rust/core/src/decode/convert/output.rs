//! The keys that a column delivers, and how a consumer lays out the array under each.

use crate::decode::{Number, Padding};

/// What is delivered under one key.
#[derive(Debug, Clone)]
pub enum Node {
    /// One array.
    Array(ArrayLayout),
    /// A dict: a struct array of as many fields.
    Dict(Vec<OutputKey>),
}

/// A key of a batch, or of a dict in it.
#[derive(Debug, Clone)]
pub struct OutputKey {
    /// Its name; of a column, what follows the column's name.
    pub name: String,
    /// What it holds of the column.
    pub role: Role,
    /// What is there.
    pub node: Node,
}

/// What a key holds of its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Its values.
    Value,
    /// Where rows are null.
    Mask,
    /// Where items of its lists are null.
    ItemMask,
    /// How many values its lists have.
    Length,
}

/// One array, and what a consumer makes of it.
#[derive(Debug, Clone)]
pub enum ArrayLayout {
    /// A tensor (n, d …).
    Dense(Number),
    /// Lists of numbers: values and offsets.
    Jagged(Number),
    /// Bytes and offsets.
    Ragged,
    /// Lists of numbers, to be filled up to the longest of a batch with these bytes.
    Padded(Number, Padding, [u8; 8]),
    /// str or bytes.
    Text,
    /// Any Python objects.
    Objects,
    /// Arrow data.
    Arrow,
}
