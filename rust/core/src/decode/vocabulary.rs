//! A vocabulary: the values that codes stand for, in order, and the keys by which values of any type are looked up.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowDictionaryKeyType, ArrowPrimitiveType, Date32Type, Date64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_buffer::ArrowNativeType;
use arrow_schema::DataType;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{Error, Result};

/// A value as it is looked up and hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueKey<'a> {
    /// Strings (UTF-8) and binary data.
    Bytes(&'a [u8]),
    /// Integers, dates and times.
    Int(i128),
}

impl ValueKey<'_> {
    /// XXH3-64 with this seed: of the bytes, or of the integer's low 64 bits, little-endian.
    pub(crate) fn hash(&self, seed: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => xxh3_64_with_seed(bytes, seed),
            Self::Int(value) => xxh3_64_with_seed(&(*value as u64).to_le_bytes(), seed),
        }
    }

    /// For messages.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Int(value) => value.to_string(),
            Self::Bytes(bytes) => {
                let text = String::from_utf8_lossy(bytes);
                let short: String = text.chars().take(60).collect();
                if short.len() < text.len() { format!("{short:?}…") } else { format!("{short:?}") }
            }
        }
    }
}

/// Whether values of the type have keys.
pub(crate) fn has_keys(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => has_keys(values),
        DataType::Boolean
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_)
        | DataType::Date32
        | DataType::Date64 => true,
        other => other.is_integer(),
    }
}

/// Calls `each` with the key of every value, whether it is null or not; stops at the first error.
pub(crate) fn keys<E>(array: &ArrayRef, mut each: impl FnMut(usize, ValueKey<'_>) -> Result<(), E>) -> Result<(), E> {
    fn numbers<T: ArrowPrimitiveType, E>(
        array: &ArrayRef,
        each: &mut impl FnMut(usize, ValueKey<'_>) -> Result<(), E>,
    ) -> Result<(), E>
    where
        i128: From<T::Native>,
    {
        let mut values = array.as_primitive::<T>().values().iter().enumerate();
        values.try_for_each(|(index, value)| each(index, ValueKey::Int(i128::from(*value))))
    }
    macro_rules! bytes {
        ($array:expr) => {{
            let array = $array;
            (0..array.len()).try_for_each(|index| {
                let value: &[u8] = array.value(index).as_ref();
                each(index, ValueKey::Bytes(value))
            })
        }};
    }
    match array.data_type() {
        DataType::Utf8 => bytes!(array.as_string::<i32>()),
        DataType::LargeUtf8 => bytes!(array.as_string::<i64>()),
        DataType::Utf8View => bytes!(array.as_string_view()),
        DataType::Binary => bytes!(array.as_binary::<i32>()),
        DataType::LargeBinary => bytes!(array.as_binary::<i64>()),
        DataType::BinaryView => bytes!(array.as_binary_view()),
        DataType::FixedSizeBinary(_) => bytes!(array.as_fixed_size_binary()),
        DataType::Boolean => {
            let mut bits = array.as_boolean().values().iter().enumerate();
            bits.try_for_each(|(index, bit)| each(index, ValueKey::Int(i128::from(bit))))
        }
        DataType::Int8 => numbers::<Int8Type, E>(array, &mut each),
        DataType::Int16 => numbers::<Int16Type, E>(array, &mut each),
        DataType::Int32 => numbers::<Int32Type, E>(array, &mut each),
        DataType::Int64 => numbers::<Int64Type, E>(array, &mut each),
        DataType::UInt8 => numbers::<UInt8Type, E>(array, &mut each),
        DataType::UInt16 => numbers::<UInt16Type, E>(array, &mut each),
        DataType::UInt32 => numbers::<UInt32Type, E>(array, &mut each),
        DataType::UInt64 => numbers::<UInt64Type, E>(array, &mut each),
        DataType::Date32 => numbers::<Date32Type, E>(array, &mut each),
        DataType::Date64 => numbers::<Date64Type, E>(array, &mut each),
        _ => Ok(()),
    }
}

/// A dictionary array's values, and of each row its place among them (any place where it is null).
pub(crate) fn dictionary(array: &ArrayRef) -> Option<(ArrayRef, Vec<usize>)> {
    fn places<K: ArrowDictionaryKeyType>(array: &ArrayRef) -> Option<(ArrayRef, Vec<usize>)> {
        let array = array.as_dictionary_opt::<K>()?;
        let last = array.values().len().saturating_sub(1);
        let place = |key: &K::Native| key.to_usize().unwrap_or(0).min(last);
        Some((array.values().clone(), array.keys().values().iter().map(place).collect()))
    }
    let DataType::Dictionary(key, _) = array.data_type() else { return None };
    match key.as_ref() {
        DataType::Int8 => places::<Int8Type>(array),
        DataType::Int16 => places::<Int16Type>(array),
        DataType::Int32 => places::<Int32Type>(array),
        DataType::Int64 => places::<Int64Type>(array),
        DataType::UInt8 => places::<UInt8Type>(array),
        DataType::UInt16 => places::<UInt16Type>(array),
        DataType::UInt32 => places::<UInt32Type>(array),
        DataType::UInt64 => places::<UInt64Type>(array),
        _ => None,
    }
}

/// Keeps hashes of short keys cheap.
#[derive(Default)]
struct Xx(u64);

impl Hasher for Xx {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }
}

type Map<K> = HashMap<K, usize, BuildHasherDefault<Xx>>;

/// Distinct values, in the order in which they were first seen.
#[derive(Debug, Default)]
pub struct Vocabulary {
    bytes: Map<Box<[u8]>>,
    ints: Map<i128>,
    /// In order.
    words: Vec<Word>,
}

/// An owned key.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Bytes(Box<[u8]>),
    Int(i128),
}

impl std::fmt::Debug for Xx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Xx({})", self.0)
    }
}

impl Vocabulary {
    /// The values of an array, each of which must be there once.
    ///
    /// # Errors
    /// A null, a value that is there twice, a type that has no ids.
    pub fn try_new(values: &ArrayRef) -> Result<Self> {
        if !has_keys(values.data_type()) || matches!(values.data_type(), DataType::Dictionary(..)) {
            return Err(Error::Argument(format!(
                "a vocabulary is of strings, bytes or integers, not {}",
                values.data_type()
            )));
        }
        if values.null_count() > 0 {
            return Err(Error::Argument("a vocabulary has no null: nulls have an id of their own".into()));
        }
        let mut made = Self::default();
        keys(values, |_, key| match made.add(key) {
            true => Ok(()),
            false => Err(Error::Argument(format!("the vocabulary has {} twice", key.shown()))),
        })?;
        Ok(made)
    }

    /// Adds the values of an array that are not null and not known yet.
    pub(crate) fn extend(&mut self, array: &ArrayRef) {
        if let Some((values, _)) = dictionary(array) {
            // Of the dictionary as it was written, so that categories keep their order; where no row has a value,
            // arrow-rs makes one up.
            if array.null_count() < array.len() {
                self.extend(&values);
            }
            return;
        }
        let nulls = array.logical_nulls();
        let never: Result<(), std::convert::Infallible> = keys(array, |index, key| {
            if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(index)) {
                self.add(key);
            }
            Ok(())
        });
        let Ok(()) = never;
    }

    /// Adds the words of another that this one does not have, in their order.
    pub(crate) fn append(&mut self, other: &Self) {
        for word in &other.words {
            match word {
                Word::Bytes(bytes) => self.add(ValueKey::Bytes(bytes)),
                Word::Int(value) => self.add(ValueKey::Int(*value)),
            };
        }
    }

    fn add(&mut self, key: ValueKey<'_>) -> bool {
        if self.find(key).is_some() {
            return false;
        }
        let place = self.words.len();
        match key {
            ValueKey::Bytes(bytes) => {
                self.bytes.insert(bytes.into(), place);
                self.words.push(Word::Bytes(bytes.into()));
            }
            ValueKey::Int(value) => {
                self.ints.insert(value, place);
                self.words.push(Word::Int(value));
            }
        }
        true
    }

    pub(crate) fn find(&self, key: ValueKey<'_>) -> Option<usize> {
        match key {
            ValueKey::Bytes(bytes) => self.bytes.get(bytes).copied(),
            ValueKey::Int(value) => self.ints.get(&value).copied(),
        }
    }

    /// How many values.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The values in order: text where `text`, bytes, or integers.
    pub(crate) fn to_array(&self, text: bool) -> ArrayRef {
        use std::sync::Arc;
        let bytes = self.words.iter().filter_map(|word| match word {
            Word::Bytes(bytes) => Some(bytes.as_ref()),
            Word::Int(_) => None,
        });
        if text {
            return Arc::new(arrow_array::LargeStringArray::from_iter_values(
                bytes.map(|bytes| String::from_utf8_lossy(bytes)),
            ));
        }
        if !self.bytes.is_empty() {
            return Arc::new(arrow_array::LargeBinaryArray::from_iter_values(bytes));
        }
        let ints = || {
            self.words.iter().map(|word| match word {
                Word::Int(value) => *value,
                Word::Bytes(_) => 0,
            })
        };
        if ints().any(|value| i64::try_from(value).is_err()) {
            return Arc::new(arrow_array::UInt64Array::from_iter_values(ints().map(|value| value as u64)));
        }
        Arc::new(arrow_array::Int64Array::from_iter_values(ints().map(|value| value as i64)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::types::Int32Type;
    use arrow_array::{DictionaryArray, Int64Array, StringArray};
    use std::sync::Arc;

    #[test]
    fn values_keep_the_order_in_which_they_came() {
        let mut vocabulary = Vocabulary::default();
        vocabulary.extend(&(Arc::new(StringArray::from(vec![Some("b"), None, Some("a"), Some("b")])) as ArrayRef));
        let dictionary: DictionaryArray<Int32Type> = ["c", "a"].into_iter().collect();
        vocabulary.extend(&(Arc::new(dictionary) as ArrayRef));
        let words: Vec<_> = vocabulary.to_array(true).as_string::<i64>().iter().flatten().map(str::to_owned).collect();
        assert_eq!(words, ["b", "a", "c"]);
        assert_eq!(vocabulary.find(ValueKey::Bytes(b"c")), Some(2));
        assert_eq!(vocabulary.find(ValueKey::Int(2)), None);
    }

    #[test]
    fn a_vocabulary_has_each_value_once() {
        let twice: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 1]));
        assert!(Vocabulary::try_new(&twice).unwrap_err().to_string().contains("1 twice"));
        let null: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(1)]));
        assert!(Vocabulary::try_new(&null).is_err());
    }

    #[test]
    fn hashes_are_for_ever() {
        // Published test vectors of XXH3-64: the empty input, seeds 0 and 0x9E3779B185EBCA8D.
        assert_eq!(ValueKey::Bytes(b"").hash(0), 0x2d06_8005_38d3_94c2);
        assert_eq!(ValueKey::Bytes(b"").hash(0x9e37_79b1_85eb_ca8d), 0xa8a6_b918_b2f0_364a);
        assert_eq!(ValueKey::Int(-1).hash(7), ValueKey::Bytes(&[255; 8]).hash(7));
    }
}
