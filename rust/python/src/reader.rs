//! `Reader`: one rank's batches of one leg.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use shardline_core::Error;
use shardline_core::assemble::{self, Poll, ReaderMetrics, ReaderOptions};
use shardline_core::decode::{Column, Leaf};
use shardline_core::schedule::Share;
use shardline_core::store::Totals;
use shardline_core::sync::{self, lock};

use crate::error::{OrRaise, raise};
use crate::legs::Legs;
use crate::order::{Order, groups_of};
use crate::projection::Projection;
use crate::run::Run;
use crate::select::Selector;
use crate::storage::{self, Storage};

/// How long a wait may go without looking for signals.
pub(crate) const PATIENCE: Duration = Duration::from_millis(50);

#[pyclass(frozen, module = "shardline._core")]
pub(crate) struct Reader {
    // Locked only while detached, so that no thread waits for it with the GIL held.
    reader: Mutex<assemble::Reader>,
    columns: Arc<[Column]>,
    leaves: Arc<[Leaf]>,
    num_shards: usize,
    pid: u32,
}

impl Reader {
    /// Whether this is a child that was forked since: another thread may have held the lock then, for ever here.
    fn is_forked(&self) -> bool {
        self.pid != std::process::id()
    }

    /// Whether its rows are packed sequences, of which no file can be left out.
    fn is_packed(&self) -> bool {
        self.columns.iter().any(|column| column.pack.is_some())
    }

    fn run(&self, run: assemble::BatchRun) -> Run {
        Run { run, columns: Arc::clone(&self.columns), leaves: Arc::clone(&self.leaves) }
    }

    fn lock(&self) -> MutexGuard<'_, assemble::Reader> {
        lock(&self.reader)
    }
}

#[pymethods]
impl Reader {
    #[new]
    #[pyo3(signature = (
        order, projection, epoch, legs, *, rank, num_ranks, num_threads, prefetch_bytes, storage=None, selector=None,
        left_out=Vec::new()
    ))]
    #[allow(clippy::too_many_arguments, reason = "keywords, as Python has them")]
    fn new(
        py: Python<'_>,
        order: &Order,
        projection: &Projection,
        epoch: u64,
        legs: &Legs,
        rank: u64,
        num_ranks: u64,
        num_threads: usize,
        prefetch_bytes: u64,
        storage: Option<&Storage>,
        selector: Option<&Selector>,
        left_out: Vec<usize>,
    ) -> PyResult<Self> {
        let store = storage::from(storage);
        let rows = order.order.num_rows();
        if legs.num_rows != rows {
            let message = format!("legs of {} rows on a line of {rows}", legs.num_rows);
            return Err(raise(Error::Argument(message)));
        }
        let reader = py
            .detach(|| {
                assemble::Reader::new(
                    Arc::clone(&order.plan),
                    projection.0.clone(),
                    selector.map(|selector| Arc::clone(&selector.0)),
                    order.order.line(epoch)?,
                    legs.legs.last(),
                    Share { rank, num_ranks },
                    ReaderOptions { num_threads, prefetch_bytes, store, left_out: groups_of(&order.plan, left_out) },
                )
            })
            .or_raise()?;
        let columns = projection.0.columns().into();
        let leaves = Leaf::all(projection.0.columns()).into();
        Ok(Self {
            num_shards: reader.num_slots(),
            reader: Mutex::new(reader),
            columns,
            leaves,
            pid: std::process::id(),
        })
    }

    fn next_run(&self, py: Python<'_>, slot: usize) -> PyResult<Option<Run>> {
        if self.is_forked() {
            return Err(raise(Error::Forked));
        }
        loop {
            let (polled, notes) = py.detach(|| {
                let mut reader = self.lock();
                (reader.poll(slot, PATIENCE), reader.take_notes())
            });
            storage::log(py, &notes)?;
            let named = |error| if self.is_packed() { error } else { name_leave_out(error) };
            match polled.map_err(named).or_raise()? {
                Poll::Run(run) => return Ok(Some(self.run(run))),
                Poll::End => return Ok(None),
                Poll::Pending => py.check_signals()?,
            }
        }
    }

    #[getter]
    fn num_shards(&self) -> usize {
        self.num_shards
    }

    fn metrics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (metrics, store) = if self.is_forked() {
            Default::default()
        } else {
            py.detach(|| {
                let reader = self.lock();
                (reader.metrics(), reader.store_totals())
            })
        };
        metrics_of(py, metrics, store)
    }

    fn close(&self, py: Python<'_>) {
        if self.is_forked() {
            return;
        }
        py.detach(|| self.lock().close());
    }
}

/// A reader's counters, by name.
pub(crate) fn metrics_of<'py>(
    py: Python<'py>,
    metrics: ReaderMetrics,
    store: Option<Totals>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("chunks", metrics.chunks as f64)?;
    dict.set_item("rows_decoded", metrics.rows as f64)?;
    dict.set_item("bytes_decoded", metrics.bytes as f64)?;
    dict.set_item("decode_seconds", metrics.busy.as_secs_f64())?;
    dict.set_item("wait_seconds", metrics.waited.as_secs_f64())?;
    dict.set_item("peak_prefetch_bytes", metrics.peak_bytes as f64)?;
    if let Some(store) = store {
        dict.set_item("store_requests", store.requests as f64)?;
        dict.set_item("store_bytes", store.bytes as f64)?;
        dict.set_item("store_retries", store.retries as f64)?;
        dict.set_item("store_cache_hits", store.cache_hits as f64)?;
        dict.set_item("store_wait_seconds", store.waited.as_secs_f64())?;
    }
    Ok(dict)
}

/// An error about one file, with what lets the run continue.
fn name_leave_out(error: Error) -> Error {
    const CURE: &str = "to continue without this file's rows: load_state_dict(state, leave_out=[…]), or \
        leave_out([…]) before an epoch";
    match error {
        Error::Corrupt { path, detail } => Error::Corrupt { path, detail: format!("{detail}; {CURE}") },
        Error::Changed { path, detail } => Error::Changed { path, detail: format!("{detail}; {CURE}") },
        Error::NotFound { path } => Error::NoFiles { message: format!("no such file: {path}; put it back, or {CURE}") },
        other => other,
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Its threads may wait for the interpreter, to ask pyarrow about a filter: who waits for them lets go of it.
        let reader = sync::get_mut(&mut self.reader);
        Python::try_attach(|py| py.detach(|| reader.close()));
    }
}
