//! How many parts of uploads may be under way: fewer on a link that is too slow for all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Error, Result};

/// Parts under way, of all uploads that share one.
const WINDOW: u32 = 16;
/// A part that took too long takes so many times as much of the window from then on.
const FEWER: u32 = 4;

/// What the uploads of one save share: the parts that may be under way.
///
/// A part that nobody answers in time may be one of too many for the link. Then fewer are under way, down to one.
#[derive(Debug, Clone)]
pub struct Uploads {
    window: Arc<Semaphore>,
    /// How much of the window a part takes.
    share: Arc<AtomicU32>,
}

impl Default for Uploads {
    fn default() -> Self {
        Self { window: Arc::new(Semaphore::new(WINDOW as usize)), share: Arc::new(AtomicU32::new(1)) }
    }
}

impl Uploads {
    /// The part's place in the window, when there is room.
    pub(super) async fn slot(&self) -> Result<OwnedSemaphorePermit> {
        let share = self.share.load(Ordering::Relaxed);
        Arc::clone(&self.window).acquire_many_owned(share).await.map_err(|_| Error::Closed)
    }

    /// A part that had so much of the window was not answered in time.
    pub(super) fn slower(&self, share: usize) {
        let more = u32::try_from(share).unwrap_or(WINDOW).saturating_mul(FEWER).min(WINDOW);
        self.share.fetch_max(more, Ordering::Relaxed);
    }

    /// One was answered long before.
    pub(super) fn faster(&self) {
        let half = |share: u32| Some((share / 2).max(1));
        let _ = self.share.fetch_update(Ordering::Relaxed, Ordering::Relaxed, half);
    }
}
