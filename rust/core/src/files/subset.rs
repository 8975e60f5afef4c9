//! The plan of some of a plan's files.

use std::sync::Arc;

use arrow_array::UInt32Array;
use arrow_select::take::take_record_batch;

use super::bundles::bundles;
use super::plan::{Plan, PlanParts};
use super::row_counts::SelectedRows;
use crate::{Error, Result};

impl Plan {
    /// The plan of these files only, given by ascending index, under the same root.
    ///
    /// Where the first file known to have nulls in a column is left out, that column's nulls are unknown.
    pub fn select(&self, files: &[usize]) -> Result<Self> {
        if files.windows(2).any(|pair| pair[0] >= pair[1]) || files.last().is_some_and(|&f| f >= self.num_files()) {
            return Err(Error::Argument(format!(
                "the files to select must be ascending indices below {}, each once",
                self.num_files()
            )));
        }
        let groups = |of: &[u64]| files.iter().flat_map(|&f| of[self.groups(f)].iter().copied()).collect();
        let indices = UInt32Array::from_iter_values(files.iter().map(|&f| f as u32));
        let partitions = self.partitions().map(|values| take_record_batch(values, &indices)).transpose();
        let partitions = partitions?.map(Arc::new);
        let passing = self
            .passing()
            .map(|passing| Arc::new(SelectedRows { rule: passing.rule.clone(), counts: groups(&passing.counts) }));
        let index = |file: u32| files.binary_search(&(file as usize)).ok().and_then(|at| u32::try_from(at).ok());
        let mut selected = Self::from_parts(PlanParts {
            root: self.root().to_owned(),
            names: files.iter().map(|&f| self.name(f).to_owned()).collect(),
            hashes: files.iter().map(|&f| self.file(f).hash).collect(),
            sizes: files.iter().map(|&f| self.file(f).size).collect(),
            group_counts: files.iter().map(|&f| self.groups(f).len() as u32).collect(),
            group_rows: groups(self.group_rows()),
            group_bytes: groups(self.group_bytes()),
            decoded_bytes: groups(self.decoded_bytes()),
            schema: Arc::clone(self.schema()),
            first_null: self.first_null().iter().map(|first| first.and_then(index)).collect(),
        })?;
        let tags = files.iter().filter_map(|&f| self.tags().get(f).cloned()).collect();
        if let Some(deleted) = self.deleted() {
            selected = selected.with_deleted(deleted.of_files(files))?;
        }
        selected.partitions = partitions;
        selected.passing = passing;
        selected.source = self.source.clone();
        selected.table = self.table.clone();
        if let Some(line) = self.token_line() {
            let of_files: Vec<usize> = files.iter().flat_map(|&f| self.groups(f)).collect();
            let line = line.select(&of_files, |tokens| bundles(&selected, tokens, line.seq_len()))?;
            selected.token_line = Some(Arc::new(line));
        }
        selected.with_tags(tags)
    }
}
