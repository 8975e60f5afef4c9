//! A parsed footer, and arrow-rs's own view of it.

use std::sync::{Arc, OnceLock};

use arrow_schema::SchemaRef;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ParquetMetaData;
use parquet::schema::types::SchemaDescriptor;

/// The footer of an open file.
#[derive(Debug)]
pub struct FileMetadata {
    parquet: Arc<ParquetMetaData>,
    schema: SchemaRef,
    /// Created on first use: for a small file it takes longer than decoding its rows.
    arrow: OnceLock<ArrowReaderMetadata>,
}

impl FileMetadata {
    /// `schema`: the Arrow schema that `parquet` stands for.
    pub fn new(parquet: ParquetMetaData, schema: SchemaRef) -> Self {
        Self { parquet: Arc::new(parquet), schema, arrow: OnceLock::new() }
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

    /// The same for arrow-rs's readers.
    ///
    /// # Errors
    /// None that the making of the schema did not have.
    pub fn arrow(&self) -> Result<&ArrowReaderMetadata> {
        if self.arrow.get().is_none() {
            let made = ArrowReaderMetadata::try_new(Arc::clone(&self.parquet), ArrowReaderOptions::new())?;
            // Another thread may have been quicker with the same.
            drop(self.arrow.set(made));
        }
        self.arrow.get().ok_or_else(|| ParquetError::General("a footer came to nothing".into()))
    }
}
