//! From the bytes of column chunks to Arrow arrays.

pub mod dense;
