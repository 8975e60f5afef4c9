//! `Plan`: the files to read, and what is known of them.

use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use shardline_core::Error;
use shardline_core::decode::build_vocabulary;
use shardline_core::files::remote::StoreAccess;
use shardline_core::files::{self, AbsentFile, FileFilter, SchemaMerge, SelectedRows, TableColumns, TokenLine};
use shardline_core::sync::lock;

use crate::calls::call;
use crate::capsule::{ArrowRows, ArrowSchema};
use crate::error::OrRaise;
use crate::projection::Projection;
use crate::spec::column_of;
use crate::storage::{self, Storage};

/// How long a wait may go without looking for signals.
const PATIENCE: Duration = Duration::from_millis(50);

#[pyclass(frozen, eq, hash, module = "shardline._core")]
#[derive(Clone)]
pub(crate) struct Plan(pub(crate) Arc<files::Plan>);

impl PartialEq for Plan {
    fn eq(&self, other: &Self) -> bool {
        let (one, other) = (&self.0, &other.0);
        one.digest() == other.digest()
            && one.passing() == other.passing()
            && one.deleted() == other.deleted()
            && one.source() == other.source()
            && one.token_line() == other.token_line()
    }
}

impl std::hash::Hash for Plan {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.digest().hash(state);
    }
}

/// A function of Python's that tells which files are wanted; what it raised is kept for the thread that waits.
fn asking(
    keep: Py<PyAny>,
    raised: Arc<Mutex<Option<PyErr>>>,
) -> impl Fn(&[String]) -> Result<Vec<usize>, Error> + Send + 'static {
    move |names| {
        let called = call(|py| {
            keep.call1(py, (names.to_vec(),)).and_then(|kept| kept.extract(py)).map_err(|error| {
                *lock(&raised) = Some(error);
                Error::Closed
            })
        });
        called.unwrap_or(Err(Error::Closed))
    }
}

/// What comes of planning on a thread of its own. A store may take minutes: this thread answers signals meanwhile.
fn planned(
    py: Python<'_>,
    from: &StoreAccess,
    plan: impl FnOnce() -> Result<files::Plan, Error> + Send + 'static,
) -> PyResult<Plan> {
    let (done, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let planner = thread::spawn(move || drop(done.send(plan())));
    let plan = loop {
        match py.detach(|| lock(&wait).recv_timeout(PATIENCE)) {
            Ok(plan) => break plan,
            Err(RecvTimeoutError::Disconnected) => break Err(Error::internal("the thread that planned panicked")),
            Err(RecvTimeoutError::Timeout) => {
                if let Err(signal) = py.check_signals() {
                    from.cancel.cancel();
                    drop(py.detach(|| planner.join()));
                    return Err(signal);
                }
            }
        }
    };
    // Joined, so that the process may fork.
    drop(py.detach(|| planner.join()));
    storage::log(py, &from.metrics.take_notes())?;
    Ok(Plan(Arc::new(plan.or_raise()?)))
}

/// Name, hash, and each row group's rows, bytes and rows that pass.
type Absent = (String, String, Vec<u64>, Vec<u64>, Vec<u64>);

#[pymethods]
impl Plan {
    #[staticmethod]
    #[allow(clippy::too_many_arguments, reason = "they are Python's keywords")]
    #[pyo3(signature = (paths, *, num_threads, columns_of_all=false, missing_as_null=false, widen_types=false, storage=None, keep=None, guards_tables=false))]
    fn build(
        py: Python<'_>,
        paths: Vec<String>,
        num_threads: usize,
        columns_of_all: bool,
        missing_as_null: bool,
        widen_types: bool,
        storage: Option<&Storage>,
        keep: Option<Py<PyAny>>,
        guards_tables: bool,
    ) -> PyResult<Self> {
        let from = storage::planning(storage);
        let raised = Arc::new(Mutex::new(None));
        let keep = keep.map(|keep| asking(keep, Arc::clone(&raised)));
        let schema_merge = SchemaMerge { columns_of_all, missing_as_null, widen: widen_types };
        let plan = planned(py, &from.clone(), move || {
            let keep = keep.as_ref().map(|keep| keep as FileFilter<'_>);
            files::build_plan(&paths, num_threads, schema_merge, &from, keep, guards_tables)
        });
        match lock(&raised).take() {
            Some(error) => Err(error),
            None => plan,
        }
    }

    #[staticmethod]
    #[pyo3(signature = (root, files, columns, *, num_threads, storage=None))]
    fn build_table(
        py: Python<'_>,
        root: String,
        files: Vec<(String, u64)>,
        columns: &[u8],
        num_threads: usize,
        storage: Option<&Storage>,
    ) -> PyResult<Self> {
        let columns = files::batch_from_bytes(columns).or_raise()?.schema();
        let columns = Arc::new(TableColumns::try_new(columns).or_raise()?);
        let from = storage::planning(storage);
        planned(py, &from.clone(), move || files::build_table(&root, files, num_threads, &columns, &from))
    }

    fn with_partitions(&self, py: Python<'_>, values: &[u8]) -> PyResult<Self> {
        let plan = py.detach(|| self.0.with_partitions(files::batch_from_bytes(values)?)).or_raise()?;
        Ok(Self(Arc::new(plan)))
    }

    fn with_passing(&self, py: Python<'_>, rule: String, counts: Vec<u64>) -> PyResult<Self> {
        let plan = py.detach(|| self.0.with_passing(SelectedRows { rule, counts })).or_raise()?;
        Ok(Self(Arc::new(plan)))
    }

    fn with_deleted(&self, py: Python<'_>, deleted: Vec<(usize, PyBuffer<i64>)>) -> PyResult<Self> {
        let found: Vec<(usize, Vec<i64>)> =
            deleted.into_iter().map(|(file, rows)| Ok((file, rows.to_vec(py)?))).collect::<PyResult<_>>()?;
        let plan = py.detach(|| self.0.with_deleted_at(found)).or_raise()?;
        Ok(Self(Arc::new(plan)))
    }

    #[getter]
    fn deleted(&self) -> Option<(u64, String)> {
        self.0.deleted().map(|deleted| (deleted.count(), format!("{:032x}", deleted.digest())))
    }

    fn with_source(&self, source: &str) -> Self {
        Self(Arc::new(self.0.with_source(source)))
    }

    #[getter]
    fn source(&self) -> Option<&str> {
        self.0.source()
    }

    #[getter]
    fn passing(&self) -> Option<(&str, String)> {
        self.0.passing().map(|passing| (passing.rule.as_str(), format!("{:032x}", passing.digest())))
    }

    #[pyo3(signature = (rule, projection, tokens, sequences=None))]
    fn with_tokens(
        &self,
        py: Python<'_>,
        rule: String,
        projection: &Projection,
        tokens: Vec<u64>,
        sequences: Option<Vec<u64>>,
    ) -> PyResult<Self> {
        let (seq_len, width) = projection.sequence()?;
        let made = py.detach(|| {
            let line = TokenLine::new(rule, seq_len, width, tokens)?;
            let Some(counts) = sequences else { return self.0.with_token_line(line) };
            let bundles = files::bundles(&self.0, line.tokens(), seq_len);
            self.0.with_token_line(line.with_bundles(bundles, counts)?)
        });
        Ok(Self(Arc::new(made.or_raise()?)))
    }

    #[getter]
    fn uncounted(&self) -> Option<(Vec<u64>, Vec<usize>)> {
        let line = self.0.token_line().filter(|line| !line.uncounted().is_empty())?;
        Some((line.tokens().to_vec(), line.uncounted().to_vec()))
    }

    fn with_counted(&self, sequences: Vec<u64>) -> PyResult<Self> {
        let Some(line) = self.0.token_line() else { return Ok(Self(Arc::clone(&self.0))) };
        let made = line.with_counted(&sequences).and_then(|line| self.0.with_token_line(line));
        Ok(Self(Arc::new(made.or_raise()?)))
    }

    #[getter]
    fn tokens(&self) -> Option<(&str, String, u64, u64)> {
        let line = self.0.token_line()?;
        Some((line.rule(), format!("{:032x}", line.digest()), line.num_tokens(), line.num_sequences()))
    }

    #[getter]
    fn partition_schema(&self) -> Option<ArrowSchema> {
        self.0.partitions().map(|values| ArrowSchema(values.schema().as_ref().clone()))
    }

    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
        let plan = py.detach(|| files::Plan::from_bytes(data)).or_raise()?;
        Ok(Self(Arc::new(plan)))
    }

    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        py.detach(|| self.0.save(&path)).or_raise()
    }

    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let plan = py.detach(|| files::Plan::load(&path)).or_raise()?;
        Ok(Self(Arc::new(plan)))
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let bytes = py.detach(|| self.0.to_bytes());
        PyBytes::new(py, &bytes)
    }

    fn select(&self, py: Python<'_>, files: Vec<usize>) -> PyResult<Self> {
        let plan = py.detach(|| self.0.select(&files)).or_raise()?;
        Ok(Self(Arc::new(plan)))
    }

    fn with_absent(&self, py: Python<'_>, absent: Vec<Absent>) -> PyResult<Self> {
        let read = |(name, hash, rows, bytes, passing): Absent| {
            let hash = u64::from_str_radix(&hash, 16).map_err(|_| Error::State(format!("{hash:?} is no hash")))?;
            Ok(AbsentFile { name, hash, rows, bytes, passing })
        };
        let absent = absent.into_iter().map(read).collect::<Result<_, Error>>().or_raise()?;
        Ok(Self(Arc::new(py.detach(|| self.0.with_absent(absent)).or_raise()?)))
    }

    #[getter]
    fn group_counts(&self) -> Vec<usize> {
        (0..self.0.num_files()).map(|file| self.0.groups(file).len()).collect()
    }

    #[getter]
    fn group_bytes(&self) -> Vec<u64> {
        self.0.group_bytes().to_vec()
    }

    #[getter]
    fn passing_rows(&self) -> Vec<u64> {
        self.0.selected_rows().to_vec()
    }

    #[getter]
    fn split_rows(&self) -> Vec<u64> {
        let of_plan = self.0.group_rows();
        self.0.token_line().map_or(of_plan, |line| line.sequences()).to_vec()
    }

    #[getter]
    fn root(&self) -> &str {
        self.0.root()
    }

    #[getter]
    fn num_files(&self) -> usize {
        self.0.num_files()
    }

    #[getter]
    fn num_rows(&self) -> u64 {
        self.0.num_rows()
    }

    #[getter]
    fn num_row_groups(&self) -> usize {
        self.0.num_row_groups()
    }

    #[getter]
    fn num_bytes(&self) -> u64 {
        self.0.num_bytes()
    }

    #[getter]
    fn group_rows(&self) -> Vec<u64> {
        self.0.group_rows().to_vec()
    }

    #[getter]
    fn decoded_bytes(&self) -> Vec<u64> {
        self.0.decoded_bytes().to_vec()
    }

    #[getter]
    fn digest(&self) -> String {
        format!("{:032x}", self.0.digest())
    }

    #[pyo3(signature = (column, num_threads, storage=None, replace=false))]
    fn vocabulary(
        &self,
        py: Python<'_>,
        column: &str,
        num_threads: usize,
        storage: Option<&Storage>,
        replace: bool,
    ) -> PyResult<ArrowRows> {
        let from = storage::planning(storage);
        let mut signal = None;
        let interrupted = || Python::attach(|py| py.check_signals().map_err(|error| signal = Some(error)).is_err());
        let metrics = Arc::clone(&from.metrics);
        let built = py.detach(|| build_vocabulary(&self.0, from, column, num_threads, replace, interrupted));
        storage::log(py, &metrics.take_notes())?;
        match signal {
            Some(error) => Err(error),
            None => column_of(column, &built.or_raise()?),
        }
    }

    #[getter]
    fn schema(&self) -> ArrowSchema {
        ArrowSchema(files::exportable(self.0.schema()))
    }

    fn files(&self) -> Vec<(String, u64, String)> {
        self.0.files().map(|file| (file.name.to_owned(), file.rows, format!("{:016x}", file.hash))).collect()
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyBytes>,))> {
        let py = slf.py();
        Ok((py.get_type::<Self>().getattr("from_bytes")?, (slf.get().to_bytes(py),)))
    }

    fn __repr__(&self) -> String {
        let plan = &self.0;
        format!(
            "Plan(root={:?}, num_files={}, num_row_groups={}, num_rows={})",
            plan.root(),
            plan.num_files(),
            plan.num_row_groups(),
            plan.num_rows()
        )
    }
}
