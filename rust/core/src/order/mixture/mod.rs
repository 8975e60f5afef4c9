//! Mixtures: a line that walks over lines.
//!
//! A mixture is read by V lanes; in round t of the job's batches lane v makes batch tV + v, as shards do. In every lane
//! the same numbers of rows come from each source ([`Counts`], by a [chain](chain) of roundings over pieces of constant
//! weights), and each lane reads its own part of each round of a source ([`Rounds`]). So nothing of a source has to be
//! kept: what was delivered of it follows from the batches delivered ([`MixedLegs`]). Rows of a batch are put into the
//! order of a key.

mod chain;
mod counts;
mod legs;
mod rounds;
mod spec;

pub use counts::Counts;
pub use legs::{MixedLeg, MixedLegs};
pub use rounds::Rounds;
pub use spec::{MixtureSpec, Stop};

use super::{Key, key};
use xxhash_rust::xxh3::xxh3_128;

/// The version of the rules in this module. Pinned by a golden vector.
pub const MIXTURE_VERSION: u32 = 1;

/// The seed of a source's lines in an epoch of the mixture: by its name, never by its number.
pub fn source_seed(seed: u64, epoch: u64, name: &str) -> u64 {
    let name = xxh3_128(name.as_bytes());
    key("mixture source", &[seed, epoch, name as u64, (name >> 64) as u64]) as u64
}

/// The key that the rows of a batch are put in order by: of the epoch's batch number `total`.
pub fn batch_key(seed: u64, epoch: u64, total: u64) -> Key {
    key("mixture batch", &[seed, epoch, total])
}
