//! A value given by the caller.

/// A value given by the caller.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "their names are what they are")]
pub enum Scalar {
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
}
