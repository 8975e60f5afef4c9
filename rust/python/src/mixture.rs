//! `Mixture`, `MixedLegs` and `MixedReader`: rows of several sources.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use shardline_core::Error;
use shardline_core::assemble::{self, MixedSource, Mixing, Poll};
use shardline_core::decode::{Column, Leaf};
use shardline_core::order::mixture::{self, MixtureSpec, Stop};
use shardline_core::order::{LegRequest, LegSpec, Outcome};
use shardline_core::schedule::Share;
use shardline_core::sync::{self, lock};

use crate::error::{OrRaise, raise};
use crate::order::Order;
use crate::projection::Projection;
use crate::reader::{PATIENCE, metrics_of};
use crate::run::Run;
use crate::select::Selector;
use crate::storage::{self, Storage};

type LegTuple = (u64, u64, bool, u64, Vec<(u64, u64)>);

#[pyclass(frozen, module = "shardline._core")]
pub(crate) struct Mixture {
    spec: Arc<MixtureSpec>,
}

#[pymethods]
impl Mixture {
    #[new]
    #[pyo3(signature = (names, rows, caps, schedule, *, end, stop))]
    fn new(
        names: Vec<String>,
        rows: Vec<u64>,
        caps: Vec<Option<u64>>,
        schedule: Vec<(u64, Vec<u64>)>,
        end: Option<u64>,
        stop: Option<&str>,
    ) -> PyResult<Self> {
        let stop = match stop {
            None => None,
            Some("first") => Some(Stop::First),
            Some("all") => Some(Stop::All),
            Some(other) => return Err(raise(Error::Argument(format!("stop is {other:?}")))),
        };
        let spec = MixtureSpec { names, rows, caps, schedule, end, stop }.checked().or_raise()?;
        Ok(Self { spec: Arc::new(spec) })
    }

    #[staticmethod]
    fn source_seed(seed: u64, epoch: u64, name: &str) -> u64 {
        mixture::source_seed(seed, epoch, name)
    }
}

#[pyclass(frozen, module = "shardline._core")]
pub(crate) struct MixedLegs {
    legs: mixture::MixedLegs,
}

fn specs_of(legs: Vec<LegTuple>) -> Vec<LegSpec> {
    legs.into_iter()
        .map(|(num_shards, batch_size, drop_last, delivered, skipped)| LegSpec {
            num_shards,
            batch_size,
            drop_last,
            delivered,
            skipped: skipped.into_iter().map(|(start, end)| start..end).collect(),
        })
        .collect()
}

fn wrapped(legs: shardline_core::Result<mixture::MixedLegs>) -> PyResult<MixedLegs> {
    Ok(MixedLegs { legs: legs.or_raise()? })
}

#[pymethods]
impl MixedLegs {
    #[new]
    fn new(py: Python<'_>, mixture: &Mixture, num_ranks: u64, legs: Vec<LegTuple>) -> PyResult<Self> {
        wrapped(py.detach(|| mixture::MixedLegs::new(Arc::clone(&mixture.spec), num_ranks, specs_of(legs))))
    }

    #[staticmethod]
    fn start(
        py: Python<'_>,
        mixture: &Mixture,
        num_ranks: u64,
        num_shards: u64,
        batch_size: u64,
        drop_last: bool,
    ) -> PyResult<Self> {
        let spec = Arc::clone(&mixture.spec);
        wrapped(py.detach(|| mixture::MixedLegs::start(spec, num_ranks, num_shards, batch_size, drop_last)))
    }

    #[getter]
    fn legs(&self) -> Vec<LegTuple> {
        let of = |leg: &mixture::MixedLeg| {
            let spec = leg.spec();
            let skipped = spec.skipped.iter().map(|range| (range.start, range.end)).collect();
            (spec.num_shards, spec.batch_size, spec.drop_last, spec.delivered, skipped)
        };
        self.legs.legs().iter().map(of).collect()
    }

    #[getter]
    fn num_batches(&self) -> u64 {
        self.legs.num_batches()
    }

    #[getter]
    fn delivered(&self) -> u64 {
        self.legs.last().spec().delivered
    }

    #[getter]
    fn delivered_before(&self) -> u64 {
        self.legs.delivered_before()
    }

    #[getter]
    fn is_complete(&self) -> bool {
        self.legs.is_complete()
    }

    #[getter]
    fn is_endless(&self) -> bool {
        self.legs.mixture().end.is_none() && self.legs.last().counts().end().is_none()
    }

    fn at(&self, delivered: u64) -> PyResult<Self> {
        wrapped(self.legs.at(delivered))
    }

    fn at_total(&self, delivered: u64) -> PyResult<Self> {
        wrapped(self.legs.at_total(delivered))
    }

    fn skip_to(&self, delivered: u64) -> PyResult<Self> {
        wrapped(self.legs.skip_to(delivered))
    }

    #[pyo3(signature = (num_ranks, run_shards, *, num_shards, batch_size, drop_last))]
    fn resume(
        &self,
        py: Python<'_>,
        num_ranks: u64,
        run_shards: u64,
        num_shards: Option<u64>,
        batch_size: Option<u64>,
        drop_last: Option<bool>,
    ) -> PyResult<(Self, &'static str)> {
        if num_ranks != self.legs.ranks() || run_shards == 0 || num_shards == Some(0) || batch_size == Some(0) {
            return Err(raise(Error::Argument("ranks, shards and rows of a batch are at least 1".into())));
        }
        let ask = LegRequest { num_shards, batch_size, drop_last };
        let (legs, outcome) = py.detach(|| self.legs.resume(run_shards, ask)).or_raise()?;
        let outcome = match outcome {
            Outcome::Continues => "goes on",
            Outcome::NewLeg => "new leg",
            Outcome::Over => "over",
        };
        Ok((Self { legs }, outcome))
    }

    fn left_over(&self) -> Vec<(u64, u64)> {
        Vec::new()
    }

    fn left_out(&self) -> Vec<(u64, u64)> {
        Vec::new()
    }

    fn batch(&self, g: u64) -> PyResult<Vec<Vec<(u64, u64)>>> {
        let batches = self.legs.num_batches();
        if g >= batches {
            return Err(raise(Error::Argument(format!("batch {g} is past the end of a leg of {batches}"))));
        }
        let pairs = |ranges: Vec<Range<u64>>| ranges.into_iter().map(|range| (range.start, range.end)).collect();
        Ok(self.legs.last().batch(g).into_iter().map(pairs).collect())
    }

    fn taken(&self, total: u64) -> Vec<u64> {
        self.legs.taken(total)
    }

    fn row_of(&self, total: u64) -> u64 {
        self.legs.row_of(total)
    }
}

#[pyclass(frozen, module = "shardline._core")]
pub(crate) struct MixedReader {
    // Locked only while detached, so that no thread waits for it with the GIL held.
    reader: Mutex<assemble::MixedReader>,
    columns: Arc<[Column]>,
    leaves: Arc<[Leaf]>,
    num_shards: usize,
    pid: u32,
}

impl MixedReader {
    fn is_forked(&self) -> bool {
        self.pid != std::process::id()
    }

    fn lock(&self) -> MutexGuard<'_, assemble::MixedReader> {
        lock(&self.reader)
    }
}

type PySource<'py> =
    (PyRef<'py, Order>, u64, PyRef<'py, Projection>, Option<PyRef<'py, Selector>>, Option<PyRef<'py, Storage>>);

#[pymethods]
impl MixedReader {
    #[new]
    #[pyo3(signature = (sources, legs, *, seed, epoch, rank, num_ranks, num_threads, prefetch_bytes))]
    #[allow(clippy::too_many_arguments, reason = "keywords, as Python has them")]
    fn new(
        py: Python<'_>,
        sources: Vec<PySource<'_>>,
        legs: &MixedLegs,
        seed: u64,
        epoch: u64,
        rank: u64,
        num_ranks: u64,
        num_threads: usize,
        prefetch_bytes: u64,
    ) -> PyResult<Self> {
        if num_threads == 0 {
            return Err(raise(Error::Argument("num_threads must be at least 1, not 0".into())));
        }
        let mixed: Vec<MixedSource> = sources
            .iter()
            .map(|(order, seed, projection, selector, store)| MixedSource {
                plan: Arc::clone(&order.plan),
                order: order.order.with_seed(*seed),
                projection: projection.0.clone(),
                selector: selector.as_ref().map(|selector| Arc::clone(&selector.0)),
                store: storage::from(store.as_deref()),
            })
            .collect();
        let (columns, leaves) = match mixed.first() {
            Some(first) => (first.projection.columns().into(), Leaf::all(first.projection.columns()).into()),
            None => return Err(raise(Error::Argument("a mixture has a source".into()))),
        };
        let mixing = Mixing {
            leg: legs.legs.last().clone(),
            before: legs.legs.delivered_before(),
            seed,
            epoch,
            share: Share { rank, num_ranks },
            batches: legs.legs.num_batches(),
        };
        let reader = py.detach(|| assemble::MixedReader::new(mixed, mixing, num_threads, prefetch_bytes)).or_raise()?;
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
            match polled.or_raise()? {
                Poll::Run(run) => {
                    return Ok(Some(Run { run, columns: Arc::clone(&self.columns), leaves: Arc::clone(&self.leaves) }));
                }
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

impl Drop for MixedReader {
    fn drop(&mut self) {
        // Its threads may wait for the interpreter, to ask pyarrow about a filter: who waits for them lets go of it.
        let reader = sync::get_mut(&mut self.reader);
        Python::try_attach(|py| py.detach(|| reader.close()));
    }
}
