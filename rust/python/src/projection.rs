//! `Projection`: the columns to deliver, checked.

use std::collections::HashMap;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use shardline_core::decode::{self, ArrayLayout, Labels, Long, Node, OutputKey, Pack, ProjectionSpec, Role};
use shardline_core::files;
use shardline_core::files::remote::StoreAccess;
use shardline_core::order::GroupSlice;
use shardline_core::pack;
use shardline_core::select;
use shardline_core::{Error, Result};

use crate::capsule::ArrowSchema;
use crate::error::{OrRaise, raise};
use crate::plan::Plan;
use crate::select::Selector;
use crate::spec::{PySpec, array_of};
use crate::storage::{self, Storage};

#[pyclass(frozen, module = "shardline._core")]
pub(crate) struct Projection(pub(crate) decode::Projection);

impl Projection {
    /// L, and the bytes of a token in the files.
    pub(crate) fn sequence(&self) -> PyResult<(u64, u64)> {
        let of = |(column, pack): (&decode::SourceColumn, &Pack)| {
            let width = decode::token_width(column.field.data_type())?;
            Some((pack.seq_len as u64, width as u64))
        };
        self.0.pack().and_then(of).ok_or_else(|| raise(Error::internal("only packed columns have tokens")))
    }
}

/// The file, the row group in it, the row in that, and the range of the document's tokens.
type Origin = (usize, usize, u64, u64, u64);

/// Counts without the GIL. `progress` is told how many are done, and signals are heard.
fn counted(
    py: Python<'_>,
    storage: Option<&Storage>,
    progress: Option<Py<PyAny>>,
    count: impl FnOnce(StoreAccess, &mut dyn FnMut(usize) -> Result<()>) -> Result<Vec<u64>> + Send,
) -> PyResult<Vec<u64>> {
    let from = storage::planning(storage);
    let metrics = Arc::clone(&from.metrics);
    let mut interrupted = None;
    let found = py.detach(|| {
        count(from, &mut |done| {
            let told = Python::attach(|py| {
                py.check_signals()?;
                progress.as_ref().map_or(Ok(()), |progress| progress.call1(py, (done,)).map(|_| ()))
            });
            told.map_err(|error| {
                interrupted = Some(error);
                Error::Closed
            })
        })
    });
    storage::log(py, &metrics.take_notes())?;
    match interrupted {
        Some(error) => Err(error),
        None => found.or_raise(),
    }
}

#[pymethods]
impl Projection {
    #[staticmethod]
    #[pyo3(signature = (
        plan, column, *, seq_len, bos, eos, labels, extra_token, fit, by_reading, align, along, meta, prompt_length, length
    ))]
    #[allow(clippy::too_many_arguments, reason = "they are Python's keywords")]
    fn packed(
        plan: &Plan,
        column: String,
        seq_len: usize,
        bos: Option<i64>,
        eos: Option<i64>,
        labels: Option<&str>,
        extra_token: bool,
        fit: Option<&str>,
        by_reading: bool,
        align: usize,
        along: Vec<String>,
        meta: Vec<String>,
        prompt_length: Option<String>,
        length: Option<String>,
    ) -> PyResult<Self> {
        let labels = match labels {
            None => None,
            Some("next") => Some(Labels::Next),
            Some("input") => Some(Labels::Input),
            Some(other) => return Err(raise(Error::Argument(format!("there are no labels {other:?}")))),
        };
        let fit = match fit {
            None => None,
            Some("split") => Some(Long::Split),
            Some("truncate") => Some(Long::Truncate),
            Some("drop") => Some(Long::Drop),
            Some("error") => Some(Long::Error),
            Some(other) => return Err(raise(Error::Argument(format!("there is no long={other:?}")))),
        };
        let pack = Pack {
            column,
            seq_len,
            bos,
            eos,
            labels,
            extra_token,
            fit,
            by_reading,
            align,
            along,
            meta,
            prompt_length,
            length,
        };
        decode::Projection::packed(&plan.0, pack).or_raise().map(Self)
    }

    #[pyo3(signature = (plan, groups, *, num_threads, selector=None, storage=None, progress=None))]
    #[allow(clippy::too_many_arguments, reason = "they are Python's keywords")]
    fn count_tokens(
        &self,
        py: Python<'_>,
        plan: &Plan,
        groups: Vec<usize>,
        num_threads: usize,
        selector: Option<&Selector>,
        storage: Option<&Storage>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Vec<u64>> {
        let total = plan.0.num_row_groups();
        if let Some(group) = groups.iter().find(|&&group| group >= total) {
            return Err(raise(Error::Argument(format!("row group {group} is none of {total}"))));
        }
        let selector = selector.map(|selector| &selector.0);
        counted(py, storage, progress, |from, told| {
            pack::count_tokens(&plan.0, from, selector, &self.0, &groups, num_threads, told)
        })
    }

    /// How many bundles there are of row groups of so many tokens.
    fn num_bundles(&self, plan: &Plan, tokens: Vec<u64>) -> PyResult<usize> {
        Ok(files::bundles(&plan.0, &tokens, self.sequence()?.0).len())
    }

    #[pyo3(signature = (plan, tokens, bundles, *, num_threads, selector=None, storage=None, progress=None))]
    #[allow(clippy::too_many_arguments, reason = "they are Python's keywords")]
    fn count_sequences(
        &self,
        py: Python<'_>,
        plan: &Plan,
        tokens: Vec<u64>,
        bundles: Vec<usize>,
        num_threads: usize,
        selector: Option<&Selector>,
        storage: Option<&Storage>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Vec<u64>> {
        let all = files::bundles(&plan.0, &tokens, self.sequence()?.0);
        let selector = selector.map(|selector| &selector.0);
        counted(py, storage, progress, |from, told| {
            pack::count_sequences(&plan.0, from, selector, &self.0, &all, &bundles, num_threads, told)
        })
    }

    #[pyo3(signature = (plan, slices, *, draw=None, selector=None, storage=None))]
    fn origins(
        &self,
        py: Python<'_>,
        plan: &Plan,
        slices: Vec<(usize, usize, u64, u64)>,
        draw: Option<(u64, u64)>,
        selector: Option<&Selector>,
        storage: Option<&Storage>,
    ) -> PyResult<Vec<Vec<Origin>>> {
        let from = storage::planning(storage);
        let metrics = Arc::clone(&from.metrics);
        let selector: Option<&Arc<select::Selector>> = selector.map(|selector| &selector.0);
        let found = py.detach(|| {
            let plan = &plan.0;
            let slice = |(file, group, start, end): (usize, usize, u64, u64)| {
                let known = file < plan.num_files() && group < plan.groups(file).len();
                let global = if known { u32::try_from(plan.groups(file).start + group).ok() } else { None };
                global
                    .filter(|&group| start <= end && end <= plan.line_rows()[group as usize])
                    .map(|group| GroupSlice { group, rows: start..end })
                    .ok_or_else(|| {
                        Error::Argument(format!(
                            "there is no row group {group} in file {file}, or not so many sequences"
                        ))
                    })
            };
            let slices = slices.into_iter().map(slice).collect::<Result<Vec<_>>>()?;
            let found = pack::origins(plan, from, selector, &self.0, &slices, draw)?;
            let place = |(group, row, first, end): pack::Origin| {
                let file = plan.file_of_group(group);
                (file, group - plan.groups(file).start, row, first, end)
            };
            Ok(found.into_iter().map(|pieces| pieces.into_iter().map(place).collect()).collect())
        });
        storage::log(py, &metrics.take_notes())?;
        found.or_raise()
    }

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
