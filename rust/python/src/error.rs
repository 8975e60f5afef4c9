//! The errors of the core as Python exceptions: each a `ShardlineError` and the builtin that fits.

use pyo3::exceptions::{
    PyException, PyFileNotFoundError, PyKeyError, PyOSError, PyPermissionError, PyRuntimeError, PyTypeError,
    PyValueError,
};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};
use shardline_core::{Error, ErrorKind};

struct Types {
    base: Py<PyType>,
    not_found: Py<PyType>,
    permission: Py<PyType>,
    os: Py<PyType>,
    value: Py<PyType>,
    column: Py<PyType>,
    type_: Py<PyType>,
    changed: Py<PyType>,
    runtime: Py<PyType>,
}

static TYPES: PyOnceLock<Types> = PyOnceLock::new();

fn types(py: Python<'_>) -> PyResult<&Types> {
    TYPES.get_or_try_init(py, || {
        // `type(name, bases, dict)`: the C API's own call takes one base only.
        let make = |name: &str, doc: &str, bases: Vec<Bound<'_, PyType>>| -> PyResult<Py<PyType>> {
            let dict = PyDict::new(py);
            dict.set_item("__module__", "shardline")?;
            dict.set_item("__doc__", doc)?;
            let made = py.get_type::<PyType>().call1((name, PyTuple::new(py, bases)?, dict))?;
            Ok(made.cast_into::<PyType>()?.unbind())
        };
        let base = make(
            "ShardlineError",
            "The base of every error that shardline raises on purpose.",
            vec![py.get_type::<PyException>()],
        )?;
        let derive =
            |name: &str, doc: &str, builtin: Bound<'_, PyType>| make(name, doc, vec![base.bind(py).clone(), builtin]);
        Ok(Types {
            not_found: derive(
                "ShardlineFileNotFoundError",
                "A path that does not exist, or under which there is no Parquet file.",
                py.get_type::<PyFileNotFoundError>(),
            )?,
            permission: derive(
                "ShardlinePermissionError",
                "A file that this user may not read.",
                py.get_type::<PyPermissionError>(),
            )?,
            os: derive("ShardlineOSError", "Reading failed.", py.get_type::<PyOSError>())?,
            value: derive(
                "ShardlineValueError",
                "An argument, a file or a value that is not what it has to be.",
                py.get_type::<PyValueError>(),
            )?,
            column: derive("ColumnNotFoundError", "A column that the files do not have.", py.get_type::<PyKeyError>())?,
            type_: derive(
                "ShardlineTypeError",
                "A column whose type cannot be delivered in the form that was asked for.",
                py.get_type::<PyTypeError>(),
            )?,
            changed: derive(
                "FileChangedError",
                "A file that is no longer what it was when the plan was made.",
                py.get_type::<PyRuntimeError>(),
            )?,
            runtime: derive(
                "ShardlineRuntimeError",
                "An iterator used after it was closed, or in another process; or a bug.",
                py.get_type::<PyRuntimeError>(),
            )?,
            base,
        })
    })
}

/// The exception of an error.
pub(crate) fn raise(error: Error) -> PyErr {
    Python::attach(|py| match types(py) {
        Ok(types) => {
            let kind = match error.kind() {
                ErrorKind::NotFound => &types.not_found,
                ErrorKind::Permission => &types.permission,
                ErrorKind::Io => &types.os,
                ErrorKind::Value => &types.value,
                ErrorKind::Column => &types.column,
                ErrorKind::Type => &types.type_,
                ErrorKind::Changed => &types.changed,
                ErrorKind::Runtime => &types.runtime,
            };
            PyErr::from_type(kind.bind(py).clone(), error.to_string())
        }
        Err(error) => error,
    })
}

/// `?` for results of the core.
pub(crate) trait OrRaise<T> {
    fn or_raise(self) -> PyResult<T>;
}

impl<T> OrRaise<T> for shardline_core::Result<T> {
    fn or_raise(self) -> PyResult<T> {
        self.map_err(raise)
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let types = types(module.py())?;
    for (name, exception) in [
        ("ShardlineError", &types.base),
        ("ShardlineFileNotFoundError", &types.not_found),
        ("ShardlinePermissionError", &types.permission),
        ("ShardlineOSError", &types.os),
        ("ShardlineValueError", &types.value),
        ("ColumnNotFoundError", &types.column),
        ("ShardlineTypeError", &types.type_),
        ("FileChangedError", &types.changed),
        ("ShardlineRuntimeError", &types.runtime),
    ] {
        module.add(name, exception)?;
    }
    Ok(())
}
