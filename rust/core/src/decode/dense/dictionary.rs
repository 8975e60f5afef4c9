//! Dictionary-encoded values: indices unpacked and gathered block by block.

use arrow_buffer::{ArrowNativeType, ScalarBuffer};
use bytes::Bytes;

use super::dictionary_gather::gather;
use super::error::{Result, corrupt};
use super::rle::{RleRun, next_run};
use super::unpack::{BLOCK, Block, unpack};

/// The distinct values of a chunk. Never more than `i32::MAX` of them.
pub(super) struct Dictionary<T: ArrowNativeType> {
    values: ScalarBuffer<T>,
}

impl<T: ArrowNativeType> Dictionary<T> {
    pub(super) fn new(values: ScalarBuffer<T>) -> Result<Self> {
        if i32::try_from(values.len()).is_err() {
            return corrupt("a dictionary of more than 2^31 values");
        }
        Ok(Self { values })
    }

    /// The bytes of its values.
    pub(super) fn held(&self) -> usize {
        self.values.inner().len()
    }

    fn fill(&self, index: u32, count: usize, out: &mut Vec<T>) -> Result<()> {
        let Some(value) = self.values.get(index as usize) else { return self.beyond() };
        out.resize(out.len() + count, *value);
        Ok(())
    }

    fn gather(&self, indices: &[u32], out: &mut Vec<T>) -> Result<()> {
        if gather(&self.values, indices, out) { Ok(()) } else { self.beyond() }
    }

    fn beyond<U>(&self) -> Result<U> {
        corrupt(format!("an index beyond its dictionary of {} values", self.values.len()))
    }
}

/// A page's indices, and how far they are used.
pub(super) struct Indices {
    bytes: Bytes,
    width: u8,
    /// Where the run after `run` begins.
    at: usize,
    run: RleRun,
    /// How much of `run` is used.
    used: usize,
}

impl Indices {
    /// A page's values section: one byte of width, then runs.
    pub(super) fn new(bytes: Bytes) -> Result<Self> {
        match bytes.first() {
            None => corrupt("a dictionary-encoded page without a width"),
            Some(width) if *width > 32 => corrupt(format!("dictionary indices of {width} bits")),
            Some(width) => {
                Ok(Self { width: *width, bytes, at: 1, run: RleRun::Repeated { value: 0, len: 0 }, used: 0 })
            }
        }
    }

    /// The bytes of the page.
    pub(super) fn held(&self) -> usize {
        self.bytes.len()
    }

    /// Appends the values of the next `count` indices to `out`.
    pub(super) fn take<T: ArrowNativeType>(
        &mut self,
        mut count: usize,
        dictionary: &Dictionary<T>,
        out: &mut Vec<T>,
    ) -> Result<()> {
        let mut block: Block = [0; BLOCK];
        while count > 0 {
            let left = self.left_in_run()?;
            let taken = match self.run {
                RleRun::Repeated { value, .. } => {
                    let taken = left.min(count);
                    dictionary.fill(value, taken, out)?;
                    taken
                }
                RleRun::Packed { start, .. } => {
                    // Whole groups of eight begin at whole bytes: unpack from the group's start, drop what was used.
                    let before = self.used % 8;
                    let taken = left.min(count).min(BLOCK - before);
                    let packed = &self.bytes[start + self.used / 8 * usize::from(self.width)..];
                    unpack(self.width, packed, before + taken, &mut block)?;
                    dictionary.gather(&block[before..before + taken], out)?;
                    taken
                }
            };
            self.used += taken;
            count -= taken;
        }
        Ok(())
    }

    pub(super) fn skip(&mut self, mut count: usize) -> Result<()> {
        while count > 0 {
            let skipped = self.left_in_run()?.min(count);
            self.used += skipped;
            count -= skipped;
        }
        Ok(())
    }

    /// What is left of the run, or of the next one where it is used up: at least one index.
    fn left_in_run(&mut self) -> Result<usize> {
        loop {
            let (RleRun::Repeated { len, .. } | RleRun::Packed { len, .. }) = self.run;
            if len > self.used {
                return Ok(len - self.used);
            }
            match next_run(&self.bytes, &mut self.at, self.width)? {
                None => return corrupt("a page has fewer dictionary indices than values"),
                Some(run) => (self.run, self.used) = (run, 0),
            }
        }
    }
}
