//! Letting the other ready connections of a thread go first, and noticing whether there are any.
//!
//! A connection without a pipeline waits for memory while its neighbours are served; one with a pipeline
//! holds its replies back until its neighbours have theirs. That pays only in company: alone, each turn
//! in the run queue is lost time, so a thread that keeps finding nobody else stops asking, but for a try
//! now and then.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::Poll;

/// After so many turns without company a thread asks only now and then.
const LONELY_TURNS_MAX: u32 = 8;

/// How often that is: every so many requests. A power of two.
const LONELY_TRY_EVERY: u32 = 16;

/// The most bytes of replies that a thread holds back: about what a processor's cache keeps.
const HELD_BYTES_MAX: usize = 1 << 20;

thread_local! {
    /// Connections of this thread that let others go first right now.
    static WAITING: Cell<u32> = const { Cell::new(0) };
    /// Bytes of replies of this thread that wait for those of others.
    static HELD_BYTES: Cell<usize> = const { Cell::new(0) };
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

/// Lets the others write their replies before `bytes` of this connection's are sent, so that all go out
/// in a row.
///
/// Who is sent something is woken, on another core as a rule, and that interrupt costs the sender about as
/// much as executing a short pipeline. Of replies in a row only the first finds a client asleep that has
/// many connections.
#[inline]
pub(crate) async fn hold(bytes: usize) {
    let held = HELD_BYTES.get() + bytes;
    if bytes == 0 || held > HELD_BYTES_MAX || !pays() {
        return;
    }
    HELD_BYTES.set(held);
    relay().await;
    HELD_BYTES.set(HELD_BYTES.get() - bytes);
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

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

    /// What two connections do, in order, whose replies have so many bytes.
    fn written_and_sent(bytes: [usize; 2]) -> Vec<(usize, &'static str)> {
        let order = Rc::new(RefCell::new(Vec::new()));
        let tasks = tokio::task::LocalSet::new();
        for (connection, bytes) in bytes.into_iter().enumerate() {
            let order = Rc::clone(&order);
            tasks.spawn_local(async move {
                order.borrow_mut().push((connection, "written"));
                hold(bytes).await;
                order.borrow_mut().push((connection, "sent"));
            });
        }
        LONELY.set(0);
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(tasks);
        assert_eq!(HELD_BYTES.get(), 0);
        order.take()
    }

    #[test]
    fn replies_wait_for_those_of_others_up_to_a_limit() {
        let in_a_row = [(0, "written"), (1, "written"), (0, "sent"), (1, "sent")];
        assert_eq!(written_and_sent([10, HELD_BYTES_MAX - 10]), in_a_row);
        let too_many = [(0, "written"), (1, "written"), (1, "sent"), (0, "sent")];
        assert_eq!(written_and_sent([10, HELD_BYTES_MAX - 9]), too_many);
        assert_eq!(written_and_sent([0, 0])[1], (0, "sent"), "no reply is no reason to wait");
    }
}
