//! An Arrow array seen as a tensor: where its values lie, of which type and shape.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, Int32Array, Int64Array};
use arrow_buffer::Buffer;
use arrow_schema::DataType;

use crate::decode::{trim_list, value_bytes};
use crate::{Error, Result};

/// The code of a DLPack data type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum TypeCode {
    /// Signed integers.
    Int = 0,
    /// Unsigned integers.
    UInt = 1,
    /// IEEE floats.
    Float = 2,
    /// Bools of a byte each.
    Bool = 6,
}

/// Values that lie end to end, and the memory that holds them.
#[derive(Debug, Clone)]
pub struct TensorView {
    pub(crate) buffer: Buffer,
    pub(crate) code: TypeCode,
    pub(crate) bits: u8,
    pub(crate) shape: Vec<i64>,
}

/// A dense column: (n, d …). `is_bool`: its bytes are bools.
///
/// # Errors
/// A type that no tensor has.
pub fn dense(array: &ArrayRef, is_bool: bool) -> Result<TensorView> {
    if let DataType::FixedSizeList(_, length) = array.data_type() {
        let mut view = dense(array.as_fixed_size_list().values(), is_bool)?;
        view.shape[0] = array.len() as i64;
        view.shape.insert(1, i64::from(*length));
        return Ok(view);
    }
    let (code, bits) = match array.data_type() {
        _ if is_bool => (TypeCode::Bool, 8),
        DataType::Int8 => (TypeCode::Int, 8),
        DataType::Int16 => (TypeCode::Int, 16),
        DataType::Int32 => (TypeCode::Int, 32),
        DataType::Int64 => (TypeCode::Int, 64),
        DataType::UInt8 => (TypeCode::UInt, 8),
        DataType::UInt16 => (TypeCode::UInt, 16),
        DataType::UInt32 => (TypeCode::UInt, 32),
        DataType::UInt64 => (TypeCode::UInt, 64),
        DataType::Float16 => (TypeCode::Float, 16),
        DataType::Float32 => (TypeCode::Float, 32),
        DataType::Float64 => (TypeCode::Float, 64),
        other => return Err(Error::internal(format!("{other} has no tensor"))),
    };
    let buffer = value_bytes(array.as_ref()).ok_or_else(|| Error::internal("a dense column has no values"))?;
    Ok(TensorView { buffer, code, bits, shape: vec![array.len() as i64] })
}

/// A jagged column in batches of these sizes: its values, the offsets of each batch from 0 on (n + 1 of each, end to end), and
/// the number of values of each batch.
///
/// # Errors
/// A column that is no list of numbers.
pub fn jagged(array: &ArrayRef, sizes: &[usize]) -> Result<(TensorView, TensorView, Vec<usize>)> {
    let (values, offsets) = trim_list(array).ok_or_else(|| Error::internal("a jagged column is no list"))?;
    let (offsets, counts): (ArrayRef, Vec<usize>) = if let Some(offsets) = offsets.as_any().downcast_ref::<Int32Array>()
    {
        let (rebased, counts) = rebase(offsets.values(), sizes);
        (std::sync::Arc::new(Int32Array::from(rebased)), counts)
    } else {
        let offsets = offsets.as_any().downcast_ref::<Int64Array>().ok_or_else(|| Error::internal("offsets"))?;
        let (rebased, counts) = rebase(offsets.values(), sizes);
        (std::sync::Arc::new(Int64Array::from(rebased)), counts)
    };
    Ok((dense(&values, false)?, dense(&offsets, false)?, counts))
}

fn rebase<O>(offsets: &[O], sizes: &[usize]) -> (Vec<O>, Vec<usize>)
where
    O: Copy + std::ops::Sub<Output = O> + arrow_buffer::ArrowNativeType,
{
    let mut rebased = Vec::with_capacity(offsets.len() + sizes.len());
    let mut counts = Vec::with_capacity(sizes.len());
    let mut row = 0;
    for &size in sizes {
        let of_batch = &offsets[row..=row + size];
        let first = of_batch[0];
        rebased.extend(of_batch.iter().map(|&offset| offset - first));
        counts.push((of_batch[size] - first).as_usize());
        row += size;
    }
    (rebased, counts)
}
