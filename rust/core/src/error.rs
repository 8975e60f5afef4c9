//! Errors. Each names what has to be fixed: a file, a column or an argument.

use std::any::Any;
use std::io;

use arrow_schema::ArrowError;

/// The result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
///
/// The messages name the file, column or argument and say what to do; the binding maps each variant to one Python type
/// by [`Error::kind`].
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A path that was given does not exist.
    #[error("no such file or directory: {path}")]
    NotFound {
        /// The path as it was given.
        path: String,
    },

    /// The paths exist, but there is not one Parquet file under them.
    #[error("{message}")]
    NoFiles {
        /// Where was looked, and for what.
        message: String,
    },

    /// The operating system refused to let a file be read.
    #[error("permission denied: {path}; make it readable to this user")]
    Permission {
        /// The file or directory.
        path: String,
    },

    /// A store refused to let an object be read or listed.
    #[error("{path}: {detail}")]
    Denied {
        /// The object or prefix.
        path: String,
        /// Who asked, what was answered, and what to do. Never a secret.
        detail: String,
    },

    /// A file is not Parquet, is truncated, or its footer or pages cannot be parsed.
    #[error("{path}: {detail}")]
    Corrupt {
        /// The file.
        path: String,
        /// What is wrong with it and what to do.
        detail: String,
    },

    /// Two files disagree about a column.
    #[error("{path}: {detail}")]
    Schema {
        /// The file that differs from the first one.
        path: String,
        /// The column, both types, and what to do.
        detail: String,
    },

    /// A file is no longer what it was when the plan was made.
    #[error("{path}: {detail}")]
    Changed {
        /// The file.
        path: String,
        /// What changed and what to do.
        detail: String,
    },

    /// Reading failed below Parquet.
    #[error("{path}: {message}")]
    Io {
        /// The file or directory.
        path: String,
        /// The kind of the operating system's error.
        kind: io::ErrorKind,
        /// Its words.
        message: String,
    },

    /// An argument is out of its range or contradicts another.
    #[error("{0}")]
    Argument(String),

    /// A column that was asked for is not in the files.
    #[error("{0}")]
    UnknownColumn(String),

    /// A column's type cannot be delivered as requested.
    #[error("{0}")]
    Unsupported(String),

    /// The data itself breaks a promise: a null, a list of another length.
    #[error("{path}: {detail}")]
    Data {
        /// The file.
        path: String,
        /// The column, the row where it is known, and what to do.
        detail: String,
    },

    /// A state or a saved plan that cannot be read as one.
    #[error("{0}")]
    State(String),

    /// The reader was closed while somebody waited for it.
    #[error("the iterator was closed")]
    Closed,

    /// A reader used in a child that was forked after it was made.
    #[error(
        "this iterator was made before this process was forked, and its threads stayed in the parent; make the iterator in the \
         child, or start the child with multiprocessing_context=\"forkserver\""
    )]
    Forked,

    /// A child that was forked while its parent read from a store, and reads from one itself.
    #[error(
        "this process was forked while its parent was reading from an object store, whose connections and threads do not \
         survive a fork; start processes by multiprocessing_context=\"forkserver\", or fork before the parent begins to iterate"
    )]
    ForkedStore,

    /// A bug: a thread of the reader panicked, or an invariant did not hold.
    #[error("internal error in shardline: {0}; please report it")]
    Internal(String),
}

/// The families of errors, one Python exception type each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// `FileNotFoundError`
    NotFound,
    /// `PermissionError`
    Permission,
    /// `OSError`
    Io,
    /// `ValueError`: an argument or the data's content.
    Value,
    /// `KeyError`-like: a column that does not exist.
    Column,
    /// `TypeError`: a type that cannot be delivered so.
    Type,
    /// A file changed under a plan.
    Changed,
    /// `RuntimeError`
    Runtime,
}

impl Error {
    /// The family that this error belongs to.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } | Self::NoFiles { .. } => ErrorKind::NotFound,
            Self::Permission { .. } | Self::Denied { .. } => ErrorKind::Permission,
            Self::Io { .. } => ErrorKind::Io,
            Self::Corrupt { .. } | Self::Schema { .. } | Self::Argument(_) | Self::Data { .. } | Self::State(_) => {
                ErrorKind::Value
            }
            Self::UnknownColumn(_) => ErrorKind::Column,
            Self::Unsupported(_) => ErrorKind::Type,
            Self::Changed { .. } => ErrorKind::Changed,
            Self::Closed | Self::Forked | Self::ForkedStore | Self::Internal(_) => ErrorKind::Runtime,
        }
    }

    /// An error of the operating system about `path`, under the variant that says the most.
    pub fn io(path: impl Into<String>, error: &io::Error) -> Self {
        let path = path.into();
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound { path },
            io::ErrorKind::PermissionDenied => Self::Permission { path },
            kind => Self::Io { path, kind, message: error.to_string() },
        }
    }

    /// A file that cannot be parsed.
    pub fn corrupt(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Corrupt { path: path.into(), detail: detail.into() }
    }

    /// A bug of ours, said as such.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::Internal(detail.into())
    }
}

/// What a panic said.
pub(crate) fn panic_words(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|message| (*message).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a thread panicked".into())
}

/// Arrow refuses what this crate puts together only where this crate is wrong.
impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Self {
        Self::internal(error.to_string())
    }
}
