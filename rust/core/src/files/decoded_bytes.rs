//! The bytes that a row group takes once decoded, from its footer alone.
//!
//! The shuffle's windows are as many as these bytes ask for, so they are those of *all* columns, whatever is read.
//! Parquet's own sizes do not tell them: a dictionary or a run of equal values makes a column hundreds of times smaller.
//!
//! - A number takes its width in a tensor: a bool 1 byte; a date of 32 bits 4; times, timestamps (of 96 bits too),
//!   decimals and codes of a dictionary 8. Fixed-size binary takes its bytes.
//! - A string or binary value takes its bytes and its offset (4; 8 in large types; 16 as a view). The bytes are those of
//!   the footer's size statistics, or else estimated: see [`estimate`].
//! - A list takes its offset (4, or 8 in large types) and its items, which the level histograms count; where there are
//!   none, they are as many as the leaf has values. Validity bitmaps are left out: 1 bit a value.

use arrow_schema::{DataType, FieldRef, Schema};
use parquet::basic::Encoding;
use parquet::file::metadata::{ColumnChunkMetaData, LevelHistogram, RowGroupMetaData};

/// What one value of a leaf takes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum ValueSize {
    Fixed(u64),
    /// Its own bytes, and so many for its offset.
    Variable(u64),
}

/// What a leaf's values and lists take.
#[derive(Debug, PartialEq)]
struct Leaf {
    value: ValueSize,
    /// How many values a row has, where only fixed-size lists repeat them.
    per_row: Option<u64>,
    /// The lists around it that no leaf before is in.
    lists: Vec<List>,
}

/// The lists of one column, at one depth.
#[derive(Debug, PartialEq)]
struct List {
    /// The repetition level of the list around it.
    repetition: usize,
    /// The definition level from which on that list has an item.
    definition: usize,
    /// The bytes of its offset.
    offset: u64,
}

/// How the bytes of any row group of one schema are computed.
#[derive(Debug)]
pub(super) struct DecodedSizes(Vec<Leaf>);

impl DecodedSizes {
    /// Those of this schema's columns, whose leaves stand in the order of the file's.
    pub(super) fn new(schema: &Schema) -> Self {
        let mut walk = Walk { leaves: Vec::new(), lists: Vec::new() };
        schema.fields().iter().for_each(|field| walk.field(field, Levels::default(), Some(1)));
        Self(walk.leaves)
    }

    /// The decoded bytes of a row group; `u64::MAX` where they are more.
    pub(super) fn row_group(&self, group: &RowGroupMetaData) -> u64 {
        let rows = group.num_rows().unsigned_abs();
        self.0.iter().zip(group.columns()).fold(0, |sum, (leaf, chunk)| sum.saturating_add(leaf.bytes(chunk, rows)))
    }
}

struct Walk {
    leaves: Vec<Leaf>,
    /// Lists around the next leaf that no leaf before is in.
    lists: Vec<List>,
}

/// Levels of what stands around a field.
#[derive(Debug, Clone, Copy, Default)]
struct Levels {
    repetition: usize,
    definition: usize,
    /// The definition level of an item of the innermost list.
    item: usize,
}

impl Walk {
    fn field(&mut self, field: &FieldRef, around: Levels, per_row: Option<u64>) {
        let definition = around.definition + usize::from(field.is_nullable());
        let within = Levels { repetition: around.repetition + 1, definition: definition + 1, item: definition + 1 };
        let (items, offset) = match field.data_type() {
            DataType::Struct(fields) => {
                let here = Levels { definition, ..around };
                return fields.iter().for_each(|field| self.field(field, here, per_row));
            }
            DataType::FixedSizeList(items, length) => {
                let length = u64::try_from(*length).unwrap_or_default();
                return self.field(items, within, per_row.map(|count| count.saturating_mul(length)));
            }
            DataType::List(items) | DataType::Map(items, _) => (items, 4),
            DataType::LargeList(items) | DataType::ListView(items) => (items, 8),
            DataType::LargeListView(items) => (items, 16),
            leaf => {
                let lists = std::mem::take(&mut self.lists);
                return self.leaves.push(Leaf { value: value_size(leaf), per_row, lists });
            }
        };
        self.lists.push(List { repetition: around.repetition, definition: around.item, offset });
        self.field(items, within, None);
    }
}

fn value_size(leaf: &DataType) -> ValueSize {
    use DataType::{
        Binary, BinaryView, Boolean, Date32, FixedSizeBinary, Float16, Float32, Int8, Int16, Int32, LargeBinary,
        LargeUtf8, Null, UInt8, UInt16, UInt32, Utf8, Utf8View,
    };
    match leaf {
        Boolean | Int8 | UInt8 => ValueSize::Fixed(1),
        Int16 | UInt16 | Float16 => ValueSize::Fixed(2),
        Int32 | UInt32 | Float32 | Date32 | Null => ValueSize::Fixed(4),
        FixedSizeBinary(width) => ValueSize::Fixed(u64::try_from(*width).unwrap_or_default()),
        Utf8 | Binary => ValueSize::Variable(4),
        LargeUtf8 | LargeBinary => ValueSize::Variable(8),
        Utf8View | BinaryView => ValueSize::Variable(16),
        _ => ValueSize::Fixed(8),
    }
}

impl Leaf {
    fn bytes(&self, chunk: &ColumnChunkMetaData, rows: u64) -> u64 {
        let levels = chunk.num_values().unsigned_abs();
        let items = match self.per_row {
            Some(count) => rows.saturating_mul(count),
            None => {
                let first = usize::try_from(chunk.column_descr().repeated_ancestor_def_level()).unwrap_or_default();
                chunk.definition_level_histogram().map_or(levels, |counts| sum(counts, first..))
            }
        };
        let values = match self.value {
            ValueSize::Fixed(width) => items.saturating_mul(width),
            ValueSize::Variable(offset) => {
                let known = chunk.unencoded_byte_array_data_bytes().and_then(|bytes| u64::try_from(bytes).ok());
                let bytes = known.unwrap_or_else(|| estimate(chunk, items.min(levels)));
                items.saturating_mul(offset).saturating_add(bytes)
            }
        };
        self.lists.iter().fold(values, |bytes, list| {
            let lists = match (chunk.repetition_level_histogram(), chunk.definition_level_histogram()) {
                _ if list.repetition == 0 => rows,
                // All begin a list here, but those of a list around that has no item.
                (Some(repeated), Some(defined)) => {
                    sum(repeated, ..=list.repetition).saturating_sub(sum(defined, ..list.definition))
                }
                _ => levels,
            };
            bytes.saturating_add(lists.saturating_mul(list.offset))
        })
    }
}

fn sum(counts: &LevelHistogram, levels: impl std::slice::SliceIndex<[i64], Output = [i64]>) -> u64 {
    let counts = counts.values().get(levels).unwrap_or_default();
    counts.iter().fold(0, |sum, &count| sum.saturating_add(u64::try_from(count).unwrap_or_default()))
}

/// The bytes of a chunk's byte arrays, without offsets, where the footer has no size statistics.
///
/// - In pages of plain values, they are the chunk's uncompressed bytes, less 4 a value for its length.
/// - Under a dictionary, or prefixes shared with the value before, those bytes are a lower bound only, and so the
///   number of values times a mean length is taken where it is more. The mean length is that of the smallest and the
///   largest value in the statistics (of a constant column: exactly its own), or, where it is more, that of the
///   dictionary's entries: see [`of_dictionary`].
fn estimate(chunk: &ColumnChunkMetaData, items: u64) -> u64 {
    let size = chunk.uncompressed_size().unsigned_abs();
    let nulls = chunk.statistics().and_then(parquet::file::statistics::Statistics::null_count_opt).unwrap_or_default();
    let values = match chunk.definition_level_histogram() {
        Some(counts) => sum(counts, usize::try_from(chunk.column_descr().max_def_level()).unwrap_or_default()..),
        // Of lists, writers count those that are empty or null too.
        None => items.saturating_sub(nulls),
    };
    let has = |encoding| chunk.encodings_mask().is_set(encoding);
    let is_dictionary = has(Encoding::RLE_DICTIONARY) || has(Encoding::PLAIN_DICTIONARY);
    if !is_dictionary && !has(Encoding::DELTA_BYTE_ARRAY) {
        let lengths = if has(Encoding::DELTA_LENGTH_BYTE_ARRAY) { 0 } else { values.saturating_mul(4) };
        return size.saturating_sub(lengths);
    }
    let ends = chunk.statistics().and_then(|found| Some((found.min_bytes_opt()?.len(), found.max_bytes_opt()?.len())));
    let of_ends = ends.map_or(0, |(min, max)| values.saturating_mul((min + max) as u64) / 2);
    let is_cut = ends.is_none_or(|(min, max)| min.max(max) >= CUT);
    size.max(of_ends).max(if is_dictionary { of_dictionary(chunk, values, is_cut) } else { 0 })
}

/// Statistics that are as long as this may have been cut off by their writer.
const CUT: usize = 64;

/// The values, if they are as long as a dictionary's entry is in the mean: its page's bytes ÷ the number of entries that
/// indices of so many bits a value allow for. Less than a bit is of runs, which allow for one entry and for as many as
/// there are runs: where nothing better is known (`guess`), the geometric mean of both is taken.
fn of_dictionary(chunk: &ColumnChunkMetaData, values: u64, guess: bool) -> u64 {
    let (size, stored) = (chunk.uncompressed_size().unsigned_abs(), chunk.compressed_size().unsigned_abs());
    let start = chunk.dictionary_page_offset().and_then(|at| chunk.data_page_offset().checked_sub(at));
    let Some(page) = start.and_then(|bytes| u64::try_from(bytes).ok()) else { return 0 };
    // The page compresses about as well as the chunk.
    let page = u64::try_from(u128::from(page) * u128::from(size) / u128::from(stored.max(1))).unwrap_or(size).min(size);
    let indices = size - page;
    // An entry has a length before it, and is used.
    let most = (page / 4).min(values).max(1);
    let entries = match indices.saturating_mul(8).checked_div(values) {
        Some(0) | None if !guess => return 0,
        // A run takes 2 bytes at least.
        Some(0) | None => (indices / 2).min(most).isqrt(),
        Some(bits) => u32::try_from(bits).ok().and_then(|bits| 1_u64.checked_shl(bits)).map_or(most, |n| n.min(most)),
    };
    let entries = entries.max(1);
    let bytes = page.saturating_sub(entries.saturating_mul(4));
    u64::try_from(u128::from(values) * u128::from(bytes) / u128::from(entries)).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "decoded_bytes_tests.rs"]
mod tests;
