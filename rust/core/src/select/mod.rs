//! Which rows pass: a filter's conditions over arrays and over statistics, counted once, and found again when rows are read.

mod bind;
mod comparable;
mod count;
mod count_prefetch;
mod evaluate;
mod filter_prefetch;
mod predicate;
mod pruning;
mod selections;
mod written;

pub use count::{count, may_pass};
pub use filter_prefetch::FilterPrefetch;
pub use predicate::{Condition, Evaluator, FilterOp, Literal, Predicate, Test};
pub use selections::{Selections, Selector};
pub use written::schema_metadata;

#[cfg(test)]
mod tests;
