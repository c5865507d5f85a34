//! A client: what a connection remembers between requests, and what others may see of it.
//!
//! [`Client`] belongs to the connection's task. [`ClientShared`] is its public half in the registry:
//! CLIENT LIST reads it, CLIENT KILL asks it to close. The task publishes there once a batch.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use dashmap::DashMap;
use hallpass_engine::Stamp;
use parking_lot::Mutex;

use crate::command::table::Entry;
use crate::resp::reply::Protocol;

/// Whether replies are sent (CLIENT REPLY).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyMode {
    /// All.
    #[default]
    On,
    /// None.
    Off,
    /// All but the next command's.
    SkipNext,
    /// Not the present command's.
    SkipThis,
}

/// The private half of a connection's state.
#[derive(Debug)]
pub struct Client {
    /// The database chosen with SELECT.
    pub db: u8,
    /// The protocol chosen with HELLO.
    pub protocol: Protocol,
    /// Whether it has authenticated, or need not.
    pub authenticated: bool,
    /// CLIENT REPLY.
    pub reply_mode: ReplyMode,
    /// Close once what was written has been sent.
    pub closing: bool,
    /// CLIENT NO-EVICT.
    pub no_evict: bool,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// The last command that ran.
    pub last_command: Option<&'static Entry>,
    /// The public half.
    pub shared: Arc<ClientShared>,
}

/// What others may see of a client.
#[derive(Debug)]
pub struct ClientShared {
    /// Its number; never used again.
    pub id: u64,
    /// Where it connected from.
    pub address: Box<str>,
    /// Where it connected to.
    pub local_address: Box<str>,
    /// The socket's descriptor, for CLIENT LIST; -1 without one.
    pub descriptor: i32,
    /// When it connected.
    pub connected: Stamp,
    /// Names it gave itself.
    pub names: Mutex<Names>,
    /// When its last batch began, in milliseconds.
    seen_millis: AtomicU64,
    /// What CLIENT LIST shows, packed: see [`Published`].
    published: Mutex<Published>,
    killed: AtomicBool,
    waker: OnceLock<Waker>,
}

/// Names a client gave itself.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// CLIENT SETNAME.
    pub name: Box<str>,
    /// CLIENT SETINFO LIB-NAME.
    pub library: Box<str>,
    /// CLIENT SETINFO LIB-VER.
    pub library_version: Box<str>,
}

/// The part of the private half that CLIENT LIST shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Published {
    /// The database.
    pub db: u8,
    /// The protocol.
    pub protocol: Protocol,
    /// CLIENT NO-EVICT.
    pub no_evict: bool,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// The last command.
    pub last_command: Option<&'static Entry>,
    /// Bytes of requests waiting.
    pub input_bytes: usize,
    /// Bytes the read buffer could still take.
    pub input_free_bytes: usize,
    /// Bytes of replies waiting.
    pub output_bytes: usize,
}

impl Client {
    /// A client that has just connected.
    pub fn new(shared: Arc<ClientShared>, authenticated: bool) -> Self {
        Self {
            db: 0,
            protocol: Protocol::Resp2,
            authenticated,
            reply_mode: ReplyMode::On,
            closing: false,
            no_evict: false,
            no_touch: false,
            last_command: None,
            shared,
        }
    }

    /// Makes the present state visible to CLIENT LIST and the idle timeout.
    #[inline]
    pub fn publish_seen(&self, now: Stamp) {
        self.shared.seen_millis.store(now.millis(), Ordering::Relaxed);
    }

    /// What CLIENT LIST shows of the private half.
    pub fn published(&self) -> Published {
        Published {
            db: self.db,
            protocol: self.protocol,
            no_evict: self.no_evict,
            no_touch: self.no_touch,
            last_command: self.last_command,
            ..Published::default()
        }
    }
}

impl ClientShared {
    /// The public half of a new client.
    pub fn new(
        id: u64,
        address: Box<str>,
        local_address: Box<str>,
        descriptor: i32,
        connected: Stamp,
    ) -> Self {
        Self {
            id,
            address,
            local_address,
            descriptor,
            connected,
            names: Mutex::default(),
            seen_millis: AtomicU64::new(connected.millis()),
            published: Mutex::default(),
            killed: AtomicBool::new(false),
            waker: OnceLock::new(),
        }
    }

    /// When its last batch began.
    pub fn seen(&self) -> Stamp {
        Stamp::from_millis(self.seen_millis.load(Ordering::Relaxed))
    }

    /// Replaces what CLIENT LIST shows.
    pub fn publish(&self, published: Published) {
        *self.published.lock() = published;
    }

    /// What CLIENT LIST shows.
    pub fn published(&self) -> Published {
        *self.published.lock()
    }

    /// Asks the connection to close, and wakes it.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Whether it has been asked to close.
    #[inline]
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// Keeps the connection task's waker. A task has one waker for its life, so it is kept once, and a
    /// kill that comes before the first wait is seen because the task looks right after this.
    pub fn keep_waker(&self, waker: &Waker) {
        self.waker.get_or_init(|| waker.clone());
    }
}

/// All connected clients by id.
#[derive(Debug, Default)]
pub struct Clients {
    map: DashMap<u64, Arc<ClientShared>>,
    last_id: AtomicU64,
}

impl Clients {
    /// A number for a new client; the first is 1.
    pub fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Makes a client visible.
    pub fn insert(&self, client: Arc<ClientShared>) {
        self.map.insert(client.id, client);
    }

    /// Forgets a client.
    pub fn remove(&self, id: u64) {
        self.map.remove(&id);
    }

    /// How many are connected.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether nobody is connected.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The client of this id.
    pub fn get(&self, id: u64) -> Option<Arc<ClientShared>> {
        self.map.get(&id).map(|client| Arc::clone(&client))
    }

    /// All clients in the order they came.
    pub fn list(&self) -> Vec<Arc<ClientShared>> {
        let mut list: Vec<_> = self.map.iter().map(|client| Arc::clone(client.value())).collect();
        list.sort_unstable_by_key(|client| client.id);
        list
    }
}
