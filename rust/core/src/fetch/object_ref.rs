//! An object, as ranges refer to it.

use crate::store::Stamp;

/// An object of a plan.
#[derive(Debug)]
pub(super) struct ObjectRef {
    /// Its number in the plan.
    pub(super) file: u32,
    pub(super) key: String,
    /// The version that was planned.
    pub(super) stamp: Stamp,
}
