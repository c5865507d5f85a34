//! The gate between readers and a snapshot that is being installed.
//!
//! Everything a node knows is replaced entry by entry when it installs a snapshot, and nobody may look
//! meanwhile. Readers pass with one atomic addition to a line of their thread's own; the installation
//! waits for those inside and keeps the others out, who try again later.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;

/// Lines that readers spread over.
const LANES: usize = 16;
/// How often the installation looks whether the last reader has left: reads take microseconds.
const LOOK: Duration = Duration::from_millis(1);

/// Open, or closed while a snapshot is installed.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    closed: AtomicBool,
    inside: [CachePadded<AtomicUsize>; LANES],
}

/// A reader inside.
#[derive(Debug)]
pub(crate) struct Inside<'a>(&'a AtomicUsize);

/// Keeps the gate closed.
#[derive(Debug)]
pub(crate) struct Closed<'a>(&'a Gate);

impl Gate {
    /// Goes in; `None` while the gate is closed. `lane` spreads readers: a number of the thread's own.
    #[inline]
    pub(crate) fn enter(&self, lane: usize) -> Option<Inside<'_>> {
        let inside = &self.inside[lane % LANES];
        inside.fetch_add(1, Ordering::SeqCst);
        let inside = Inside(inside);
        // Counted first: either the installation sees this reader, or this reader sees the gate closed.
        if self.closed.load(Ordering::SeqCst) { None } else { Some(inside) }
    }

    /// Closes the gate and waits until nobody is inside.
    pub(crate) async fn close(&self) -> Closed<'_> {
        self.closed.store(true, Ordering::SeqCst);
        let closed = Closed(self);
        while self.inside.iter().any(|inside| inside.load(Ordering::SeqCst) > 0) {
            tokio::time::sleep(LOOK).await;
        }
        closed
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.closed.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_is_inside_while_the_gate_is_closed() {
        let gate = Gate::default();
        let inside = gate.enter(3).expect("open");
        let closing = gate.close();
        tokio::pin!(closing);
        let still = tokio::time::timeout(Duration::from_millis(20), &mut closing).await;
        assert!(still.is_err(), "closed around a reader");
        assert!(gate.enter(3).is_none() && gate.enter(4).is_none(), "entered a closing gate");
        drop(inside);
        let closed = closing.await;
        assert!(gate.enter(0).is_none());
        drop(closed);
        assert!(gate.enter(0).is_some());
    }
}
