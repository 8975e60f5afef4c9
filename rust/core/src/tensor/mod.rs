//! Arrow memory as tensors, without a copy.

mod dlpack;
mod view;

pub use dlpack::{ManagedTensor, export};
pub use view::{SegmentBorders, TensorView, TypeCode, dense, jagged, padded, segment_borders, segment_numbers};
