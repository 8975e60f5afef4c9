//! Packed sequences: the documents of a list column end to end, cut into sequences of one length.
//!
//! `counts` finds how many tokens each row group has: from its footer (`footer_counts`), or by reading its lists
//! (`lists`). `documents` walks over documents from a row group on, `fitted` packs those of a bundle, and `sequences` writes
//! them into blocks. What a
//! block's labels and positions are is `decode`'s to say; where sequences stand on the line, `files`'s
//! [`TokenLine`](crate::files::TokenLine)'s.

mod best_fit;
mod block_writer;
mod counts;
mod documents;
mod fitted;
mod footer_counts;
mod list_block;
mod lists;
mod origins;
mod sequences;

pub use counts::{count_sequences, count_tokens};
pub use fitted::Draw;
pub(crate) use lists::ListSource;
pub use origins::{Origin, origins};
pub(crate) use sequences::SequenceReader;
