//! The buffers of a connection at work, lent by its thread while it has something to do.
//!
//! An idle connection holds none, so ten thousand of them cost no more than their tasks, and the
//! buffers that are in use stay in the processor's cache: the one given back last goes out first.

use std::cell::RefCell;

use crate::dispatch::Prepared;
use crate::resp::request::Requests;

/// What a read buffer starts with: more than any usual burst, so that a read that does not fill it tells
/// that the socket is empty, without a second call.
pub(crate) const INPUT_BYTES: usize = 32 * 1024;

/// What an output buffer starts with.
const OUTPUT_BYTES: usize = 32 * 1024;

/// The beginning of a request of up to so many bytes is kept in buffers of its size.
const PACKED_BYTES_MAX: usize = 1024;

/// Buffers that grew past this are not kept.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// How many sets of buffers a thread keeps.
const KEPT_MAX: usize = 256;

thread_local! {
    #[allow(clippy::vec_box, reason = "a connection holds and moves the box")]
    static FREE: RefCell<Vec<Box<Buffers>>> = const { RefCell::new(Vec::new()) };
}

/// One connection's buffers.
#[derive(Debug)]
pub(crate) struct Buffers {
    /// Bytes from the socket: requests not executed yet, and the beginning of the next one.
    pub(crate) input: Vec<u8>,
    /// The requests in `input`.
    pub(crate) requests: Requests,
    /// The first request that was not executed.
    pub(crate) next: usize,
    /// What is known of the requests from `next` on; empty unless a batch is under way.
    pub(crate) prepared: Vec<Prepared>,
    /// Whether a script is among those, so that they are to run on a stack of their own.
    pub(crate) runs_scripts: bool,
    /// Replies not sent yet.
    pub(crate) output: Vec<u8>,
}

impl Buffers {
    /// A set of buffers, empty.
    #[allow(clippy::unnecessary_box_returns, reason = "the box is kept and given back")]
    pub(crate) fn take() -> Box<Self> {
        FREE.with_borrow_mut(Vec::pop).unwrap_or_else(|| {
            Box::new(Self {
                input: Vec::with_capacity(INPUT_BYTES),
                requests: Requests::default(),
                next: 0,
                prepared: Vec::new(),
                runs_scripts: false,
                output: Vec::with_capacity(OUTPUT_BYTES),
            })
        })
    }

    /// The same in no more memory than the beginning of a short request takes: there may be many clients
    /// whose rest does not come.
    #[allow(clippy::unnecessary_box_returns, reason = "the box is kept")]
    pub(crate) fn pack(self: Box<Self>) -> Box<Self> {
        if self.input.len() > PACKED_BYTES_MAX || self.is_packed() {
            return self;
        }
        let requests = Requests { spans: self.requests.spans.clone(), frames: Vec::new() };
        let packed = Box::new(Self {
            input: self.input.clone(),
            requests,
            next: 0,
            prepared: Vec::new(),
            runs_scripts: false,
            output: Vec::new(),
        });
        self.release();
        packed
    }

    /// Buffers of full size with what was packed.
    #[cold]
    #[allow(clippy::unnecessary_box_returns, reason = "the box is kept and given back")]
    pub(crate) fn unpack(&self) -> Box<Self> {
        let mut buffers = Self::take();
        buffers.input.extend_from_slice(&self.input);
        buffers.requests.spans.extend_from_slice(&self.requests.spans);
        buffers
    }

    /// Whether they are too small to work with.
    #[inline]
    pub(crate) fn is_packed(&self) -> bool {
        self.input.capacity() <= PACKED_BYTES_MAX
    }

    /// Gives the buffers back. They hold nothing anybody needs.
    pub(crate) fn release(mut self: Box<Self>) {
        let grown = self.input.capacity() + self.output.capacity() > KEPT_BYTES_MAX
            || self.requests.spans.capacity() > KEPT_BYTES_MAX / 8;
        if grown {
            return;
        }
        self.input.clear();
        self.output.clear();
        self.requests.spans.clear();
        self.requests.frames.clear();
        self.prepared.clear();
        self.next = 0;
        FREE.with_borrow_mut(|free| {
            if free.len() < KEPT_MAX {
                free.push(self);
            }
        });
    }
}
