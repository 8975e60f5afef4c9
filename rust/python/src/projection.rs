//! `Projection`: the columns to deliver, checked.

use pyo3::prelude::*;
use shardline_core::decode;

use crate::capsule::ArrowSchema;
use crate::error::OrRaise;
use crate::plan::Plan;

#[pyclass(frozen, module = "shardline._core")]
pub(crate) struct Projection(pub(crate) decode::Projection);

#[pymethods]
impl Projection {
    #[new]
    #[pyo3(signature = (plan, columns, *, tensors, fixed_lists=Vec::new()))]
    fn new(plan: &Plan, columns: Option<Vec<String>>, tensors: bool, fixed_lists: Vec<String>) -> PyResult<Self> {
        decode::Projection::new(&plan.0, columns.as_deref(), tensors, &fixed_lists).or_raise().map(Self)
    }

    #[getter]
    fn names(&self) -> Vec<String> {
        self.0.columns().iter().map(|column| column.name.clone()).collect()
    }

    #[getter]
    fn kinds(&self) -> Vec<&'static str> {
        self.0.columns().iter().map(|column| column.form.kind()).collect()
    }

    #[getter]
    fn schema(&self) -> ArrowSchema {
        ArrowSchema(self.0.schema())
    }
}
