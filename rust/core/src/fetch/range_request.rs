//! One request for neighbouring ranges of an object.

use std::ops::Range;
use std::sync::Arc;

use super::object_ref::ObjectRef;

/// A range: its file, its first byte and the byte after its last.
pub(super) type RangeKey = (u32, u64, u64);
/// A queued request: its turn, its file, its first byte, and a number that makes it unique.
pub(super) type RequestKey = (u64, u32, u64, u64);

/// Ascending ranges of one object, fetched by one request.
pub(super) struct RangeRequest {
    pub(super) object: Arc<ObjectRef>,
    pub(super) ranges: Vec<Range<u64>>,
}

impl RangeRequest {
    /// As few requests for these ranges as gaps of up to `gap` bytes and requests of up to `most` bytes allow.
    pub(super) fn group(object: &Arc<ObjectRef>, mut ranges: Vec<Range<u64>>, gap: u64, most: u64) -> Vec<Self> {
        ranges.sort_unstable_by_key(|range| range.start);
        let mut requests: Vec<Self> = Vec::new();
        for range in ranges {
            match requests.last_mut() {
                Some(Self { ranges, .. })
                    if ranges.last().is_some_and(|last| range.start.saturating_sub(last.end) <= gap)
                        && ranges.first().is_some_and(|first| range.end - first.start <= most) =>
                {
                    ranges.push(range);
                }
                _ => requests.push(Self { object: Arc::clone(object), ranges: vec![range] }),
            }
        }
        requests
    }

    /// The bytes from the first range's start to the last one's end.
    pub(super) fn bytes(&self) -> u64 {
        let end = self.ranges.iter().map(|range| range.end).max().unwrap_or(0);
        end - self.ranges.first().map_or(end, |range| range.start)
    }

    /// Whether a range begins where the request ends, and fits into a request of `most` bytes.
    pub(super) fn continues_with(&self, range: &Range<u64>, most: u64) -> bool {
        self.ranges.last().is_some_and(|last| last.end == range.start) && self.bytes() + range.end - range.start <= most
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = RangeKey> + use<'_> {
        self.ranges.iter().map(|range| (self.object.file, range.start, range.end))
    }
}
