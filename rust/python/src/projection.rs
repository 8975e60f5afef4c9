//! `Projection`: the columns to deliver, checked.

use std::collections::HashMap;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use shardline_core::decode::{self, ArrayLayout, Node, OutputKey, ProjectionSpec, Role};

use crate::capsule::ArrowSchema;
use crate::error::OrRaise;
use crate::plan::Plan;
use crate::spec::{PySpec, array_of};

#[pyclass(frozen, module = "shardline._core")]
pub(crate) struct Projection(pub(crate) decode::Projection);

#[pymethods]
impl Projection {
    #[new]
    #[pyo3(signature = (plan, columns, *, tensors, default, specs, groups, row_id=false))]
    fn new(
        plan: &Plan,
        columns: Option<Vec<String>>,
        tensors: bool,
        default: PySpec<'_>,
        specs: &Bound<'_, PyDict>,
        groups: Vec<(String, Vec<String>, bool)>,
        row_id: bool,
    ) -> PyResult<Self> {
        let mut by_path = HashMap::new();
        for (path, spec) in specs {
            by_path.insert(path.extract::<String>()?, spec.extract::<PySpec<'_>>()?.unpack()?);
        }
        let asked = ProjectionSpec::new(columns, tensors, by_path, default.unpack()?, groups, row_id);
        decode::Projection::new(&plan.0, &asked).or_raise().map(Self)
    }

    #[getter]
    fn names(&self) -> Vec<&str> {
        self.0.columns().iter().flat_map(|column| &column.keys).map(|key| key.name.as_str()).collect()
    }

    #[getter]
    fn layout<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let mut next = 0;
        let mut entries = Vec::new();
        for column in self.0.columns() {
            let sources: Vec<&str> = column.sources.iter().map(|source| source.name.as_str()).collect();
            for key in &column.keys {
                entries.push((&key.name, role(key), &sources, node(py, &key.node, &mut next)?).into_pyobject(py)?);
            }
        }
        Ok(entries)
    }

    #[getter]
    fn unlearned(&self) -> Vec<String> {
        self.0.unlearned()
    }

    fn teach(&self, path: &str, values: &Bound<'_, PyAny>) -> PyResult<()> {
        let values = array_of(values)?;
        self.0.teach(path, &values).or_raise()
    }

    #[getter]
    fn schema(&self) -> ArrowSchema {
        ArrowSchema(self.0.schema())
    }
}

fn role(key: &OutputKey) -> &'static str {
    match key.role {
        Role::Value => "value",
        Role::Mask => "mask",
        Role::ItemMask => "item_mask",
        Role::Length => "length",
    }
}

/// (kind, number of the part, dtype), or ("dict", (key, role, node) …, "").
fn node<'py>(py: Python<'py>, node_: &Node, next: &mut usize) -> PyResult<Bound<'py, PyTuple>> {
    match node_ {
        Node::Array(part) => {
            let (kind, dtype) = match part {
                ArrayLayout::Dense(number) => ("dense", number.name()),
                ArrayLayout::Jagged(number) => ("jagged", number.name()),
                ArrayLayout::Ragged => ("ragged", "uint8"),
                ArrayLayout::Padded(number, ..) => ("padded", number.name()),
                ArrayLayout::Text => ("text", ""),
                ArrayLayout::Objects => ("objects", ""),
                ArrayLayout::Arrow => ("arrow", ""),
            };
            let index = *next;
            *next += 1;
            (kind, index, dtype).into_pyobject(py)
        }
        Node::Dict(keys) => {
            let entries = keys
                .iter()
                .map(|key| (&key.name, role(key), node(py, &key.node, next)?).into_pyobject(py))
                .collect::<PyResult<Vec<_>>>()?;
            ("dict", PyList::new(py, entries)?, "").into_pyobject(py)
        }
    }
}
