//! What old writers are known to say wrongly in the headers of data pages of version 2.

/// Whether a writer flagged compressed pages of version 2 as not compressed, as Arrow C++ before 3.0 did (ARROW-10353).
pub(super) fn flags_lie(created_by: Option<&str>) -> bool {
    let major = |name: &str| {
        let version = created_by?.strip_prefix(name)?.strip_prefix(" version ")?;
        version.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok()
    };
    major("parquet-cpp").is_some() || major("parquet-cpp-arrow").is_some_and(|major| major < 3)
}

/// The rows that the header of a page of version 2 gives, of a column with or without lists; None where only the levels
/// tell. Arrow C++ before 12.0 gave the number of values in their place, which is right where no list has two items: a
/// header that gives one number for both is not believed, whoever wrote it.
pub(super) fn rows_of(rows: u32, values: u32, repeated: bool) -> Option<usize> {
    (!repeated || rows != values).then_some(rows as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_are_known_by_name_and_version() {
        for (created_by, lies) in [
            ("parquet-cpp version 1.5.1-SNAPSHOT", true),
            ("parquet-cpp-arrow version 2.0.0", true),
            ("parquet-cpp-arrow version 3.0.0", false),
            ("parquet-cpp-arrow version 12.0.1", false),
            ("parquet-mr version 1.12.0 (build abc)", false),
            ("parquet-cpp-arrow version x", false),
            ("", false),
        ] {
            assert_eq!(flags_lie(Some(created_by)), lies, "{created_by}");
        }
        assert!(!flags_lie(None));
    }

    #[test]
    fn rows_that_may_be_items_are_not_believed() {
        assert_eq!((rows_of(3, 3, false), rows_of(3, 3, true), rows_of(2, 3, true)), (Some(3), None, Some(2)));
    }
}
