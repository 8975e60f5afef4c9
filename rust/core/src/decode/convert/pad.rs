//! Lists padded to one length.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, FixedSizeListArray, OffsetSizeTrait};
use arrow_buffer::{ArrowNativeType, Buffer};
use arrow_data::ArrayData;
use arrow_schema::DataType;

use super::arrays::{fixed_size, value_bytes};
use super::nulls::rebuilt;
use crate::buffer_pool::{self, Element};
use crate::decode::Side;
use crate::{Error, Result};

/// The bytes of the number that fills.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filler(pub(crate) [u8; 8]);

/// The items of all lists, each list filled up to `length`, or cut: end to end. `offsets` begin at the first of
/// `values`.
pub(crate) fn padded<O: OffsetSizeTrait>(
    offsets: &[O],
    values: &ArrayRef,
    length: usize,
    side: Side,
    truncate: Option<Side>,
    Filler(fill): Filler,
) -> Result<ArrayRef> {
    let (bytes, per_item, width) = flat(values).ok_or_else(|| Error::internal("items of no width"))?;
    let layout = PadLayout { offsets, length, per_item, side, truncate };
    let [a, b, c, d, ..] = fill;
    let out = match width {
        1 => layout.run::<u8>(&bytes, a)?,
        2 => layout.run::<u16>(&bytes, u16::from_ne_bytes([a, b]))?,
        4 => layout.run::<u32>(&bytes, u32::from_ne_bytes([a, b, c, d]))?,
        _ => layout.run::<u64>(&bytes, u64::from_ne_bytes(fill))?,
    };
    rebuild(values.data_type(), offsets.len().saturating_sub(1) * length, out)
}

struct PadLayout<'a, O> {
    offsets: &'a [O],
    length: usize,
    per_item: usize,
    side: Side,
    truncate: Option<Side>,
}

impl<O: OffsetSizeTrait> PadLayout<'_, O> {
    fn run<T: Element + ArrowNativeType>(&self, values: &Buffer, fill: T) -> Result<Buffer> {
        let values: &[T] = values.typed_data();
        let rows = self.offsets.len().saturating_sub(1);
        let count = rows.checked_mul(self.length).and_then(|items| items.checked_mul(self.per_item));
        let count = count.filter(|count| count.checked_mul(size_of::<T>()).is_some_and(|bytes| bytes < 1 << 47));
        let count = count.ok_or_else(|| Error::Argument(format!("lists padded to {} do not fit", self.length)))?;
        let mut out: Vec<T> = buffer_pool::vec(count);
        for pair in self.offsets.windows(2) {
            let (mut start, mut end) = (pair[0].as_usize(), pair[1].as_usize());
            if end - start > self.length {
                match self.truncate {
                    Some(Side::Left) => start = end - self.length,
                    _ => end = start + self.length,
                }
            }
            let missing = (self.length - (end - start)) * self.per_item;
            let list = &values[start * self.per_item..end * self.per_item];
            if self.side == Side::Left {
                out.resize(out.len() + missing, fill);
            }
            out.extend_from_slice(list);
            if self.side == Side::Right {
                out.resize(out.len() + missing, fill);
            }
        }
        Ok(buffer_pool::buffer(out))
    }
}

/// An array without nulls whose values are all of one width: their bytes, how many numbers make a value, and a number's
/// width.
fn flat(array: &ArrayRef) -> Option<(Buffer, usize, usize)> {
    if let DataType::FixedSizeList(_, length) = array.data_type() {
        let (bytes, per_item, width) = flat(array.as_fixed_size_list().values())?;
        return Some((bytes, per_item * usize::try_from(*length).ok()?, width));
    }
    Some((value_bytes(array.as_ref())?, 1, array.data_type().primitive_width()?))
}

/// An array of this type over these bytes.
pub(crate) fn rebuild(data_type: &DataType, rows: usize, bytes: Buffer) -> Result<ArrayRef> {
    match data_type {
        DataType::FixedSizeList(child, length) => {
            let values = rebuild(child.data_type(), rows * fixed_size(*length), bytes)?;
            FixedSizeListArray::try_new_with_length(child.clone(), *length, values, None, rows)
                .map(|lists| std::sync::Arc::new(lists) as ArrayRef)
                .map_err(Error::from)
        }
        primitive => rebuilt(ArrayData::builder(primitive.clone()).len(rows).add_buffer(bytes).build()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Int16Array;
    use arrow_array::types::Int16Type;
    use proptest::prelude::*;
    use std::sync::Arc;

    proptest! {
        #[test]
        fn lists_are_filled_and_cut(
            lists in proptest::collection::vec(proptest::collection::vec(any::<i16>(), 0..9), 0..12),
            length in 0..9_usize,
            left in any::<bool>(),
            cut_left in any::<bool>(),
        ) {
            let side = |left| if left { Side::Left } else { Side::Right };
            let mut offsets = vec![0_i32];
            offsets.extend(lists.iter().scan(0, |total, list| { *total += list.len() as i32; Some(*total) }));
            let values: ArrayRef = Arc::new(Int16Array::from(lists.concat()));
            let fill = Filler([255, 255, 0, 0, 0, 0, 0, 0]);
            let found = padded(&offsets, &values, length, side(left), Some(side(cut_left)), fill).unwrap();
            let expected = lists.iter().flat_map(|list| {
                let over = list.len().saturating_sub(length);
                let kept = if cut_left { &list[over..] } else { &list[..list.len() - over] };
                let fill = vec![-1_i16; length - kept.len()];
                if left { [fill, kept.to_vec()].concat() } else { [kept.to_vec(), fill].concat() }
            });
            prop_assert_eq!(found.as_primitive::<Int16Type>().values().to_vec(), expected.collect::<Vec<_>>());
        }
    }
}
