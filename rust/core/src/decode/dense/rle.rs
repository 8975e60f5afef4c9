//! The RLE / bit-packed hybrid, which levels and dictionary indices are written in, as a series of runs.

use super::error::{Result, corrupt};

/// Values that stand together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RleRun {
    /// The same value `len` times.
    Repeated { value: u32, len: usize },
    /// `len` values bit-packed from byte `start` on.
    Packed { start: usize, len: usize },
}

/// The run at `*at`, which is moved behind it. `None` at the end, or at the padding that some writers leave there.
pub(super) fn next_run(bytes: &[u8], at: &mut usize, width: u8) -> Result<Option<RleRun>> {
    let Some(header) = varint(bytes, at)? else { return Ok(None) };
    let count = usize::try_from(header >> 1).unwrap_or(usize::MAX);
    if header & 1 == 1 {
        return Ok(Some(packed(bytes, at, width, count)));
    }
    if count == 0 {
        *at = bytes.len();
        return Ok(None);
    }
    let size = usize::from(width.div_ceil(8));
    let Some(stored) = bytes.get(*at..*at + size) else { return corrupt("a run of values ends early") };
    let mut value = [0; 4];
    value[..size].copy_from_slice(stored);
    *at += size;
    let value = u32::from_le_bytes(value);
    if width < 32 && value >> width != 0 {
        return corrupt(format!("a run's value {value} has more than {width} bits"));
    }
    Ok(Some(RleRun::Repeated { value, len: count }))
}

/// A bit-packed run of `groups` of eight values, cut to what the bytes hold: the last one may be short.
fn packed(bytes: &[u8], at: &mut usize, width: u8, groups: usize) -> RleRun {
    let start = *at;
    let declared = groups.saturating_mul(8);
    if width == 0 {
        return RleRun::Repeated { value: 0, len: declared };
    }
    let held = (bytes.len() - start).saturating_mul(8) / usize::from(width);
    *at = start.saturating_add(groups.saturating_mul(usize::from(width))).min(bytes.len());
    RleRun::Packed { start, len: declared.min(held) }
}

/// A LEB128 number. `None` where nothing is left.
fn varint(bytes: &[u8], at: &mut usize) -> Result<Option<u64>> {
    if *at >= bytes.len() {
        return Ok(None);
    }
    let mut number = 0;
    for shift in (0..35).step_by(7) {
        let Some(byte) = bytes.get(*at) else { return corrupt("a run's header ends early") };
        *at += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(Some(number));
        }
    }
    corrupt("a run's header is longer than five bytes")
}
