//! DLPack 1.0: the C structures of a managed tensor, filled from a [`TensorView`].

use std::ffi::c_void;

use arrow_buffer::Buffer;

use super::TensorView;

const CPU: i32 = 1;

/// `DLPackVersion`
#[derive(Debug)]
#[repr(C)]
struct Version {
    major: u32,
    minor: u32,
}

/// `DLTensor`
#[derive(Debug)]
#[repr(C)]
struct Tensor {
    data: *mut c_void,
    device_type: i32,
    device_id: i32,
    ndim: i32,
    code: u8,
    bits: u8,
    lanes: u16,
    shape: *mut i64,
    strides: *mut i64,
    byte_offset: u64,
}

/// `DLManagedTensorVersioned`
#[derive(Debug)]
#[repr(C)]
pub struct ManagedTensor {
    version: Version,
    manager_ctx: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut ManagedTensor)>,
    flags: u64,
    dl_tensor: Tensor,
}

/// What a tensor keeps alive: its memory and its shape.
struct Owner {
    _buffer: Buffer,
    _shape: Vec<i64>,
    _strides: Vec<i64>,
}

impl ManagedTensor {
    /// Gives a tensor up that nobody took.
    ///
    /// # Safety
    /// `tensor` must come from [`export`], and must not be used after this.
    pub unsafe fn release(tensor: *mut Self) {
        // SAFETY: by this function's contract it is what `export` leaked.
        unsafe { delete(tensor) };
    }
}

/// A managed tensor that owns its share of the memory. Its deleter may run on any thread, without the GIL.
pub fn export(view: TensorView) -> *mut ManagedTensor {
    let TensorView { buffer, code, bits, mut shape } = view;
    let mut strides = vec![1; shape.len()];
    for dim in (1..shape.len()).rev() {
        strides[dim - 1] = strides[dim] * shape[dim];
    }
    let tensor = Tensor {
        data: buffer.as_ptr().cast_mut().cast(),
        device_type: CPU,
        device_id: 0,
        ndim: shape.len() as i32,
        code: code as u8,
        bits,
        lanes: 1,
        // Moving a Vec leaves its elements where they are.
        shape: shape.as_mut_ptr(),
        strides: strides.as_mut_ptr(),
        byte_offset: 0,
    };
    let owner = Box::new(Owner { _buffer: buffer, _shape: shape, _strides: strides });
    Box::into_raw(Box::new(ManagedTensor {
        version: Version { major: 1, minor: 0 },
        manager_ctx: Box::into_raw(owner).cast(),
        deleter: Some(delete),
        flags: 0,
        dl_tensor: tensor,
    }))
}

unsafe extern "C" fn delete(tensor: *mut ManagedTensor) {
    if tensor.is_null() {
        return;
    }
    // SAFETY: DLPack calls the deleter once, with what `export` leaked.
    let tensor = unsafe { Box::from_raw(tensor) };
    // SAFETY: `export` leaked the owner into the context of this very tensor.
    drop(unsafe { Box::from_raw(tensor.manager_ctx.cast::<Owner>()) });
}
