//! Values of a chunk, page after page, into the vector that becomes the Arrow buffer.

use std::slice;

use arrow_buffer::{ArrowNativeType, Buffer, ScalarBuffer};
use bytes::Bytes;
use parquet::basic::Encoding;

use super::byte_stream_split::Streams;
use super::dictionary::{Dictionary, Indices};
use super::error::{DenseError, Result, corrupt};
use super::page::{Content, StoredValues};
use crate::buffer_pool::{self, Element};

/// The values of one chunk; every one present, nesting and levels are not known here.
pub(super) trait Values: Send {
    /// Takes the chunk's dictionary page of `count` values.
    fn set_dictionary(&mut self, bytes: &Bytes, count: usize) -> Result<()>;
    /// Goes on with a data page's values section of `count` values. False: the encoding is not for this decoder.
    fn set_page(&mut self, content: Content, encoding: Encoding, count: usize) -> Result<bool>;
    /// Makes room for `count` more values; more may still come.
    fn reserve(&mut self, count: usize) -> Result<()>;
    /// Appends the page's next `count` values to the output.
    fn take(&mut self, count: usize) -> Result<()>;
    /// Passes over the page's next `count` values.
    fn skip(&mut self, count: usize) -> Result<()>;
    /// The output so far, with its number of values; the next begins empty.
    fn finish(&mut self) -> (Buffer, usize);
    /// The bytes of the dictionary and of what is left of the page.
    fn held(&self) -> usize;
}

pub(super) fn of_words_as_bytes() -> Box<dyn Values> {
    Box::new(FixedWidthValues::<WordAsByte>::new())
}

pub(super) fn of_words_as_halves() -> Box<dyn Values> {
    Box::new(FixedWidthValues::<WordAsHalf>::new())
}

pub(super) fn of_halves() -> Box<dyn Values> {
    Box::new(FixedWidthValues::<Half>::new())
}

pub(super) fn of_words() -> Box<dyn Values> {
    Box::new(FixedWidthValues::<Word>::new())
}

pub(super) fn of_longs() -> Box<dyn Values> {
    Box::new(FixedWidthValues::<Long>::new())
}

/// What is stored, and what of it is kept. Bits only: whether they are a float or a date is the array's affair.
trait Physical: Send + 'static {
    type Out: ArrowNativeType + Element;
    const STORED: usize;
    /// Whether what is kept is, bit for bit, what is stored.
    const WHOLE: bool = cfg!(target_endian = "little") && Self::STORED == size_of::<Self::Out>();
    /// Appends a whole number of stored values.
    fn extend(out: &mut Vec<Self::Out>, stored: &[u8]);
    /// Appends values whose bytes are apart; there must be as many left.
    fn extend_apart(out: &mut Vec<Self::Out>, streams: &mut Streams, count: usize);
}

macro_rules! physical {
    ($name:ident, $stored:ty, $out:ty) => {
        struct $name;

        impl Physical for $name {
            type Out = $out;
            const STORED: usize = size_of::<$stored>();

            fn extend(out: &mut Vec<$out>, stored: &[u8]) {
                let (values, _) = stored.as_chunks();
                out.extend(values.iter().map(|bytes| <$stored>::from_le_bytes(*bytes) as $out));
            }

            fn extend_apart(out: &mut Vec<$out>, streams: &mut Streams, count: usize) {
                streams.take::<{ size_of::<$stored>() }>(count, |stored| Self::extend(out, stored));
            }
        }
    };
}

physical!(WordAsByte, u32, u8);
physical!(WordAsHalf, u32, u16);
physical!(Half, u16, u16);
physical!(Word, u32, u32);
physical!(Long, u64, u64);

struct FixedWidthValues<L: Physical> {
    dictionary: Option<Dictionary<L::Out>>,
    page: Section,
    out: Vec<L::Out>,
}

/// What is left of a page's values.
enum Section {
    Plain(Bytes),
    /// Plain, and what is kept of them is what is stored.
    Stored(StoredValues),
    Indices(Indices),
    Streams(Streams),
}

impl<L: Physical> FixedWidthValues<L> {
    fn new() -> Self {
        Self { dictionary: None, page: Section::Plain(Bytes::new()), out: Vec::new() }
    }
}

impl<L: Physical> Values for FixedWidthValues<L> {
    fn set_dictionary(&mut self, bytes: &Bytes, count: usize) -> Result<()> {
        let stored = head::<L>(bytes, count)?;
        let aligned = stored.as_ptr().align_offset(align_of::<L::Out>()) == 0;
        let values = if L::WHOLE && aligned {
            ScalarBuffer::new(Buffer::from(stored), 0, count)
        } else {
            let mut values = Vec::with_capacity(count);
            L::extend(&mut values, &stored);
            values.into()
        };
        self.dictionary = Some(Dictionary::new(values)?);
        Ok(())
    }

    fn set_page(&mut self, content: Content, encoding: Encoding, count: usize) -> Result<bool> {
        let bytes = match content {
            Content::Stored(stored) if L::WHOLE && encoding == Encoding::PLAIN => {
                length::<L>(count, stored.left())?;
                self.page = Section::Stored(stored);
                return Ok(true);
            }
            other => other.load()?,
        };
        self.page = match encoding {
            Encoding::PLAIN => Section::Plain(head::<L>(&bytes, count)?),
            Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY if count > 0 => {
                Section::Indices(Indices::new(bytes)?)
            }
            Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY => Section::Plain(Bytes::new()),
            Encoding::BYTE_STREAM_SPLIT => match Streams::new(bytes, count, L::STORED) {
                Some(streams) => Section::Streams(streams),
                None => return Ok(false),
            },
            _ => return Ok(false),
        };
        Ok(true)
    }

    fn reserve(&mut self, count: usize) -> Result<()> {
        if self.out.capacity() == 0 {
            self.out = buffer_pool::vec(count);
        }
        let done = if self.out.is_empty() { self.out.try_reserve_exact(count) } else { self.out.try_reserve(count) };
        done.map_err(|error| DenseError(format!("no room for {count} values: {error}")))
    }

    fn take(&mut self, count: usize) -> Result<()> {
        match &mut self.page {
            Section::Plain(bytes) => {
                let stored = head::<L>(bytes, count)?;
                L::extend(&mut self.out, &stored);
                *bytes = bytes.slice(stored.len()..);
                Ok(())
            }
            Section::Stored(stored) => {
                let length = length::<L>(count, stored.left())?;
                self.out.reserve(count);
                let room = self.out.spare_capacity_mut()[..count].as_mut_ptr();
                // SAFETY: room for `count` numbers is room for `length` bytes, since what is kept is what is stored.
                stored.take(unsafe { slice::from_raw_parts_mut(room.cast(), length) })?;
                // SAFETY: `take` had them filled by a `ReadAt`, and of an `Element` any bytes are a value.
                unsafe { self.out.set_len(self.out.len() + count) };
                Ok(())
            }
            Section::Indices(indices) => match &self.dictionary {
                Some(dictionary) => indices.take(count, dictionary, &mut self.out),
                None => corrupt("a dictionary-encoded page before its dictionary"),
            },
            Section::Streams(streams) if count <= streams.left() => {
                L::extend_apart(&mut self.out, streams, count);
                Ok(())
            }
            Section::Streams(_) => corrupt("a page has fewer values than levels"),
        }
    }

    fn skip(&mut self, count: usize) -> Result<()> {
        match &mut self.page {
            Section::Plain(bytes) => {
                *bytes = bytes.slice(head::<L>(bytes, count)?.len()..);
                Ok(())
            }
            Section::Stored(stored) => {
                stored.skip(length::<L>(count, stored.left())?);
                Ok(())
            }
            Section::Indices(indices) => indices.skip(count),
            Section::Streams(streams) if count <= streams.left() => {
                streams.skip(count);
                Ok(())
            }
            Section::Streams(_) => corrupt("a page has fewer values than levels"),
        }
    }

    fn finish(&mut self) -> (Buffer, usize) {
        let mut out = std::mem::take(&mut self.out);
        if out.capacity() / 2 > out.len() {
            out.shrink_to_fit();
        }
        let count = out.len();
        (buffer_pool::buffer(out), count)
    }

    fn held(&self) -> usize {
        let page = match &self.page {
            Section::Plain(bytes) => bytes.len(),
            Section::Stored(_) => 0,
            Section::Indices(indices) => indices.held(),
            Section::Streams(streams) => streams.held(),
        };
        page + self.dictionary.as_ref().map_or(0, Dictionary::held)
    }
}

/// The first `count` values.
fn head<L: Physical>(bytes: &Bytes, count: usize) -> Result<Bytes> {
    Ok(bytes.slice(..length::<L>(count, bytes.len())?))
}

/// How many bytes `count` values take, of those that there are.
fn length<L: Physical>(count: usize, bytes: usize) -> Result<usize> {
    match count.checked_mul(L::STORED) {
        Some(length) if length <= bytes => Ok(length),
        _ => corrupt(format!("{count} values of {} bytes in {bytes} bytes", L::STORED)),
    }
}
