//! A column of the files or of their folders, or a field in one, and its conversion.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_array::Array;
use arrow_schema::{DataType, Field, FieldRef};

use super::Nulls;
use super::convert::{Conversion, resolve};
use super::path::Path;
use super::schema_adapter::common_type;
use super::spec::{ColumnSpec, ProjectionSpec};
use super::text_policy::{TextPolicy, policies};
use crate::files::Plan;
use crate::files::refusal::{Refusal, accepted, check_readable};
use crate::{Error, Result};

/// One column of the files, or a field in one, and what becomes of it.
#[derive(Debug, Clone)]
pub struct SourceColumn {
    /// Its name, as it was asked for.
    pub name: String,
    /// Where it is.
    pub path: Path,
    /// Where its top-level column stands in the plan's schema, and most likely in every file.
    pub index: usize,
    /// The field, with nulls allowed inside it.
    pub field: FieldRef,
    /// What is done to it.
    pub conversion: Conversion,
    /// What it is, if it is no column of the files.
    pub virtual_column: Option<VirtualColumn>,
    /// The first file that has nulls of it, as footers or folders say, where it may have none.
    pub(super) refused_null: Option<usize>,
    /// What becomes of its text that is not UTF-8, in the order of its leaves.
    pub(crate) texts: Vec<TextPolicy>,
}

impl SourceColumn {
    /// The bytes of a row of it, decoded; None where rows differ.
    pub fn width(&self) -> Option<u64> {
        fn of(data_type: &DataType) -> Option<u64> {
            match data_type {
                DataType::Boolean => Some(1),
                DataType::FixedSizeList(child, length) => {
                    Some(of(child.data_type())? * u64::from(length.unsigned_abs()))
                }
                DataType::FixedSizeBinary(length) => Some(u64::from(length.unsigned_abs())),
                other => other.primitive_width().map(|width| width as u64),
            }
        }
        self.conversion.number().map(|number| number.width() as u64).or_else(|| of(self.field.data_type()))
    }
}

/// A column whose values are not in the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VirtualColumn {
    /// One of the plan's partition columns.
    Partition(usize),
    /// The number of a row's file in the plan.
    File,
    /// The number of a row in its file.
    Row,
}

/// Where a column's values are.
#[derive(Debug, Clone, Copy)]
pub(super) enum ColumnOrigin {
    /// In the files, at this place of their schema.
    File(usize),
    /// In the files' folders.
    Partition(usize),
}

/// The columns of the files, and after them those of the folders; where both have a name, the folders'. A table's
/// partition columns stand where the table has them.
pub(super) struct Delivered<'a> {
    pub(super) plan: &'a Plan,
    fields: Vec<(FieldRef, ColumnOrigin)>,
    /// Where the first column of a name stands among them.
    places: HashMap<String, usize>,
}

impl<'a> Delivered<'a> {
    pub(super) fn of(plan: &'a Plan) -> Self {
        let of_folders = plan.partitions().map(|values| values.schema());
        let hidden = |name: &str| of_folders.as_ref().is_some_and(|folders| folders.column_with_name(name).is_some());
        let in_files = plan.schema().fields().iter().enumerate();
        let in_folders = of_folders.iter().flat_map(|folders| folders.fields().iter().cloned()).enumerate();
        let of_folder = |name: &str| {
            let (index, field) = in_folders.clone().find(|(_, field)| field.name() == name)?;
            Some((field, ColumnOrigin::Partition(index)))
        };
        let mut fields: Vec<(FieldRef, ColumnOrigin)> = Vec::new();
        for (index, field) in in_files {
            if !hidden(field.name()) {
                fields.push((field.clone(), ColumnOrigin::File(index)));
            } else if plan.table().is_some() {
                fields.extend(of_folder(field.name()));
            }
        }
        let placed: HashSet<String> = fields.iter().map(|(field, _)| field.name().clone()).collect();
        let others = in_folders.filter(|(_, field)| !placed.contains(field.name()));
        fields.extend(others.map(|(index, field)| (field, ColumnOrigin::Partition(index))));
        let mut places = HashMap::with_capacity(fields.len());
        for (place, (field, _)) in fields.iter().enumerate() {
            places.entry(field.name().clone()).or_insert(place);
        }
        Self { plan, fields, places }
    }

    /// All columns, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(field, _)| field.name().as_str())
    }

    fn column(&self, name: &str) -> Option<&Field> {
        self.places.get(name).map(|&place| self.fields[place].0.as_ref())
    }

    /// A column, or a field in one, by its name.
    pub(super) fn find(&self, name: &str) -> Result<(Path, &FieldRef, ColumnOrigin)> {
        let path = Path::find(|column| self.column(column), name);
        let place = path.as_ref().and_then(|path| self.places.get(&path.root));
        let (Some(path), Some(&place)) = (path, place) else { return Err(self.unknown(name)) };
        let (field, origin) = &self.fields[place];
        Ok((path, field, *origin))
    }

    /// Why a column, or a field in one, cannot be read, if it cannot.
    pub(super) fn refusal(&self, name: &str) -> Result<Option<Refusal>> {
        let (path, field, _) = self.find(name)?;
        Ok(path.refusal(field))
    }

    fn unknown(&self, name: &str) -> Error {
        let lower = name.to_lowercase();
        let mut near: Vec<(usize, &str)> =
            self.names().map(|known| (strsim::damerau_levenshtein(&lower, &known.to_lowercase()), known)).collect();
        near.sort_unstable();
        let limit = name.chars().count() / 3 + 1;
        let close: Vec<String> = near
            .iter()
            .filter(|(distance, _)| *distance <= limit)
            .take(3)
            .map(|(_, near)| format!("{near:?}"))
            .collect();
        let root = self.fields.iter().map(|(field, _)| field).find(|field| within(name, field.name()));
        let hint = if let Some(root) = root {
            format!("{:?} is {}", root.name(), root.data_type())
        } else if close.is_empty() {
            let some: Vec<String> = self.names().take(8).map(|name| format!("{name:?}")).collect();
            let more = if self.fields.len() > 8 { ", …" } else { "" };
            format!("the files have {}{more}", some.join(", "))
        } else {
            format!("did you mean {}?", close.join(" or "))
        };
        Error::UnknownColumn(format!("there is no column {name:?}; {hint}"))
    }
}

/// The first file whose folders say null.
fn first_null(plan: &Plan, partition: usize) -> Option<usize> {
    let values = plan.partitions()?.column(partition);
    (0..plan.num_files()).find(|&file| values.is_null(file))
}

/// Whether a dotted path lies in a column.
pub(super) fn within(path: &str, column: &str) -> bool {
    path.strip_prefix(column).is_some_and(|rest| rest.starts_with('.'))
}

pub(super) fn source(
    delivered: &Delivered<'_>,
    name: &str,
    asked: &ProjectionSpec,
    spec: &ColumnSpec,
) -> Result<SourceColumn> {
    let plan = delivered.plan;
    let (path, root, origin) = delivered.find(name)?;
    let (_, data_type) = path.resolve(root.data_type())?;
    let data_type = common_type(&data_type);
    let conversion = resolve(name, &data_type, spec, asked)?;
    let mut texts = Vec::new();
    policies(name, &data_type, spec, asked, &mut texts);
    let refuses = spec.nulls.map_or(asked.tensors && spec.encode.is_none(), |nulls| nulls == Nulls::Error);
    // Of the rows with nulls, none may pass: then it is seen when they are read.
    let (index, virtual_column, first_null) = match origin {
        ColumnOrigin::File(column) => (column, None, plan.first_null()[column].map(|file| file as usize)),
        ColumnOrigin::Partition(partition) => {
            (usize::MAX, Some(VirtualColumn::Partition(partition)), first_null(plan, partition))
        }
    };
    let first_null = first_null.filter(|_| !plan.selects_rows());
    let refused_null = first_null.filter(|_| path.is_whole() && refuses && !asked.has_specs_within(name));
    let field = accepted(root).with_name(name).with_data_type(data_type);
    let (name, field) = (name.to_owned(), Arc::new(field));
    Ok(SourceColumn { name, path, index, field, conversion, virtual_column, refused_null, texts })
}

/// The numbers of rows, or of their files.
pub(super) fn row_id(name: &str, of: VirtualColumn, asked: &ProjectionSpec) -> Result<SourceColumn> {
    let field = Arc::new(Field::new(name, DataType::Int64, false));
    Ok(SourceColumn {
        name: name.to_owned(),
        path: Path::whole(name),
        index: usize::MAX,
        conversion: resolve(name, field.data_type(), &ColumnSpec::default(), asked)?,
        field,
        virtual_column: Some(of),
        refused_null: None,
        texts: Vec::new(),
    })
}

/// A column, or a field in one, as it stands in the files; `replace`: with text that is not UTF-8.
pub(crate) fn named(plan: &Plan, name: &str, replace: bool) -> Result<SourceColumn> {
    let spec = ColumnSpec { replace, ..ColumnSpec::default() };
    let delivered = Delivered::of(plan);
    check_readable(delivered.refusal(name)?.into_iter().collect())?;
    source(&delivered, name, &ProjectionSpec::default(), &spec)
}
