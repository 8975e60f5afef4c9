//! The binding: unpack, release the GIL, wrap. What it binds is documented in `python/shardline/_core.pyi`.

mod calls;
mod capsule;
mod digest;
mod error;
mod legs;
mod mixture;
mod object_store;
mod order;
mod plan;
mod projection;
mod reader;
mod run;
mod schema_metadata;
mod select;
mod spec;
mod storage;

use pyo3::prelude::*;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("ORDER_VERSION", shardline_core::order::ORDER_VERSION)?;
    module.add("DEFAULT_BUFFER_BYTES", shardline_core::order::DEFAULT_BUFFER_BYTES)?;
    module.add("FILTER_BLOCK_ROWS", shardline_core::select::FILTER_BLOCK_ROWS)?;
    module.add("DEBUG_BUILD", cfg!(debug_assertions))?;
    error::register(module)?;
    module.add_function(wrap_pyfunction!(calls::end_calls, module)?)?;
    module.add_function(wrap_pyfunction!(digest::digest, module)?)?;
    module.add_class::<plan::Plan>()?;
    module.add_class::<projection::Projection>()?;
    module.add_class::<order::Order>()?;
    module.add_class::<legs::Legs>()?;
    module.add_class::<reader::Reader>()?;
    module.add_class::<mixture::Mixture>()?;
    module.add_class::<mixture::MixedLegs>()?;
    module.add_class::<mixture::MixedReader>()?;
    module.add_class::<run::Run>()?;
    module.add_class::<select::Selector>()?;
    module.add_function(wrap_pyfunction!(schema_metadata::schema_metadata, module)?)?;
    module.add_class::<storage::Storage>()?;
    module.add_class::<object_store::ObjectStore>()?;
    module.add_class::<object_store::Upload>()?;
    Ok(())
}
