//! The conversion of columns with one value a row: numbers, text, ids, raw bytes.

use std::sync::{Arc, OnceLock};

use arrow_schema::DataType;

use super::encode::{IdConversion, Ids};
use super::null_rules::{NullTarget, Resolved, Resolver};
use super::operation::Op;
use super::output::{ArrayLayout, Node};
use super::text::{TextConversion, is_string};
use super::validate::{bytes_of, masked, value};
use super::values::NumberConversion;
use crate::decode::scalar::Scalar;
use crate::decode::spec::{ColumnSpec, Encode, Strings};
use crate::decode::vocabulary::Vocabulary;
use crate::decode::{Nulls, Number};
use crate::{Error, Result};

impl Resolver<'_> {
    pub(super) fn values(&self, path: &str, data_type: &DataType, spec: &ColumnSpec) -> Result<Resolved> {
        let tensors = self.asked.tensors;
        let from = match data_type {
            DataType::Null => Some(spec.dtype.unwrap_or(Number::F32)),
            decimal if decimal.is_decimal() => Some(if spec.unscaled { Number::I64 } else { Number::F64 }),
            other => Number::of(other),
        };
        let Some(from) = from else {
            return Err(Error::Unsupported(format!(
                "column {path:?} is {data_type}, which has no tensor; leave it out (columns=…) or take \
                 output_format=\"arrow\""
            )));
        };
        let natural = match data_type {
            DataType::Time32(_) if tensors => Number::I64,
            _ => from,
        };
        let kind = if from == Number::Bool && spec.dtype.is_some_and(|to| !to.is_float()) {
            NullTarget::Bools
        } else {
            NullTarget::Numbers
        };
        let nulls = self.nulls(path, spec, kind)?;
        let mut to = spec.dtype.unwrap_or(natural);
        if !tensors && to == Number::BF16 {
            return Err(Error::Unsupported(format!("column {path:?}: Arrow data has no bfloat16")));
        }
        if nulls == Nulls::Nan {
            to = match spec.dtype {
                None => to.float(),
                Some(dtype) if dtype.is_float() => dtype,
                Some(dtype) => {
                    return Err(Error::Argument(format!(
                        "column {path:?}: nulls=\"nan\" needs a float, and {} has no NaN; take another dtype=",
                        dtype.name()
                    )));
                }
            };
        }
        let fill = if nulls == Nulls::Nan { Some(Scalar::Float(f64::NAN)) } else { spec.fill.clone() };
        let fill = bytes_of(path, fill.as_ref(), to)?;
        let values = NumberConversion { from, to, lossy: spec.lossy, unscaled: spec.unscaled, nulls, fill, tensors };
        let node = Node::Array(if tensors { ArrayLayout::Dense(to) } else { ArrayLayout::Arrow });
        Ok((Op::Numbers(values), masked(vec![value(node)], nulls, spec, false)))
    }

    pub(super) fn text(&self, path: &str, data_type: &DataType, spec: &ColumnSpec) -> Result<Resolved> {
        let tensors = self.asked.tensors;
        let strings = if tensors { spec.strings } else { Strings::Objects };
        let mut nulls = self.nulls(path, spec, NullTarget::Text)?;
        if strings == Strings::Bytes && nulls == Nulls::Keep {
            nulls = Nulls::Error;
        }
        let fill = match (&spec.fill, is_string(data_type)) {
            (None, _) => Vec::new(),
            (Some(Scalar::Text(text)), true) => text.clone().into_bytes(),
            (Some(Scalar::Bytes(bytes)), false) => bytes.clone(),
            (Some(_), _) if matches!(nulls, Nulls::Fill | Nulls::Mask) => {
                let wanted = if is_string(data_type) { "a str" } else { "bytes" };
                return Err(Error::Argument(format!(
                    "fill does not fit column {path:?}, which is {data_type}: give {wanted}"
                )));
            }
            _ => Vec::new(),
        };
        let node = Node::Array(match (tensors, strings) {
            (false, _) => ArrayLayout::Arrow,
            (true, Strings::Objects) => ArrayLayout::Text,
            (true, Strings::Bytes) => ArrayLayout::Ragged,
        });
        Ok((Op::Text(TextConversion { strings, nulls, fill, tensors }), masked(vec![value(node)], nulls, spec, false)))
    }

    pub(super) fn encoded(&mut self, path: &str, spec: &ColumnSpec) -> Result<Resolved> {
        let tensors = self.asked.tensors;
        let ids = match &spec.encode {
            Some(Encode::Hash { buckets, seed }) => Ids::Hash { buckets: *buckets, seed: *seed },
            Some(Encode::Codes { vocabulary: Some(values), unknown }) => {
                let made = Vocabulary::try_new(values)
                    .map_err(|error| Error::Argument(format!("column {path:?}: {error}")))?;
                Ids::Codes { vocabulary: Arc::new(OnceLock::from(made)), unknown: *unknown }
            }
            other => {
                let unknown = match other {
                    Some(Encode::Codes { unknown, .. }) => *unknown,
                    _ => None,
                };
                let vocabulary = Arc::<OnceLock<Vocabulary>>::default();
                self.vocabularies.push((path.to_owned(), Arc::clone(&vocabulary)));
                Ids::Codes { vocabulary, unknown }
            }
        };
        let nulls = match spec.nulls {
            Some(Nulls::Nan | Nulls::Keep) if spec.asks("nulls") => {
                return Err(Error::Unsupported(format!(
                    "column {path:?} is delivered as ids, of which none is NaN or None: leave nulls= out with encode= (a \
                     null has an id of its own), or take \"fill\" or \"mask\""
                )));
            }
            Some(nulls @ (Nulls::Error | Nulls::Fill | Nulls::Mask)) => Some(nulls),
            // Asked to be ids, nulls get one too.
            _ => {
                if spec.encode.is_some() {
                    None
                } else {
                    Some(Nulls::Error)
                }
            }
        };
        let to = spec.dtype.unwrap_or(Number::I64);
        // Without a fill, a null has the id after all others: each of these is a value's.
        let fill = match spec.fill.as_ref().map(|fill| bytes_of(path, Some(fill), Number::I64)) {
            None => None,
            Some(Ok(fill)) => nulls.map(|_| i64::from_ne_bytes(fill)),
            Some(Err(_)) => {
                return Err(Error::Argument(format!(
                    "fill does not fit column {path:?}, which is ids: give an integer"
                )));
            }
        };
        let encoded = IdConversion { ids, nulls, fill, to, tensors };
        let known = match &encoded.ids {
            Ids::Hash { .. } => true,
            Ids::Codes { vocabulary, .. } => vocabulary.get().is_some(),
        };
        if known {
            let last = encoded.null_id();
            if to.bytes(&Scalar::Int(i128::from(last))).is_none() {
                return Err(Error::Argument(format!(
                    "column {path:?}: dtype={} does not hold ids up to {last}; take a wider one",
                    to.name()
                )));
            }
        }
        let node = Node::Array(if tensors { ArrayLayout::Dense(to) } else { ArrayLayout::Arrow });
        Ok((Op::Ids(encoded), masked(vec![value(node)], nulls.unwrap_or(Nulls::Fill), spec, false)))
    }

    /// Raw bytes: numbers of a byte, or of the dtype that was asked for.
    pub(super) fn bytes(&mut self, path: &str, width: usize, spec: &ColumnSpec) -> Result<Resolved> {
        let tensors = self.asked.tensors;
        if !tensors {
            let nulls = self.nulls(path, spec, NullTarget::Objects)?;
            let keys = masked(vec![value(Node::Array(ArrayLayout::Arrow))], nulls, spec, false);
            return Ok((Op::Objects { nulls, tensors }, keys));
        }
        let number = spec.dtype.unwrap_or(Number::U8);
        if width == 0 || !width.is_multiple_of(number.width()) {
            return Err(Error::Argument(format!(
                "column {path:?} has values of {width} bytes, which {} of {} bytes do not fill; take another dtype=",
                number.name(),
                number.width()
            )));
        }
        if number == Number::Bool {
            return Err(Error::Argument(format!(
                "column {path:?}: raw bytes cannot be seen as bool; take another dtype="
            )));
        }
        let count = width / number.width();
        let nulls = self.nulls(path, spec, NullTarget::Numbers)?;
        let fill = if nulls == Nulls::Nan { Some(&Scalar::Float(f64::NAN)) } else { spec.fill.as_ref() };
        if nulls == Nulls::Nan && !number.is_float() {
            return Err(Error::Unsupported(format!(
                "column {path:?}: nulls=\"nan\" needs a float, and raw bytes are uint8; take dtype="
            )));
        }
        let fill = bytes_of(path, fill, number)?;
        let values = NumberConversion { from: number, to: number, lossy: false, unscaled: false, nulls, fill, tensors };
        let keys = masked(vec![value(Node::Array(ArrayLayout::Dense(number)))], nulls, spec, false);
        let items = match count {
            1 => Op::Numbers(values),
            _ => Op::Fixed { items: Box::new(Op::Numbers(values)), nulls, tensors, only_rows: true },
        };
        Ok((Op::Bytes { number, count, items: Box::new(items) }, keys))
    }
}
