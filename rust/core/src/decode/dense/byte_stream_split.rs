//! BYTE_STREAM_SPLIT: the first bytes of all values of a page, then their second bytes, and so on.

use bytes::Bytes;

/// How many values are put together before they are handed on.
const BLOCK: usize = 256;

/// What is left of a page's values.
pub(super) struct Streams {
    bytes: Bytes,
    /// All values of the page: the distance between two bytes of one.
    count: usize,
    next: usize,
}

impl Streams {
    /// `None` where the streams are not as long as `count` values of `size` bytes make them.
    pub(super) fn new(bytes: Bytes, count: usize, size: usize) -> Option<Self> {
        (count.checked_mul(size) == Some(bytes.len())).then_some(Self { bytes, count, next: 0 })
    }

    pub(super) fn left(&self) -> usize {
        self.count - self.next
    }

    /// The bytes of the page.
    pub(super) fn held(&self) -> usize {
        self.bytes.len()
    }

    /// Hands on the next `count` (no more than are left) values of `SIZE` bytes, put together again, in blocks.
    pub(super) fn take<const SIZE: usize>(&mut self, count: usize, mut each: impl FnMut(&[u8])) {
        let mut block = [[0_u8; SIZE]; BLOCK];
        let end = self.next + count;
        while self.next < end {
            let taken = BLOCK.min(end - self.next);
            for byte in 0..SIZE {
                let stream = &self.bytes[byte * self.count + self.next..][..taken];
                for (value, from) in block.iter_mut().zip(stream) {
                    value[byte] = *from;
                }
            }
            each(block[..taken].as_flattened());
            self.next += taken;
        }
    }

    /// Passes over `count` values, no more than are left.
    pub(super) fn skip(&mut self, count: usize) {
        self.next += count;
    }
}
