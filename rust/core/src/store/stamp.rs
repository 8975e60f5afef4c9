//! The version of an object, as its store describes it, so that a change is noticed.

use object_store::ObjectMeta;

/// Another stamp, and it is another content. Listings and answers of one store need not tell the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stamp {
    /// Its size in bytes.
    pub size: u64,
    /// Its ETag; empty where it is not known.
    etag: String,
    /// The second it was written in; empty where it is not known.
    written: String,
}

impl Stamp {
    pub(super) fn of(meta: &ObjectMeta) -> Self {
        let etag = meta.e_tag.as_deref().unwrap_or_default();
        let when = meta.last_modified;
        Self {
            size: meta.size,
            // Listings and answers of one store may differ in the quotes.
            etag: etag.trim_start_matches("W/").trim_matches('"').to_owned(),
            // Listings tell parts of a second, answers do not.
            written: if when.timestamp() > 0 { when.format("%Y-%m-%dT%H:%M:%SZ").to_string() } else { String::new() },
        }
    }

    /// Of an object of a plan, which keeps the [`text`](Self::text).
    pub fn planned(size: u64, text: &str) -> Self {
        let (etag, written) = text.rsplit_once(' ').unwrap_or((text, ""));
        Self { size, etag: etag.to_owned(), written: written.to_owned() }
    }

    /// All but its size, for a plan.
    pub fn text(&self) -> String {
        format!("{} {}", self.etag, self.written)
    }

    /// The second it was written in, by the store's clock, as `2026-01-31T12:00:00Z`; empty where it is not known.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// What tells its content from another of the same size, if anything does.
    pub fn tag(&self) -> Option<&str> {
        [&self.etag, &self.written].into_iter().map(String::as_str).find(|tag| !tag.is_empty())
    }

    /// Whether both may be the same content: by the ETag where both have one, else by the time where both have one.
    pub fn fits(&self, other: &Self) -> bool {
        let same = |pair: [&str; 2]| (!pair.contains(&"")).then(|| pair[0] == pair[1]);
        let of_tags = same([&self.etag, &other.etag]);
        self.size == other.size && of_tags.or_else(|| same([&self.written, &other.written])).unwrap_or(true)
    }

    /// Adds what another one knows of the same content.
    pub(super) fn learn(&mut self, other: &Self) {
        for (mine, theirs) in [(&mut self.etag, &other.etag), (&mut self.written, &other.written)] {
            if mine.is_empty() {
                mine.clone_from(theirs);
            }
        }
    }

    /// What is different in another one that does not fit.
    pub(super) fn difference(&self, found: &Self) -> String {
        if self.size != found.size {
            format!("the object's size changed from {} to {} bytes", self.size, found.size)
        } else if self.etag.is_empty() || found.etag.is_empty() {
            format!("the object was written at {}, and is now of {}", self.written, found.written)
        } else {
            format!("the object's ETag changed from {} to {}", self.etag, found.etag)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stamp() -> impl Strategy<Value = Stamp> {
        let some = || prop_oneof![Just(String::new()), Just("a".to_owned()), Just("b".to_owned())];
        let etag = prop_oneof![some(), Just("a b".to_owned()), Just(" a".to_owned())];
        (1_u64..3, etag, some()).prop_map(|(size, etag, written)| Stamp { size, etag, written })
    }

    proptest! {
        #[test]
        fn what_is_known_of_both_decides(a in stamp(), b in stamp()) {
            let differ = |a: &str, b: &str| !a.is_empty() && !b.is_empty() && a != b;
            let both = !a.etag.is_empty() && !b.etag.is_empty();
            let other = if both { a.etag != b.etag } else { differ(&a.written, &b.written) };
            prop_assert_eq!(a.fits(&b), a.size == b.size && !other);
            prop_assert_eq!(a.fits(&b), b.fits(&a));
            prop_assert_eq!(&Stamp::planned(a.size, &a.text()), &a);
            if a.fits(&b) {
                let mut learned = a.clone();
                learned.learn(&b);
                prop_assert!(learned.fits(&a) && learned.tag().is_some() == (a.tag().is_some() || b.tag().is_some()));
            }
        }
    }
}
