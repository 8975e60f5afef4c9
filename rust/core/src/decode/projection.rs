//! The columns that a reader delivers, checked against the plan before anything is read.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::{Field, Schema};

use super::Vocabulary;
use super::column::{Column, matrix, row_id, single};
use super::convert::{check_clash, null_error, nulls_error};
use super::pack::{Pack, PackColumns, packed};
use super::source_column::{Delivered, SourceColumn};
use super::spec::ProjectionSpec;
use crate::files::Plan;
use crate::files::refusal::{Refusal, check_readable};
use crate::{Error, Result};

/// The columns to deliver, in the order in which they were asked for.
#[derive(Debug, Clone)]
pub struct Projection {
    columns: Vec<Column>,
    /// Of every source, its column and its place in it.
    places: Vec<(usize, usize)>,
    /// The bytes of a row, decoded; where rows differ, those of its columns of one width.
    fixed_bytes: u64,
    /// Whether rows differ.
    varies: bool,
}

impl Projection {
    /// Checks the names, and that each column can become what was asked.
    ///
    /// # Errors
    /// Unknown or repeated names, types that no tensor has, nulls that a footer shows, options that do not fit.
    pub fn new(plan: &Plan, asked: &ProjectionSpec) -> Result<Self> {
        let delivered = Delivered::of(plan);
        let all = delivered.names();
        let names: Vec<&str> = match &asked.columns {
            Some(names) => names.iter().map(String::as_str).collect(),
            None if asked.groups.is_empty() => all.collect(),
            None => Vec::new(),
        };
        let in_groups = asked.groups.iter().flat_map(|(_, columns, _)| columns).map(String::as_str);
        let (mut refusals, mut told): (Vec<Refusal>, HashSet<Refusal>) = Default::default();
        for name in names.iter().copied().chain(in_groups.clone()) {
            refusals.extend(delivered.refusal(name)?.filter(|refusal| told.insert(refusal.clone())));
        }
        check_readable(refusals)?;
        let mut seen = HashSet::new();
        for name in names.iter().copied().chain(in_groups) {
            if !seen.insert(name) {
                return Err(Error::Argument(format!(
                    "column {name:?} is asked for twice in columns and groups; name it once"
                )));
            }
        }
        let groups: HashSet<&str> = asked.groups.iter().map(|(group, ..)| group.as_str()).collect();
        for name in asked.specs.keys() {
            let mut outer = name.match_indices('.').map(|(end, _)| &name[..end]);
            if !groups.contains(name.as_str()) && !seen.contains(name.as_str()) && !outer.any(|of| seen.contains(of)) {
                delivered.find(name)?;
                return Err(Error::Argument(format!(
                    "column_options names column {name:?}, which columns leaves out; add it to columns or drop its options"
                )));
            }
        }
        let mut columns = Vec::with_capacity(seen.len());
        for name in names {
            columns.push(single(name, &delivered, name, asked, None)?);
        }
        for (name, members, is_matrix) in &asked.groups {
            let spec = asked.specs.get(name);
            columns.push(match (members.as_slice(), is_matrix) {
                ([only], false) => single(name, &delivered, only, asked, spec)?,
                _ => matrix(name, &delivered, members, asked, spec)?,
            });
        }
        if asked.row_id {
            columns.extend(row_id(asked)?);
        }
        check_clash("columns", columns.iter().flat_map(|c| &c.keys).map(|key| key.name.as_str()))?;
        check_nulls(plan, &columns)?;
        let fixed_bytes: u64 = columns.iter().filter_map(Column::width).sum();
        let varies = columns.iter().any(|column| column.width().is_none());
        let places = columns.iter().enumerate();
        let places = places.flat_map(|(column, of)| (0..of.sources.len()).map(move |place| (column, place))).collect();
        Ok(Self { columns, places, fixed_bytes, varies })
    }

    /// The sequences that the lists of a column are packed into, alone.
    ///
    /// # Errors
    /// A column that is not there, or is no list of integers; ids that its integers do not have.
    pub fn packed(plan: &Plan, pack: Pack) -> Result<Self> {
        let delivered = Delivered::of(plan);
        let mut refusals = Vec::new();
        for name in pack.columns() {
            refusals.extend(delivered.refusal(name)?);
        }
        check_readable(refusals)?;
        let column = packed(&delivered, pack)?;
        Ok(Self { columns: vec![column], places: vec![(0, 0)], fixed_bytes: 0, varies: false })
    }

    /// How lists are packed, if that is what is delivered, and the columns that are read for it.
    pub(crate) fn packing(&self) -> Option<(PackColumns<'_>, &Pack)> {
        let column = self.columns.first()?;
        let pack = column.pack.as_deref()?;
        Some((PackColumns::new(pack, &column.sources)?, pack))
    }

    /// The column whose lists are packed, and how, if that is what is delivered.
    pub fn pack(&self) -> Option<(&SourceColumn, &Pack)> {
        self.packing().map(|(columns, pack)| (columns.lists, pack))
    }

    /// The columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// All sources of all columns.
    pub fn sources(&self) -> impl Iterator<Item = &SourceColumn> {
        self.columns.iter().flat_map(|column| &column.sources)
    }

    /// How many sources all columns have.
    pub fn num_sources(&self) -> usize {
        self.places.len()
    }

    /// A source's column, and its place in it.
    pub fn place(&self, source: usize) -> (usize, usize) {
        self.places[source]
    }

    /// A source, numbered through all columns.
    pub fn source(&self, source: usize) -> &SourceColumn {
        let (column, place) = self.places[source];
        &self.columns[column].sources[place]
    }

    /// The paths of columns (and of fields in them) whose codes stand for values that are not known yet.
    pub fn unlearned(&self) -> Vec<String> {
        let missing = self.sources().flat_map(|source| source.conversion.vocabularies());
        missing.filter(|(_, known)| known.get().is_none()).map(|(path, _)| path.clone()).collect()
    }

    /// Gives codes their values: distinct ones, in order. Once given, they stay.
    ///
    /// # Errors
    /// Values that are no vocabulary.
    pub fn teach(&self, path: &str, values: &ArrayRef) -> Result<()> {
        for (_, place) in
            self.sources().flat_map(|source| source.conversion.vocabularies()).filter(|(of, _)| of == path)
        {
            let vocabulary = Vocabulary::try_new(values)?;
            place.get_or_init(|| vocabulary);
        }
        Ok(())
    }

    /// The fields that are read, as the first file has them.
    pub fn schema(&self) -> Schema {
        let fields: Vec<Field> =
            self.sources().map(|source| source.field.as_ref().clone().with_nullable(true)).collect();
        Schema::new(fields)
    }

    /// About how many bytes a row of each row group takes, decoded. Where rows differ, those of all of its columns are
    /// counted, whatever is read.
    pub fn row_bytes_by_group(&self, plan: &Arc<Plan>) -> impl Fn(u32) -> u64 + Send + Sync + use<> {
        let (fixed, varies, plan) = (self.fixed_bytes, self.varies, Arc::clone(plan));
        move |group| if varies { fixed.max(plan.row_bytes(group as usize)) } else { fixed }
    }
}

/// An error that names all columns whose nulls nothing is said about, and what is in the files' footers.
fn check_nulls(plan: &Plan, columns: &[Column]) -> Result<()> {
    let sources = columns.iter().flat_map(|column| &column.sources);
    let refused: Vec<_> = sources.filter_map(|source| Some((source, plan.path(source.refused_null?)))).collect();
    match refused.as_slice() {
        [] => Ok(()),
        [(source, path)] => Err(null_error(path.clone(), &source.name, None, source.conversion.policies())),
        [(_, path), ..] => {
            let columns: Vec<_> = refused.iter().map(|(of, _)| (of.name.as_str(), of.conversion.policies())).collect();
            Err(nulls_error(path.clone(), &columns))
        }
    }
}
