//! The order: pure numbers, no I/O.
//!
//! Row groups are packed into splits ([`Splits`]), and these are cut into [`Pieces`], which k strata share out in the
//! files' order; the pieces of a stratum, permuted by the key (seed, epoch, stratum), are laid end to end
//! ([`SplitSequence`]). Begun at a place that another key gives, that is a strand. The k strands are read side by side
//! in T windows, permuted by the key (seed, epoch, window), and the windows end to end are the [`Line`]. k and T are
//! resolved once a run ([`resolve`]). [`Legs`] cut the line into shards and batches and keep count of what was
//! delivered; a [`mixture`] has legs of its own. A [`Sample`] takes rows off the line by a key; which rows of a row
//! group stand on it is a [`RowSet`].

mod interleave;
mod intervals;
mod key;
mod leg;
mod line;
pub mod mixture;
mod permute;
mod philox;
mod pieces;
mod progress;
mod resolve;
mod rowset;
mod sample;
mod spec;
mod split;
mod split_sequence;

pub use intervals::Intervals;
pub use key::{Key, key};
pub use leg::{Leg, LegSpec};
pub use line::{Line, Window};
pub use permute::permutation;
pub use philox::Philox;
pub use pieces::Pieces;
pub use progress::{LegRequest, Legs, Outcome};
pub use resolve::{DEFAULT_BUFFER_BYTES, DEFAULT_STRANDS, resolve};
pub use rowset::{RowSet, Runs};
pub use sample::Sample;
pub(crate) use sample::fixed_fraction;
pub use spec::{Buffer, Groups, MAX_STRANDS, Order, OrderSpec, Resolved};
pub use split::{SplitLimits, Splits};
pub use split_sequence::{GroupSlice, SplitSequence};

/// The version of the order: of every rule in this module that decides where a row stands. Pinned by golden vectors.
pub const ORDER_VERSION: u32 = 2;

/// ⌊a·b / c⌋ without overflow. `c` must not be zero, and the result must fit, as it does wherever a ≤ c.
pub(crate) fn mul_div(a: u64, b: u64, c: u64) -> u64 {
    (u128::from(a) * u128::from(b) / u128::from(c)) as u64
}
