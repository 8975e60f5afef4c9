//! How many cases a property test runs, and how few of its inputs may be rejected.

use proptest::prelude::ProptestConfig;

/// `usual` cases, or as many as `PROPTEST_CASES` says. For every twenty of them one input may be rejected by
/// `prop_assume!`: a test whose inputs seldom apply tests little, and fails.
pub(crate) fn cases(usual: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { config.cases } else { usual };
    ProptestConfig { cases, max_global_rejects: cases.div_ceil(20), ..config }
}
