//! The columns that a reader delivers, checked against the plan before anything is read.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Field, FieldRef, Schema};

use super::convert::{ArrayLayout, Conversion, Node, OutputKey, Role, null_error, resolve};
use super::path::Path;
use super::schema_adapter::common_type;
use super::spec::{ColumnSpec, ProjectionSpec};
use super::{Nulls, Number, Vocabulary};
use crate::files::Plan;
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
    /// Which of the plan's partition columns it is, if it is no column of the files.
    pub partition: Option<usize>,
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

/// One column to deliver: of one source, or several sources of one number as a matrix (n, k).
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Where its values come from.
    pub sources: Vec<SourceColumn>,
    /// Whether it is a matrix.
    pub is_matrix: bool,
    /// The keys of a batch that it fills, by their full names: one array each.
    pub keys: Vec<OutputKey>,
}

impl Column {
    /// The bytes of a row of it, decoded; None where rows differ.
    pub fn width(&self) -> Option<u64> {
        self.sources.iter().map(SourceColumn::width).sum()
    }

    /// The names of the top-level columns of the files that it is read from.
    pub fn roots(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().filter(|source| source.partition.is_none()).map(|source| source.path.root.as_str())
    }
}

/// The columns to deliver, in the order in which they were asked for.
#[derive(Debug, Clone)]
pub struct Projection {
    columns: Vec<Column>,
    /// Of every source, its column and its place in it.
    places: Vec<(usize, usize)>,
    row_bytes: u64,
}

impl Projection {
    /// Checks the names, and that each column can become what was asked.
    ///
    /// # Errors
    /// Unknown or repeated names, types that no tensor has, nulls that a footer shows, options that do not fit.
    pub fn new(plan: &Plan, asked: &ProjectionSpec) -> Result<Self> {
        let (schema, _) = delivered(plan);
        let schema = &schema;
        let all = schema.fields().iter().map(|field| field.name().as_str());
        let names: Vec<&str> = match &asked.columns {
            Some(names) => names.iter().map(String::as_str).collect(),
            None if asked.groups.is_empty() => all.collect(),
            None => Vec::new(),
        };
        let in_groups = asked.groups.iter().flat_map(|(_, columns, _)| columns).map(String::as_str);
        let mut seen = HashSet::new();
        for name in names.iter().copied().chain(in_groups) {
            if !seen.insert(name) {
                return Err(Error::Argument(format!(
                    "column {name:?} is asked for twice in columns and groups; name it once"
                )));
            }
        }
        for name in asked.specs.keys() {
            let group = asked.groups.iter().any(|(group, ..)| group == name);
            let parts = seen.iter().any(|asked| name == asked || within(name, asked));
            if !group && !parts {
                find(schema, name)?;
                return Err(Error::Argument(format!(
                    "column_options names column {name:?}, which columns leaves out; add it to columns or drop its options"
                )));
            }
        }
        let mut columns = Vec::with_capacity(seen.len());
        for name in names {
            columns.push(single(name, plan, name, asked, None)?);
        }
        for (name, members, is_matrix) in &asked.groups {
            let spec = asked.specs.get(name);
            columns.push(match (members.as_slice(), is_matrix) {
                ([only], false) => single(name, plan, only, asked, spec)?,
                _ => matrix(name, plan, members, asked, spec)?,
            });
        }
        super::convert::check_clash("columns", columns.iter().flat_map(|c| &c.keys).map(|key| key.name.as_str()))?;
        let fixed: u64 = columns.iter().filter_map(Column::width).sum();
        let varies = columns.iter().any(|column| column.width().is_none());
        // The footers tell how long encoded rows are; decoded, values of a dictionary take about twice that.
        let encoded = plan.num_bytes() / plan.num_rows().max(1);
        let row_bytes = (fixed + if varies { 2 * encoded } else { 0 }).max(1);
        let places = columns.iter().enumerate();
        let places = places.flat_map(|(column, of)| (0..of.sources.len()).map(move |place| (column, place))).collect();
        Ok(Self { columns, places, row_bytes })
    }

    /// The columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// All sources of all columns.
    pub fn sources(&self) -> impl Iterator<Item = &SourceColumn> {
        self.columns.iter().flat_map(|column| &column.sources)
    }

    /// How many sources all columns have.
    pub fn num_sources(&self) -> usize {
        self.places.len()
    }

    /// A source's column, and its place in it.
    pub fn place(&self, source: usize) -> (usize, usize) {
        self.places[source]
    }

    /// A source, numbered through all columns.
    pub fn source(&self, source: usize) -> &SourceColumn {
        let (column, place) = self.places[source];
        &self.columns[column].sources[place]
    }

    /// The paths of columns (and of fields in them) whose codes stand for values that are not known yet.
    pub fn unlearned(&self) -> Vec<String> {
        let missing = self.sources().flat_map(|source| source.conversion.vocabularies());
        missing.filter(|(_, known)| known.get().is_none()).map(|(path, _)| path.clone()).collect()
    }

    /// Gives codes their values: distinct ones, in order. Once given, they stay.
    ///
    /// # Errors
    /// Values that are no vocabulary.
    pub fn teach(&self, path: &str, values: &ArrayRef) -> Result<()> {
        for (_, place) in
            self.sources().flat_map(|source| source.conversion.vocabularies()).filter(|(of, _)| of == path)
        {
            let vocabulary = Vocabulary::try_new(values)?;
            place.get_or_init(|| vocabulary);
        }
        Ok(())
    }

    /// The fields that are read, as the first file has them.
    pub fn schema(&self) -> Schema {
        let fields: Vec<Field> =
            self.sources().map(|source| source.field.as_ref().clone().with_nullable(true)).collect();
        Schema::new(fields)
    }

    /// About how many bytes a row takes, decoded.
    pub fn row_bytes(&self) -> u64 {
        self.row_bytes
    }
}

/// Where a column's values are.
#[derive(Debug, Clone, Copy)]
enum ColumnOrigin {
    /// In the files, at this place of their schema.
    File(usize),
    /// In the files' folders.
    Partition(usize),
}

/// The columns of the files, and after them those of the folders; where both have a name, the folders'.
fn delivered(plan: &Plan) -> (Schema, Vec<ColumnOrigin>) {
    let of_folders = plan.partitions().map(|values| values.schema());
    let hidden = |name: &str| of_folders.as_ref().is_some_and(|folders| folders.column_with_name(name).is_some());
    let in_files = plan.schema().fields().iter().enumerate();
    let mut fields: Vec<(FieldRef, ColumnOrigin)> = in_files
        .filter(|(_, field)| !hidden(field.name()))
        .map(|(index, field)| (field.clone(), ColumnOrigin::File(index)))
        .collect();
    let in_folders = of_folders.iter().flat_map(|folders| folders.fields().iter().cloned());
    fields.extend(in_folders.enumerate().map(|(index, field)| (field, ColumnOrigin::Partition(index))));
    let (fields, places): (Vec<FieldRef>, Vec<ColumnOrigin>) = fields.into_iter().unzip();
    (Schema::new(fields), places)
}

/// The first file whose folders say null.
fn first_null(plan: &Plan, partition: usize) -> Option<usize> {
    let values = plan.partitions()?.column(partition);
    (0..plan.num_files()).find(|&file| values.is_null(file))
}

/// Whether a dotted path lies in a column.
fn within(path: &str, column: &str) -> bool {
    path.strip_prefix(column).is_some_and(|rest| rest.starts_with('.'))
}

fn source(plan: &Plan, name: &str, asked: &ProjectionSpec, spec: &ColumnSpec) -> Result<SourceColumn> {
    let (schema, places) = delivered(plan);
    let (path, index) = find(&schema, name)?;
    let root = schema.field(index);
    let (_, data_type) = path.resolve(root.data_type())?;
    let data_type = common_type(&data_type);
    let conversion = resolve(name, &data_type, spec, asked)?;
    let refuses = spec.nulls.map_or(asked.tensors && spec.encode.is_none(), |nulls| nulls == Nulls::Error);
    // Of the rows with nulls, none may pass: then it is seen when they are read.
    let (index, partition, first_null) = match places[index] {
        ColumnOrigin::File(column) => (column, None, plan.first_null()[column].map(|file| file as usize)),
        ColumnOrigin::Partition(partition) => (usize::MAX, Some(partition), first_null(plan, partition)),
    };
    let first_null = first_null.filter(|_| plan.passing().is_none());
    if let (true, true, Some(file)) = (path.is_whole(), refuses, first_null)
        && !asked.specs.keys().any(|path| within(path, name))
    {
        return Err(null_error(plan.path(file), name, None, conversion.policies()));
    }
    let field = root.clone().with_name(name).with_data_type(data_type);
    Ok(SourceColumn { name: name.to_owned(), path, index, field: Arc::new(field), conversion, partition })
}

/// A column, or a field in one, as it stands in the files.
pub(crate) fn named(plan: &Plan, name: &str) -> Result<SourceColumn> {
    source(plan, name, &ProjectionSpec::default(), &ColumnSpec::default())
}

/// One column as it is, under `key`.
fn single(key: &str, plan: &Plan, name: &str, asked: &ProjectionSpec, group: Option<&ColumnSpec>) -> Result<Column> {
    let spec = match (asked.specs.get(name), group) {
        (Some(spec), _) => spec.clone(),
        (None, Some(group)) => group.clone(),
        (None, None) => asked.of(name, None),
    };
    let source = source(plan, name, asked, &spec)?;
    let keys =
        source.conversion.keys().iter().map(|made| OutputKey { name: format!("{key}{}", made.name), ..made.clone() });
    Ok(Column { name: key.to_owned(), keys: keys.collect(), sources: vec![source], is_matrix: false })
}

/// Several columns of one number each, beside one another.
fn matrix(
    key: &str,
    plan: &Plan,
    members: &[String],
    asked: &ProjectionSpec,
    group: Option<&ColumnSpec>,
) -> Result<Column> {
    if members.is_empty() {
        return Err(Error::Argument(format!("groups: {key:?} has no columns")));
    }
    let mut sources = Vec::with_capacity(members.len());
    let mut number: Option<(Number, &str)> = None;
    for name in members {
        let mut spec = match (asked.specs.get(name), group) {
            (Some(spec), _) => spec.clone(),
            (None, Some(group)) => ColumnSpec { asked: Vec::new(), ..group.clone() },
            (None, None) => asked.of(name, None),
        };
        let masks = group.is_some_and(|group| group.nulls == Some(Nulls::Mask));
        if spec.nulls == Some(Nulls::Mask) && !masks {
            return Err(Error::Argument(format!(
                "column {name:?} stands in the matrix {key:?}, which has one mask or none: give nulls=\"mask\" to {key:?}"
            )));
        }
        // A matrix has no nulls, of Arrow data neither.
        spec.nulls =
            if masks { Some(Nulls::Mask) } else { spec.nulls.filter(|n| *n != Nulls::Keep).or(Some(Nulls::Error)) };
        let tensors = ProjectionSpec { tensors: true, ..asked.clone() };
        let source = source(plan, name, &tensors, &spec)?;
        let found = source.conversion.number().ok_or_else(|| {
            Error::Unsupported(format!(
                "column {name:?} is {}, which has no place in the matrix {key:?}: its columns are one number a row",
                source.field.data_type()
            ))
        })?;
        match number {
            Some((number, first)) if number != found => {
                return Err(Error::Argument(format!(
                    "the matrix {key:?} is of one dtype, and column {first:?} is {} where {name:?} is {}: cast them by \
                     column_options={{{key:?}: ColumnOptions(dtype=…)}}",
                    number.name(),
                    found.name()
                )));
            }
            _ => number = number.or(Some((found, name))),
        }
        sources.push(source);
    }
    let node = |number| Node::ArrayLayout(if asked.tensors { ArrayLayout::Dense(number) } else { ArrayLayout::Arrow });
    let number = number.map_or(Number::F32, |(number, _)| number);
    let mut keys = vec![OutputKey { name: key.to_owned(), role: Role::Value, node: node(number) }];
    if let Some(group) = group.filter(|group| group.nulls == Some(Nulls::Mask)) {
        let name = format!("{key}{}", group.mask_suffix);
        keys.push(OutputKey { name, role: Role::Mask, node: node(Number::Bool) });
    }
    Ok(Column { name: key.to_owned(), keys, sources, is_matrix: true })
}

fn find(schema: &Schema, name: &str) -> Result<(Path, usize)> {
    let path = Path::find(schema, name);
    let index = path.as_ref().and_then(|path| schema.fields().iter().position(|field| *field.name() == path.root));
    if let (Some(path), Some(index)) = (path, index) {
        return Ok((path, index));
    }
    let mut near: Vec<(usize, &str)> = schema
        .fields()
        .iter()
        .map(|field| {
            (strsim::damerau_levenshtein(&name.to_lowercase(), &field.name().to_lowercase()), field.name().as_str())
        })
        .collect();
    near.sort_unstable();
    let limit = name.chars().count() / 3 + 1;
    let close: Vec<String> =
        near.iter().filter(|(distance, _)| *distance <= limit).take(3).map(|(_, near)| format!("{near:?}")).collect();
    let root = schema.fields().iter().find(|field| within(name, field.name()));
    let hint = if let Some(root) = root {
        format!("{:?} is {}", root.name(), root.data_type())
    } else if close.is_empty() {
        let some: Vec<String> = schema.fields().iter().take(8).map(|field| format!("{:?}", field.name())).collect();
        let more = if schema.fields().len() > 8 { ", …" } else { "" };
        format!("the files have {}{more}", some.join(", "))
    } else {
        format!("did you mean {}?", close.join(" or "))
    };
    Err(Error::UnknownColumn(format!("there is no column {name:?}; {hint}")))
}
