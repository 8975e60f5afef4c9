//! Parquet's offset index of an object: where its pages begin.

use std::sync::Arc;

use parquet::file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use super::{FileMetadata, RemoteFile};

/// The most bytes of an object's end that are read to find its offset index.
const MOST: u64 = 16 << 20;

/// A footer with its offset index. None where the object has none, or one that is wrong or cannot be read: pages are
/// found without it then, and whoever reads them gets the errors of the store.
pub(super) async fn read(object: &RemoteFile, metadata: &FileMetadata) -> Option<FileMetadata> {
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
    let indexed = reader.finish().ok().filter(is_sound)?;
    Some(FileMetadata::new(indexed, Arc::clone(metadata.schema())))
}

/// Whether all pages lie in their chunks, one after the other, and begin at rows of the row group.
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
