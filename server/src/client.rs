//! A client: what a connection remembers between requests, and what others may see of it.
//!
//! [`Client`] belongs to the connection's task. [`ClientShared`] is its public half in the registry:
//! CLIENT LIST reads it, CLIENT KILL asks it to close. The task publishes there once a batch.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use dashmap::DashMap;
use hallpass_engine::{SessionHash, Stamp};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::acl::{Acl, DEFAULT_USER, User, Users};
use crate::command::table::Entry;
use crate::pubsub::Subscriptions;
use crate::pubsub::mailbox::Mailbox;
use crate::resp::reply::{Protocol, Reply};
use crate::tracking::Own;
use crate::transaction::{Transaction, Watch};

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
    /// Whether that is by what it said, and so for good.
    has_said_who: bool,
    /// Who it is.
    pub user: Arc<User>,
    /// Whether there is anything it may not do: then each request is checked.
    pub restricted: bool,
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
    /// What the last command left to be awaited; the reply follows from it.
    pub deferred: Option<Deferred>,
    /// What was queued since MULTI.
    pub transaction: Option<Box<Transaction>>,
    /// The keys that WATCH named.
    pub watch: Option<Box<Watch>>,
    /// Sessions that were read and whose touch the log has to be told of.
    pub touches_due: Vec<SessionHash>,
    /// What it listens to, once it has listened to anything.
    pub subscriptions: Option<Box<Subscriptions>>,
    /// What it tracks, while it does.
    pub(crate) tracking: Option<Box<Own>>,
    /// The public half.
    pub shared: Arc<ClientShared>,
}

/// A reply that has to be awaited: of a command that asks other nodes.
#[derive(Debug)]
pub struct Deferred(pub oneshot::Receiver<Result<(), String>>);

impl Deferred {
    /// Waits, and writes the reply: OK, or an error with the text that came.
    pub(crate) async fn answer(self, protocol: Protocol, output: &mut Vec<u8>) {
        let outcome = self.0.await.unwrap_or_else(|_| Err("this node is stopping".to_owned()));
        let mut reply = Reply::new(output, protocol);
        match outcome {
            Ok(()) => reply.ok(),
            Err(text) => reply.error(format!("ERR {text}").as_bytes()),
        }
    }
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
    /// What CLIENT LIST shows of the private half: see [`Published::pack`].
    published: AtomicU64,
    /// Bytes of requests that wait for their rest.
    pub input_bytes: AtomicU64,
    /// Bytes of what was queued since MULTI; of no meaning unless something is.
    pub queued_bytes: AtomicU64,
    /// Bytes of replies that wait for the client.
    pub output_bytes: AtomicU64,
    /// Messages for it, once it has listened to anything.
    pub mailbox: OnceLock<Box<Mailbox>>,
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
    /// The user it is.
    pub user: Box<[u8]>,
}

/// The part of the private half that CLIENT LIST shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The database.
    pub db: u8,
    /// The protocol.
    pub protocol: Protocol,
    /// CLIENT NO-EVICT.
    pub no_evict: bool,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// How many requests are queued since MULTI; at most 16 million are told apart.
    pub queued: Option<u32>,
    /// [`Entry::index`] of the last command.
    pub last_command: Option<usize>,
}

/// The most queued requests that CLIENT LIST tells apart.
const QUEUED_MAX: u64 = 16 << 20;

impl Published {
    /// All of it in one word, so that publishing is one store.
    fn pack(self) -> u64 {
        let command = self.last_command.map_or(0, |index| index as u64 + 1);
        let resp3 = u64::from(self.protocol == Protocol::Resp3);
        let flags = resp3 | u64::from(self.no_evict) << 1 | u64::from(self.no_touch) << 2;
        let queued = self.queued.map_or(0, |queued| u64::from(queued).min(QUEUED_MAX) + 1);
        queued << 32 | command << 16 | flags << 8 | u64::from(self.db)
    }

    fn unpack(word: u64) -> Self {
        Self {
            db: word as u8,
            protocol: if word >> 8 & 1 == 1 { Protocol::Resp3 } else { Protocol::Resp2 },
            no_evict: word >> 9 & 1 == 1,
            no_touch: word >> 10 & 1 == 1,
            queued: (word >> 32).checked_sub(1).map(|queued| queued as u32),
            last_command: (word >> 16 & 0xffff).checked_sub(1).map(|index| index as usize),
        }
    }
}

impl Client {
    /// A client that has just connected.
    pub fn new(shared: Arc<ClientShared>, users: &Users) -> Self {
        let user = Arc::clone(users.default_user());
        let mut client = Self {
            db: 0,
            protocol: Protocol::Resp2,
            authenticated: false,
            has_said_who: false,
            restricted: true,
            user,
            reply_mode: ReplyMode::On,
            closing: false,
            no_evict: false,
            no_touch: false,
            last_command: None,
            deferred: None,
            transaction: None,
            watch: None,
            touches_due: Vec::new(),
            subscriptions: None,
            tracking: None,
            shared,
        };
        client.forget_user(users);
        client
    }

    /// Makes it this user.
    pub(crate) fn become_user(&mut self, user: Arc<User>) {
        self.shared.names.lock().user.clone_from(&user.name);
        (self.user, self.authenticated, self.has_said_who) = (user, true, true);
        self.restricted = !self.user.may_do_everything();
    }

    /// Makes it the default user, which may need no password.
    pub(crate) fn forget_user(&mut self, users: &Users) {
        let user = Arc::clone(users.default_user());
        let free = user.needs_no_password();
        self.become_user(user);
        (self.authenticated, self.has_said_who) = (free, free);
        self.restricted |= !free;
    }

    /// Takes its user as that is now. When the user is gone, the connection will be closed, and may do
    /// nothing until then.
    #[cold]
    pub(crate) fn follow_users(&mut self, acl: &Acl) {
        let users = acl.users();
        if let Some(user) = users.get(&self.user.name) {
            self.user = Arc::clone(user);
        } else {
            self.user = Arc::new(User::new(&self.user.name, false));
            self.closing = true;
        }
        // As in Redis: who got in without a password stays, and who did not gets in once none is needed.
        self.authenticated = self.has_said_who || users.default_user().needs_no_password();
        self.restricted = !self.authenticated || !self.user.may_do_everything();
    }

    /// Makes the present state visible to CLIENT LIST and the idle timeout: two stores to a line that
    /// others seldom read.
    #[inline]
    pub fn publish(&self, now: Stamp) {
        self.shared.seen_millis.store(now.millis(), Ordering::Relaxed);
        self.shared.published.store(self.published().pack(), Ordering::Relaxed);
    }

    fn published(&self) -> Published {
        Published {
            db: self.db,
            protocol: self.protocol,
            no_evict: self.no_evict,
            no_touch: self.no_touch,
            queued: self.transaction.as_ref().map(|transaction| transaction.len() as u32),
            last_command: self.last_command.map(|entry| entry.index),
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
            names: Mutex::new(Names { user: DEFAULT_USER.into(), ..Names::default() }),
            seen_millis: AtomicU64::new(connected.millis()),
            published: AtomicU64::new(0),
            input_bytes: AtomicU64::new(0),
            queued_bytes: AtomicU64::new(0),
            output_bytes: AtomicU64::new(0),
            mailbox: OnceLock::new(),
            killed: AtomicBool::new(false),
            waker: OnceLock::new(),
        }
    }

    /// When its last batch began.
    pub fn seen(&self) -> Stamp {
        Stamp::from_millis(self.seen_millis.load(Ordering::Relaxed))
    }

    /// What CLIENT LIST shows of the private half.
    pub fn published(&self) -> Published {
        Published::unpack(self.published.load(Ordering::Relaxed))
    }

    /// Bytes of requests that are queued since MULTI.
    pub fn transaction_bytes(&self) -> u64 {
        match self.published().queued {
            Some(1..) => self.queued_bytes.load(Ordering::Relaxed),
            _ => 0,
        }
    }

    /// About the memory it takes: itself, and what waits in either direction.
    pub fn memory_bytes(&self) -> u64 {
        let mail = self.mailbox.get().map_or(0, |mailbox| mailbox.size().1 as u64);
        CLIENT_BYTES
            + self.input_bytes.load(Ordering::Relaxed)
            + self.output_bytes.load(Ordering::Relaxed)
            + self.transaction_bytes()
            + mail
    }

    /// Whether it listens to anything.
    pub fn is_subscriber(&self) -> bool {
        self.mailbox.get().is_some_and(|mailbox| mailbox.is_in_use())
    }

    /// Asks the connection to close, and wakes it.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        self.wake();
    }

    /// Lets the connection look around: to see mail, a kill or the server's stop.
    pub fn wake(&self) {
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

/// About what a client takes that does nothing: its task, its socket, its place in the registry.
const CLIENT_BYTES: u64 = 2048;

/// All connected clients by id.
#[derive(Debug, Default)]
pub struct Clients {
    map: DashMap<u64, Arc<ClientShared>>,
    last_id: AtomicU64,
    count: AtomicU64,
}

impl Clients {
    /// A number for a new client; the first is 1.
    pub fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Makes a client visible.
    pub fn insert(&self, client: Arc<ClientShared>) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.map.insert(client.id, client);
    }

    /// Forgets a client.
    pub fn remove(&self, id: u64) {
        if self.map.remove(&id).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How many are connected.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed) as usize
    }

    /// Whether nobody is connected.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The client with this number.
    pub fn find(&self, id: u64) -> Option<Arc<ClientShared>> {
        self.map.get(&id).map(|client| Arc::clone(&client))
    }

    /// All clients in the order they came.
    pub fn list(&self) -> Vec<Arc<ClientShared>> {
        let mut list: Vec<_> = self.map.iter().map(|client| Arc::clone(client.value())).collect();
        list.sort_unstable_by_key(|client| client.id);
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_survives_packing() {
        for (last_command, protocol) in
            [(None, Protocol::Resp2), (Some(0), Protocol::Resp3), (Some(300), Protocol::Resp3)]
        {
            let queued = last_command.map(|index| index as u32);
            let published = Published {
                db: 15,
                protocol,
                no_evict: true,
                no_touch: false,
                queued,
                last_command,
            };
            assert_eq!(Published::unpack(published.pack()), published);
        }
    }
}
