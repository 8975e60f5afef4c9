//! Which rows pass: a filter's conditions over arrays and over statistics, counted once, and found again when rows are read.

mod count;
mod facts;
mod kernel;
mod lane;
mod lookout;
mod predicate;
mod scout;
mod selections;
mod written;

pub use count::{count, may_pass};
pub use predicate::{Condition, Evaluator, Literal, Predicate, Step, Test};
pub use scout::Scout;
pub use selections::{Selections, Selector};
pub use written::schema_metadata;

#[cfg(test)]
mod tests;
