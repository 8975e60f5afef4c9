//! The resolution of a column's type and its specification to a conversion.

use std::sync::Arc;

use arrow_schema::{DataType, Field};

use super::arrays::fixed_size;
use super::conversion::Conversion;
use super::lists::{ListConversion, ListLayout};
use super::null_rules::{NullTarget, Resolved, Resolver};
use super::operation::{Child, Op};
use super::output::{ArrayLayout, Node, OutputKey, Role};
use super::text::is_text;
use super::validate::{
    bytes_of, changes, check_clash, check_concerns, inner, is_dense, is_flat, is_id, item_mask, masked, not_numbers,
    value,
};
use crate::decode::scalar::Scalar;
use crate::decode::spec::{ColumnSpec, ProjectionSpec};
use crate::decode::vocabulary::has_keys;
use crate::decode::{self, Nulls, Number};
use crate::{Error, Result};

/// What becomes of the column `path`, of this type.
pub(crate) fn resolve(
    path: &str,
    data_type: &DataType,
    spec: &ColumnSpec,
    asked: &ProjectionSpec,
) -> Result<Conversion> {
    let mut resolver = Resolver { asked, vocabularies: Vec::new() };
    let (op, keys) = resolver.op(path, data_type, spec)?;
    Ok(Conversion { op, keys, vocabularies: resolver.vocabularies })
}

impl Resolver<'_> {
    fn op(&mut self, path: &str, data_type: &DataType, spec: &ColumnSpec) -> Result<Resolved> {
        let tensors = self.asked.tensors;
        if !tensors && !changes(spec) && !self.changes_within(path) {
            return Ok(match spec.nulls {
                None | Some(Nulls::Keep) => (Op::Keep, vec![value(Node::Array(ArrayLayout::Arrow))]),
                Some(_) => (Op::Objects { nulls: Nulls::Error, tensors }, vec![value(Node::Array(ArrayLayout::Arrow))]),
            });
        }
        check_concerns(path, data_type, spec)?;
        let encodes = spec.encode.is_some() && has_keys(data_type) && (is_id(data_type) || spec.asks("encode"));
        match data_type {
            DataType::Dictionary(..) if has_keys(data_type) && (tensors || spec.encode.is_some()) => {
                self.encoded(path, spec)
            }
            // Arrow data are codes only where these are asked for.
            DataType::Dictionary(_, values) if !tensors => {
                let (op, keys) = self.op(path, values, spec)?;
                Ok((Op::Plain(Box::new(op)), keys))
            }
            _ if encodes => self.encoded(path, spec),
            DataType::List(child) | DataType::LargeList(child) => self.list(path, data_type, child, spec),
            DataType::FixedSizeList(child, _) => {
                let (items, keys) = self.op(path, child.data_type(), &inner(spec))?;
                let numbers = is_dense(&keys) || (!tensors && is_flat(child.data_type()));
                if !numbers || spec.lists == decode::Lists::Objects {
                    return self.objects(path, data_type, spec);
                }
                let nulls = self.nulls(path, spec, NullTarget::Numbers)?;
                let keys = masked(keys, nulls, spec, true);
                Ok((Op::Fixed { items: Box::new(items), nulls, tensors, only_rows: false }, keys))
            }
            DataType::FixedSizeBinary(width) => self.bytes(path, fixed_size(*width), spec),
            DataType::Struct(fields) => {
                let nulls = self.nulls(path, spec, NullTarget::Dict)?;
                let (mut children, mut keys) = (Vec::new(), Vec::new());
                for field in fields {
                    let within = format!("{path}.{}", field.name());
                    let spec = self.asked.of(&within, Some(spec));
                    let (op, made) = self.op(&within, field.data_type(), &spec)?;
                    let made: Vec<OutputKey> = made
                        .into_iter()
                        .map(|key| OutputKey { name: format!("{}{}", field.name(), key.name), ..key })
                        .collect();
                    let names = made.iter().map(|key| key.name.clone()).collect();
                    children.push(Child { op, path: within, names });
                    keys.extend(made);
                }
                check_clash(path, keys.iter().map(|key| key.name.as_str()))?;
                let node = if tensors { Node::Dict(keys) } else { Node::Array(ArrayLayout::Arrow) };
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
        self.asked.has_specs_within(path)
            && specs.any(|(of, spec)| {
                let within = of.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
                within && (changes(spec) || spec.nulls.is_some())
            })
    }

    fn list(&mut self, path: &str, data_type: &DataType, child: &Field, spec: &ColumnSpec) -> Result<Resolved> {
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
        let mut nulls = self.nulls(path, spec, NullTarget::Numbers)?;
        let number = match keys.first() {
            Some(OutputKey { node: Node::Array(ArrayLayout::Dense(number)), .. }) => *number,
            // Arrow data: only whether a fill fits matters, and the type says which.
            _ => {
                let number = spec.dtype.or_else(|| Number::of(child.data_type())).unwrap_or(Number::F64);
                if nulls == Nulls::Nan { number.float() } else { number }
            }
        };
        let (mut layout, mut part, mut lengths) = (ListLayout::Jagged, ArrayLayout::Jagged(number), false);
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
                (layout, part) = (ListLayout::Fixed(Arc::default()), ArrayLayout::Dense(number));
            }
            decode::Lists::Padded(padding) => {
                let value = bytes_of(path, padding.value.as_ref(), number).map_err(|_| {
                    Error::Argument(format!("column {path:?}: pad_value does not fit {}", number.name()))
                })?;
                fill = value;
                lengths = padding.lengths;
                match padding.length {
                    Some(length) => {
                        layout = ListLayout::Padded { length, side: padding.side, truncate: padding.truncate };
                        part = ArrayLayout::Dense(number);
                    }
                    None if tensors => part = ArrayLayout::Padded(number, padding.clone(), value),
                    None => {
                        return Err(Error::Argument(format!(
                            "column {path:?}: Arrow data has one type for all batches; give lists=\"padded\" a length="
                        )));
                    }
                }
            }
        }
        if nulls == Nulls::Keep && !matches!(layout, ListLayout::Jagged) {
            nulls = Nulls::Error;
        }
        let mut made = masked(vec![value(Node::Array(part.clone()))], nulls, spec, false);
        if nulls == Nulls::Mask && keys.len() > 1 {
            let part = match part {
                ArrayLayout::Dense(_) => ArrayLayout::Dense(Number::Bool),
                ArrayLayout::Padded(_, padding, _) => ArrayLayout::Padded(Number::Bool, padding, [0; 8]),
                _ => ArrayLayout::Jagged(Number::Bool),
            };
            made.push(item_mask(part, spec));
        }
        if lengths {
            let node = Node::Array(ArrayLayout::Dense(Number::I64));
            made.push(OutputKey { name: spec.length_suffix.clone(), role: Role::Length, node });
        }
        if !tensors {
            made.iter_mut().for_each(|key| key.node = Node::Array(ArrayLayout::Arrow));
        }
        Ok((
            Op::Lists { items: Box::new(items), lists: ListConversion { layout, nulls, fill, lengths, tensors } },
            made,
        ))
    }

    fn objects(&self, path: &str, data_type: &DataType, spec: &ColumnSpec) -> Result<Resolved> {
        if !matches!(spec.lists, decode::Lists::Objects | decode::Lists::Jagged) && spec.asks("lists") {
            return Err(not_numbers(path, data_type, &spec.lists));
        }
        let tensors = self.asked.tensors;
        let nulls = self.nulls(path, spec, NullTarget::Objects)?;
        if nulls == Nulls::Fill && spec.fill.is_some() && spec.asks("nulls") {
            return Err(Error::Argument(format!(
                "column {path:?} is {data_type}, in which nulls become empty lists and maps, \"\" and 0; leave fill= out"
            )));
        }
        let node = Node::Array(if tensors { ArrayLayout::Objects } else { ArrayLayout::Arrow });
        Ok((Op::Objects { nulls, tensors }, masked(vec![value(node)], nulls, spec, false)))
    }
}
