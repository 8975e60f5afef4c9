//! The plan of a run some of whose files are gone: what a state says of these stands in their place.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::plan::{Plan, PlanParts};
use super::row_counts::SelectedRows;
use crate::{Error, Result};

/// What is known of a file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbsentFile {
    /// Its path relative to the plan's root.
    pub name: String,
    /// Its footer's hash.
    pub hash: u64,
    /// Each row group's rows.
    pub rows: Vec<u64>,
    /// Each row group's bytes: uncompressed, all columns.
    pub bytes: Vec<u64>,
    /// Each row group's rows that pass; those of a plan where all do are not looked at.
    pub passing: Vec<u64>,
}

impl Plan {
    /// The plan with these files too. Of its other parts, partition values are dropped.
    ///
    /// # Errors
    /// A name that the plan has, or parts that differ in length; sequences, which may go on in such a file.
    pub fn with_absent(&self, absent: Vec<AbsentFile>) -> Result<Self> {
        if self.deleted().is_some() || self.source().is_some() {
            return Err(Error::Unsupported(
                "files of a table that are gone cannot be left out: which of their rows were deleted is not known; restore \
                 them, or start afresh"
                    .to_owned(),
            ));
        }
        if self.token_line().is_some() {
            return Err(Error::Argument("packed sequences cannot leave out files: put them back".to_owned()));
        }
        // Of every name, the file of this plan or the absent one.
        let mut all: BTreeMap<&str, Option<&AbsentFile>> = self.files().map(|file| (file.name, None)).collect();
        for file in &absent {
            let wrong = file.bytes.len() != file.rows.len()
                || self.passing().is_some() && file.passing.len() != file.rows.len();
            if wrong || all.insert(&file.name, Some(file)).is_some() {
                return Err(Error::Argument(format!("{} is in the plan, or is not as it was saved", file.name)));
            }
        }
        let mut parts = PlanParts {
            root: self.root().to_owned(),
            names: Vec::new(),
            hashes: Vec::new(),
            sizes: Vec::new(),
            group_counts: Vec::new(),
            group_rows: Vec::new(),
            group_bytes: Vec::new(),
            decoded_bytes: Vec::new(),
            schema: Arc::clone(self.schema()),
            first_null: vec![None; self.first_null().len()],
        };
        let (mut passing, mut tags) = (Vec::new(), Vec::new());
        let mut next = 0;
        for (number, (name, file)) in all.into_iter().enumerate() {
            parts.names.push(name.to_owned());
            let groups = if let Some(file) = file {
                parts.hashes.push(file.hash);
                parts.sizes.push(0);
                parts.group_rows.extend(&file.rows);
                parts.group_bytes.extend(&file.bytes);
                parts.decoded_bytes.extend(&file.bytes);
                passing.extend(&file.passing);
                tags.push(String::new());
                file.rows.len()
            } else {
                let (entry, groups) = (self.file(next), self.groups(next));
                parts.hashes.push(entry.hash);
                parts.sizes.push(entry.size);
                parts.group_rows.extend(&self.group_rows()[groups.clone()]);
                parts.group_bytes.extend(&self.group_bytes()[groups.clone()]);
                parts.decoded_bytes.extend(&self.decoded_bytes()[groups.clone()]);
                passing.extend(&self.selected_rows()[groups.clone()]);
                tags.push(self.tag(next).to_owned());
                for (moved, first) in parts.first_null.iter_mut().zip(self.first_null()) {
                    if *first == Some(next as u32) {
                        *moved = Some(number as u32);
                    }
                }
                next += 1;
                groups.len()
            };
            parts.group_counts.push(groups as u32);
        }
        let plan = Self::from_parts(parts)?;
        let plan = if self.tags().is_empty() { plan } else { plan.with_tags(tags)? };
        match self.passing() {
            None => Ok(plan),
            Some(counted) => plan.with_passing(SelectedRows { rule: counted.rule.clone(), counts: passing }),
        }
    }
}
