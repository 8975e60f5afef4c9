//! The form in which a column is delivered, and the check that its values keep to it.

use std::sync::{Arc, OnceLock};

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, FixedSizeListArray, GenericListArray, OffsetSizeTrait, UInt8Array};
use arrow_buffer::Buffer;
use arrow_schema::{DataType, Field, FieldRef};

use super::projection::null_error;
use crate::order::RowSet;
use crate::{Error, Result};

/// What a column is delivered as.
#[derive(Debug, Clone)]
pub enum Form {
    /// Arrow data, as it stands in the file.
    Arrow,
    /// A tensor (n, d …) of fixed-width values; bools take a byte each.
    Dense,
    /// Lists of numbers of any length: values and offsets.
    Jagged,
    /// Lists of numbers that must have one length, known once the first was read: (n, d).
    Fixed(Arc<OnceLock<usize>>),
}

/// Where some rows come from, for messages.
#[derive(Debug, Clone, Copy)]
pub struct Where<'a> {
    /// The file.
    pub path: &'a str,
    /// The column.
    pub column: &'a str,
    /// The first of the rows, numbered in the file; of a set, the row group's first.
    pub first_row: u64,
    /// The set that the rows are of, and which of it the first one is.
    pub set: Option<(&'a RowSet, u64)>,
}

impl Where<'_> {
    /// The number, in the file, of one of the rows.
    fn row(&self, index: usize) -> u64 {
        self.first_row + self.set.map_or(index as u64, |(set, first)| set.row(first + index as u64))
    }
}

impl Form {
    /// The tensor form of a column.
    ///
    /// # Errors
    /// A type that no tensor has.
    pub fn of(field: &Field, fixed: bool) -> Result<Self> {
        let name = field.name();
        match field.data_type() {
            DataType::List(child) | DataType::LargeList(child) if is_number(child.data_type()) => {
                Ok(if fixed { Self::Fixed(Arc::default()) } else { Self::Jagged })
            }
            _ if fixed => Err(Error::Argument(format!(
                "column {name:?} is {}; lists=\"fixed\" is for lists of numbers",
                field.data_type()
            ))),
            data_type if is_dense(data_type) => Ok(Self::Dense),
            data_type => Err(Error::Unsupported(format!(
                "column {name:?} is {data_type}, which has no tensor; leave it out (columns=…) or take output_format=\"arrow\""
            ))),
        }
    }

    /// The name of the kind, as Python sees it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Arrow => "arrow",
            Self::Dense | Self::Fixed(_) => "dense",
            Self::Jagged => "jagged",
        }
    }

    /// Checks decoded rows and brings them into this form.
    ///
    /// # Errors
    /// Nulls, or lists of another length, each with its file and row.
    pub fn apply(&self, array: ArrayRef, from: Where<'_>) -> Result<ArrayRef> {
        match self {
            Self::Arrow => Ok(array),
            Self::Dense => dense(&array, from),
            Self::Jagged => {
                check_list(&array, from)?;
                Ok(array)
            }
            Self::Fixed(length) => {
                check_list(&array, from)?;
                match array.data_type() {
                    DataType::List(child) => fix::<i32>(array.as_list(), child, length, from),
                    DataType::LargeList(child) => fix::<i64>(array.as_list(), child, length, from),
                    other => Err(Error::internal(format!("a list column decoded to {other}"))),
                }
            }
        }
    }
}

/// Whether torch has the type.
fn is_number(data_type: &DataType) -> bool {
    data_type.is_integer() || matches!(data_type, DataType::Float16 | DataType::Float32 | DataType::Float64)
}

fn is_dense(data_type: &DataType) -> bool {
    match data_type {
        DataType::Boolean => true,
        DataType::FixedSizeList(child, _) => is_dense(child.data_type()),
        other => is_number(other),
    }
}

fn no_nulls(array: &dyn Array, from: Where<'_>) -> Result<()> {
    if array.null_count() == 0 {
        return Ok(());
    }
    Err(null_error(from.path.to_owned(), from.column))
}

fn dense(array: &ArrayRef, from: Where<'_>) -> Result<ArrayRef> {
    no_nulls(array, from)?;
    match array.data_type() {
        DataType::Boolean => {
            let bits = array.as_boolean().values();
            Ok(Arc::new(UInt8Array::from_iter_values(bits.iter().map(u8::from))))
        }
        DataType::FixedSizeList(child, length) => {
            let values = dense(array.as_fixed_size_list().values(), from)?;
            let field = Arc::new(Field::new(child.name(), values.data_type().clone(), false));
            FixedSizeListArray::try_new_with_length(field, *length, values, None, array.len())
                .map(|list| Arc::new(list) as ArrayRef)
                .map_err(|error| Error::internal(error.to_string()))
        }
        _ if array.nulls().is_none() => Ok(array.clone()),
        // A validity bitmap without a null in it.
        _ => array
            .to_data()
            .into_builder()
            .nulls(None)
            .build()
            .map(arrow_array::make_array)
            .map_err(|error| Error::internal(error.to_string())),
    }
}

fn check_list(array: &ArrayRef, from: Where<'_>) -> Result<()> {
    no_nulls(array, from)?;
    match array.data_type() {
        DataType::List(_) => no_nulls(&used::<i32>(array.as_list()), from),
        DataType::LargeList(_) => no_nulls(&used::<i64>(array.as_list()), from),
        other => Err(Error::internal(format!("a list column decoded to {other}"))),
    }
}

/// The values that the lists use.
fn used<O: OffsetSizeTrait>(lists: &GenericListArray<O>) -> ArrayRef {
    let offsets = lists.value_offsets();
    let (start, end) = match (offsets.first(), offsets.last()) {
        (Some(first), Some(last)) => (first.as_usize(), last.as_usize()),
        _ => (0, 0),
    };
    lists.values().slice(start, end - start)
}

fn fix<O: OffsetSizeTrait>(
    lists: &GenericListArray<O>,
    child: &FieldRef,
    length: &OnceLock<usize>,
    from: Where<'_>,
) -> Result<ArrayRef> {
    let offsets = lists.value_offsets();
    for (row, pair) in offsets.windows(2).enumerate() {
        let found = pair[1].as_usize() - pair[0].as_usize();
        let wanted = *length.get_or_init(|| found);
        if found != wanted {
            return Err(Error::Data {
                path: from.path.to_owned(),
                detail: format!(
                    "column {:?} has a list of {found} values at row {}, where the others have {wanted}; take lists=\"jagged\"",
                    from.column,
                    from.row(row)
                ),
            });
        }
    }
    let size = i32::try_from(length.get().copied().unwrap_or(0))
        .map_err(|_| Error::Unsupported(format!("column {:?} has lists of over 2**31 values", from.column)))?;
    let field = Arc::new(Field::new(child.name(), child.data_type().clone(), false));
    FixedSizeListArray::try_new_with_length(field, size, used(lists), None, lists.len())
        .map(|list| Arc::new(list) as ArrayRef)
        .map_err(|error| Error::internal(error.to_string()))
}

/// The values of an array of fixed-width values, as bytes: those of its slice only.
pub(crate) fn value_bytes(array: &dyn Array) -> Option<Buffer> {
    let width = array.data_type().primitive_width()?;
    let data = array.to_data();
    Some(data.buffers().first()?.slice_with_length(data.offset() * width, data.len() * width))
}

/// Lists with offsets that begin at 0, over just the values they use.
pub(crate) fn trim_list(array: &ArrayRef) -> Option<(ArrayRef, ArrayRef)> {
    fn trim<O: OffsetSizeTrait>(lists: &GenericListArray<O>) -> (ArrayRef, Vec<O>) {
        let offsets = lists.value_offsets();
        let first = offsets.first().copied().unwrap_or_default();
        (used(lists), offsets.iter().map(|&offset| offset - first).collect())
    }
    match array.data_type() {
        DataType::List(_) => {
            let (values, offsets) = trim::<i32>(array.as_list());
            Some((values, Arc::new(arrow_array::Int32Array::from(offsets))))
        }
        DataType::LargeList(_) => {
            let (values, offsets) = trim::<i64>(array.as_list());
            Some((values, Arc::new(arrow_array::Int64Array::from(offsets))))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::types::Int32Type;
    use arrow_array::{Int32Array, ListArray};

    const FROM: Where<'static> = Where { path: "a.parquet", column: "x", first_row: 100, set: None };

    fn lists(rows: &[&[i32]]) -> ArrayRef {
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(
            rows.iter().map(|row| Some(row.iter().copied().map(Some))),
        ))
    }

    #[test]
    fn a_fixed_list_of_another_length_is_named() {
        let form = Form::Fixed(Arc::default());
        let fixed = form.apply(lists(&[&[1, 2], &[3, 4]]), FROM).unwrap();
        assert_eq!(fixed.as_fixed_size_list().value_length(), 2);
        let error = form.apply(lists(&[&[1, 2], &[3]]), FROM).unwrap_err().to_string();
        assert!(error.contains("a.parquet") && error.contains("row 101") && error.contains("1 values"), "{error}");
    }

    #[test]
    fn nulls_are_named() {
        let array: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
        let error = Form::Dense.apply(array, FROM).unwrap_err().to_string();
        assert!(error.contains("\"x\"") && error.contains("nulls"), "{error}");
    }

    #[test]
    fn a_slice_of_lists_is_trimmed() {
        let (values, offsets) = trim_list(&lists(&[&[1], &[2, 3], &[], &[4]]).slice(1, 2)).unwrap();
        assert_eq!(values.as_primitive::<Int32Type>().values(), &[2, 3]);
        assert_eq!(offsets.as_primitive::<Int32Type>().values(), &[0, 2, 2]);
    }
}
