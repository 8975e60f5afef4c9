//! `Selector`: the rows that pass a sample and a filter.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{BooleanArray, RecordBatch, StructArray};
use pyo3::prelude::*;
use shardline_core::fetch::{Demand, Files};
use shardline_core::files::{self, batch_from_bytes, remote};
use shardline_core::order::Sample;
use shardline_core::select::{self, Condition, Evaluator, FilterOp, Literal, Predicate, Selections, Test};
use shardline_core::store::Cancel;
use shardline_core::{Error, Result};

use crate::calls::{ENDING, call};
use crate::capsule::ArrowRows;
use crate::error::{OrRaise, raise};
use crate::plan::Plan;
use crate::spec::array_of;
use crate::storage::{self, Storage};

#[derive(FromPyObject)]
enum PyLiteral {
    Int(i128),
    Float(f64),
    Bytes(Vec<u8>),
}

impl From<PyLiteral> for Literal {
    fn from(value: PyLiteral) -> Self {
        match value {
            PyLiteral::Int(value) => Self::Int(value),
            PyLiteral::Float(value) => Self::Float(value),
            PyLiteral::Bytes(value) => Self::Bytes(value),
        }
    }
}

/// The name of a step, its columns, its values, and a flag that some steps have.
type EncodedOp = (String, Vec<usize>, Vec<PyLiteral>, Option<bool>);

fn filter_op((name, columns, values, flag): EncodedOp) -> Result<FilterOp> {
    let bad = || Error::internal(format!("{name} is no step of a filter"));
    let mut values: Vec<Literal> = values.into_iter().map(Literal::from).collect();
    let mut value = || values.pop().ok_or_else(bad);
    let on = flag.unwrap_or(false);
    let test = match name.as_str() {
        "and" => return Ok(FilterOp::And),
        "or" => return Ok(FilterOp::Or),
        "not" => return Ok(FilterOp::Not),
        "constant" => return Ok(FilterOp::Constant(flag)),
        "unknown" => return Ok(FilterOp::Unknown),
        "equal" => Test::Equal(value()?),
        "less" => Test::Less(value()?),
        "less_equal" => Test::LessEqual(value()?),
        "greater" => Test::Greater(value()?),
        "greater_equal" => Test::GreaterEqual(value()?),
        "in" => Test::In { values, null: on },
        "equal_column" => Test::EqualColumn(*columns.get(1).ok_or_else(bad)?),
        "less_column" => Test::LessColumn(*columns.get(1).ok_or_else(bad)?),
        "null" => Test::Null { nan: on },
        "nan" => Test::Nan,
        "always" => Test::Always(on),
        _ => return Err(bad()),
    };
    Ok(FilterOp::Test(Condition { column: *columns.first().ok_or_else(bad)?, test }))
}

fn predicate((names, steps): (Vec<String>, Vec<EncodedOp>)) -> Result<Predicate> {
    Predicate::new(names, steps.into_iter().map(filter_op).collect::<Result<_>>()?)
}

/// A function of Python's that gets the filter's columns and gives back whether each row passes.
#[derive(Debug)]
struct PyEvaluator(Py<PyAny>);

impl Evaluator for PyEvaluator {
    fn passing(&self, columns: &RecordBatch) -> std::result::Result<BooleanArray, String> {
        // Threads that wait for the interpreter hold no lock that a thread in it waits for.
        let asked = call(|py| {
            let schema = columns.schema().as_ref().clone();
            let rows = ArrowRows { schema, rows: StructArray::from(columns.clone()) };
            let found = self.0.bind(py).call1((rows,)).and_then(|found| array_of(&found));
            let found = found.map_err(|error| error.value(py).to_string())?;
            found.as_boolean_opt().cloned().ok_or_else(|| "it is neither true nor false".to_owned())
        });
        asked.unwrap_or_else(|| Err(ENDING.into()))
    }
}

#[pyclass(frozen, module = "shardline._core")]
pub(crate) struct Selector(pub(crate) Arc<select::Selector>, remote::StoreAccess);

#[pymethods]
impl Selector {
    #[new]
    #[pyo3(signature = (plan, *, sample=None, subset=None, filter=None, evaluate=None, storage=None))]
    fn new(
        plan: &Plan,
        sample: Option<(f64, f64, u64)>,
        subset: Option<(Vec<String>, f64, f64, u64)>,
        filter: Option<(Vec<String>, Vec<EncodedOp>)>,
        evaluate: Option<Py<PyAny>>,
        storage: Option<&Storage>,
    ) -> PyResult<Self> {
        let made = || {
            let sample = sample.map(|(low, high, seed)| Sample::new(low, high, seed)).transpose()?;
            let mut filter = filter.map(predicate).transpose()?;
            if let Some(evaluate) = evaluate {
                filter = filter.map(|filter| filter.evaluated_by(Arc::new(PyEvaluator(evaluate))));
            }
            if let Some((key, low, high, seed)) = subset {
                let all = || Predicate::new(Vec::new(), vec![FilterOp::Constant(Some(true))]);
                filter = Some(filter.map_or_else(all, Ok)?.within(key, low, high, seed)?);
            }
            select::Selector::new(&plan.0, sample, filter)
        };
        Ok(Self(Arc::new(made().or_raise()?), storage::planning(storage)))
    }

    #[staticmethod]
    fn may_pass(filter: (Vec<String>, Vec<EncodedOp>), low: &[u8], high: &[u8]) -> PyResult<Vec<bool>> {
        let found = || select::may_pass(&predicate(filter)?, &batch_from_bytes(low)?, &batch_from_bytes(high)?);
        found().or_raise()
    }

    #[pyo3(signature = (plan, groups, *, num_threads, progress=None))]
    fn count(
        &self,
        py: Python<'_>,
        plan: &Plan,
        groups: Vec<usize>,
        num_threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Vec<u64>> {
        let total = plan.0.num_row_groups();
        if let Some(group) = groups.iter().find(|&&group| group >= total) {
            return Err(raise(Error::Argument(format!("row group {group} is none of {total}"))));
        }
        let mut interrupted = None;
        let counted = py.detach(|| {
            select::count(&plan.0, self.store(), &self.0, &groups, num_threads, |done| {
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
        storage::log(py, &self.1.metrics.take_notes())?;
        match interrupted {
            Some(error) => Err(error),
            None => counted.or_raise(),
        }
    }

    fn resolve(
        &self,
        py: Python<'_>,
        plan: &Plan,
        slices: Vec<(usize, usize, u64, u64)>,
    ) -> PyResult<Vec<(usize, usize, u64, u64)>> {
        let found = py.detach(|| self.rows(&plan.0, slices));
        storage::log(py, &self.1.metrics.take_notes())?;
        found.or_raise()
    }
}

impl Selector {
    /// How the plan's store is read, by one who ends no other's waiting.
    fn store(&self) -> remote::StoreAccess {
        remote::StoreAccess { cancel: Cancel::default(), ..self.1.clone() }
    }

    /// Of slices of passing rows, the rows of the row groups.
    fn rows(
        &self,
        plan: &Arc<files::Plan>,
        slices: Vec<(usize, usize, u64, u64)>,
    ) -> Result<Vec<(usize, usize, u64, u64)>> {
        let files = Files::with_statistics(Arc::clone(plan)).reading(self.store(), Demand::default());
        let selections = Selections::new(Arc::clone(&self.0));
        let mut found: Vec<(usize, usize, u64, u64)> = Vec::new();
        for (file, group, start, end) in slices {
            if file >= plan.num_files() || group >= plan.groups(file).len() {
                return Err(Error::Argument(format!("there is no row group {group} in file {file}")));
            }
            let set = selections.rows(&files, plan.groups(file).start + group)?;
            if end > set.len() {
                return Err(Error::Argument(format!("row group {group} of file {file} has {} such rows", set.len())));
            }
            for run in set.runs(start..end) {
                match found.last_mut() {
                    Some(last) if (last.0, last.1, last.3) == (file, group, run.start) => last.3 = run.end,
                    _ => found.push((file, group, run.start, run.end)),
                }
            }
        }
        Ok(found)
    }
}
