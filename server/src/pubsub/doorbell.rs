//! How a thread learns that its connections have mail.
//!
//! To wake a task of another thread costs a system call. So whoever publishes leaves a list of those who
//! have mail and wakes one task of their thread, once, which wakes the connections from there for next to
//! nothing. Every worker has a doorbell; a client without a socket has none, and looks for its mail itself.

use std::cell::RefCell;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::client::ClientShared;

thread_local! {
    static OF_THIS_THREAD: RefCell<Option<Arc<Doorbell>>> = const { RefCell::new(None) };
}

/// Who of one thread has mail.
#[derive(Debug, Default)]
pub(crate) struct Doorbell {
    have_mail: Mutex<Vec<Arc<ClientShared>>>,
    rung: Notify,
}

impl Doorbell {
    /// The doorbell of this thread, if it is a worker.
    pub(super) fn of_this_thread() -> Option<Arc<Self>> {
        OF_THIS_THREAD.with_borrow(Clone::clone)
    }

    /// Puts a new doorbell up for this thread; the future answers it for as long as it is polled there.
    pub(crate) fn put_up() -> impl Future<Output = ()> {
        let doorbell = Arc::new(Self::default());
        OF_THIS_THREAD.set(Some(Arc::clone(&doorbell)));
        async move {
            loop {
                doorbell.rung.notified().await;
                let have_mail = std::mem::take(&mut *doorbell.have_mail.lock());
                for client in have_mail {
                    client.wake();
                }
            }
        }
    }

    /// Notes that a client has mail; whether it is the first since the thread last looked, so that someone
    /// has to [`ring`](Self::ring).
    pub(super) fn announce(&self, client: &Arc<ClientShared>) -> bool {
        let mut have_mail = self.have_mail.lock();
        have_mail.push(Arc::clone(client));
        have_mail.len() == 1
    }

    /// Wakes the thread.
    pub(super) fn ring(&self) {
        self.rung.notify_one();
    }
}
