//! `schema_metadata`: Arrow expressions as pyarrow writes them, which is a list of keys and values, some of which
//! repeat.

use arrow_ipc::root_as_message;
use pyo3::prelude::*;
use shardline_core::{Error, Result};

use crate::error::OrRaise;

/// The key-value pairs of a schema in an Arrow IPC message, in their order, those that repeat too.
#[pyfunction]
pub(crate) fn schema_metadata(message: &[u8]) -> PyResult<Vec<(String, String)>> {
    pairs(message).or_raise()
}

fn pairs(message: &[u8]) -> Result<Vec<(String, String)>> {
    let bad = |what: &str| Error::State(format!("these bytes are no Arrow schema: {what}"));
    // A continuation marker and a length come before it.
    let header = message.get(8..).ok_or_else(|| bad("they are too short"))?;
    let message = root_as_message(header).map_err(|error| bad(&error.to_string()))?;
    let schema = message.header_as_schema().ok_or_else(|| bad("it is another message"))?;
    let pairs = schema.custom_metadata().into_iter().flatten();
    Ok(pairs.map(|pair| (pair.key().unwrap_or("").to_owned(), pair.value().unwrap_or("").to_owned())).collect())
}
