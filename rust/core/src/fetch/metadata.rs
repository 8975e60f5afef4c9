//! A parsed footer, and arrow-rs's own view of it.

use std::sync::{Arc, OnceLock};

use arrow_schema::{Fields, SchemaRef};
use parquet::arrow::{FieldLevels, ProjectionMask, parquet_to_arrow_field_levels};
use parquet::errors::Result;
use parquet::file::metadata::ParquetMetaData;
use parquet::schema::types::SchemaDescriptor;

use crate::files::readable_schema::as_bytes;

/// The footer of an open file.
#[derive(Debug)]
pub struct FileMetadata {
    parquet: Arc<ParquetMetaData>,
    schema: SchemaRef,
    /// The leaves as arrow-rs reads them, where that is not as they are in the file. Created on first use.
    leaves: OnceLock<Option<SchemaDescriptor>>,
}

impl FileMetadata {
    /// `schema`: the Arrow schema that `parquet` stands for.
    pub fn new(parquet: ParquetMetaData, schema: SchemaRef) -> Self {
        Self { parquet: Arc::new(parquet), schema, leaves: OnceLock::new() }
    }

    /// Row groups and column chunks.
    pub fn metadata(&self) -> &Arc<ParquetMetaData> {
        &self.parquet
    }

    /// The Arrow schema.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The leaves.
    pub fn parquet_schema(&self) -> &SchemaDescriptor {
        self.parquet.file_metadata().schema_descr()
    }

    /// The columns of a mask for arrow-rs's readers, as the Arrow types of `fields`; text as bytes where that is asked for.
    ///
    /// # Errors
    /// None that the making of the schema did not have.
    pub(crate) fn field_levels(
        &self,
        mask: ProjectionMask,
        fields: &Fields,
        text_as_bytes: bool,
    ) -> Result<FieldLevels> {
        let own = self.parquet_schema();
        if text_as_bytes {
            let leaves = as_bytes(own, self.schema.fields(), true)?;
            return parquet_to_arrow_field_levels(leaves.as_ref().unwrap_or(own), mask, Some(fields));
        }
        if self.leaves.get().is_none() {
            // Another thread may have been quicker with the same.
            drop(self.leaves.set(as_bytes(own, self.schema.fields(), false)?));
        }
        let leaves = self.leaves.get().and_then(Option::as_ref).unwrap_or(own);
        parquet_to_arrow_field_levels(leaves, mask, Some(fields))
    }
}
