//! `Run`: some batches in a row.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::ByteArrayType;
use arrow_array::{Array, ArrayRef, GenericByteArray, StructArray};
use arrow_schema::{DataType, Field, FieldRef, Schema};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};
use shardline_core::decode::{ArrayLayout, Column, Leaf, Number, Role};
use shardline_core::{Error, assemble, tensor};

use crate::capsule::{ArrowRows, dlpack};
use crate::error::{OrRaise, raise};
use crate::spec::column_of;

#[pyclass(frozen, module = "shardline._core")]
pub(crate) struct Run {
    pub(crate) run: assemble::BatchRun,
    pub(crate) columns: Arc<[Column]>,
    pub(crate) leaves: Arc<[Leaf]>,
}

impl Run {
    fn part(&self, index: usize) -> PyResult<(&ArrayLayout, ArrayRef)> {
        let leaf = self.leaves.get(index);
        match leaf.and_then(|leaf| Some((&leaf.part, leaf.array(self.run.columns())?))) {
            Some(found) => Ok(found),
            None => Err(raise(Error::Argument(format!("there is no part number {index}")))),
        }
    }
}

fn of_another_kind(part: &ArrayLayout) -> PyErr {
    raise(Error::Argument(format!("a part of another kind: {part:?}")))
}

#[pymethods]
impl Run {
    #[getter]
    fn sizes(&self) -> Vec<usize> {
        self.run.sizes().to_vec()
    }

    fn dlpack<'py>(&self, py: Python<'py>, part: usize) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let (part, array) = self.part(part)?;
        let sizes = self.run.sizes();
        match part {
            ArrayLayout::Dense(number) => Ok(vec![dlpack(py, tensor::dense(&array, *number).or_raise()?)?]),
            ArrayLayout::Jagged(_) | ArrayLayout::Ragged => {
                let number = if let ArrayLayout::Jagged(number) = part { *number } else { Number::U8 };
                let (values, offsets, _) = tensor::jagged(&array, sizes, number).or_raise()?;
                Ok(vec![dlpack(py, values)?, dlpack(py, offsets)?])
            }
            ArrayLayout::Padded(number, padding, fill) => {
                let views = py.detach(|| tensor::padded(&array, sizes, *number, padding, *fill)).or_raise()?;
                views.into_iter().map(|view| dlpack(py, view)).collect()
            }
            ArrayLayout::Text | ArrayLayout::Objects | ArrayLayout::Arrow => Err(of_another_kind(part)),
        }
    }

    fn value_sizes(&self, part: usize) -> PyResult<Vec<usize>> {
        let (part, array) = self.part(part)?;
        let number = if let ArrayLayout::Jagged(number) = part { *number } else { Number::U8 };
        Ok(tensor::jagged(&array, self.run.sizes(), number).or_raise()?.2)
    }

    fn segments<'py>(
        &self,
        py: Python<'py>,
        part: usize,
        seq_len: usize,
    ) -> PyResult<Vec<(Bound<'py, PyAny>, usize, usize)>> {
        let (_, array) = self.part(part)?;
        let borders = py.detach(|| tensor::segment_borders(&array, self.run.sizes(), seq_len)).or_raise()?;
        let of_batch = |of: tensor::SegmentBorders| Ok((dlpack(py, of.borders)?, of.longest, of.tokens));
        borders.into_iter().map(of_batch).collect()
    }

    fn sources<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.run.sources() {
            Some(sources) => dlpack(py, tensor::dense(sources, Number::I16).or_raise()?),
            None => Err(raise(Error::Argument("these rows are of one source".into()))),
        }
    }

    fn segment_numbers<'py>(
        &self,
        py: Python<'py>,
        part: usize,
        slots: usize,
        seq_len: usize,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let ((_, slots), (part, array)) = (self.part(slots)?, self.part(part)?);
        let ArrayLayout::Jagged(number) = part else { return Err(of_another_kind(part)) };
        let sizes = self.run.sizes();
        let found = py.detach(|| tensor::segment_numbers(&slots, &array, sizes, seq_len, *number)).or_raise()?;
        found.into_iter().map(|view| dlpack(py, view)).collect()
    }

    fn text<'py>(&self, py: Python<'py>, part: usize) -> PyResult<Vec<Bound<'py, PyList>>> {
        let (part, array) = self.part(part)?;
        let sizes = self.run.sizes();
        match array.data_type() {
            DataType::Utf8 => lists(py, array.as_string::<i32>(), sizes, |value| PyString::new(py, value).into_any()),
            DataType::LargeUtf8 => {
                lists(py, array.as_string::<i64>(), sizes, |value| PyString::new(py, value).into_any())
            }
            DataType::Binary => lists(py, array.as_binary::<i32>(), sizes, |value| PyBytes::new(py, value).into_any()),
            DataType::LargeBinary => {
                lists(py, array.as_binary::<i64>(), sizes, |value| PyBytes::new(py, value).into_any())
            }
            _ => Err(of_another_kind(part)),
        }
    }

    fn objects(&self, part: usize) -> PyResult<ArrowRows> {
        let (_, array) = self.part(part)?;
        column_of("", &array)
    }

    fn arrow(&self) -> PyResult<ArrowRows> {
        let mut fields: Vec<FieldRef> = Vec::new();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for (column, array) in self.columns.iter().zip(self.run.columns()) {
            for (key, array) in column.keys.iter().zip(Leaf::of_keys(column, array)) {
                let source = column.sources.first().filter(|_| key.role == Role::Value && !column.is_matrix);
                let same = source.filter(|source| source.field.data_type() == array.data_type());
                let field = match same {
                    Some(source) => source.field.as_ref().clone().with_name(&key.name).with_nullable(true),
                    None => Field::new(&key.name, array.data_type().clone(), true),
                };
                fields.push(Arc::new(field));
                arrays.push(array);
            }
        }
        let schema = Schema::new(fields);
        let rows = StructArray::try_new_with_length(schema.fields().clone(), arrays, None, self.run.rows())
            .map_err(|error| raise(Error::internal(error.to_string())))?;
        Ok(ArrowRows { schema, rows })
    }
}

/// The values of each batch as a list of Python objects, nulls as None.
fn lists<'py, T: ByteArrayType>(
    py: Python<'py>,
    array: &GenericByteArray<T>,
    sizes: &[usize],
    make: impl Fn(&T::Native) -> Bound<'py, PyAny>,
) -> PyResult<Vec<Bound<'py, PyList>>> {
    let mut start = 0;
    let batch = |&size: &usize| {
        let rows = start..start + size;
        start += size;
        PyList::new(py, rows.map(|row| (!array.is_null(row)).then(|| make(array.value(row)))))
    };
    sizes.iter().map(batch).collect()
}
