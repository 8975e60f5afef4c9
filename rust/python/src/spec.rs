//! The options of columns, unpacked.

use std::ffi::CStr;

use arrow_array::{ArrayRef, StructArray, make_array};
use arrow_data::ffi::FFI_ArrowArray;
use arrow_schema::ffi::FFI_ArrowSchema;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use shardline_core::Error;
use shardline_core::decode::{ColumnSpec, Encode, Lists, Nulls, Number, Padding, Scalar, Side, Strings};

use crate::error::{OrRaise, raise};

/// A value that stands in the place of another.
#[derive(FromPyObject)]
enum PyScalar {
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
}

impl From<PyScalar> for Scalar {
    fn from(value: PyScalar) -> Self {
        match value {
            PyScalar::Bool(value) => Self::Bool(value),
            PyScalar::Int(value) => Self::Int(value),
            PyScalar::Float(value) => Self::Float(value),
            PyScalar::Text(value) => Self::Text(value),
            PyScalar::Bytes(value) => Self::Bytes(value),
        }
    }
}

/// The options of a column, as the dict that Python makes of `ColumnOptions`.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct PySpec<'py> {
    nulls: Option<String>,
    fill: Option<PyScalar>,
    dtype: Option<String>,
    lossy: bool,
    decimal: String,
    strings: String,
    errors: String,
    lists: String,
    length: Option<usize>,
    pad_value: Option<PyScalar>,
    pad_side: String,
    truncate: Option<String>,
    lengths: bool,
    encode: Option<String>,
    buckets: Option<u64>,
    seed: u64,
    vocabulary: Option<Bound<'py, PyAny>>,
    unknown: Option<i64>,
    mask_suffix: String,
    length_suffix: String,
    asked: Vec<String>,
}

impl PySpec<'_> {
    pub(crate) fn unpack(self) -> PyResult<ColumnSpec> {
        let wrong = |what: &str, found: &str| raise(Error::Argument(format!("{what} is {found:?}")));
        let side = |name: &str| match name {
            "left" => Ok(Side::Left),
            "right" => Ok(Side::Right),
            other => Err(wrong("a side", other)),
        };
        let nulls = self.nulls.as_deref().map(|name| match name {
            "error" => Ok(Nulls::Error),
            "fill" => Ok(Nulls::Fill),
            "nan" => Ok(Nulls::Nan),
            "mask" => Ok(Nulls::Mask),
            "keep" => Ok(Nulls::Keep),
            other => Err(wrong("nulls", other)),
        });
        let dtype = self.dtype.as_deref().map(|name| Number::parse(name).ok_or_else(|| wrong("dtype", name)));
        let lists = match self.lists.as_str() {
            "jagged" => Lists::Jagged,
            "fixed" => Lists::Fixed,
            "objects" => Lists::Objects,
            "padded" => Lists::Padded(Padding {
                length: self.length,
                value: self.pad_value.map(Scalar::from),
                side: side(&self.pad_side)?,
                truncate: self.truncate.as_deref().map(side).transpose()?,
                lengths: self.lengths,
            }),
            other => return Err(wrong("lists", other)),
        };
        let encode = match self.encode.as_deref() {
            None => None,
            Some("hash") => Some(Encode::Hash { buckets: self.buckets.unwrap_or(1).max(1), seed: self.seed }),
            Some("codes") => Some(Encode::Codes {
                vocabulary: self.vocabulary.map(|values| array_of(&values)).transpose()?,
                unknown: self.unknown,
            }),
            Some(other) => return Err(wrong("encode", other)),
        };
        Ok(ColumnSpec {
            nulls: nulls.transpose()?,
            fill: self.fill.map(Scalar::from),
            dtype: dtype.transpose()?,
            lossy: self.lossy,
            unscaled: self.decimal == "unscaled",
            strings: if self.strings == "bytes" { Strings::Bytes } else { Strings::Objects },
            replace: self.errors == "replace",
            lists,
            encode,
            mask_suffix: self.mask_suffix,
            length_suffix: self.length_suffix,
            asked: self.asked,
        })
    }
}

/// An array out of an object with `__arrow_c_array__`.
pub(crate) fn array_of(object: &Bound<'_, PyAny>) -> PyResult<ArrayRef> {
    const SCHEMA: &CStr = c"arrow_schema";
    const ARRAY: &CStr = c"arrow_array";
    let (schema, array): (Bound<'_, PyCapsule>, Bound<'_, PyCapsule>) =
        object.call_method0("__arrow_c_array__")?.extract()?;
    let schema = schema.pointer_checked(Some(SCHEMA))?.cast::<FFI_ArrowSchema>();
    let array = array.pointer_checked(Some(ARRAY))?.cast::<FFI_ArrowArray>();
    // SAFETY: by the PyCapsule interface, capsules of these names hold these structures; the array is moved out, and
    // what is left in the capsule is marked as released.
    let data = unsafe {
        let array = FFI_ArrowArray::from_raw(array.as_ptr());
        arrow_array::ffi::from_ffi(array, schema.as_ref())
    };
    let data = data.map_err(|error| Error::Argument(format!("not Arrow data: {error}"))).or_raise()?;
    Ok(make_array(data))
}

/// One array as rows of one column.
pub(crate) fn column_of(name: &str, array: &ArrayRef) -> PyResult<crate::capsule::ArrowRows> {
    use arrow_schema::{Field, Schema};
    let schema = Schema::new(vec![Field::new(name, array.data_type().clone(), true)]);
    let rows = StructArray::try_new_with_length(schema.fields().clone(), vec![array.clone()], None, array.len());
    let rows = rows.map_err(|error| raise(Error::internal(error.to_string())))?;
    Ok(crate::capsule::ArrowRows { schema, rows })
}
