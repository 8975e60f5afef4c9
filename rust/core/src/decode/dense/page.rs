//! A data page, version 1 or 2, cut into its sections.

use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::page::Page;

use super::levels::Levels;
use super::{Result, corrupt};

/// The parts of a data page.
pub(super) struct Sections {
    /// Values, nulls and empty lists, one level each.
    pub(super) slots: usize,
    /// The rows, where the header says.
    pub(super) rows: Option<usize>,
    pub(super) encoding: Encoding,
    /// Repetition levels, definition levels, values; `None` where the levels are in the encoding of old.
    pub(super) bytes: Option<(Bytes, Bytes, Bytes)>,
}

impl Sections {
    /// `None` for a dictionary page.
    pub(super) fn of(page: Page, levels: &Levels) -> Result<Option<Self>> {
        Ok(Some(match page {
            Page::DictionaryPage { .. } => return Ok(None),
            Page::DataPage { mut buf, num_values, encoding, def_level_encoding, rep_level_encoding, .. } => {
                let readable = (!levels.repeated || rep_level_encoding == Encoding::RLE)
                    && (levels.max_def == 0 || def_level_encoding == Encoding::RLE);
                let mut bytes = None;
                if readable {
                    let rep = if levels.repeated { prefixed(&mut buf)? } else { Bytes::new() };
                    let def = if levels.max_def > 0 { prefixed(&mut buf)? } else { Bytes::new() };
                    bytes = Some((rep, def, buf));
                }
                Self { slots: num_values as usize, rows: None, encoding, bytes }
            }
            Page::DataPageV2 {
                buf, num_values, encoding, num_rows, def_levels_byte_len, rep_levels_byte_len, ..
            } => {
                let rep = rep_levels_byte_len as usize;
                let def = rep + def_levels_byte_len as usize;
                if def > buf.len() {
                    return corrupt(format!("{def} bytes of levels in a page of {} bytes", buf.len()));
                }
                let bytes = Some((buf.slice(..rep), buf.slice(rep..def), buf.slice(def..)));
                Self { slots: num_values as usize, rows: Some(num_rows as usize), encoding, bytes }
            }
        }))
    }
}

/// Cuts a section off the front that is preceded by its length.
fn prefixed(bytes: &mut Bytes) -> Result<Bytes> {
    let Some(length) = bytes.first_chunk::<4>() else { return corrupt("a page ends before its levels") };
    let length = u32::from_le_bytes(*length) as usize;
    if length > bytes.len() - 4 {
        return corrupt(format!("{length} bytes of levels in {} bytes of page", bytes.len() - 4));
    }
    let section = bytes.slice(4..4 + length);
    *bytes = bytes.slice(4 + length..);
    Ok(section)
}
