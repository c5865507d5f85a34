//! Work that can step aside: it runs on a stack of its own, so that a long script lets the other tasks of
//! its thread run in the middle of a Lua function.
//!
//! [`run`] is awaited; the work inside is ordinary code, and [`step_aside`], called from however deep in it,
//! returns to the runtime and comes back when the task is polled again. Nothing else here knows of scripts.

#![allow(unsafe_code, reason = "switching stacks; see each block")]

use std::cell::{Cell, RefCell};

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};

/// Bytes of a stack: as much as the main thread of a process has. Pages nobody uses take no memory.
const STACK_BYTES: usize = 8 << 20;
/// Stacks a thread keeps for later.
const STACKS_KEPT_MAX: usize = 2;

/// Whether whoever stepped aside may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Back {
    /// It goes on.
    GoOn,
    /// It is to come to its end now, without stepping aside again: nobody waits for it any more.
    End,
}

type Way = Yielder<Back, ()>;
type Work = Coroutine<Back, (), ()>;

thread_local! {
    /// The way back to the runtime, while this thread is on a stack of its own.
    static WAY: Cell<Option<*const Way>> = const { Cell::new(None) };
    static STACKS: RefCell<Vec<DefaultStack>> = const { RefCell::new(Vec::new()) };
}

/// Whether the caller may step aside.
pub(crate) fn may_step_aside() -> bool {
    WAY.get().is_some()
}

/// Lets the other tasks of this thread run, if the caller is inside [`run`].
pub(crate) fn step_aside() -> Back {
    match WAY.get() {
        // SAFETY: the pointer is set only while the coroutine that owns the yielder runs on this thread, and
        // the caller is that coroutine.
        Some(way) => unsafe { &*way }.suspend(()),
        None => Back::GoOn,
    }
}

/// Does some work on a stack of its own, and lets other tasks run whenever it steps aside.
///
/// To be awaited on a runtime that polls a task always on the same thread.
pub(crate) async fn run<R>(work: impl FnOnce() -> R) -> R {
    let mut result = None;
    let into = &mut result;
    let job: Box<dyn FnOnce() + '_> = Box::new(move || *into = Some(work()));
    let mut apart = Apart::new(job);
    while !apart.resume(Back::GoOn) {
        // Sockets are looked at before it goes on.
        tokio::task::yield_now().await;
    }
    drop(apart);
    match result {
        Some(result) => result,
        None => unreachable!("the work was done"),
    }
}

/// Work on its stack. Dropped before its end it is brought to it.
struct Apart {
    work: Option<Work>,
    /// What [`WAY`] is while the work runs.
    way: Option<*const Way>,
}

// SAFETY: what is on the stack belongs to the thread that began it, and stays there: connections and the state
// machine are tasks of `current_thread` runtimes, which poll and drop a task on the thread that runs them.
unsafe impl Send for Apart {}

impl Apart {
    fn new(job: Box<dyn FnOnce() + '_>) -> Self {
        // SAFETY: only the lifetime changes. The job runs inside `resume` or `drop` of this value, which
        // `run` does not outlive, and what the job borrows outlives `run`'s future.
        let job: Box<dyn FnOnce() + 'static> = unsafe { std::mem::transmute(job) };
        let kept = STACKS.with_borrow_mut(Vec::pop);
        let stack = match kept.map_or_else(|| DefaultStack::new(STACK_BYTES), Ok) {
            Ok(stack) => stack,
            Err(error) => panic!("the operating system gives no memory for a stack: {error}"),
        };
        let body = move |way: &Way, _: Back| {
            WAY.set(Some(std::ptr::from_ref(way)));
            job();
        };
        Self { work: Some(Coroutine::with_stack(stack, body)), way: None }
    }

    /// Goes on; whether that was the end.
    fn resume(&mut self, back: Back) -> bool {
        let Some(work) = &mut self.work else { return true };
        let outer = WAY.replace(self.way);
        let result = work.resume(back);
        self.way = WAY.replace(outer);
        matches!(result, CoroutineResult::Return(()))
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        while self.work.as_ref().is_some_and(|work| !work.done()) {
            self.resume(Back::End);
        }
        let Some(work) = self.work.take() else { return };
        let stack = work.into_stack();
        STACKS.with_borrow_mut(|stacks| {
            if stacks.len() < STACKS_KEPT_MAX {
                stacks.push(stack);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn others_run_while_work_steps_aside() {
        let steps = Cell::new(0);
        let work = run(|| {
            let before = steps.get();
            while steps.get() < before + 3 {
                assert_eq!(step_aside(), Back::GoOn);
            }
            "done"
        });
        let others = async {
            for _ in 0..3 {
                steps.set(steps.get() + 1);
                tokio::task::yield_now().await;
            }
        };
        assert_eq!(tokio::join!(work, others).0, "done");
        assert!(!may_step_aside());
    }

    #[test]
    fn work_that_nobody_waits_for_comes_to_its_end() {
        let ended = Cell::new(false);
        {
            let work = run(|| {
                while step_aside() == Back::GoOn {}
                ended.set(true);
            });
            let mut work = Box::pin(work);
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(work.as_mut().poll(&mut context).is_pending());
            assert!(!ended.get());
        }
        assert!(ended.get());
    }
}
