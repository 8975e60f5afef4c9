//! A pool of memory blocks: the blocks of released tensors are reused for the next ones.
//!
//! A fresh block costs a page fault every 4 KiB, which is more than decoding into it does. So many blocks are kept
//! while a reader lives, and fewer until the next one does, that of the next epoch; what is over goes back to the
//! allocator.

use std::cell::RefCell;
use std::panic::RefUnwindSafe;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use arrow_buffer::Buffer;
use bytes::Bytes;

/// Smaller blocks come from the allocator's own free lists. For larger ones it tidies these up: of pages of a few KiB
/// that is a tenth of the time.
const SMALL_BYTES: usize = 1 << 10;
/// Smaller blocks are kept by the thread that lets go of them.
const MIN_BYTES: usize = 32 << 10;
/// What a thread may keep of one element type, and how many of these blocks it looks at.
const SMALL_KEPT: usize = 2 << 20;
const SMALL_TRIES: usize = 16;
/// What may be kept of all types: a window of a row shuffle, of which many are alike.
const MAX_BYTES: usize = 128 << 20;
/// And while no reader lives.
const REST_BYTES: usize = 64 << 20;

/// Readers that live.
static READERS: AtomicUsize = AtomicUsize::new(0);
/// Bytes on all shelves.
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// The element types that blocks are kept of.
///
/// # Safety
/// The type has no padding, and any bytes of its size are a value of it: blocks are handed out as bytes, and filled
/// with bytes.
pub(crate) unsafe trait Element: Copy + Send + Sync + RefUnwindSafe + 'static {
    /// The blocks kept.
    fn shelf() -> &'static Mutex<Shelf<Self>>;
    /// Calls it with the small blocks that this thread keeps; not at the thread's end.
    fn small<R>(with: impl FnOnce(&mut Shelf<Self>) -> R) -> Option<R>;
}

/// Blocks that nobody uses.
#[derive(Debug)]
pub(crate) struct Shelf<T> {
    /// The oldest first.
    blocks: Vec<Vec<T>>,
    bytes: usize,
}

impl<T> Shelf<T> {
    const fn new() -> Self {
        Self { blocks: Vec::new(), bytes: 0 }
    }

    fn put(&mut self, block: Vec<T>) {
        self.bytes += block.capacity() * size_of::<T>();
        self.blocks.push(block);
    }

    /// The newest first: its memory is most likely still in the cache.
    fn find(&self, count: usize, tries: usize) -> Option<usize> {
        let fits = |block: &Vec<T>| block.capacity() >= count && block.capacity() / 2 <= count;
        let first = self.blocks.len().saturating_sub(tries);
        self.blocks[first..].iter().rposition(fits).map(|at| first + at)
    }

    fn take(&mut self, at: usize) -> Vec<T> {
        let block = self.blocks.remove(at);
        self.bytes -= block.capacity() * size_of::<T>();
        block
    }
}

/// Makes room on a shared shelf for so many bytes, if its oldest blocks take as many: nobody has asked for these since.
fn make_room<T>(shelf: &mut Shelf<T>, bytes: usize) -> bool {
    let limit = if READERS.load(Ordering::Relaxed) > 0 { MAX_BYTES } else { REST_BYTES };
    while KEPT.load(Ordering::Relaxed) + bytes > limit {
        if shelf.blocks.is_empty() || bytes > limit {
            return false;
        }
        drop(off(shelf, 0));
    }
    true
}

macro_rules! element {
    ($($element:ty),*) => {$(
        // SAFETY: unsigned integers have no padding, and any bytes are one.
        unsafe impl Element for $element {
            fn shelf() -> &'static Mutex<Shelf<Self>> {
                static SHELF: Mutex<Shelf<$element>> = Mutex::new(Shelf::new());
                &SHELF
            }

            fn small<R>(with: impl FnOnce(&mut Shelf<Self>) -> R) -> Option<R> {
                thread_local! {
                    static SMALL: RefCell<Shelf<$element>> = const { RefCell::new(Shelf::new()) };
                }
                SMALL.try_with(|small| small.try_borrow_mut().ok().map(|mut small| with(&mut small))).ok().flatten()
            }
        }
    )*};
}

element!(u8, u16, u32, u64);
#[cfg(test)]
element!(u128); // of which no test but one has blocks

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
    let bytes = count.saturating_mul(size_of::<T>());
    let kept = if bytes >= MIN_BYTES {
        shelf::<T>().and_then(|mut shelf| shelf.find(count, usize::MAX).map(|at| off(&mut shelf, at)))
    } else if bytes >= SMALL_BYTES {
        T::small(|small| small.find(count, SMALL_TRIES).map(|at| small.take(at))).flatten()
    } else {
        None
    };
    kept.unwrap_or_else(|| {
        let mut fresh = Vec::new();
        let _ = fresh.try_reserve_exact(rounded(count));
        fresh
    })
}

/// Takes a block off a shared shelf.
fn off<T>(shelf: &mut Shelf<T>, at: usize) -> Vec<T> {
    let block = shelf.take(at);
    KEPT.fetch_sub(block.capacity() * size_of::<T>(), Ordering::Relaxed);
    block
}

/// An eighth more at most, so that what is needed next, a little more or less, fits too.
fn rounded(count: usize) -> usize {
    let step = count.checked_next_power_of_two().map_or(1, |power| (power / 16).max(1));
    count.next_multiple_of(step)
}

/// A block in use; goes back to its shelf.
struct Lease<T: Element>(Vec<T>);

impl<T: Element> Drop for Lease<T> {
    fn drop(&mut self) {
        let bytes = self.0.capacity() * size_of::<T>();
        if bytes >= MIN_BYTES {
            if let Some(mut shelf) = shelf::<T>()
                && make_room(&mut shelf, bytes)
            {
                KEPT.fetch_add(bytes, Ordering::Relaxed);
                shelf.put(std::mem::take(&mut self.0));
            }
        } else if bytes >= SMALL_BYTES {
            T::small(|small| {
                if small.bytes + bytes <= SMALL_KEPT {
                    small.put(std::mem::take(&mut self.0));
                }
            });
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
    // SAFETY: the vector lies in the owner, which nobody changes, and an `Element` has no padding.
    unsafe { Buffer::from_custom_allocation(start, bytes, owner) }
}

/// The bytes, without a copy; their block is used again once all slices of them are let go of.
pub(crate) fn bytes(block: Vec<u8>) -> Bytes {
    Bytes::from_owner(Lease(block))
}

/// Marks a living reader; the last one to go frees the blocks beyond [`REST_BYTES`].
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
        fn trim<T: Element>() {
            if let Some(mut shelf) = shelf::<T>() {
                while KEPT.load(Ordering::Relaxed) > REST_BYTES && !shelf.blocks.is_empty() {
                    drop(off(&mut shelf, 0));
                }
            }
        }
        if READERS.fetch_sub(1, Ordering::Relaxed) == 1 {
            trim::<u8>();
            trim::<u16>();
            trim::<u64>();
            trim::<u32>();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_used_again() {
        let _alive = Alive::new();
        let mut block = vec::<u128>(10_000);
        block.extend(0..10_000);
        let address = block.as_ptr();
        let buffer = buffer(block);
        assert_eq!(buffer.as_slice()[..16], 0_u128.to_ne_bytes());
        assert_eq!(buffer.as_slice()[16..32], 1_u128.to_ne_bytes());
        let slice = buffer.slice(16);
        drop(buffer);
        let other = vec::<u128>(10_000);
        assert_ne!(other.as_ptr(), address, "a slice still holds it");
        drop(slice);
        let again = vec::<u128>(8_000);
        assert_eq!(again.as_ptr(), address);
        assert!(again.is_empty() && again.capacity() >= 8_000);
    }

    #[test]
    fn small_blocks_are_kept_by_their_thread_and_few_of_them() {
        let addresses = std::thread::spawn(|| {
            let block = vec::<u32>(500);
            let address = block.as_ptr() as usize;
            drop(buffer(block));
            let again = vec::<u32>(510);
            (address, again.as_ptr() as usize)
        });
        let (first, second) = addresses.join().unwrap();
        assert_eq!(first, second);
        let blocks: Vec<Buffer> = (0..2000).map(|_| buffer(vec::<u32>(500))).collect();
        drop(blocks);
        let kept = u32::small(|small| small.bytes).unwrap();
        assert!(kept > SMALL_KEPT / 2 && kept <= SMALL_KEPT, "{kept}");
    }

    #[test]
    fn few_bytes_rest_when_no_reader_lives() {
        let alive = Alive::new();
        let blocks: Vec<Buffer> = (0..20).map(|_| super::buffer(vec::<u64>(1 << 20))).collect();
        drop(blocks);
        // Another test may have been at the shelf when some of them came.
        assert!(u64::shelf().lock().unwrap().bytes >= 10 << 23);
        let kept = super::buffer(vec::<u64>(REST_BYTES / 4));
        drop(alive);
        // Tests run side by side: another's reader may live.
        if READERS.load(Ordering::Relaxed) == 0 {
            assert!(KEPT.load(Ordering::Relaxed) <= REST_BYTES);
            drop(kept);
            assert!(KEPT.load(Ordering::Relaxed) <= REST_BYTES);
        }
    }

    #[test]
    fn capacities_are_rounded_by_an_eighth_at_most() {
        for count in (1..5000).chain([1 << 20, (1 << 20) + 1, usize::MAX]) {
            let capacity = rounded(count);
            assert!(capacity >= count && capacity - count <= count / 8, "{count} {capacity}");
            assert_eq!(rounded(capacity), capacity);
        }
    }
}
