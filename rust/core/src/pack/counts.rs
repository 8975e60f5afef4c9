//! The count of tokens, before the first batch.

use std::sync::Arc;

use super::fitted;
use super::footer_counts::tokens_of;
use super::lists::{ListReader, ListSource};
use crate::decode::{GroupColumn, Pack, Projection, wanted};
use crate::fetch::{Demand, Files};
use crate::files::remote::StoreAccess;
use crate::files::{Bundle, Plan};
use crate::parallel;
use crate::select::{Selections, Selector};
use crate::{Error, Result, third_party};

/// Rows whose lists are counted at a time.
const BLOCK_ROWS: u64 = 2048;

/// The tokens of each of these row groups (ascending), found on up to `num_threads` threads, which are joined before it
/// returns: from footers where all rows pass and the footer tells it, else by reading the lists. `progress`, of how many
/// row groups are done, may stop it by an error.
///
/// # Errors
/// That of the first row group, in order, that cannot be counted.
pub fn count_tokens(
    plan: &Arc<Plan>,
    store: StoreAccess,
    selector: Option<&Arc<Selector>>,
    projection: &Projection,
    groups: &[usize],
    num_threads: usize,
    progress: impl FnMut(usize) -> Result<()>,
) -> Result<Vec<u64>> {
    counted(plan, store, selector, projection, groups, num_threads, count, progress)
}

/// The sequences that the documents of each of these bundles fill (ascending), likewise. Their lists are read.
///
/// # Errors
/// That of the first bundle, in order, that cannot be counted; a document over `seq_len`, where that is an error.
#[allow(clippy::too_many_arguments, reason = "what count_tokens takes, and the bundles")]
pub fn count_sequences(
    plan: &Arc<Plan>,
    store: StoreAccess,
    selector: Option<&Arc<Selector>>,
    projection: &Projection,
    all: &[Bundle],
    bundles: &[usize],
    num_threads: usize,
    progress: impl FnMut(usize) -> Result<()>,
) -> Result<Vec<u64>> {
    let of = |from: &ListSource<'_>, pack: &Pack, number: usize| {
        let bundle = all.get(number).ok_or_else(|| Error::internal("no such bundle"))?;
        fitted::count_sequences(from, pack, bundle)
    };
    counted(plan, store, selector, projection, bundles, num_threads, of, progress)
}

#[allow(clippy::too_many_arguments, reason = "what count_tokens takes, and what to count")]
fn counted(
    plan: &Arc<Plan>,
    store: StoreAccess,
    selector: Option<&Arc<Selector>>,
    projection: &Projection,
    numbers: &[usize],
    num_threads: usize,
    count: impl Fn(&ListSource<'_>, &Pack, usize) -> Result<u64> + Sync,
    mut progress: impl FnMut(usize) -> Result<()>,
) -> Result<Vec<u64>> {
    let (columns, pack) = projection.packing().ok_or_else(|| Error::internal("only packed columns have tokens"))?;
    let of_filter = selector.iter().flat_map(|selector| selector.columns());
    let filters = wanted(of_filter.flat_map(|column| &column.sources));
    let demand = Demand {
        columns: wanted(std::iter::once(columns.lengths.unwrap_or(columns.lists))),
        filters,
        ..Demand::default()
    };
    let files = Files::with_sizes(Arc::clone(plan)).reading(store, demand);
    let selections = selector.map(|selector| Selections::new(Arc::clone(selector)));
    let from = ListSource { files: &files, selections: selections.as_ref(), columns: columns.alone(), pool: None };
    let mut counts = Vec::with_capacity(numbers.len());
    parallel::for_each_in_order(
        "tokens",
        numbers.len(),
        num_threads,
        |at, _| count(&from, pack, numbers[at]),
        |tokens| counts.push(tokens),
        |done| progress(done).inspect_err(|_| files.close()),
    )?;
    Ok(counts)
}

fn count(from: &ListSource<'_>, pack: &Pack, group: usize) -> Result<u64> {
    let plan = from.files.plan();
    if plan.selected_rows()[group] == 0 {
        return Ok(0);
    }
    if !pack.by_reading && pack.align <= 1 && from.selections.is_none() {
        let index = plan.file_of_group(group);
        let file = from.files.open(index)?;
        let number = group - plan.groups(index).start;
        let of = GroupColumn::find(plan, index, &file, number, from.columns.lists)?;
        let Some(leaf) = of.leaf()? else { return Ok(0) };
        let metadata = file.metadata.metadata();
        let created_by = metadata.file_metadata().created_by();
        let told = third_party::guarded(|| {
            Ok::<_, Error>(tokens_of(metadata.row_group(number), leaf, created_by, pack.around()))
        });
        // No sequence is read from a row group without tokens, so that nobody would find out that a footer lies.
        if let Ok(Ok(Some(tokens @ 1..))) = told {
            return Ok(tokens);
        }
    }
    let mut lists = ListReader::new(from.files, group, 0);
    let mut tokens = 0;
    while lists.left() > 0 {
        let lengths = lists.lengths(from, pack, lists.left().min(BLOCK_ROWS))?;
        tokens += lengths.into_iter().map(|length| pack.slot(length)).sum::<u64>();
    }
    Ok(tokens)
}
