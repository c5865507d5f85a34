//! Letting the other ready connections of a thread go first, and noticing whether there are any.
//!
//! A connection without a pipeline waits for memory while its neighbours are served. That pays only in
//! company: alone, each turn in the run queue is lost time, so a thread that keeps finding nobody else
//! stops asking, but for a try now and then.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::Poll;

/// After so many turns without company a thread asks only now and then.
const LONELY_TURNS_MAX: u32 = 8;

/// How often that is: every so many requests. A power of two.
const LONELY_TRY_EVERY: u32 = 16;

thread_local! {
    /// Connections of this thread that let others go first right now.
    static WAITING: Cell<u32> = const { Cell::new(0) };
    /// Turns in a row without company.
    static LONELY: Cell<u32> = const { Cell::new(0) };
}

/// Whether letting others go first is likely to find others.
#[inline]
pub(crate) fn pays() -> bool {
    let lonely = LONELY.get();
    if lonely < LONELY_TURNS_MAX {
        return true;
    }
    LONELY.set(lonely.wrapping_add(1).max(LONELY_TURNS_MAX));
    lonely.is_multiple_of(LONELY_TRY_EVERY)
}

/// Lets the others go first, once. Gives whether any of them was at the same point.
///
/// The waker puts this task behind them in the run queue at once; tokio's `yield_now` would wait until
/// the socket driver has been asked for news, which costs a system call.
pub(crate) fn relay() -> impl Future<Output = bool> {
    let mut relayed = false;
    poll_fn(move |context| {
        let waiting = WAITING.get();
        if relayed {
            WAITING.set(waiting - 1);
            let company = waiting > 1;
            LONELY.set(if company { 0 } else { LONELY.get().saturating_add(1) });
            return Poll::Ready(company);
        }
        relayed = true;
        WAITING.set(waiting + 1);
        context.waker().wake_by_ref();
        Poll::Pending
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn company_is_noticed_and_loneliness_is_remembered() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (first, second) = runtime.block_on(async { tokio::join!(relay(), relay()) });
        assert_ne!(first, second, "who is first finds the other still waiting, the last nobody");
        LONELY.set(0);
        runtime.block_on(async {
            for _ in 0..LONELY_TURNS_MAX {
                assert!(pays());
                assert!(!relay().await);
            }
        });
        let tries = (0..10 * LONELY_TRY_EVERY).filter(|_| pays()).count();
        assert_eq!(tries, 10);
    }
}
