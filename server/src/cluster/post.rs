//! How answers come back to the thread that asked.
//!
//! To wake a task of another thread costs a system call. So answers are put into the post of the thread
//! they are for, many at a time, and one task there hands them out, which costs nothing more.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::waiting::Answer;

/// What has arrived for one thread.
#[derive(Debug, Default)]
pub(crate) struct Post {
    arrived: Mutex<Vec<(oneshot::Sender<Answer>, Answer)>>,
    some: Notify,
}

/// Where one answer goes.
#[derive(Debug)]
pub(crate) struct Letter {
    to: oneshot::Sender<Answer>,
    post: Option<Arc<Post>>,
}

impl Post {
    /// Hands out what arrives, for as long as it is polled: on the thread that asks.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            self.some.notified().await;
            let arrived = std::mem::take(&mut *self.arrived.lock());
            for (to, answer) in arrived {
                // The client may have left meanwhile.
                let _gone = to.send(answer);
            }
        }
    }

    /// Tells the thread that something has arrived.
    pub(crate) fn deliver(&self) {
        self.some.notify_one();
    }
}

impl Letter {
    /// A letter that goes straight to its receiver, or through a post.
    pub(crate) fn new(post: Option<&Arc<Post>>) -> (Self, oneshot::Receiver<Answer>) {
        let (to, receiver) = oneshot::channel();
        (Self { to, post: post.cloned() }, receiver)
    }

    /// Sends it; the post it lies in, which is to deliver it.
    pub(crate) fn send(self, answer: Answer) -> Option<Arc<Post>> {
        if let Some(post) = self.post {
            post.arrived.lock().push((self.to, answer));
            return Some(post);
        }
        // Who asked may have given up.
        let _gone = self.to.send(answer);
        None
    }
}
