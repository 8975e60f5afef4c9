use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;

use super::*;
use crate::Result;
use crate::decode::Nulls;
use crate::decode::spec::{ColumnSpec, ProjectionSpec};
use arrow_array::types::{Float64Type, Int32Type, UInt8Type};
use arrow_array::{Float64Array, Int32Array, ListArray};

const FROM: RowLocation<'static> = RowLocation { path: "a.parquet", column: "x", first_row: 100, set: None };

fn lists(rows: &[&[i32]]) -> ArrayRef {
    Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(
        rows.iter().map(|row| Some(row.iter().copied().map(Some))),
    ))
}

fn conversion(data_type: &DataType, spec: ColumnSpec) -> Result<Conversion> {
    resolve("x", data_type, &spec, &ProjectionSpec { tensors: true, ..ProjectionSpec::default() })
}

#[test]
fn a_fixed_list_of_another_length_is_named() {
    let array = lists(&[&[1, 2], &[3, 4]]);
    let spec = ColumnSpec { lists: crate::decode::Lists::Fixed, ..ColumnSpec::default() };
    let conversion = conversion(array.data_type(), spec).unwrap();
    assert_eq!(conversion.apply(&array, FROM).unwrap().as_fixed_size_list().value_length(), 2);
    let error = conversion.apply(&lists(&[&[1, 2], &[3]]), FROM).unwrap_err().to_string();
    assert!(error.contains("a.parquet") && error.contains("row 101") && error.contains("1 values"), "{error}");
}

#[test]
fn nulls_are_named_filled_and_masked() {
    let array: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
    let of = |nulls| conversion(&DataType::Int32, ColumnSpec { nulls: Some(nulls), ..ColumnSpec::default() }).unwrap();
    let error = of(Nulls::Error).apply(&array, FROM).unwrap_err().to_string();
    assert!(error.contains("\"x\"") && error.contains("row 101"), "{error}");
    let filled = of(Nulls::Fill).apply(&array, FROM).unwrap();
    assert_eq!(filled.as_primitive::<Int32Type>().values(), &[1, 0]);
    let nan = of(Nulls::Nan).apply(&array, FROM).unwrap();
    let nan: &Float64Array = nan.as_primitive::<Float64Type>();
    assert!(nan.value(0) == 1.0 && nan.value(1).is_nan() && nan.nulls().is_none());
    let masked = of(Nulls::Mask).apply(&array, FROM).unwrap();
    assert_eq!(masked.as_struct().column(1).as_primitive::<UInt8Type>().values(), &[0, 1]);
}

#[test]
fn a_slice_of_lists_is_trimmed() {
    let (values, offsets) = trim_list(&lists(&[&[1], &[2, 3], &[], &[4]]).slice(1, 2)).unwrap();
    assert_eq!(values.as_primitive::<Int32Type>().values(), &[2, 3]);
    assert_eq!(offsets.as_primitive::<Int32Type>().values(), &[0, 2, 2]);
}

#[test]
fn bytes_of_a_slice_are_its_own() {
    let array: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
    let bytes = value_bytes(array.slice(1, 1).as_ref()).unwrap();
    assert_eq!(bytes.as_slice(), 2_i32.to_ne_bytes());
}
