//! The columns that a reader delivers, checked against the plan before anything is read.

use std::sync::Arc;

use arrow_array::Array;
use arrow_schema::{DataType, Field, FieldRef, Schema};

use super::Form;
use super::retype::common;
use crate::files::FileTable;
use crate::{Error, Result};

/// One column to deliver.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its field in the first file's schema, with nulls allowed inside it.
    pub field: FieldRef,
    /// What it is delivered as.
    pub form: Form,
    /// Which of the table's partition columns it is, if it is no column of the files.
    pub partition: Option<usize>,
}

impl Column {
    /// The bytes of a row of it, decoded; None where rows differ.
    pub fn width(&self) -> Option<u64> {
        fn of(data_type: &DataType) -> Option<u64> {
            match data_type {
                DataType::Boolean => Some(1),
                DataType::FixedSizeList(child, length) => {
                    Some(of(child.data_type())? * u64::from(length.unsigned_abs()))
                }
                other => other.primitive_width().map(|width| width as u64),
            }
        }
        of(self.field.data_type())
    }
}

/// The columns to deliver, in the order in which they were asked for.
#[derive(Debug, Clone)]
pub struct Projection {
    columns: Vec<Column>,
    row_bytes: u64,
}

impl Projection {
    /// Checks the names, and, where tensors are wanted, that every column can be one.
    ///
    /// `columns`: None for all. `fixed_lists`: the list columns to deliver as (n, d).
    ///
    /// # Errors
    /// Unknown or repeated names, types that no tensor has, nulls that a footer shows.
    pub fn new(table: &FileTable, columns: Option<&[String]>, tensors: bool, fixed_lists: &[String]) -> Result<Self> {
        let (schema, in_file) = delivered(table);
        let schema = &schema;
        let names: Vec<&str> = match columns {
            Some(names) => names.iter().map(String::as_str).collect(),
            None => schema.fields().iter().map(|field| field.name().as_str()).collect(),
        };
        for (index, name) in names.iter().enumerate() {
            if names[..index].contains(name) {
                return Err(Error::Argument(format!("column {name:?} is asked for twice in columns; name it once")));
            }
        }
        if let Some(name) = fixed_lists.iter().find(|name| !names.contains(&name.as_str())) {
            return Err(match position(schema, name) {
                Ok(_) => Error::Argument(format!(
                    "column_options names column {name:?}, which columns leaves out; add it to columns or drop its options"
                )),
                Err(unknown) => unknown,
            });
        }
        let columns = names
            .into_iter()
            .map(|name| {
                let index = position(schema, name)?;
                let field = &schema.fields()[index];
                let fixed = fixed_lists.iter().any(|fixed| fixed == name);
                let form = if tensors { Form::of(field, fixed)? } else { Form::Arrow };
                let partition = match in_file[index] {
                    Place::Partition(partition) => Some(partition),
                    Place::File(_) => None,
                };
                // Of the rows with nulls, none may pass: then it is seen when they are read.
                let first_null = match in_file[index] {
                    _ if table.passing().is_some() => None,
                    Place::File(column) => table.first_null()[column].map(|file| file as usize),
                    Place::Partition(partition) => first_null(table, partition),
                };
                if let (true, Some(file)) = (tensors, first_null) {
                    return Err(null_error(table.path(file), name));
                }
                let field = field.as_ref().clone().with_data_type(common(field.data_type()));
                Ok(Column { name: name.to_owned(), field: Arc::new(field), form, partition })
            })
            .collect::<Result<Vec<_>>>()?;
        let fixed: u64 = columns.iter().filter_map(Column::width).sum();
        let varies = columns.iter().any(|column| column.width().is_none());
        // The footers tell how long encoded rows are; decoded, values of a dictionary take about twice that.
        let encoded = table.num_bytes() / table.num_rows().max(1);
        let row_bytes = (fixed + if varies { 2 * encoded } else { 0 }).max(1);
        Ok(Self { columns, row_bytes })
    }

    /// The columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The schema of what is delivered as Arrow data.
    pub fn schema(&self) -> Schema {
        let fields: Vec<Field> =
            self.columns.iter().map(|column| column.field.as_ref().clone().with_nullable(true)).collect();
        Schema::new(fields)
    }

    /// About how many bytes a row takes, decoded.
    pub fn row_bytes(&self) -> u64 {
        self.row_bytes
    }
}

/// Where a column's values are.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// In the files, at this place of their schema.
    File(usize),
    /// In the files' folders.
    Partition(usize),
}

/// The columns of the files, and after them those of the folders; where both have a name, the folders'.
fn delivered(table: &FileTable) -> (Schema, Vec<Place>) {
    let of_folders = table.partitions().map(|values| values.schema());
    let hidden = |name: &str| of_folders.as_ref().is_some_and(|folders| folders.column_with_name(name).is_some());
    let in_files = table.schema().fields().iter().enumerate();
    let mut fields: Vec<(FieldRef, Place)> = in_files
        .filter(|(_, field)| !hidden(field.name()))
        .map(|(index, field)| (field.clone(), Place::File(index)))
        .collect();
    let in_folders = of_folders.iter().flat_map(|folders| folders.fields().iter().cloned());
    fields.extend(in_folders.enumerate().map(|(index, field)| (field, Place::Partition(index))));
    let (fields, places): (Vec<FieldRef>, Vec<Place>) = fields.into_iter().unzip();
    (Schema::new(fields), places)
}

/// The first file whose folders say null.
fn first_null(table: &FileTable, partition: usize) -> Option<usize> {
    let values = table.partitions()?.column(partition);
    (0..table.num_files()).find(|&file| values.is_null(file))
}

/// The error for a column with nulls.
pub(crate) fn null_error(path: String, column: &str) -> Error {
    Error::Data {
        path,
        detail: format!(
            "column {column:?} has nulls, which a tensor cannot hold; leave it out (columns=…), fill the nulls in the files, or \
             take output_format=\"arrow\""
        ),
    }
}

fn position(schema: &Schema, name: &str) -> Result<usize> {
    if let Some(index) = schema.fields().iter().position(|field| field.name() == name) {
        return Ok(index);
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
    let hint = if close.is_empty() {
        let some: Vec<String> = schema.fields().iter().take(8).map(|field| format!("{:?}", field.name())).collect();
        let more = if schema.fields().len() > 8 { ", …" } else { "" };
        format!("the files have {}{more}", some.join(", "))
    } else {
        format!("did you mean {}?", close.join(" or "))
    };
    Err(Error::UnknownColumn(format!("there is no column {name:?}; {hint}")))
}
