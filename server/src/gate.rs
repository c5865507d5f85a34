//! The gate: many pass it at a time to look at the store or change a key, until somebody needs the store
//! for himself.
//!
//! That is a transaction, which nobody may see half of, and the installation of a snapshot, which replaces
//! everything. Going in is one atomic addition to a line of the thread's own; whoever closes the gate
//! waits for those inside and keeps the others out. When that takes long, because a script runs, those who
//! wait may be told that the server is busy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;

use crate::script::aside::{Back, may_step_aside, step_aside};

/// Lines that threads spread over.
const LANES: usize = 16;
/// How often it is looked without pause whether the gate is free: those inside need microseconds.
const SPINS: usize = 200;
/// The pause between two looks after that.
const LOOK: Duration = Duration::from_millis(1);

/// How often a thread lets others run before it sleeps between two looks.
const YIELDS: usize = 1_000;
/// Between two looks of a thread that sleeps.
const DOZE: Duration = Duration::from_micros(200);

/// Open, or closed for all but one.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// Set while whoever closed the gate takes so long that nobody should wait.
    pub(crate) busy: Arc<AtomicBool>,
    closed: AtomicBool,
    inside: [CachePadded<AtomicUsize>; LANES],
}

/// One who is inside.
#[derive(Debug)]
pub(crate) struct Inside<'a>(&'a AtomicUsize);

/// Keeps the gate closed.
#[derive(Debug)]
pub(crate) struct Closed<'a>(&'a Gate);

/// The lane of the calling thread.
#[inline]
fn lane() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static LANE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % LANES);
    LANE.with(|lane| *lane)
}

impl Gate {
    /// Goes in; `None` while the gate is closed.
    #[inline]
    pub(crate) fn enter(&self) -> Option<Inside<'_>> {
        let inside = &self.inside[lane()];
        inside.fetch_add(1, Ordering::SeqCst);
        let inside = Inside(inside);
        // Counted first: either who closes the gate sees this one, or this one sees the gate closed.
        if self.closed.load(Ordering::SeqCst) { None } else { Some(inside) }
    }

    /// Goes in, and keeps the thread until it can: for gates that are closed for microseconds.
    #[inline]
    pub(crate) fn enter_soon(&self) -> Inside<'_> {
        match self.enter() {
            Some(inside) => inside,
            None => self.enter_later(),
        }
    }

    #[cold]
    fn enter_later(&self) -> Inside<'_> {
        loop {
            pause_until(|| !self.closed.load(Ordering::SeqCst));
            if let Some(inside) = self.enter() {
                return inside;
            }
        }
    }

    /// The same, or `None` when the gate is closed for long.
    #[cold]
    fn enter_unless_busy(&self) -> Option<Inside<'_>> {
        loop {
            pause_until(|| !self.closed.load(Ordering::SeqCst) || self.is_busy());
            if let Some(inside) = self.enter() {
                return Some(inside);
            }
            if self.is_busy() {
                return None;
            }
        }
    }

    fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// Goes in, and lets other tasks run until it can.
    pub(crate) async fn entered(&self) -> Inside<'_> {
        for _ in 0..SPINS {
            if let Some(inside) = self.enter() {
                return inside;
            }
            tokio::task::yield_now().await;
        }
        loop {
            if let Some(inside) = self.enter() {
                return inside;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Closes the gate and waits until nobody is inside. Lets other tasks run meanwhile; only one task ever
    /// closes such a gate.
    pub(crate) async fn close(&self) -> Closed<'_> {
        self.closed.store(true, Ordering::SeqCst);
        let closed = Closed(self);
        for _ in 0..SPINS {
            if self.is_empty() {
                return closed;
            }
            std::hint::spin_loop();
        }
        while !self.is_empty() {
            tokio::time::sleep(LOOK).await;
        }
        closed
    }

    /// The same, keeping the thread; any number may want to. Who calls this must not be inside. `None` when
    /// somebody else has closed it for long.
    pub(crate) fn close_soon(&self) -> Option<Closed<'_>> {
        while self.closed.swap(true, Ordering::SeqCst) {
            pause_until(|| !self.closed.load(Ordering::SeqCst) || self.is_busy());
            if self.is_busy() {
                return None;
            }
        }
        let closed = Closed(self);
        pause_until(|| self.is_empty());
        Some(closed)
    }

    fn is_empty(&self) -> bool {
        self.inside.iter().all(|inside| inside.load(Ordering::SeqCst) == 0)
    }
}

/// Waits for something that others do in microseconds, or, when they were interrupted, a little later.
fn pause_until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..SPINS {
        if is_so() {
            return;
        }
        std::hint::spin_loop();
    }
    for _ in 0..YIELDS {
        if is_so() {
            return;
        }
        std::thread::yield_now();
    }
    while !is_so() {
        std::thread::sleep(DOZE);
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

/// A thread that is inside, and may have the store for itself meanwhile.
#[derive(Debug)]
pub(crate) struct Passage<'a> {
    gate: &'a Gate,
    inside: Option<Inside<'a>>,
}

impl<'a> Passage<'a> {
    /// Goes in, unless the gate is closed for long.
    #[inline]
    pub(crate) fn enter(gate: &'a Gate) -> Self {
        Self { gate, inside: gate.enter().or_else(|| gate.enter_unless_busy()) }
    }

    /// Whether it did not go in, because the gate is closed for long.
    #[inline]
    pub(crate) fn is_kept_out(&self) -> bool {
        self.inside.is_none()
    }

    /// Goes out, closes the gate behind everybody, and comes back when what is returned is dropped and
    /// [`Passage::reenter`] called. `None` when somebody else has closed it for long.
    pub(crate) fn close(&mut self) -> Option<Closed<'a>> {
        self.inside = None;
        self.gate.close_soon()
    }

    /// Goes in again.
    pub(crate) fn reenter(&mut self) {
        while may_step_aside() {
            self.inside = self.gate.enter_unless_busy();
            if self.inside.is_some() || step_aside() == Back::End {
                break;
            }
        }
        if self.inside.is_none() {
            self.inside = Some(self.gate.enter_soon());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_is_inside_while_the_gate_is_closed() {
        let gate = Gate::default();
        let inside = gate.enter().expect("open");
        let closing = gate.close();
        tokio::pin!(closing);
        let still = tokio::time::timeout(Duration::from_millis(20), &mut closing).await;
        assert!(still.is_err(), "closed around somebody");
        assert!(gate.enter().is_none(), "entered a closing gate");
        drop(inside);
        let closed = closing.await;
        assert!(gate.enter().is_none());
        drop(closed);
        assert!(gate.enter().is_some());
    }

    /// Each thread adds to both numbers while it has the gate for itself, and finds them equal when it is
    /// one of many.
    #[test]
    fn what_is_done_alone_is_seen_whole() {
        const ROUNDS: usize = 2_000;
        let (gate, first, second) = (Gate::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        let mut passage = Passage::enter(&gate);
                        let seen = first.load(Ordering::Relaxed);
                        assert_eq!(seen, second.load(Ordering::Relaxed));
                        let closed = passage.close().expect("nobody is busy");
                        // Not atomic: two at a time would lose one.
                        first.store(first.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                        std::thread::yield_now();
                        second.store(second.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                        drop(closed);
                        passage.reenter();
                    }
                });
            }
        });
        assert_eq!(first.load(Ordering::Relaxed), 4 * ROUNDS);
    }
}
