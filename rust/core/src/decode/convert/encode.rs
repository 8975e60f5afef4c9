//! Ids of values: a hash modulo the number of buckets, or the index in a vocabulary. Nulls get an id of their own.

use std::sync::{Arc, OnceLock};

use arrow_array::{Array, ArrayRef, Int64Array};
use arrow_buffer::NullBuffer;

use super::cast;
use super::location::ValueLocation;
use super::nulls::{mask, refuse, union};
use crate::Result;
use crate::decode::vocabulary::{ValueKey, Vocabulary, dictionary, keys};
use crate::decode::{Nulls, Number};

/// Where ids come from.
#[derive(Debug, Clone)]
pub(super) enum Ids {
    Hash { buckets: u64, seed: u64 },
    Codes { vocabulary: Arc<OnceLock<Vocabulary>>, unknown: Option<i64> },
}

/// One id a value.
#[derive(Debug, Clone)]
pub(super) struct IdConversion {
    pub(super) ids: Ids,
    /// None: nulls have an id.
    pub(super) nulls: Option<Nulls>,
    /// The id of nulls, where one was given; None: the id after all others.
    pub(super) fill: Option<i64>,
    pub(super) to: Number,
    pub(super) tensors: bool,
}

/// An id, unless the value is unknown and nothing was said of such.
type Id = Option<i64>;

impl IdConversion {
    /// The ids, and under `Nulls::Mask` where values were null.
    pub(super) fn run(
        &self,
        array: &ArrayRef,
        outer: Option<&NullBuffer>,
        at: &ValueLocation<'_>,
    ) -> Result<Vec<ArrayRef>> {
        let nulls = union(array.as_ref(), outer);
        let nulls = nulls.as_ref();
        if self.nulls == Some(Nulls::Error) {
            refuse(nulls, at)?;
        }
        let of_null = self.fill.unwrap_or_else(|| self.null_id());
        let is_null = |index: usize| nulls.is_some_and(|nulls| nulls.is_null(index));
        let mut out: Vec<i64> = Vec::with_capacity(array.len());
        if let Some((values, places)) = dictionary(array) {
            if values.len() > places.len() {
                // Of a large dictionary only what these rows use.
                let places: Vec<u64> = places.iter().map(|&place| place as u64).collect();
                let plain = arrow_select::take::take(&values, &arrow_array::UInt64Array::from(places), None);
                let plain = plain?;
                return self.run(&plain, nulls, at);
            }
            let mut of_value: Vec<Id> = Vec::with_capacity(values.len());
            let Ok(()) = keys(&values, |_, key| {
                of_value.push(self.id(key));
                Ok::<(), std::convert::Infallible>(())
            });
            for (index, place) in places.into_iter().enumerate() {
                match of_value.get(place) {
                    _ if is_null(index) => out.push(of_null),
                    Some(Some(id)) => out.push(*id),
                    _ => return Err(self.unknown(&values, place, index, at)),
                }
            }
        } else {
            keys(array, |index, key| {
                out.push(match self.id(key) {
                    _ if is_null(index) => of_null,
                    Some(id) => id,
                    None => return Err(self.unknown(array, index, index, at)),
                });
                Ok(())
            })?;
        }
        let ids: ArrayRef = Arc::new(Int64Array::from(out));
        let ids = cast::cast(&ids, Number::I64, self.to, false, None).map_err(|index| {
            at.error(index, &format!("an id that {} does not hold", self.to.name()), "take a wider dtype=")
        })?;
        let mut made = vec![ids];
        if self.nulls == Some(Nulls::Mask) {
            made.push(mask(nulls, array.len(), self.tensors));
        }
        Ok(made)
    }

    fn id(&self, key: ValueKey<'_>) -> Id {
        match &self.ids {
            Ids::Hash { buckets, seed } => Some((key.hash(*seed) % buckets).cast_signed()),
            Ids::Codes { vocabulary, unknown } => {
                vocabulary.get().and_then(|vocabulary| vocabulary.find(key)).map(|place| place as i64).or(*unknown)
            }
        }
    }

    /// The id of a null: the one after those of values.
    pub(super) fn null_id(&self) -> i64 {
        match &self.ids {
            Ids::Hash { buckets, .. } => buckets.cast_signed(),
            Ids::Codes { vocabulary, .. } => vocabulary.get().map_or(0, Vocabulary::len) as i64,
        }
    }

    fn unknown(&self, values: &ArrayRef, place: usize, index: usize, at: &ValueLocation<'_>) -> crate::Error {
        let mut shown = String::new();
        let Ok(()) = keys(&values.slice(place.min(values.len().saturating_sub(1)), values.len().min(1)), |_, key| {
            shown = key.shown();
            Ok::<(), std::convert::Infallible>(())
        });
        at.error(
            index,
            &format!("the value {shown}, which the vocabulary does not have,"),
            "add it, or say what unknown values are (unknown=)",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::convert::RowLocation;
    use arrow_array::StringArray;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Int32Type, Int64Type};

    const FROM: RowLocation<'static> = RowLocation { path: "a.parquet", column: "x", first_row: 100, set: None };

    fn encoded(ids: Ids) -> IdConversion {
        IdConversion { ids, nulls: None, fill: None, to: Number::I64, tensors: true }
    }

    fn ids(of: &IdConversion, array: &ArrayRef) -> Result<Vec<i64>> {
        let made = of.run(array, None, &ValueLocation { from: FROM, row: &|row| row, policies: &["fill", "mask"] })?;
        Ok(made[0].as_primitive::<Int64Type>().values().to_vec())
    }

    #[test]
    fn dictionaries_and_plain_values_get_the_same_ids() {
        let rows = [Some("a"), None, Some("b"), Some("a"), Some("zz")];
        let plain: ArrayRef = Arc::new(StringArray::from(rows.to_vec()));
        let dictionary: ArrayRef = Arc::new(rows.into_iter().collect::<arrow_array::DictionaryArray<Int32Type>>());
        let hash = encoded(Ids::Hash { buckets: 1000, seed: 3 });
        let found = ids(&hash, &plain).unwrap();
        assert_eq!(found, ids(&hash, &dictionary).unwrap());
        assert_eq!((found[1], found[0]), (1000, found[3]));

        let words: ArrayRef = Arc::new(StringArray::from(vec!["b", "a"]));
        let vocabulary = Arc::new(OnceLock::from(Vocabulary::try_new(&words).unwrap()));
        let codes = encoded(Ids::Codes { vocabulary: vocabulary.clone(), unknown: Some(7) });
        assert_eq!(ids(&codes, &plain).unwrap(), [1, 2, 0, 1, 7]);
        assert_eq!(ids(&codes, &dictionary).unwrap(), [1, 2, 0, 1, 7]);
        let filled = |fill| IdConversion { nulls: Some(Nulls::Fill), fill, ..codes.clone() };
        assert_eq!(ids(&filled(None), &dictionary).unwrap(), [1, 2, 0, 1, 7]);
        assert_eq!(ids(&filled(Some(0)), &dictionary).unwrap(), [1, 0, 0, 1, 7]);
        let strict = encoded(Ids::Codes { vocabulary, unknown: None });
        for array in [plain, dictionary] {
            let error = ids(&strict, &array).unwrap_err().to_string();
            assert!(error.contains("\"zz\"") && error.contains("row 104"), "{error}");
        }
    }
}
