//! Stopping: a flag that everybody sees and can wait for.
//!
//! Set once, by SIGTERM, SIGINT, SHUTDOWN or the embedding program. The acceptor then takes no more
//! connections, and each connection answers what it has read, flushes and closes.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Whether the server is to stop.
#[derive(Debug, Default)]
pub struct Shutdown {
    begun: AtomicBool,
    notify: Notify,
}

impl Shutdown {
    /// Begins the stop. Further calls change nothing.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.notify.notify_waiters();
    }

    /// Whether the stop has begun.
    #[inline]
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Waits until the stop begins.
    pub async fn wait(&self) {
        let notified = self.notify.notified();
        tokio::pin!(notified);
        // Registered before the look, so a stop in between is not missed.
        notified.as_mut().enable();
        if !self.has_begun() {
            notified.await;
        }
    }
}
