//! The arrays of a batch one by one, out of dicts and columns of several keys.

use arrow_array::ArrayRef;
use arrow_array::cast::AsArray;

use super::{ArrayLayout, Column, Node};

/// One array of a batch.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// The column that it is of.
    pub column: usize,
    /// Its place in the column's array: fields of structs.
    path: Vec<usize>,
    /// What it is.
    pub part: ArrayLayout,
}

impl Leaf {
    /// All arrays of these columns, in the order of their keys, depth first.
    pub fn all(columns: &[Column]) -> Vec<Self> {
        fn add(node: &Node, column: usize, path: &mut Vec<usize>, leaves: &mut Vec<Leaf>) {
            match node {
                Node::Array(part) => leaves.push(Leaf { column, path: path.clone(), part: part.clone() }),
                Node::Dict(keys) => {
                    for (place, key) in keys.iter().enumerate() {
                        path.push(place);
                        add(&key.node, column, path, leaves);
                        path.pop();
                    }
                }
            }
        }
        let mut leaves = Vec::new();
        for (index, column) in columns.iter().enumerate() {
            for (place, key) in column.keys.iter().enumerate() {
                let mut path = if column.keys.len() > 1 { vec![place] } else { Vec::new() };
                add(&key.node, index, &mut path, &mut leaves);
            }
        }
        leaves
    }

    /// The array, out of those of the columns.
    pub fn array(&self, columns: &[ArrayRef]) -> Option<ArrayRef> {
        let mut array = columns.get(self.column)?.clone();
        for &place in &self.path {
            array = array.as_struct_opt()?.columns().get(place)?.clone();
        }
        Some(array)
    }

    /// The arrays of a column's keys.
    pub fn of_keys(column: &Column, array: &ArrayRef) -> Vec<ArrayRef> {
        match array.as_struct_opt() {
            Some(fields) if column.keys.len() > 1 => fields.columns().to_vec(),
            _ => vec![array.clone()],
        }
    }
}
