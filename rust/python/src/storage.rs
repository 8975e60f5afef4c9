//! `Storage`: how a store is read; and what it has to say, in Python's log.

use std::collections::HashMap;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use shardline_core::files::remote::StoreAccess;
use shardline_core::store::{self, KeySource, Location, Note, StoreMetrics};

use crate::calls::{ENDING, call};
use crate::error::OrRaise;

#[pyclass(frozen, module = "shardline._core")]
pub(crate) struct Storage {
    url: String,
    pairs: Vec<(String, String)>,
    keys: Option<Py<PyAny>>,
    options: store::Options,
    /// What was asked of the store before an epoch: to plan, to count rows, to learn vocabularies.
    planning: Arc<StoreMetrics>,
}

/// A function of Python that returns keys.
#[derive(Debug)]
struct PyKeySource(Py<PyAny>);

impl KeySource for PyKeySource {
    fn keys(&self) -> Result<HashMap<String, String>, String> {
        let called = call(|py| {
            let said = |error: PyErr| error.to_string();
            self.0.bind(py).call0().map_err(said)?.extract::<HashMap<String, String>>().map_err(said)
        });
        called.unwrap_or_else(|| Err(ENDING.into()))
    }
}

#[pymethods]
impl Storage {
    #[new]
    #[pyo3(signature = (url, pairs, keys=None))]
    fn new(py: Python<'_>, url: String, pairs: Vec<(String, String)>, keys: Option<Py<PyAny>>) -> PyResult<Self> {
        let given = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut options = store::Options::new(Location::parse(&url).or_raise()?.scheme, given).or_raise()?;
        if let Some(keys) = &keys {
            options = options.with_keys(Arc::new(PyKeySource(keys.clone_ref(py))));
        }
        Ok(Self { url, pairs, keys, options, planning: Arc::default() })
    }

    #[allow(clippy::type_complexity, reason = "what pickle wants: a function and its arguments")]
    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> (Bound<'py, PyAny>, (String, Vec<(String, String)>, Option<Py<PyAny>>)) {
        let (py, this) = (slf.py(), slf.get());
        let keys = this.keys.as_ref().map(|keys| keys.clone_ref(py));
        (slf.get_type().into_any(), (this.url.clone(), this.pairs.clone(), keys))
    }

    fn planning<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let totals = self.planning.totals();
        let dict = PyDict::new(py);
        dict.set_item("planning_requests", totals.requests as f64)?;
        dict.set_item("planning_bytes", totals.bytes as f64)?;
        dict.set_item("planning_retries", totals.retries as f64)?;
        dict.set_item("planning_cache_hits", totals.cache_hits as f64)?;
        Ok(dict)
    }

    /// Names only: values may be secrets.
    fn __repr__(&self) -> String {
        let names: Vec<&str> = self.pairs.iter().map(|(name, _)| name.as_str()).collect();
        format!("Storage({:?}, {})", self.url, names.join(", "))
    }
}

/// What the core needs of it to read before an epoch.
pub(crate) fn planning(storage: Option<&Storage>) -> StoreAccess {
    StoreAccess { metrics: storage.map(|storage| Arc::clone(&storage.planning)).unwrap_or_default(), ..from(storage) }
}

/// What the core needs of it to read an epoch.
pub(crate) fn from(storage: Option<&Storage>) -> StoreAccess {
    StoreAccess {
        options: storage.map(|storage| storage.options.clone()).unwrap_or_default(),
        ..StoreAccess::default()
    }
}

/// Writes lines to the log called shardline.
pub(crate) fn log(py: Python<'_>, notes: &[Note]) -> PyResult<()> {
    if notes.is_empty() {
        return Ok(());
    }
    let logger = py.import("logging")?.call_method1("getLogger", ("shardline",))?;
    for note in notes {
        logger.call_method1(if note.is_warning { "warning" } else { "info" }, ("%s", &note.text))?;
    }
    Ok(())
}
