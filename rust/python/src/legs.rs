//! `Legs`: the legs of one epoch.

use std::ops::Range;

use pyo3::prelude::*;
use shardline_core::Error;
use shardline_core::order::{self, Intervals, LegRequest, LegSpec, Outcome};

use crate::error::{OrRaise, raise};

type LegTuple = (u64, u64, bool, u64, Vec<(u64, u64)>);

#[pyclass(frozen, module = "shardline._core")]
pub(crate) struct Legs {
    pub(crate) num_rows: u64,
    pub(crate) legs: order::Legs,
}

fn pairs(ranges: &[Range<u64>]) -> Vec<(u64, u64)> {
    ranges.iter().map(|range| (range.start, range.end)).collect()
}

impl Legs {
    fn with(&self, legs: shardline_core::Result<order::Legs>) -> PyResult<Self> {
        Ok(Self { num_rows: self.num_rows, legs: legs.or_raise()? })
    }
}

#[pymethods]
impl Legs {
    #[new]
    fn new(num_rows: u64, legs: Vec<LegTuple>) -> PyResult<Self> {
        let specs = legs
            .into_iter()
            .map(|(num_shards, batch_size, drop_last, delivered, skipped)| LegSpec {
                num_shards,
                batch_size,
                drop_last,
                delivered,
                skipped: skipped.into_iter().map(|(start, end)| start..end).collect(),
            })
            .collect();
        Ok(Self { num_rows, legs: order::Legs::new(num_rows, specs).or_raise()? })
    }

    #[staticmethod]
    fn start(num_rows: u64, num_shards: u64, batch_size: u64, drop_last: bool) -> PyResult<Self> {
        Ok(Self { num_rows, legs: order::Legs::start(num_rows, num_shards, batch_size, drop_last).or_raise()? })
    }

    #[getter]
    fn legs(&self) -> Vec<LegTuple> {
        let specs = self.legs.legs().iter().map(order::Leg::spec);
        specs
            .map(|spec| (spec.num_shards, spec.batch_size, spec.drop_last, spec.delivered, pairs(&spec.skipped)))
            .collect()
    }

    #[getter]
    fn num_batches(&self) -> u64 {
        self.legs.last().num_batches()
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
        self.legs.last().is_complete()
    }

    fn at(&self, delivered: u64) -> PyResult<Self> {
        self.with(self.legs.at(delivered))
    }

    fn at_total(&self, delivered: u64) -> PyResult<Self> {
        self.with(self.legs.at_total(delivered))
    }

    fn skip_to(&self, delivered: u64) -> PyResult<Self> {
        self.with(self.legs.skip_to(delivered))
    }

    #[pyo3(signature = (num_ranks, run_shards, *, num_shards, batch_size, drop_last))]
    fn resume(
        &self,
        num_ranks: u64,
        run_shards: u64,
        num_shards: Option<u64>,
        batch_size: Option<u64>,
        drop_last: Option<bool>,
    ) -> PyResult<(Self, &'static str)> {
        if num_ranks == 0 || run_shards == 0 || num_shards == Some(0) || batch_size == Some(0) {
            return Err(raise(Error::Argument("ranks, shards and rows of a batch are at least 1".into())));
        }
        let (legs, outcome) =
            self.legs.resume(num_ranks, run_shards, LegRequest { num_shards, batch_size, drop_last }).or_raise()?;
        let outcome = match outcome {
            Outcome::Continues => "goes on",
            Outcome::NewLeg => "new leg",
            Outcome::Over => "over",
        };
        Ok((Self { num_rows: self.num_rows, legs }, outcome))
    }

    fn batch(&self, g: u64) -> PyResult<Vec<(u64, u64)>> {
        let batches = self.legs.last().num_batches();
        if g >= batches {
            return Err(raise(Error::Argument(format!("batch {g} is past the end of a leg of {batches}"))));
        }
        Ok(pairs(&self.legs.last().batch(g)))
    }

    fn batches_within(&self, py: Python<'_>, positions: Vec<(u64, u64)>) -> u64 {
        py.detach(|| {
            let positions = Intervals::collect(positions.into_iter().map(|(start, end)| start..end).collect());
            self.legs.last().batches_within(&positions)
        })
    }

    fn left_over(&self) -> Vec<(u64, u64)> {
        pairs(self.legs.left_over().ranges())
    }

    fn left_out(&self) -> Vec<(u64, u64)> {
        pairs(self.legs.left_out().ranges())
    }

    fn __repr__(&self) -> String {
        format!("Legs({}, {:?})", self.num_rows, self.legs())
    }
}
