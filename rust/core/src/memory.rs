//! Memory that is used again: the blocks of tensors that were let go of become those of the next.
//!
//! A fresh block costs a page fault every 4 KiB, which is more than decoding into it does. Blocks are kept only while a
//! reader lives, and only so many of them; what is over goes back to the allocator.

use std::panic::RefUnwindSafe;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use arrow_buffer::Buffer;
use bytes::Bytes;

/// Smaller blocks come from the allocator's own free lists.
const MIN_BYTES: usize = 32 << 10;
/// What may be kept of one element type: the windows of a row shuffle over wide rows, which are hundreds of megabytes.
const MAX_BYTES: usize = 256 << 20;

/// Readers that live.
static READERS: AtomicUsize = AtomicUsize::new(0);

/// The element types that blocks are kept of.
pub(crate) trait Element: Copy + Send + Sync + RefUnwindSafe + 'static {
    /// The blocks kept.
    fn shelf() -> &'static Mutex<Shelf<Self>>;
}

/// Blocks that nobody uses.
#[derive(Debug)]
pub(crate) struct Shelf<T> {
    blocks: Vec<Vec<T>>,
    bytes: usize,
}

macro_rules! element {
    ($($element:ty),*) => {$(
        impl Element for $element {
            fn shelf() -> &'static Mutex<Shelf<Self>> {
                static SHELF: Mutex<Shelf<$element>> = Mutex::new(Shelf { blocks: Vec::new(), bytes: 0 });
                &SHELF
            }
        }
    )*};
}

element!(u8, u16, u32, u64);

/// The shelf, unless another thread is at it: in a forked child that thread may not exist, so that nobody waits for it.
fn shelf<T: Element>() -> Option<MutexGuard<'static, Shelf<T>>> {
    T::shelf().try_lock().ok()
}

/// An empty vector with room for `count` elements; without room where the allocator has none.
pub(crate) fn vec<T: Element>(count: usize) -> Vec<T> {
    let mut block = block(count);
    block.clear();
    block
}

/// `count` bytes of any content, to be written over: those of a used block need no zeros first.
pub(crate) fn scratch(count: usize) -> Vec<u8> {
    let mut block = block(count);
    block.resize(count, 0);
    block
}

fn block<T: Element>(count: usize) -> Vec<T> {
    if count * size_of::<T>() >= MIN_BYTES
        && let Some(mut shelf) = shelf::<T>()
    {
        // The newest first: its memory is most likely still in the cache.
        let fits = |block: &Vec<T>| block.capacity() >= count && block.capacity() / 2 <= count;
        if let Some(found) = shelf.blocks.iter().rposition(fits) {
            let block = shelf.blocks.swap_remove(found);
            shelf.bytes -= block.capacity() * size_of::<T>();
            return block;
        }
    }
    let mut fresh = Vec::new();
    let _ = fresh.try_reserve_exact(count);
    fresh
}

/// A block in use; goes back to its shelf.
struct Lease<T: Element>(Vec<T>);

impl<T: Element> Drop for Lease<T> {
    fn drop(&mut self) {
        let bytes = self.0.capacity() * size_of::<T>();
        if bytes < MIN_BYTES || READERS.load(Ordering::Relaxed) == 0 {
            return;
        }
        if let Some(mut shelf) = shelf::<T>()
            && shelf.bytes + bytes <= MAX_BYTES
        {
            shelf.bytes += bytes;
            shelf.blocks.push(std::mem::take(&mut self.0));
        }
    }
}

impl AsRef<[u8]> for Lease<u8> {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The values as an Arrow buffer, without a copy; their block is used again once the buffer is let go of.
pub(crate) fn buffer<T: Element>(values: Vec<T>) -> Buffer {
    let bytes = values.len() * size_of::<T>();
    let start = NonNull::from(values.as_slice()).cast::<u8>();
    let owner = Arc::new(Lease(values));
    // SAFETY: the vector lies in the owner, which nobody changes, and whose elements are plain numbers.
    unsafe { Buffer::from_custom_allocation(start, bytes, owner) }
}

/// The bytes, without a copy; their block is used again once all slices of them are let go of.
pub(crate) fn bytes(block: Vec<u8>) -> Bytes {
    Bytes::from_owner(Lease(block))
}

/// Says that a reader lives; the last one to go frees what is kept.
#[derive(Debug)]
pub(crate) struct Alive(());

impl Alive {
    pub(crate) fn new() -> Self {
        READERS.fetch_add(1, Ordering::Relaxed);
        Self(())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        fn clear<T: Element>() {
            if let Some(mut shelf) = shelf::<T>() {
                shelf.blocks = Vec::new();
                shelf.bytes = 0;
            }
        }
        if READERS.fetch_sub(1, Ordering::Relaxed) == 1 {
            clear::<u8>();
            clear::<u16>();
            clear::<u32>();
            clear::<u64>();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_used_again_and_freed_with_the_last_reader() {
        let alive = Alive::new();
        let mut block = vec::<u16>(100_000);
        block.extend((0..100_000).map(|i| i as u16));
        let address = block.as_ptr();
        let buffer = buffer(block);
        assert_eq!(buffer.typed_data::<u16>()[..3], [0, 1, 2]);
        let slice = buffer.slice(4);
        drop(buffer);
        let other = vec::<u16>(100_000);
        assert_ne!(other.as_ptr(), address, "a slice still holds it");
        drop(slice);
        let again = vec::<u16>(80_000);
        assert_eq!(again.as_ptr(), address);
        assert!(again.is_empty() && again.capacity() >= 80_000);
        drop(super::buffer(again));
        drop(alive);
        if READERS.load(Ordering::Relaxed) == 0 {
            assert_eq!(u16::shelf().lock().unwrap().bytes, 0);
        }
    }
}
