//! What a plan knows beside its footers: the values of its files' partition columns, how many rows pass, how many tokens
//! they have, and the table that its files are of.

use std::sync::Arc;

use arrow_array::RecordBatch;

use super::plan::Plan;
use super::row_counts::SelectedRows;
use super::token_line::TokenLine;
use crate::{Error, Result};

impl Plan {
    /// The same plan, with columns whose values are the same for all rows of a file: one row of `values` a file.
    ///
    /// # Errors
    /// Another number of rows than files.
    pub fn with_partitions(&self, values: RecordBatch) -> Result<Self> {
        if values.num_rows() != self.num_files() {
            return Err(Error::Argument(format!(
                "{} rows of partition values for {} files",
                values.num_rows(),
                self.num_files()
            )));
        }
        let mut plan = self.clone();
        plan.partitions = (values.num_columns() > 0).then(|| Arc::new(values));
        Ok(plan)
    }

    /// The columns whose values are the same for all rows of a file, a row a file; None where there is none.
    pub fn partitions(&self) -> Option<&RecordBatch> {
        self.partitions.as_deref()
    }

    /// The same plan, with the rows that pass counted.
    ///
    /// # Errors
    /// Not a count for each row group, or a larger one than it has rows that are not deleted.
    pub fn with_passing(&self, passing: SelectedRows) -> Result<Self> {
        let counts = &passing.counts;
        if counts.len() != self.num_row_groups() || counts.iter().zip(self.live_rows()).any(|(c, rows)| c > rows) {
            return Err(Error::Argument("the counts of passing rows do not fit the row groups".to_owned()));
        }
        let mut plan = self.clone();
        plan.passing = Some(Arc::new(passing));
        Ok(plan)
    }

    /// How many rows pass, and under which rule; None where all do.
    pub fn passing(&self) -> Option<&SelectedRows> {
        self.passing.as_deref()
    }

    /// The same plan, of files that are a version of a table: `source` says which, as JSON that this crate does not read.
    #[must_use]
    pub fn with_source(&self, source: &str) -> Self {
        let mut plan = self.clone();
        plan.source = Some(Arc::from(source));
        plan
    }

    /// Which version of which table the files are; None for plain files.
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// Each row group's rows that pass, and are not deleted.
    pub fn selected_rows(&self) -> &[u64] {
        self.passing().map_or(self.live_rows(), |passing| &passing.counts)
    }

    /// The same plan, whose rows are the sequences of a token line.
    ///
    /// # Errors
    /// Not a count for each row group.
    pub fn with_token_line(&self, line: TokenLine) -> Result<Self> {
        if line.tokens().len() != self.num_row_groups() {
            return Err(Error::Argument("the counts of tokens do not fit the row groups".to_owned()));
        }
        let mut plan = self.clone();
        plan.token_line = Some(Arc::new(line));
        Ok(plan)
    }

    /// The token line whose sequences are the rows of the line; None where rows are.
    pub fn token_line(&self) -> Option<&Arc<TokenLine>> {
        self.token_line.as_ref()
    }

    /// Each row group's rows that stand on the line: those that pass, or the sequences that begin in it.
    pub fn line_rows(&self) -> &[u64] {
        self.token_line().map_or(self.selected_rows(), |line| line.sequences())
    }
}
