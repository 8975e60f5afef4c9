//! PyCapsules of the Arrow C data interface and of DLPack.

use std::ffi::CStr;
use std::ptr::NonNull;

use arrow_array::{Array, StructArray};
use arrow_data::ffi::FFI_ArrowArray;
use arrow_schema::Schema;
use arrow_schema::ffi::FFI_ArrowSchema;
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use shardline_core::tensor::{ManagedTensor, TensorView, export};

const SCHEMA: &CStr = c"arrow_schema";
const ARRAY: &CStr = c"arrow_array";
const DLPACK: &CStr = c"dltensor_versioned";
const USED_DLPACK: &CStr = c"used_dltensor_versioned";

/// A schema, as an object with `__arrow_c_schema__`.
#[pyclass(frozen, module = "shardline._core")]
pub(crate) struct ArrowSchema(pub(crate) Schema);

#[pymethods]
impl ArrowSchema {
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema_capsule(py, &self.0)
    }
}

/// Rows, as an object with `__arrow_c_array__`.
#[pyclass(frozen, module = "shardline._core")]
pub(crate) struct ArrowRows {
    pub(crate) schema: Schema,
    pub(crate) rows: StructArray,
}

#[pymethods]
impl ArrowRows {
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema_capsule(py, &self.schema)
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
        // The interface allows to give the data's own schema where no other can be.
        let _ = requested_schema;
        let array = FFI_ArrowArray::new(&self.rows.to_data());
        Ok((schema_capsule(py, &self.schema)?, PyCapsule::new_with_value(py, array, ARRAY)?))
    }
}

fn schema_capsule<'py>(py: Python<'py>, schema: &Schema) -> PyResult<Bound<'py, PyCapsule>> {
    let schema = FFI_ArrowSchema::try_from(schema).map_err(|error| PyValueError::new_err(error.to_string()))?;
    PyCapsule::new_with_value(py, schema, SCHEMA)
}

/// A tensor, as a DLPack capsule; the memory is freed with it if nobody takes the tensor.
pub(crate) fn dlpack(py: Python<'_>, view: TensorView) -> PyResult<Bound<'_, PyAny>> {
    let tensor = export(view);
    // SAFETY: the name is static, and `release` fits what the capsule holds.
    let capsule = unsafe { ffi::PyCapsule_New(tensor.cast(), DLPACK.as_ptr(), Some(release)) };
    if NonNull::new(capsule).is_none() {
        // SAFETY: no capsule was made, so that the tensor is still ours alone.
        unsafe { ManagedTensor::release(tensor) };
        return Err(PyErr::fetch(py));
    }
    // SAFETY: a new reference that nobody else owns.
    Ok(unsafe { Bound::from_owned_ptr(py, capsule) })
}

unsafe extern "C" fn release(capsule: *mut ffi::PyObject) {
    // SAFETY: Python calls this with the capsule that `dlpack` made. A consumer renames it when it takes the tensor.
    unsafe {
        if ffi::PyCapsule_IsValid(capsule, USED_DLPACK.as_ptr()) != 0 {
            return;
        }
        let tensor = ffi::PyCapsule_GetPointer(capsule, DLPACK.as_ptr());
        if !tensor.is_null() {
            ManagedTensor::release(tensor.cast());
        }
    }
}
