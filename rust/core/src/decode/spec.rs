//! The specification of columns: the options that were given, before types are known.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use arrow_array::ArrayRef;

use super::number::Number;
use super::scalar::Scalar;

/// What becomes of nulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nulls {
    /// An error that names the column, the file and the row.
    Error,
    /// A value in their place.
    Fill,
    /// NaN; integers become floats.
    Nan,
    /// A value in their place, and a column beside it that says where they were.
    Mask,
    /// Nulls in Arrow data, None in lists of Python objects.
    Keep,
}

/// How strings and binary data are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strings {
    /// A list of str or bytes.
    #[default]
    Objects,
    /// Their bytes end to end, and offsets.
    Bytes,
}

/// An end of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "their names are what they are")]
pub enum Side {
    Left,
    Right,
}

/// How lists of numbers are delivered.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Lists {
    /// Values and offsets.
    #[default]
    Jagged,
    /// (n, d): all have one length.
    Fixed,
    /// (n, d): filled up to a length.
    Padded(Padding),
    /// Python's lists.
    Objects,
}

/// How lists are filled up.
#[derive(Debug, Clone, PartialEq)]
pub struct Padding {
    /// The length; None for that of the longest list of the batch.
    pub length: Option<usize>,
    /// With what.
    pub value: Option<Scalar>,
    /// At which end.
    pub side: Side,
    /// The end that loses what is over `length`; None: that is an error.
    pub truncate: Option<Side>,
    /// Whether the lengths stand beside it.
    pub lengths: bool,
}

/// Ids in the place of values.
#[derive(Debug, Clone)]
pub enum Encode {
    /// XXH3-64 of the value with this seed, modulo the buckets.
    Hash {
        /// Ids of values are below this.
        buckets: u64,
        /// Of the hash.
        seed: u64,
    },
    /// The value's place in a vocabulary; None for that of the data set.
    Codes {
        /// The values.
        vocabulary: Option<ArrayRef>,
        /// The id of values that it does not have; None: such a value is an error.
        unknown: Option<i64>,
    },
}

/// What was asked of a column.
#[derive(Debug, Clone)]
pub struct ColumnSpec {
    /// None: an error for tensors, kept for Arrow data.
    pub nulls: Option<Nulls>,
    /// What to fill nulls with; None for zeros and empty strings.
    pub fill: Option<Scalar>,
    /// The type to cast to.
    pub dtype: Option<Number>,
    /// Whether a cast may lose.
    pub lossy: bool,
    /// Decimals as the integers that they are stored as.
    pub unscaled: bool,
    /// Strings and binary data.
    pub strings: Strings,
    /// Whether text that is not UTF-8 has U+FFFD in the place of what is not; else it is an error.
    pub replace: bool,
    /// Lists of numbers.
    pub lists: Lists,
    /// Ids.
    pub encode: Option<Encode>,
    /// What a mask's name ends with.
    pub mask_suffix: String,
    /// What the name of lengths ends with.
    pub length_suffix: String,
    /// The options that were given for this very column: those of its type, or they are an error. Others were
    /// inherited.
    pub asked: Vec<String>,
}

impl Default for ColumnSpec {
    fn default() -> Self {
        Self {
            nulls: None,
            fill: None,
            dtype: None,
            lossy: false,
            unscaled: false,
            strings: Strings::default(),
            replace: false,
            lists: Lists::default(),
            encode: None,
            mask_suffix: "__mask".into(),
            length_suffix: "__length".into(),
            asked: Vec::new(),
        }
    }
}

impl ColumnSpec {
    /// The same for what lies in the column.
    pub(crate) fn inherited(&self) -> Self {
        Self { asked: Vec::new(), ..self.clone() }
    }

    /// Whether this option was given for this very column.
    pub(crate) fn asks(&self, option: &str) -> bool {
        self.asked.iter().any(|asked| asked == option)
    }
}

/// What was asked of all columns.
#[derive(Debug, Clone, Default)]
pub struct ProjectionSpec {
    /// The columns, None for all (or for those of `groups`, where there are some).
    pub columns: Option<Vec<String>>,
    /// Whether every column must have a tensor, or stays Arrow data.
    pub tensors: bool,
    /// Of columns (and of fields in them, by dotted path).
    pub specs: HashMap<String, ColumnSpec>,
    /// Of all others.
    pub default: ColumnSpec,
    /// Several columns as one matrix, or one column under another name (`false`).
    pub groups: Vec<(String, Vec<String>, bool)>,
    /// Whether each row's file, and its number there, are delivered too.
    pub row_id: bool,
    /// What every path in `specs` lies in, if it is a path: made of `specs` once.
    pub(crate) outer: OnceLock<HashSet<String>>,
}

impl ProjectionSpec {
    /// Columns, and options by path.
    pub fn new(
        columns: Option<Vec<String>>,
        tensors: bool,
        specs: HashMap<String, ColumnSpec>,
        default: ColumnSpec,
        groups: Vec<(String, Vec<String>, bool)>,
        row_id: bool,
    ) -> Self {
        Self { columns, tensors, specs, default, groups, row_id, outer: OnceLock::new() }
    }

    /// Whether something was asked of a field in the column, or field, of this path.
    pub(crate) fn has_specs_within(&self, path: &str) -> bool {
        let outer = self.outer.get_or_init(|| {
            let of = |path: &String| path.match_indices('.').map(|(end, _)| path[..end].to_owned()).collect::<Vec<_>>();
            self.specs.keys().flat_map(of).collect()
        });
        outer.contains(path)
    }

    /// What was asked of the column at this path; what lies in it inherits `outer`'s.
    pub(crate) fn of(&self, path: &str, outer: Option<&ColumnSpec>) -> ColumnSpec {
        match (self.specs.get(path), outer) {
            (Some(spec), _) => spec.clone(),
            (None, Some(outer)) => outer.inherited(),
            (None, None) => self.default.inherited(),
        }
    }
}
