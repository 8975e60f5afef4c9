//! What lies in a nested array, and which row each item belongs to.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, OffsetSizeTrait};
use arrow_schema::DataType;

/// The rows that items belong to.
pub(super) enum ItemRows {
    /// Each to its own.
    Same,
    /// The end of every row's items.
    Ends(Vec<usize>),
    /// So many to each row.
    Every(usize),
}

impl ItemRows {
    /// The row of an item.
    pub(super) fn of(&self, item: usize) -> usize {
        match self {
            Self::Same => item,
            Self::Ends(ends) => ends.partition_point(|end| *end <= item),
            Self::Every(size) => item / size,
        }
    }
}

/// The arrays inside an array, cut to what its rows use; none in one that is not nested.
pub(super) fn children(array: &ArrayRef) -> Vec<(ArrayRef, ItemRows)> {
    fn lists<O: OffsetSizeTrait>(offsets: &[O], values: &ArrayRef) -> Vec<(ArrayRef, ItemRows)> {
        let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else { return Vec::new() };
        let (first, last) = (first.as_usize(), last.as_usize());
        let ends = offsets[1..].iter().map(|end| end.as_usize() - first).collect();
        vec![(values.slice(first, last - first), ItemRows::Ends(ends))]
    }
    match array.data_type() {
        DataType::List(_) => lists(array.as_list::<i32>().value_offsets(), array.as_list::<i32>().values()),
        DataType::LargeList(_) => lists(array.as_list::<i64>().value_offsets(), array.as_list::<i64>().values()),
        DataType::Map(..) => {
            let entries: ArrayRef = Arc::new(array.as_map().entries().clone());
            lists(array.as_map().value_offsets(), &entries)
        }
        DataType::FixedSizeList(_, size) => match usize::try_from(*size) {
            Ok(size) if size > 0 => vec![(Arc::clone(array.as_fixed_size_list().values()), ItemRows::Every(size))],
            _ => Vec::new(),
        },
        DataType::Struct(_) => {
            array.as_struct().columns().iter().map(|column| (Arc::clone(column), ItemRows::Same)).collect()
        }
        _ => Vec::new(),
    }
}
