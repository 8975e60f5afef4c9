//! Numbers, series of numbers and texts as bytes: LEB128, differences, lengths.

/// Appends a number.
pub(super) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends each number as the difference to the one before, zigzag. Row groups are much alike: most take a byte or a few.
pub(super) fn put_series(out: &mut Vec<u8>, values: &[u64]) {
    let mut last = 0_u64;
    for &value in values {
        let step = value.wrapping_sub(last).cast_signed();
        put(out, ((step << 1) ^ (step >> 63)).cast_unsigned());
        last = value;
    }
}

/// Appends bytes with their length before them.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Takes from the front of bytes what was put there; `None` where they are not such.
pub(super) struct Decoder<'a>(pub(super) &'a [u8]);

impl<'a> Decoder<'a> {
    /// So many bytes.
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number.
    pub(super) fn number(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let part = u64::from(byte & 0x7f);
            value |= part << shift;
            if part << shift >> shift != part {
                return None;
            }
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// Bytes with their length before them.
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(usize::try_from(length).ok()?)
    }

    /// The same, as text.
    pub(super) fn text(&mut self) -> Option<&'a str> {
        str::from_utf8(self.bytes()?).ok()
    }

    /// What [`put_series`] wrote.
    pub(super) fn series(&mut self, count: usize) -> Option<Vec<u64>> {
        let mut last = 0_u64;
        let next = || {
            let step = self.number()?;
            last = last.wrapping_add((step >> 1) ^ (step & 1).wrapping_neg());
            Some(last)
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    /// How many things of at least `size` bytes follow; `None` where the bytes left cannot hold them.
    pub(super) fn count(&mut self, size: usize) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (count <= self.0.len() / size).then_some(count)
    }
}
