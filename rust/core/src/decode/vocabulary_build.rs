//! The vocabulary of a column: its distinct values over all files, in the order in which they first come.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;

use super::group_column::{GroupColumn, wanted};
use super::source_column::{SourceColumn, named};
use super::source_reader::SourceReader;
use super::vocabulary::{Vocabulary, has_keys};
use crate::fetch::{Demand, Files};
use crate::files::Plan;
use crate::files::remote::StoreAccess;
use crate::parallel;
use crate::{Error, Result};

/// Rows decoded at a time.
const ROWS: usize = 8192;
/// Bytes of a store's objects that may be here.
const BUDGET: u64 = 128 << 20;

/// Reads all of a column, on threads that are joined before it returns, and gives its distinct values (those of its
/// lists' items), without null. `replace`: text may be no UTF-8, and is then as under [`ColumnSpec`](super::ColumnSpec)'s
/// `replace`. `interrupted` is asked every 50 ms.
///
/// # Errors
/// A column of a type that has no ids; whatever keeps it from being read; `Error::Closed` when interrupted.
pub fn build_vocabulary(
    plan: &Arc<Plan>,
    store: StoreAccess,
    name: &str,
    num_threads: usize,
    replace: bool,
    mut interrupted: impl FnMut() -> bool,
) -> Result<ArrayRef> {
    let source = named(plan, name, replace)?;
    let item = innermost(source.field.data_type());
    if !has_keys(item) {
        return Err(Error::Unsupported(format!(
            "column {name:?} is {}; a vocabulary is of strings, binary data, integers and lists of them",
            source.field.data_type()
        )));
    }
    let columns = wanted(std::iter::once(&source));
    let demand = Demand { columns, streams: num_threads as u64, budget: BUDGET, ..Demand::default() };
    let files = Files::new(Arc::clone(plan)).reading(store, demand);
    let mut vocabulary = Vocabulary::default();
    parallel::for_each_in_order(
        "vocabulary",
        plan.num_row_groups(),
        num_threads,
        |group, tasks| of_group(&files, &source, group, || tasks.is_needed(group)),
        |found| vocabulary.append(&found),
        // A store may be silent for long.
        |_| if interrupted() { Err(Error::Closed).inspect_err(|_| files.close()) } else { Ok(()) },
    )?;
    Ok(vocabulary.to_array(is_string(item)))
}

fn of_group(files: &Files, source: &SourceColumn, group: usize, is_needed: impl Fn() -> bool) -> Result<Vocabulary> {
    let plan = files.plan();
    let index = plan.file_of_group(group);
    let file = files.open(index)?;
    let first = plan.groups(index).start;
    let of = GroupColumn::find(plan, index, &file, group - first, source)?;
    let mut vocabulary = Vocabulary::default();
    let mut left = usize::try_from(plan.group_rows()[group]).map_err(|_| Error::internal("2**64 rows"))?;
    let read = of.guarded(|| {
        let mut reader = if left > 0 { SourceReader::open(&of, 0)? } else { return Ok(()) };
        while left > 0 && is_needed() {
            let rows = left.min(ROWS);
            items(&reader.values(&of, rows)?, &mut vocabulary);
            left -= rows;
        }
        Ok(())
    });
    // After the reading, whatever came of it: bytes of another file are no damage.
    files.check(index, &file)?;
    read.map(|()| vocabulary)
}

fn items(array: &ArrayRef, into: &mut Vocabulary) {
    match array.data_type() {
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            let (start, end) = (lists.value_offsets()[0] as usize, lists.value_offsets()[lists.len()] as usize);
            items(&lists.values().slice(start, end - start), into);
        }
        DataType::LargeList(_) => {
            let lists = array.as_list::<i64>();
            let (start, end) = (lists.value_offsets()[0] as usize, lists.value_offsets()[lists.len()] as usize);
            items(&lists.values().slice(start, end - start), into);
        }
        DataType::FixedSizeList(..) => items(array.as_fixed_size_list().values(), into),
        _ => into.extend(array),
    }
}

fn innermost(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::List(child) | DataType::LargeList(child) | DataType::FixedSizeList(child, _) => {
            innermost(child.data_type())
        }
        other => other,
    }
}

fn is_string(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_string(values),
        other => matches!(other, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
    }
}
