//! `Order`: a plan's rows under shuffle settings.

use std::ops::Range;
use std::sync::Arc;

use pyo3::prelude::*;
use shardline_core::files;
use shardline_core::order::{self, Buffer, Groups, OrderSpec, Resolved};
use shardline_core::schedule::LeftOut;

use crate::error::OrRaise;
use crate::plan::Plan;

#[pyclass(frozen, module = "shardline._core")]
pub(crate) struct Order {
    pub(crate) plan: Arc<files::Plan>,
    pub(crate) order: order::Order,
}

/// The row groups of some of a plan's files.
pub(crate) fn groups_of(plan: &files::Plan, files: Vec<usize>) -> LeftOut {
    let known = files.into_iter().filter(|&file| file < plan.num_files());
    known.flat_map(|file| plan.groups(file)).map(|group| group as u32).collect()
}

/// The row groups of a plan, as the order knows them.
fn with_groups<T>(
    plan: &files::Plan,
    then: impl FnOnce(Groups<'_>) -> shardline_core::Result<T>,
) -> shardline_core::Result<T> {
    let file_ends: Vec<u32> = (0..plan.num_files()).map(|file| plan.groups(file).end as u32).collect();
    let of_rows = Groups {
        rows: plan.group_rows(),
        passing: plan.selects_rows().then(|| plan.line_rows()),
        bytes: plan.group_bytes(),
        decoded: plan.decoded_bytes(),
        file_ends: &file_ends,
    };
    // Packed sequences are rows: all of them pass.
    then(match plan.token_line() {
        Some(line) => Groups { rows: line.sequences(), passing: None, decoded: line.decoded_bytes(), ..of_rows },
        None => of_rows,
    })
}

#[pymethods]
impl Order {
    #[staticmethod]
    #[pyo3(signature = (plan, *, num_shards, strands, buffer_bytes, buffer_rows, split_bytes, split_rows))]
    #[allow(clippy::too_many_arguments, reason = "keywords, as Python has them")]
    fn resolve(
        py: Python<'_>,
        plan: &Plan,
        num_shards: u64,
        strands: Option<u64>,
        buffer_bytes: u64,
        buffer_rows: Option<u64>,
        split_bytes: u64,
        split_rows: Option<u64>,
    ) -> PyResult<(u64, u64)> {
        let buffer = buffer_rows.map_or(Buffer::Bytes(buffer_bytes), Buffer::Rows);
        let spec = OrderSpec { shuffle: true, strands, buffer, split_bytes, split_rows };
        let plan = &plan.0;
        let found = py.detach(|| with_groups(plan, |groups| order::resolve(groups, &spec, num_shards))).or_raise()?;
        Ok((found.strands, found.windows))
    }

    #[new]
    #[pyo3(signature = (plan, *, seed, shuffle, strands, windows, split_bytes, split_rows))]
    #[allow(clippy::too_many_arguments, reason = "keywords, as Python has them")]
    fn new(
        py: Python<'_>,
        plan: &Plan,
        seed: u64,
        shuffle: bool,
        strands: u64,
        windows: u64,
        split_bytes: u64,
        split_rows: Option<u64>,
    ) -> PyResult<Self> {
        let plan = Arc::clone(&plan.0);
        let resolved = Resolved { shuffle, strands, windows, split_bytes, split_rows };
        let made = py.detach(|| with_groups(&plan, |groups| order::Order::resolved(groups, seed, resolved)));
        Ok(Self { order: made.or_raise()?, plan })
    }

    #[getter]
    fn num_rows(&self) -> u64 {
        self.order.num_rows()
    }

    #[getter]
    fn num_groups(&self) -> u64 {
        self.order.pieces().groups_with_rows()
    }

    #[getter]
    fn strands(&self) -> u64 {
        self.order.strands()
    }

    fn positions_of(&self, py: Python<'_>, epoch: u64, files: Vec<usize>) -> PyResult<Vec<(u64, u64)>> {
        py.detach(|| {
            let groups: LeftOut = groups_of(&self.plan, files);
            let found = self.order.line(epoch)?.positions_of(|group| groups.contains(group));
            Ok(found.ranges().iter().map(|range| (range.start, range.end)).collect())
        })
        .or_raise()
    }

    fn rows(&self, py: Python<'_>, epoch: u64, intervals: Vec<(u64, u64)>) -> PyResult<Vec<(usize, usize, u64, u64)>> {
        let n = self.order.num_rows();
        if let Some((start, end)) = intervals.iter().find(|(start, end)| start > end || *end > n) {
            let message = format!("positions {start}..{end} are not on a line of {n} rows");
            return Err(crate::error::raise(shardline_core::Error::Argument(message)));
        }
        py.detach(|| {
            let line = self.order.line(epoch)?;
            let slices = intervals.into_iter().flat_map(|(start, end)| line.rows(Range { start, end }));
            Ok(slices
                .map(|slice| {
                    let group = slice.group as usize;
                    let file = self.plan.file_of_group(group);
                    (file, group - self.plan.groups(file).start, slice.rows.start, slice.rows.end)
                })
                .collect())
        })
        .or_raise()
    }
}
