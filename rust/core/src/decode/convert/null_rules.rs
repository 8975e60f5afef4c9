//! The state of a resolution, and its rules for nulls.

use std::sync::{Arc, OnceLock};

use super::operation::Op;
use super::output::OutputKey;
use crate::decode::Nulls;
use crate::decode::spec::{ColumnSpec, ProjectionSpec};
use crate::decode::vocabulary::Vocabulary;
use crate::{Error, Result};

pub(super) struct Resolver<'a> {
    pub(super) asked: &'a ProjectionSpec,
    /// Those that are to be made of the columns' own values.
    pub(super) vocabularies: Vec<(String, Arc<OnceLock<Vocabulary>>)>,
}

/// What is done, and the keys that it makes.
pub(super) type Resolved = (Op, Vec<OutputKey>);

impl Resolver<'_> {
    /// What becomes of nulls, where that can be done.
    pub(super) fn nulls(&self, path: &str, spec: &ColumnSpec, kind: NullTarget) -> Result<Nulls> {
        let tensors = self.asked.tensors;
        let nulls = spec.nulls.unwrap_or(if tensors { Nulls::Error } else { Nulls::Keep });
        let cannot = |why: &str| {
            if spec.asks("nulls") {
                return Err(Error::Unsupported(format!("column {path:?}: {why}")));
            }
            Ok(Nulls::Error)
        };
        match (nulls, kind) {
            (Nulls::Keep, NullTarget::Numbers | NullTarget::Bools | NullTarget::Dict) if tensors => cannot(
                "a tensor holds no null, so that nulls=\"keep\" is for strings, lists of Python objects and Arrow data",
            ),
            (Nulls::Nan, NullTarget::Bools | NullTarget::Text | NullTarget::Objects) => {
                cannot("nulls=\"nan\" is for numbers; take \"fill\" or \"mask\"")
            }
            // The fields of a null struct are null, and filled each.
            (Nulls::Nan, NullTarget::Dict) => Ok(Nulls::Fill),
            (nulls, _) => Ok(nulls),
        }
    }
}

/// What a policy for nulls can be asked of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NullTarget {
    Numbers,
    Bools,
    Text,
    Objects,
    Dict,
}
