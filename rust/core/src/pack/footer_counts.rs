//! The tokens of a row group, as its footer tells them.

use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};

/// The tokens of the lists of a leaf, with `around` more for each list that is not empty; None where its footer does not
/// tell.
pub(super) fn tokens_of(group: &RowGroupMetaData, leaf: usize, created_by: Option<&str>, around: u64) -> Option<u64> {
    let chunk = group.columns().get(leaf)?;
    let rows = u64::try_from(group.num_rows()).ok()?;
    let (items, lists) = by_levels(chunk, rows).or_else(|| by_nulls(chunk, rows, created_by))?;
    // A list that is not empty has an item.
    (lists <= rows && lists <= items && (lists > 0) == (items > 0)).then_some(())?;
    items.checked_add(lists.checked_mul(around)?)
}

/// The items, null or not, and the lists that are not empty: of how many values each definition level has.
fn by_levels(chunk: &ColumnChunkMetaData, rows: u64) -> Option<(u64, u64)> {
    let column = chunk.column_descr();
    let levels = chunk.definition_level_histogram()?.values();
    let most = usize::try_from(column.max_def_level()).ok()?;
    if column.max_rep_level() != 1 || levels.len() != most + 1 {
        return None;
    }
    let count =
        |levels: &[i64]| levels.iter().try_fold(0_u64, |sum, &level| sum.checked_add(u64::try_from(level).ok()?));
    // The level of an item that is null, or of every item where none can be.
    let first = most - usize::from(column.self_type().is_optional());
    let (empty, items) = (count(&levels[..first])?, count(&levels[first..])?);
    (empty.checked_add(items) == u64::try_from(chunk.num_values()).ok()).then_some(())?;
    Some((items, rows.checked_sub(empty)?))
}

/// The same, of writers whose null counts are known to have every value that is not an item.
fn by_nulls(chunk: &ColumnChunkMetaData, rows: u64, created_by: Option<&str>) -> Option<(u64, u64)> {
    let column = chunk.column_descr();
    // Of lists in structs and of structs in lists, other levels are counted: apache/arrow#51097.
    if column.max_rep_level() != 1 || column.path().parts().len() > 3 || !counts_empty_lists(created_by?) {
        return None;
    }
    let values = u64::try_from(chunk.num_values()).ok()?;
    let nulls = chunk.statistics()?.null_count_opt()?;
    Some((values.checked_sub(nulls)?, rows.checked_sub(nulls)?))
}

/// Whether a writer's null count of a list's items has the lists that are null or empty. Arrow C++ before 7 left them
/// out (PARQUET-2067).
fn counts_empty_lists(created_by: &str) -> bool {
    let major = |name: &str| {
        let version = created_by.strip_prefix(name)?.strip_prefix(" version ")?;
        version.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok()
    };
    major("parquet-rs").is_some() || major("parquet-cpp-arrow").is_some_and(|major| major >= 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_are_known_by_name_and_version() {
        for (created_by, are_counted) in [
            ("parquet-rs version 57.0.0", true),
            ("parquet-cpp-arrow version 7.0.0", true),
            ("parquet-cpp-arrow version 21.0.0-SNAPSHOT", true),
            ("parquet-cpp-arrow version 6.0.1", false),
            ("parquet-cpp version 1.5.1", false),
            ("parquet-mr version 1.12.0 (build abc)", false),
            ("DuckDB version 1.4.0", false),
            ("", false),
        ] {
            assert_eq!(counts_empty_lists(created_by), are_counted, "{created_by}");
        }
    }
}
