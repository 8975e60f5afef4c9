//! The choice among listed files.

use crate::{Error, Result};

/// Of the names of all files, which are wanted: places in them, ascending.
pub type FileFilter<'a> = &'a dyn Fn(&[String]) -> Result<Vec<usize>>;

/// Those at these places.
pub(super) fn pick<T: Clone>(places: Vec<usize>, all: &[T]) -> Result<Vec<T>> {
    let place =
        |at: usize| all.get(at).cloned().ok_or_else(|| Error::internal(format!("a file {at} of {}", all.len())));
    places.into_iter().map(place).collect()
}
