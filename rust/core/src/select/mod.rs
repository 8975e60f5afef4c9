//! The rows that pass a sample and a filter: counted once for a plan, and found again when rows are read.
//!
//! A `predicate` is bound to the columns of a plan (`bind`), and evaluated over arrays (`evaluate`), or over the
//! statistics of a row group that need no reading (`pruning`); a `key_subset` narrows it to some keys. `selections` keeps the sets of rows that pass;
//! `filter_prefetch` and `count_prefetch` fetch a store's columns ahead of that.

mod bind;
mod comparable;
mod count;
mod count_prefetch;
mod evaluate;
mod filter_prefetch;
mod key_subset;
mod predicate;
mod pruning;
mod selections;

pub use count::{count, may_pass};
pub use filter_prefetch::FilterPrefetch;
pub use key_subset::KeySubset;
pub use predicate::{Condition, Evaluator, FilterOp, Literal, Predicate, Test};
pub use selections::{FILTER_BLOCK_ROWS, Selections, Selector};

#[cfg(test)]
mod tests;
