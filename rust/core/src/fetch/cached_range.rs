//! The state of one range: queued, in flight, ready or failed.

use bytes::Bytes;

use super::range_request::RequestKey;
use crate::Error;

pub(super) struct CachedRange {
    /// When it was requested.
    pub(super) born: u64,
    /// Turns that pin it, and threads that wait for it.
    pub(super) pins: u32,
    pub(super) state: RangeState,
}

pub(super) enum RangeState {
    /// Part of a request that was not sent yet.
    Queued(RequestKey),
    InFlight,
    Ready {
        bytes: Bytes,
        /// The response that it is part of.
        response: u64,
        /// Whether a turn that pins it has read it to its end: it is kept for no other.
        read: bool,
    },
    /// Reported once; a later request fetches it again.
    Failed(Error),
}

impl CachedRange {
    /// Whether nobody but the turn that has read it pins it.
    pub(super) fn is_read(&self) -> bool {
        matches!(self.state, RangeState::Ready { read: true, .. }) && self.pins <= 1
    }

    /// Sets whether it was read to its end, if it is ready.
    pub(super) fn mark_read(&mut self, is_read: bool) {
        if let RangeState::Ready { read, .. } = &mut self.state {
            *read = is_read;
        }
    }

    /// The bytes that cannot be evicted.
    pub(super) fn pinned_bytes(&self) -> u64 {
        match &self.state {
            RangeState::Ready { bytes, .. } if self.pins > 0 && !self.is_read() => bytes.len() as u64,
            _ => 0,
        }
    }
}
