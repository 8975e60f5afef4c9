//! `ObjectStore`: the few operations on objects that checkpoints are written and read with.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use shardline_core::store::{Client, Created, Location, Options, Runtime, Stamp, StoreMetrics, Uploads};
use shardline_core::sync::lock;
use shardline_core::{Error, Result, store};

use crate::error::OrRaise;
use crate::storage::{self, Storage};

/// How often a wait looks for signals and at its time limit.
const PATIENCE: Duration = Duration::from_millis(20);

/// The connections of this process, while somebody holds them open.
type Open = Option<(usize, Arc<Runtime>, Arc<Client>)>;

#[pyclass(frozen, module = "shardline._core")]
pub(crate) struct ObjectStore {
    place: Location,
    options: Options,
    metrics: Arc<StoreMetrics>,
    uploads: Uploads,
    open: Mutex<Open>,
    limits: Limits,
}

/// What ends a wait before there is an answer.
#[derive(Clone, Default)]
struct Limits {
    /// Of all waits of one store.
    deadline: Arc<Mutex<Option<Instant>>>,
    cancelled: Arc<AtomicBool>,
}

impl Limits {
    /// # Errors
    /// It was cancelled, or the time is over.
    fn check(&self, url: &str) -> Result<()> {
        if self.cancelled.load(Ordering::SeqCst) {
            return Err(Error::Closed);
        }
        if lock(&self.deadline).is_some_and(|end| Instant::now() >= end) {
            return Err(Error::Io {
                path: url.to_owned(),
                kind: std::io::ErrorKind::TimedOut,
                message: "the time that was given for it is over".to_owned(),
            });
        }
        Ok(())
    }
}

impl ObjectStore {
    fn client(&self) -> Result<(Arc<Runtime>, Arc<Client>)> {
        // Asked first in any case: it knows whether this process is a fork of the one that opened.
        let runtime = Runtime::get()?;
        if let Some((_, _, client)) = &*lock(&self.open) {
            return Ok((runtime, Arc::clone(client)));
        }
        let client = runtime.client(&self.place, &self.options)?;
        Ok((runtime, client))
    }

    fn key(&self, key: &str) -> String {
        match (self.place.key.as_str(), key) {
            ("", key) => key.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, key) => format!("{prefix}/{key}"),
        }
    }

    /// Runs a task on the runtime, while this thread answers signals and looks at the time.
    fn run<T, F>(&self, py: Python<'_>, task: impl FnOnce(Arc<Client>, Arc<StoreMetrics>) -> F) -> PyResult<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let (runtime, client) = py.detach(|| self.client()).or_raise()?;
        let done = wait(py, &runtime, &self.limits, &self.place.url(), task(client, Arc::clone(&self.metrics)));
        storage::log(py, &self.metrics.take_notes())?;
        py.detach(|| drop(runtime));
        done
    }
}

fn wait<T: Send + 'static>(
    py: Python<'_>,
    runtime: &Runtime,
    limits: &Limits,
    url: &str,
    task: impl Future<Output = Result<T>> + Send + 'static,
) -> PyResult<T> {
    let (done, wait) = sync_channel(1);
    let wait = Mutex::new(wait);
    let task = runtime.handle().or_raise()?.spawn(async move { drop(done.send(task.await)) });
    let result = loop {
        match py.detach(|| lock(&wait).recv_timeout(PATIENCE)) {
            Ok(result) => break result,
            Err(RecvTimeoutError::Disconnected) => break Err(Error::internal("a task of a store panicked")),
            Err(RecvTimeoutError::Timeout) => {
                if let Err(signal) = py.check_signals() {
                    task.abort();
                    return Err(signal);
                }
                if let Err(over) = limits.check(url) {
                    task.abort();
                    break Err(over);
                }
            }
        }
    };
    result.or_raise()
}

#[pymethods]
impl ObjectStore {
    #[new]
    fn new(storage: &Storage, url: &str) -> PyResult<Self> {
        let options = storage::from(Some(storage)).options;
        let place = Location::parse(url).or_raise()?;
        Ok(Self {
            place,
            options,
            metrics: Arc::default(),
            uploads: Uploads::default(),
            open: Mutex::default(),
            limits: Limits::default(),
        })
    }

    #[getter]
    fn url(&self) -> String {
        self.place.url()
    }

    fn open(&self, py: Python<'_>) -> PyResult<()> {
        let (runtime, client) = py.detach(|| self.client()).or_raise()?;
        let mut open = lock(&self.open);
        match &mut *open {
            Some((count, _, _)) => *count += 1,
            none => *none = Some((1, runtime, client)),
        }
        Ok(())
    }

    fn close(&self, py: Python<'_>) {
        let mut open = lock(&self.open);
        if let Some((count, _, _)) = &mut *open {
            *count -= 1;
            if *count == 0 {
                let last = open.take();
                drop(open);
                py.detach(|| drop(last));
            }
        }
    }

    /// Every wait ends so many seconds from now, with an error; None: as long as its retries take.
    fn stop_after(&self, seconds: Option<f64>) {
        let end = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok());
        *lock(&self.limits.deadline) = end.and_then(|end| Instant::now().checked_add(end));
    }

    fn put(&self, py: Python<'_>, key: &str, data: &[u8]) -> PyResult<()> {
        self.limits.check(&self.place.url()).or_raise()?;
        let (key, data) = (self.key(key), data.to_vec());
        self.run(py, |client, metrics| async move { client.put(&key, data.into(), &metrics).await })
    }

    fn create(&self, py: Python<'_>, key: &str, data: &[u8]) -> PyResult<Option<bool>> {
        self.limits.check(&self.place.url()).or_raise()?;
        let (key, data) = (self.key(key), data.to_vec());
        let created =
            self.run(py, |client, metrics| async move { client.create(&key, data.into(), &metrics).await })?;
        Ok(match created {
            Created::Yes => Some(true),
            Created::Exists => Some(false),
            Created::Unsupported => None,
        })
    }

    fn get<'py>(&self, py: Python<'py>, key: &str) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let key = self.key(key);
        let found = self.run(py, |client, metrics| async move { client.read(&key, &metrics).await })?;
        Ok(found.map(|(data, _)| PyBytes::new(py, &data)))
    }

    fn read<'py>(
        &self,
        py: Python<'py>,
        key: &str,
        start: u64,
        end: u64,
        size: u64,
        tag: &str,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (key, stamp) = (self.key(key), Stamp::planned(size, tag));
        let read = |client: Arc<Client>, metrics| async move { client.get(&key, start..end, &stamp, &metrics).await };
        Ok(PyBytes::new(py, &self.run(py, read)?.0))
    }

    fn list(&self, py: Python<'_>, prefix: &str) -> PyResult<Vec<(String, u64, String, String)>> {
        let (prefix, cut) = (self.key(prefix), self.key("").len());
        let list = |client: Arc<Client>, metrics| async move { client.list_all(&prefix, &metrics).await };
        let of = |object: store::Object| {
            let key = object.key[cut..].trim_start_matches('/').to_owned();
            (key, object.stamp.size, object.stamp.text(), object.stamp.written().to_owned())
        };
        Ok(self.run(py, list)?.into_iter().map(of).collect())
    }

    fn delete(&self, py: Python<'_>, keys: Vec<String>) -> PyResult<()> {
        let keys: Vec<String> = keys.iter().map(|key| self.key(key)).collect();
        self.run(py, |client, metrics| async move { client.delete(&keys, &metrics).await })
    }

    fn abort(&self, py: Python<'_>, key: &str, id: String) -> PyResult<()> {
        let key = self.key(key);
        self.run(py, |client, metrics| async move { client.abort(&key, &id, &metrics).await })
    }

    #[pyo3(signature = (key, journal, about=0))]
    fn upload(&self, py: Python<'_>, key: &str, journal: &str, about: u64) -> PyResult<Upload> {
        let (runtime, client) = py.detach(|| self.client()).or_raise()?;
        let (key, journal) = (self.key(key), self.key(journal));
        let upload = store::Upload::new(&client, &self.metrics, &self.uploads, key, journal, about);
        let limits = Limits { deadline: Arc::clone(&self.limits.deadline), cancelled: Arc::default() };
        let (metrics, url) = (Arc::clone(&self.metrics), self.place.url());
        Ok(Upload { upload: Mutex::new(Some((upload, runtime))), metrics, limits, url })
    }

    /// Names only: values may be secrets.
    fn __repr__(&self) -> String {
        format!("ObjectStore({:?})", self.place.url())
    }
}

/// One object that is being written.
#[pyclass(frozen, module = "shardline._core")]
pub(crate) struct Upload {
    /// Neither is kept any longer than it is wanted: an error may keep this object for long.
    upload: Mutex<Option<(store::Upload, Arc<Runtime>)>>,
    metrics: Arc<StoreMetrics>,
    limits: Limits,
    url: String,
}

impl Upload {
    fn take(&self) -> PyResult<(store::Upload, Arc<Runtime>)> {
        let taken = lock(&self.upload).take();
        self.limits.check(&self.url).or_raise()?;
        taken.ok_or_else(|| Error::internal("an upload used after its end, or twice")).or_raise()
    }

    fn put_back(&self, upload: store::Upload, runtime: Arc<Runtime>) {
        *lock(&self.upload) = Some((upload, runtime));
    }
}

#[pymethods]
impl Upload {
    fn write(&self, py: Python<'_>, data: PyBuffer<u8>) -> PyResult<usize> {
        let Some(bytes) = data.as_slice_ptr() else {
            return Err(Error::internal("bytes that are not contiguous")).or_raise();
        };
        let mut at = 0;
        while at < bytes.len() {
            let (mut upload, runtime) = self.take()?;
            let end = bytes.len().min(at + upload.room());
            // SAFETY: `data` keeps the bytes where they are, and this thread is attached to Python as long as this slice
            // lives: nobody writes to them meanwhile.
            upload.fill(unsafe { &bytes.as_ref()[at..end] });
            at = end;
            if upload.room() > 0 {
                self.put_back(upload, runtime);
                continue;
            }
            let sending = async move {
                let sent = upload.send().await;
                Ok((upload, sent))
            };
            let (upload, sent) = wait(py, &runtime, &self.limits, &self.url, sending)?;
            self.put_back(upload, runtime);
            storage::log(py, &self.metrics.take_notes())?;
            sent.or_raise()?;
        }
        Ok(bytes.len())
    }

    fn finish(&self, py: Python<'_>) -> PyResult<u64> {
        let (upload, runtime) = self.take()?;
        let done = wait(py, &runtime, &self.limits, &self.url, upload.finish());
        storage::log(py, &self.metrics.take_notes())?;
        py.detach(|| drop(runtime));
        done
    }

    /// No more is sent, and whoever waits for this upload waits no longer.
    fn cancel(&self, py: Python<'_>) {
        self.limits.cancelled.store(true, Ordering::SeqCst);
        let taken = lock(&self.upload).take();
        py.detach(|| drop(taken));
    }
}
