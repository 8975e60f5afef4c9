//! Values looked up by their indices, which are all checked first.

use std::mem::MaybeUninit;

/// Appends the values at the indices; false, and nothing appended, where one is beyond the last, or where there are
/// more than `i32::MAX` values.
pub(super) fn gather<T: Copy>(values: &[T], indices: &[u32], out: &mut Vec<T>) -> bool {
    out.reserve(indices.len());
    let room = &mut out.spare_capacity_mut()[..indices.len()];
    #[cfg(target_arch = "x86_64")]
    let found = if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        unsafe { with_avx2(values, indices, room) }
    } else {
        each(values, indices, room)
    };
    #[cfg(not(target_arch = "x86_64"))]
    let found = each(values, indices, room);
    if found {
        // SAFETY: `reserve` made the room, and `each` wrote all of it.
        unsafe { out.set_len(out.len() + indices.len()) };
    }
    found
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn with_avx2<T: Copy>(values: &[T], indices: &[u32], out: &mut [MaybeUninit<T>]) -> bool {
    each(values, indices, out)
}

/// Writes one value an index, as many as there are of both; false, and nothing written, where an index is beyond the
/// last.
#[inline(always)]
fn each<T: Copy>(values: &[T], indices: &[u32], out: &mut [MaybeUninit<T>]) -> bool {
    let Some(last) = values.len().checked_sub(1) else { return indices.is_empty() };
    // With so few values, seven more than an index is no overflow.
    if i32::try_from(last).is_err() {
        return false;
    }
    if indices.iter().fold(0, |most, index| most.max(*index)) as usize > last {
        return false;
    }
    let (eights, rest) = indices.as_chunks::<8>();
    let (outs, out_rest) = out.as_chunks_mut::<8>();
    for (eight, out) in eights.iter().zip(outs) {
        // Values that seldom come twice stand in the dictionary in the order of their rows.
        let first = eight[0];
        let differ = (0..8).fold(0, |differ, i| differ | (eight[i].wrapping_sub(i as u32) ^ first));
        if differ == 0 {
            // SAFETY: the eighth index is `first` + 7, and none is beyond the last value, as was just checked.
            let run = unsafe { values.get_unchecked(first as usize..first as usize + 8) };
            for (value, out) in run.iter().zip(out) {
                out.write(*value);
            }
        } else {
            for (index, out) in eight.iter().zip(out) {
                // SAFETY: no index is beyond the last value, as was just checked.
                out.write(unsafe { *values.get_unchecked(*index as usize) });
            }
        }
    }
    for (index, out) in rest.iter().zip(out_rest) {
        // SAFETY: as above.
        out.write(unsafe { *values.get_unchecked(*index as usize) });
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_are_those_at_the_indices(
            count in 1_usize..70,
            runs in proptest::collection::vec((any::<prop::sample::Index>(), 1_usize..20, any::<bool>()), 0..20),
            beyond in proptest::option::weighted(0.2, any::<u32>()),
        ) {
            let values: Vec<u64> = (0..count as u64).map(|value| value.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
            let mut indices: Vec<u32> = Vec::new();
            for (first, length, rises) in runs {
                let first = first.index(count);
                indices.extend((0..length).map(|i| if rises { (first + i) % count } else { first } as u32));
            }
            if let Some(beyond) = beyond {
                let at = beyond as usize % (indices.len() + 1);
                indices.insert(at, count as u32 + beyond % 10);
            }
            let mut out = vec![7];
            if gather(&values, &indices, &mut out) {
                let wanted: Vec<u64> = indices.iter().map(|index| values[*index as usize]).collect();
                prop_assert_eq!(&out[1..], &wanted[..]);
                prop_assert!(beyond.is_none());
            } else {
                prop_assert_eq!((out, beyond.is_some()), (vec![7], true));
            }
        }
    }
}
