//! From a column's type, and what was asked, to what is done to it.

use std::sync::{Arc, OnceLock};

use arrow_schema::{DataType, Field};

use super::encode::{Encoded, Ids};
use super::fits::{
    bytes_of, changes, check_clash, check_concerns, inner, is_dense, is_flat, is_id, item_mask, masked, not_numbers,
    value,
};
use super::lists::{Layout, Lists};
use super::text::{Text, is_string, is_text};
use super::values::Values;
use super::{Child, Form, Key, Node, Op, Part, Role, fixed_size};
use crate::decode::spec::{Asked, ColumnSpec, Encode, Scalar, Strings};
use crate::decode::vocabulary::{Vocabulary, has_keys};
use crate::decode::{self, Nulls, Number};
use crate::{Error, Result};

/// What becomes of the column `path`, of this type.
pub(crate) fn plan(path: &str, data_type: &DataType, spec: &ColumnSpec, asked: &Asked) -> Result<Form> {
    let mut planner = Planner { asked, vocabularies: Vec::new() };
    let (op, keys) = planner.op(path, data_type, spec)?;
    Ok(Form { op, keys, vocabularies: planner.vocabularies })
}

struct Planner<'a> {
    asked: &'a Asked,
    /// Those that are to be made of the columns' own values.
    vocabularies: Vec<(String, Arc<OnceLock<Vocabulary>>)>,
}

/// What is done, and the keys that it makes.
type Planned = (Op, Vec<Key>);

impl Planner<'_> {
    fn op(&mut self, path: &str, data_type: &DataType, spec: &ColumnSpec) -> Result<Planned> {
        let tensors = self.asked.tensors;
        if !tensors && !changes(spec) && !self.changes_within(path) {
            return Ok(match spec.nulls {
                None | Some(Nulls::Keep) => (Op::Keep, vec![value(Node::Part(Part::Arrow))]),
                Some(_) => (Op::Objects { nulls: Nulls::Error, tensors }, vec![value(Node::Part(Part::Arrow))]),
            });
        }
        check_concerns(path, data_type, spec)?;
        let encodes = spec.encode.is_some() && has_keys(data_type) && (is_id(data_type) || spec.asks("encode"));
        match data_type {
            DataType::Dictionary(..) if has_keys(data_type) => self.encoded(path, spec),
            _ if encodes => self.encoded(path, spec),
            DataType::List(child) | DataType::LargeList(child) => self.list(path, data_type, child, spec),
            DataType::FixedSizeList(child, _) => {
                let (items, keys) = self.op(path, child.data_type(), &inner(spec))?;
                let numbers = is_dense(&keys) || (!tensors && is_flat(child.data_type()));
                if !numbers || spec.lists == decode::Lists::Objects {
                    return self.objects(path, data_type, spec);
                }
                let nulls = self.nulls(path, spec, Kind::Numbers)?;
                let keys = masked(keys, nulls, spec, true);
                Ok((Op::Fixed { items: Box::new(items), nulls, tensors, only_rows: false }, keys))
            }
            DataType::FixedSizeBinary(width) => self.bytes(path, fixed_size(*width), spec),
            DataType::Struct(fields) => {
                let nulls = self.nulls(path, spec, Kind::Dict)?;
                let (mut children, mut keys) = (Vec::new(), Vec::new());
                for field in fields {
                    let within = format!("{path}.{}", field.name());
                    let spec = self.asked.of(&within, Some(spec));
                    let (op, made) = self.op(&within, field.data_type(), &spec)?;
                    let made: Vec<Key> = made
                        .into_iter()
                        .map(|key| Key { name: format!("{}{}", field.name(), key.name), ..key })
                        .collect();
                    let names = made.iter().map(|key| key.name.clone()).collect();
                    children.push(Child { op, path: within, names });
                    keys.extend(made);
                }
                check_clash(path, keys.iter().map(|key| key.name.as_str()))?;
                let node = if tensors { Node::Dict(keys) } else { Node::Part(Part::Arrow) };
                let keys = masked(vec![value(node)], nulls, spec, false);
                Ok((Op::Dict { children, nulls, tensors }, keys))
            }
            text if is_text(text) => self.text(path, text, spec),
            DataType::Map(..) => self.objects(path, data_type, spec),
            _ => self.values(path, data_type, spec),
        }
    }

    /// Whether something was asked of a field of this column.
    fn changes_within(&self, path: &str) -> bool {
        let mut specs = self.asked.specs.iter();
        specs.any(|(of, spec)| {
            let within = of.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
            within && (changes(spec) || spec.nulls.is_some())
        })
    }

    /// What becomes of nulls, where that can be done.
    fn nulls(&self, path: &str, spec: &ColumnSpec, kind: Kind) -> Result<Nulls> {
        let tensors = self.asked.tensors;
        let nulls = spec.nulls.unwrap_or(if tensors { Nulls::Error } else { Nulls::Keep });
        let cannot = |why: &str| {
            if spec.asks("nulls") {
                return Err(Error::Unsupported(format!("column {path:?}: {why}")));
            }
            Ok(Nulls::Error)
        };
        match (nulls, kind) {
            (Nulls::Keep, Kind::Numbers | Kind::Bools | Kind::Dict) if tensors => cannot(
                "a tensor holds no null, so that nulls=\"keep\" is for strings, lists of Python objects and Arrow data",
            ),
            (Nulls::Nan, Kind::Bools | Kind::Text | Kind::Objects) => {
                cannot("nulls=\"nan\" is for numbers; take \"fill\" or \"mask\"")
            }
            (Nulls::Fill, Kind::Objects) => {
                cannot("nulls=\"fill\" has no value for lists of Python objects; take \"keep\" (None) or \"mask\"")
            }
            // The fields of a null struct are null, and filled each.
            (Nulls::Nan, Kind::Dict) => Ok(Nulls::Fill),
            (nulls, _) => Ok(nulls),
        }
    }

    fn values(&self, path: &str, data_type: &DataType, spec: &ColumnSpec) -> Result<Planned> {
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
        let kind = if from == Number::Bool && spec.dtype.is_none_or(|to| !to.is_float()) {
            Kind::Bools
        } else {
            Kind::Numbers
        };
        let nulls = self.nulls(path, spec, kind)?;
        let mut to = spec.dtype.unwrap_or(natural);
        if !tensors && to == Number::BF16 {
            return Err(Error::Unsupported(format!("column {path:?}: Arrow data has no bfloat16")));
        }
        if nulls == Nulls::Nan {
            to = match (spec.dtype, to.float()) {
                (Some(dtype), _) if dtype.is_float() => dtype,
                (None, Some(float)) => float,
                _ => {
                    return Err(Error::Argument(format!(
                        "column {path:?}: nulls=\"nan\" needs a float, and {} has no NaN; take another dtype=",
                        to.name()
                    )));
                }
            };
        }
        let fill = if nulls == Nulls::Nan { Some(Scalar::Float(f64::NAN)) } else { spec.fill.clone() };
        let fill = bytes_of(path, fill.as_ref(), to)?;
        let values = Values { from, to, lossy: spec.lossy, unscaled: spec.unscaled, nulls, fill, tensors };
        let node = Node::Part(if tensors { Part::Dense(to) } else { Part::Arrow });
        Ok((Op::Values(values), masked(vec![value(node)], nulls, spec, false)))
    }

    fn text(&self, path: &str, data_type: &DataType, spec: &ColumnSpec) -> Result<Planned> {
        let tensors = self.asked.tensors;
        let strings = if tensors { spec.strings } else { Strings::Objects };
        let mut nulls = self.nulls(path, spec, Kind::Text)?;
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
        let node = Node::Part(match (tensors, strings) {
            (false, _) => Part::Arrow,
            (true, Strings::Objects) => Part::Text,
            (true, Strings::Bytes) => Part::Ragged,
        });
        Ok((Op::Text(Text { strings, nulls, fill, tensors }), masked(vec![value(node)], nulls, spec, false)))
    }

    fn encoded(&mut self, path: &str, spec: &ColumnSpec) -> Result<Planned> {
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
        let fill = match bytes_of(path, spec.fill.as_ref(), Number::I64) {
            Ok(fill) => i64::from_ne_bytes(fill),
            Err(_) => {
                return Err(Error::Argument(format!(
                    "fill does not fit column {path:?}, which is ids: give an integer"
                )));
            }
        };
        let encoded = Encoded { ids, nulls, fill, to, tensors };
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
        let node = Node::Part(if tensors { Part::Dense(to) } else { Part::Arrow });
        Ok((Op::Encoded(encoded), masked(vec![value(node)], nulls.unwrap_or(Nulls::Fill), spec, false)))
    }

    fn list(&mut self, path: &str, data_type: &DataType, child: &Field, spec: &ColumnSpec) -> Result<Planned> {
        let tensors = self.asked.tensors;
        if spec.lists == decode::Lists::Objects {
            return self.objects(path, data_type, spec);
        }
        let (items, keys) = self.op(path, child.data_type(), &inner(spec))?;
        if !is_dense(&keys) && (tensors || !is_flat(child.data_type())) {
            if spec.asks("lists") {
                return Err(not_numbers(path, data_type, &spec.lists));
            }
            return self.objects(path, data_type, spec);
        }
        let mut nulls = self.nulls(path, spec, Kind::Numbers)?;
        let number = match keys.first() {
            Some(Key { node: Node::Part(Part::Dense(number)), .. }) => *number,
            // Arrow data: only whether a fill fits matters, and the type says which.
            _ => {
                let number = spec.dtype.or_else(|| Number::of(child.data_type())).unwrap_or(Number::F64);
                if nulls == Nulls::Nan { number.float().unwrap_or(number) } else { number }
            }
        };
        let (mut layout, mut part, mut lengths) = (Layout::Jagged, Part::Jagged(number), false);
        let mut fill = bytes_of(path, spec.fill.as_ref().filter(|_| nulls != Nulls::Nan), number).unwrap_or_default();
        if nulls == Nulls::Nan {
            fill = bytes_of(path, Some(&Scalar::Float(f64::NAN)), number)?;
            // A list that is null has no items to be NaN.
            if matches!(spec.lists, decode::Lists::Jagged) {
                nulls = Nulls::Error;
            }
        }
        match &spec.lists {
            decode::Lists::Jagged | decode::Lists::Objects => {}
            decode::Lists::Fixed => {
                (layout, part) = (Layout::Fixed(Arc::default()), Part::Dense(number));
            }
            decode::Lists::Padded(padding) => {
                let value = bytes_of(path, padding.value.as_ref(), number).map_err(|_| {
                    Error::Argument(format!("column {path:?}: pad_value does not fit {}", number.name()))
                })?;
                fill = value;
                lengths = padding.lengths;
                match padding.length {
                    Some(length) => {
                        layout = Layout::Padded { length, side: padding.side, truncate: padding.truncate };
                        part = Part::Dense(number);
                    }
                    None if tensors => part = Part::Padded(number, padding.clone(), value),
                    None => {
                        return Err(Error::Argument(format!(
                            "column {path:?}: Arrow data has one type for all batches; give lists=\"padded\" a length="
                        )));
                    }
                }
            }
        }
        if nulls == Nulls::Keep && !matches!(layout, Layout::Jagged) {
            nulls = Nulls::Error;
        }
        let mut made = masked(vec![value(Node::Part(part.clone()))], nulls, spec, false);
        if nulls == Nulls::Mask && keys.len() > 1 {
            let part = match part {
                Part::Dense(_) => Part::Dense(Number::Bool),
                Part::Padded(_, padding, _) => Part::Padded(Number::Bool, padding, [0; 8]),
                _ => Part::Jagged(Number::Bool),
            };
            made.push(item_mask(part, spec));
        }
        if lengths {
            let node = Node::Part(Part::Dense(Number::I64));
            made.push(Key { name: spec.length_suffix.clone(), role: Role::Length, node });
        }
        if !tensors {
            made.iter_mut().for_each(|key| key.node = Node::Part(Part::Arrow));
        }
        Ok((Op::Lists(Lists { items: Box::new(items), layout, nulls, fill, lengths, tensors }), made))
    }

    fn objects(&self, path: &str, data_type: &DataType, spec: &ColumnSpec) -> Result<Planned> {
        if !matches!(spec.lists, decode::Lists::Objects | decode::Lists::Jagged) && spec.asks("lists") {
            return Err(not_numbers(path, data_type, &spec.lists));
        }
        let tensors = self.asked.tensors;
        let nulls = self.nulls(path, spec, Kind::Objects)?;
        let node = Node::Part(if tensors { Part::Objects } else { Part::Arrow });
        Ok((Op::Objects { nulls, tensors }, masked(vec![value(node)], nulls, spec, false)))
    }

    /// Raw bytes: numbers of a byte, or of the dtype that was asked for.
    fn bytes(&mut self, path: &str, width: usize, spec: &ColumnSpec) -> Result<Planned> {
        let tensors = self.asked.tensors;
        if !tensors {
            let nulls = self.nulls(path, spec, Kind::Objects)?;
            let keys = masked(vec![value(Node::Part(Part::Arrow))], nulls, spec, false);
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
        let nulls = self.nulls(path, spec, Kind::Numbers)?;
        let fill = if nulls == Nulls::Nan { Some(&Scalar::Float(f64::NAN)) } else { spec.fill.as_ref() };
        if nulls == Nulls::Nan && !number.is_float() {
            return Err(Error::Unsupported(format!(
                "column {path:?}: nulls=\"nan\" needs a float, and raw bytes are uint8; take dtype="
            )));
        }
        let fill = bytes_of(path, fill, number)?;
        let values = Values { from: number, to: number, lossy: false, unscaled: false, nulls, fill, tensors };
        let keys = masked(vec![value(Node::Part(Part::Dense(number)))], nulls, spec, false);
        let items = match count {
            1 => Op::Values(values),
            _ => Op::Fixed { items: Box::new(Op::Values(values)), nulls, tensors, only_rows: true },
        };
        Ok((Op::Bytes { number, count, items: Box::new(items) }, keys))
    }
}

/// What a policy for nulls can be asked of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Numbers,
    Bools,
    Text,
    Objects,
    Dict,
}
