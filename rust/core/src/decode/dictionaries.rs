//! One dictionary for arrays that are laid end to end.
//!
//! Each row group of a column has a dictionary of its own. arrow-rs lays small ones end to end as they are, and pandas
//! refuses one that has a value twice: so the arrays get one dictionary that all of them share, without duplicates.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::ArrowDictionaryKeyType;
use arrow_array::{Array, ArrayRef, DictionaryArray, PrimitiveArray, downcast_integer, make_array};
use arrow_buffer::ArrowNativeType;
use arrow_schema::{ArrowError, DataType};
use arrow_select::concat::concat;
use arrow_select::interleave::interleave;

use crate::files::readable_schema::fields_in;

/// Dictionaries of no more values than this, or than there are rows, keep those that no row has.
const SMALL: usize = 1024;

/// The rows of several arrays of one type, end to end.
///
/// # Errors
/// More different values than the keys can number.
pub(crate) fn concat_shared(pieces: &[ArrayRef]) -> Result<ArrayRef, ArrowError> {
    let shared = match pieces {
        [first, _, ..] if has_dictionary(first.data_type()) => shared(pieces)?,
        _ => pieces.to_vec(),
    };
    concat(&shared.iter().map(AsRef::as_ref).collect::<Vec<_>>())
}

fn has_dictionary(data_type: &DataType) -> bool {
    let within = || fields_in(data_type).iter().any(|field| has_dictionary(field.data_type()));
    matches!(data_type, DataType::Dictionary(..)) || within()
}

/// The same arrays, with one dictionary in the place of theirs.
fn shared(pieces: &[ArrayRef]) -> Result<Vec<ArrayRef>, ArrowError> {
    match pieces[0].data_type() {
        DataType::Dictionary(keys, values) if values_of(pieces[0].as_any_dictionary().values()).is_some() => {
            macro_rules! share_by {
                ($keys:ty) => {
                    share::<$keys>(pieces)
                };
            }
            downcast_integer! {
                keys.as_ref() => (share_by),
                _ => Err(ArrowError::SchemaError(format!("a dictionary of {values} by {keys}"))),
            }
        }
        DataType::Dictionary(..) => Ok(pieces.to_vec()),
        other if has_dictionary(other) => {
            let parts: Vec<_> = pieces.iter().map(|piece| piece.to_data()).collect();
            let mut children = vec![Vec::new(); parts.len()];
            for child in 0..parts[0].child_data().len() {
                let of_child: Vec<ArrayRef> =
                    parts.iter().map(|part| make_array(part.child_data()[child].clone())).collect();
                let made = if has_dictionary(of_child[0].data_type()) { shared(&of_child)? } else { of_child };
                made.into_iter().zip(&mut children).for_each(|(made, children)| children.push(made.to_data()));
            }
            let made = parts.into_iter().zip(children);
            made.map(|(part, children)| part.into_builder().child_data(children).build().map(make_array)).collect()
        }
        _ => Ok(pieces.to_vec()),
    }
}

/// The bytes of each value.
fn values_of(values: &ArrayRef) -> Option<Vec<&[u8]>> {
    Some(match values.data_type() {
        DataType::Utf8 => bytes(values.as_string::<i32>().iter()),
        DataType::LargeUtf8 => bytes(values.as_string::<i64>().iter()),
        DataType::Utf8View => bytes(values.as_string_view().iter()),
        DataType::Binary => bytes(values.as_binary::<i32>().iter()),
        DataType::LargeBinary => bytes(values.as_binary::<i64>().iter()),
        DataType::BinaryView => bytes(values.as_binary_view().iter()),
        DataType::FixedSizeBinary(_) => bytes(values.as_fixed_size_binary().iter()),
        _ => return None,
    })
}

fn bytes<'a, T: AsRef<[u8]> + ?Sized + 'a>(values: impl Iterator<Item = Option<&'a T>>) -> Vec<&'a [u8]> {
    values.map(|value| value.map(AsRef::as_ref).unwrap_or_default()).collect()
}

fn share<K: ArrowDictionaryKeyType>(pieces: &[ArrayRef]) -> Result<Vec<ArrayRef>, ArrowError> {
    let arrays: Vec<&DictionaryArray<K>> = pieces.iter().map(|piece| piece.as_dictionary::<K>()).collect();
    if arrays.iter().all(|array| Arc::ptr_eq(array.values(), arrays[0].values())) {
        return Ok(pieces.to_vec());
    }
    let rows: usize = arrays.iter().map(|array| array.len()).sum();
    let all: usize = arrays.iter().map(|array| array.values().len()).sum();
    if all <= rows.max(SMALL)
        && let Ok(made) = share_values(&arrays, true)
    {
        return Ok(made);
    }
    share_values(&arrays, false)
}

/// `all`: with the values that no row has.
fn share_values<K: ArrowDictionaryKeyType>(
    arrays: &[&DictionaryArray<K>],
    all: bool,
) -> Result<Vec<ArrayRef>, ArrowError> {
    let mut places: HashMap<&[u8], K::Native> = HashMap::new();
    let mut taken: Vec<(usize, usize)> = Vec::new();
    let mut made = Vec::with_capacity(arrays.len());
    for (piece, array) in arrays.iter().enumerate() {
        let values = values_of(array.values()).unwrap_or_default();
        let is_null = |value: usize| array.values().is_null(value);
        let mut moved: Vec<Option<K::Native>> = vec![None; values.len()];
        let mut place = |value: usize, moved: &mut Vec<Option<K::Native>>| {
            if let Some(known) = moved[value] {
                return Ok(known);
            }
            let key = match places.get(values[value]) {
                Some(&known) => known,
                None => {
                    let next = K::Native::from_usize(taken.len()).ok_or(ArrowError::DictionaryKeyOverflowError)?;
                    taken.push((piece, value));
                    places.insert(values[value], next);
                    next
                }
            };
            moved[value] = Some(key);
            Ok::<_, ArrowError>(key)
        };
        if all {
            for value in (0..values.len()).filter(|&value| !is_null(value)) {
                place(value, &mut moved)?;
            }
        }
        let keys = array.keys();
        let keys = (0..array.len()).map(|row| {
            let value = keys.is_valid(row).then(|| keys.value(row).as_usize());
            value
                .filter(|&value| value < values.len() && !is_null(value))
                .map(|value| place(value, &mut moved))
                .transpose()
        });
        made.push(keys.collect::<Result<Vec<Option<K::Native>>, _>>()?);
    }
    let sources: Vec<&dyn Array> = arrays.iter().map(|array| array.values().as_ref()).collect();
    let values = interleave(&sources, &taken)?;
    let made = made.into_iter().map(|keys| {
        let keys: PrimitiveArray<K> = keys.into_iter().collect();
        DictionaryArray::try_new(keys, Arc::clone(&values)).map(|made| Arc::new(made) as ArrayRef)
    });
    made.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::types::{Int8Type, UInt32Type};
    use arrow_array::{ListArray, StringArray};
    use arrow_buffer::OffsetBuffer;
    use arrow_schema::Field;

    fn words<K: ArrowDictionaryKeyType>(keys: &[Option<usize>], words: &[&str]) -> ArrayRef {
        let keys = keys.iter().map(|key| key.map(|key| K::Native::from_usize(key).unwrap()));
        let values = Arc::new(StringArray::from(words.to_vec()));
        Arc::new(DictionaryArray::<K>::try_new(keys.collect(), values).unwrap())
    }

    fn plain(array: &ArrayRef) -> Vec<Option<String>> {
        let array = array.as_any_dictionary();
        let rows = arrow_select::take::take(array.values(), array.keys(), None).unwrap();
        rows.as_string::<i32>().iter().map(|word| word.map(str::to_owned)).collect()
    }

    #[test]
    fn one_dictionary_without_duplicates() {
        let pieces = [
            words::<Int8Type>(&[Some(0), None, Some(1)], &["a", "b", "unused"]),
            words::<Int8Type>(&[Some(1), Some(0), Some(2)], &["c", "b", "a"]).slice(1, 2),
            words::<Int8Type>(&[None], &[]),
        ];
        let joined = concat_shared(&pieces).unwrap();
        assert_eq!(joined.data_type(), pieces[0].data_type());
        let rows: Vec<Option<String>> = pieces.iter().flat_map(plain).collect();
        assert_eq!(plain(&joined), rows);
        let values = joined.as_any_dictionary().values().clone();
        assert_eq!(values.as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["a", "b", "unused", "c"]);
    }

    #[test]
    fn values_that_no_row_has_make_room() {
        let of = |from: usize, used: usize| {
            let all: Vec<String> = (from..from + 100).map(|word| word.to_string()).collect();
            words::<Int8Type>(&[Some(used)], &all.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let joined = concat_shared(&[of(0, 7), of(100, 3)]).unwrap();
        assert_eq!(plain(&joined), [Some("7".to_owned()), Some("103".to_owned())]);
        let many: Vec<ArrayRef> = (0..200).map(|n| of(n * 100, 0)).collect();
        assert!(matches!(concat_shared(&many), Err(ArrowError::DictionaryKeyOverflowError)));
    }

    #[test]
    fn dictionaries_in_lists_are_one_too() {
        let list = |words: ArrayRef| {
            let field = Arc::new(Field::new("item", words.data_type().clone(), true));
            let offsets = OffsetBuffer::from_lengths([words.len()]);
            Arc::new(ListArray::try_new(field, offsets, words, None).unwrap()) as ArrayRef
        };
        let pieces =
            [list(words::<UInt32Type>(&[Some(0)], &["a"])), list(words::<UInt32Type>(&[Some(1)], &["b", "a"]))];
        let joined = concat_shared(&pieces).unwrap();
        let items = joined.as_list::<i32>().values().clone();
        assert_eq!(plain(&items), [Some("a".to_owned()), Some("a".to_owned())]);
        assert_eq!(items.as_any_dictionary().values().len(), 2);
    }
}
