//! Where the pages of an object begin, if it says so (Parquet's offset index).

use std::sync::Arc;

use parquet::file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use super::{FileMetadata, RemoteFile};

/// Of an object's end, to learn where its pages begin.
const MOST: u64 = 16 << 20;

/// A footer with the places of all pages. None where the object does not have them, where they cannot be, or cannot be
/// read: it is read without then, and who reads meets what is wrong with the store.
pub(super) async fn paged(object: &RemoteFile, metadata: &FileMetadata) -> Option<FileMetadata> {
    let plain = metadata.metadata();
    let columns = plain.row_groups().iter().flat_map(|group| group.columns());
    let ranges: Vec<_> = columns.map(ColumnChunkMetaData::offset_index_range).collect::<Option<_>>()?;
    let first = ranges.iter().map(|range| range.start).min()?;
    if object.len().checked_sub(first).is_none_or(|length| length > MOST) {
        return None;
    }
    let end = object.end(first).await.ok()?;
    let mut reader = ParquetMetaDataReader::new_with_metadata(ParquetMetaData::clone(plain))
        .with_offset_index_policy(PageIndexPolicy::Optional);
    reader.read_page_indexes_sized(&end, object.len()).ok()?;
    let paged = reader.finish().ok().filter(is_sound)?;
    Some(FileMetadata::new(paged, Arc::clone(metadata.schema())))
}

/// Whether the pages lie in their chunks, one behind the other, and begin at rows that there are.
fn is_sound(metadata: &ParquetMetaData) -> bool {
    metadata.row_groups().iter().enumerate().all(|(number, group)| {
        let pages = metadata.page_index_for_row_group(number);
        group.columns().iter().enumerate().all(|(leaf, column)| {
            let Some(pages) = pages.page_locations(leaf) else { return false };
            let (start, length) = column.byte_range();
            let ends = pages.iter().map(|page| (page.offset, i64::from(page.compressed_page_size)));
            let (mut at, end) = (start as i64, (start + length) as i64);
            let apart = ends.into_iter().all(|(offset, size)| {
                let fits = offset >= at && size > 0 && offset.checked_add(size).is_some_and(|next| next <= end);
                at = offset.saturating_add(size);
                fits
            });
            apart
                && pages.first().is_some_and(|first| first.first_row_index == 0)
                && pages.windows(2).all(|pair| pair[0].first_row_index < pair[1].first_row_index)
                && pages.last().is_some_and(|last| last.first_row_index < group.num_rows().max(1))
        })
    })
}
