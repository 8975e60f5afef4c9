//! `Run`: some batches in a row.

use std::sync::Arc;

use arrow_array::StructArray;
use arrow_schema::{DataType, FieldRef, Schema};
use pyo3::prelude::*;
use shardline_core::decode::{Column, Form};
use shardline_core::{Error, assemble, tensor};

use crate::capsule::{ArrowRows, dlpack};
use crate::error::{OrRaise, raise};

#[pyclass(frozen, module = "shardline._core")]
pub(crate) struct Run {
    pub(crate) run: assemble::Run,
    pub(crate) columns: Arc<[Column]>,
}

/// The bools of a dense column are bytes by now; its field still tells.
fn is_bool(data_type: &DataType) -> bool {
    match data_type {
        DataType::FixedSizeList(child, _) => is_bool(child.data_type()),
        other => *other == DataType::Boolean,
    }
}

impl Run {
    fn column(&self, index: usize) -> PyResult<(&Column, &arrow_array::ArrayRef)> {
        match (self.columns.get(index), self.run.columns().get(index)) {
            (Some(column), Some(array)) => Ok((column, array)),
            _ => Err(raise(Error::Argument(format!("there is no column number {index}")))),
        }
    }
}

#[pymethods]
impl Run {
    #[getter]
    fn sizes(&self) -> Vec<usize> {
        self.run.sizes().to_vec()
    }

    fn dlpack<'py>(&self, py: Python<'py>, column: usize) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let (of, array) = self.column(column)?;
        if matches!(of.form, Form::Jagged) {
            let (values, offsets, _) = tensor::jagged(array, self.run.sizes()).or_raise()?;
            return Ok(vec![dlpack(py, values)?, dlpack(py, offsets)?]);
        }
        Ok(vec![dlpack(py, tensor::dense(array, is_bool(of.field.data_type())).or_raise()?)?])
    }

    fn value_sizes(&self, column: usize) -> PyResult<Vec<usize>> {
        let (_, array) = self.column(column)?;
        Ok(tensor::jagged(array, self.run.sizes()).or_raise()?.2)
    }

    fn arrow(&self) -> PyResult<ArrowRows> {
        let fields: Vec<FieldRef> = self
            .columns
            .iter()
            .zip(self.run.columns())
            .map(|(column, array)| {
                let field = column.field.as_ref().clone().with_nullable(true).with_data_type(array.data_type().clone());
                Arc::new(field)
            })
            .collect();
        let schema = Schema::new(fields);
        let rows = StructArray::try_new_with_length(
            schema.fields().clone(),
            self.run.columns().to_vec(),
            None,
            self.run.rows(),
        )
        .map_err(|error| raise(Error::internal(error.to_string())))?;
        Ok(ArrowRows { schema, rows })
    }
}
