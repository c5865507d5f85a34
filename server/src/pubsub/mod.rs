//! Publish and subscribe: who listens to which channel or pattern, and how a message reaches them.
//!
//! Any thread may publish. A message is encoded once for each protocol in use and its bytes are shared by
//! all receivers: publishing puts them into each receiver's [`mailbox`], and the receiver's own thread
//! sends them. So a publisher never waits for a socket, and a receiver that does not read costs what
//! `client-output-buffer-limit` allows and nobody's time.
//!
//! Delivery is at most once, as in Redis. All receivers of a channel see its messages in one order: whoever
//! publishes to it holds its turn. A message that was published before another was begun is everywhere
//! delivered before it, whatever their channels.
//!
//! What every node notices by itself, such as a change of a key, is for [`PubSub::publish`]; what one client
//! says is for [`everywhere::publish`].
//!
//! Locks are taken in this order: a channel's turn, a registry, a mailbox, a doorbell.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;
use dashmap::DashMap;
use parking_lot::{Mutex, RwLock};

use self::doorbell::Doorbell;
use self::mailbox::{Mailbox, Pushed};
use self::message::{Event, Message};
use crate::client::{Client, ClientShared};
use crate::glob;
use crate::resp::reply::{Protocol, Reply};
use crate::state::Settings;

pub(crate) mod doorbell;
pub mod everywhere;
pub mod mailbox;
mod message;

/// A power of two, so many that two channels seldom share a turn.
const TURNS: usize = 256;

/// What a client listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A channel: SUBSCRIBE.
    Channel,
    /// All channels whose names match: PSUBSCRIBE.
    Pattern,
    /// A channel of the other name space: SSUBSCRIBE.
    ShardChannel,
}

/// Which name space a message is published in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// PUBLISH.
    Common,
    /// SPUBLISH.
    Shard,
}

/// Subscribers by client id.
type Subscribers = BTreeMap<u64, Arc<ClientShared>>;

/// Channels and who listens to them.
type Channels = DashMap<Arc<[u8]>, Subscribers>;

/// The private half of a subscriber: what it listens to.
#[derive(Debug, Default)]
pub struct Subscriptions {
    channels: BTreeSet<Arc<[u8]>>,
    patterns: BTreeSet<Arc<[u8]>>,
    shard_channels: BTreeSet<Arc<[u8]>>,
}

impl Subscriptions {
    fn of(&self, kind: Kind) -> &BTreeSet<Arc<[u8]>> {
        match kind {
            Kind::Channel => &self.channels,
            Kind::Pattern => &self.patterns,
            Kind::ShardChannel => &self.shard_channels,
        }
    }

    fn of_mut(&mut self, kind: Kind) -> &mut BTreeSet<Arc<[u8]>> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::ShardChannel => &mut self.shard_channels,
        }
    }

    /// Everything of one kind.
    pub fn names(&self, kind: Kind) -> Vec<Arc<[u8]>> {
        self.of(kind).iter().cloned().collect()
    }

    /// The number that a confirmation shows: channels and patterns together, shard channels apart.
    pub fn counted_with(&self, kind: Kind) -> usize {
        match kind {
            Kind::Channel | Kind::Pattern => self.channels.len() + self.patterns.len(),
            Kind::ShardChannel => self.shard_channels.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.patterns.is_empty() && self.shard_channels.is_empty()
    }
}

/// The registries.
#[derive(Debug)]
pub struct PubSub {
    channels: Channels,
    shard_channels: Channels,
    patterns: RwLock<BTreeMap<Arc<[u8]>, Subscribers>>,
    /// Subscriptions of all clients: while there are none, publishing costs one load.
    subscriptions: AtomicUsize,
    /// The locks that keep a channel's messages in one order, by the hash of its name.
    turns: Box<[CachePadded<Mutex<()>>]>,
}

impl Default for PubSub {
    fn default() -> Self {
        Self {
            channels: Channels::default(),
            shard_channels: Channels::default(),
            patterns: RwLock::default(),
            subscriptions: AtomicUsize::new(0),
            turns: (0..TURNS).map(|_| CachePadded::default()).collect(),
        }
    }
}

impl PubSub {
    /// Delivers a message to all who listen on this node (see [`everywhere`] for the others); how many
    /// receive it, a client once for each subscription that fits. May be called from any thread.
    pub fn publish(
        &self,
        settings: &Settings,
        space: Space,
        channel: &[u8],
        payload: &[u8],
    ) -> usize {
        if self.subscriptions.load(Ordering::Acquire) == 0 {
            return 0;
        }
        let channels = match space {
            Space::Common => &self.channels,
            Space::Shard => &self.shard_channels,
        };
        let hash = channels.hasher().hash_one(channel) as usize;
        let Some(turn) = self.turns.get(hash % TURNS) else { return 0 };
        let turn = turn.lock();
        let mut delivery = Delivery { settings, receivers: 0, doorbells: Vec::new() };
        if let Some(subscribers) = channels.get(channel) {
            let event = if space == Space::Shard { Event::Shard } else { Event::Channel };
            delivery.deliver(subscribers.values(), &Message::new(event, channel, payload));
        }
        if space == Space::Common {
            for (pattern, subscribers) in &*self.patterns.read() {
                if glob::matches(pattern, channel) {
                    let event = Event::Pattern(pattern);
                    delivery.deliver(subscribers.values(), &Message::new(event, channel, payload));
                }
            }
        }
        drop(turn);
        delivery.finish()
    }

    /// Lets a client listen to `name`; nothing changes if it does so already. Its mail waits in its mailbox
    /// from now on.
    pub fn subscribe(&self, client: &mut Client, kind: Kind, name: &[u8]) {
        client.open_mailbox();
        let (Some(mailbox), Some(subscriptions)) =
            (client.shared.mailbox.get(), &mut client.subscriptions)
        else {
            return;
        };
        let own = subscriptions.of_mut(kind);
        if own.contains(name) {
            return;
        }
        let name: Arc<[u8]> = name.into();
        own.insert(Arc::clone(&name));
        mailbox.counts.set(kind, own.len());
        let (id, shared) = (client.shared.id, Arc::clone(&client.shared));
        match kind {
            Kind::Channel => {
                self.channels.entry(name).or_default().insert(id, shared);
            }
            Kind::ShardChannel => {
                self.shard_channels.entry(name).or_default().insert(id, shared);
            }
            Kind::Pattern => {
                self.patterns.write().entry(name).or_default().insert(id, shared);
            }
        }
        self.subscriptions.fetch_add(1, Ordering::Release);
    }

    /// Ends a subscription, if there is one. Once this returns, no more of its messages come into the
    /// mailbox.
    pub fn unsubscribe(&self, client: &mut Client, kind: Kind, name: &[u8]) {
        let Some(subscriptions) = &mut client.subscriptions else { return };
        let own = subscriptions.of_mut(kind);
        if !own.remove(name) {
            return;
        }
        if let Some(mailbox) = client.shared.mailbox.get() {
            mailbox.counts.set(kind, own.len());
        }
        let id = client.shared.id;
        match kind {
            Kind::Channel => strike_out(&self.channels, name, id),
            Kind::ShardChannel => strike_out(&self.shard_channels, name, id),
            Kind::Pattern => {
                let mut patterns = self.patterns.write();
                if let Some(subscribers) = patterns.get_mut(name) {
                    subscribers.remove(&id);
                    if subscribers.is_empty() {
                        patterns.remove(name);
                    }
                }
            }
        }
        self.subscriptions.fetch_sub(1, Ordering::Release);
    }

    /// Ends all subscriptions of a client.
    pub fn unsubscribe_all(&self, client: &mut Client) {
        for kind in [Kind::Channel, Kind::Pattern, Kind::ShardChannel] {
            let names = client.subscriptions.as_ref().map(|own| own.names(kind));
            for name in names.into_iter().flatten() {
                self.unsubscribe(client, kind, &name);
            }
        }
    }

    /// Forgets a client whose connection has ended, and frees what it has not read.
    pub fn leave(&self, client: &mut Client) {
        self.unsubscribe_all(client);
        if let Some(mailbox) = client.shared.mailbox.get() {
            mailbox.close();
        }
    }

    fn channels(&self, space: Space) -> &Channels {
        match space {
            Space::Common => &self.channels,
            Space::Shard => &self.shard_channels,
        }
    }

    /// Visits all subscriptions, with who has them and whether they are patterns. It must not subscribe or
    /// unsubscribe anybody.
    pub fn for_each_subscription(&self, mut visit: impl FnMut(&ClientShared, &[u8], bool)) {
        for channels in [&self.channels, &self.shard_channels] {
            for channel in channels {
                for client in channel.value().values() {
                    visit(client, channel.key(), false);
                }
            }
        }
        for (pattern, subscribers) in &*self.patterns.read() {
            for client in subscribers.values() {
                visit(client, pattern, true);
            }
        }
    }

    /// How many channels somebody listens to.
    pub fn channel_count(&self, space: Space) -> usize {
        self.channels(space).len()
    }

    /// The names of the channels somebody listens to that match `pattern`, in order.
    pub fn channel_names(&self, space: Space, pattern: Option<&[u8]>) -> Vec<Arc<[u8]>> {
        let matches = |name: &[u8]| pattern.is_none_or(|pattern| glob::matches(pattern, name));
        let all = self.channels(space).iter();
        let mut names: Vec<Arc<[u8]>> = all
            .filter(|channel| matches(channel.key()))
            .map(|channel| Arc::clone(channel.key()))
            .collect();
        names.sort_unstable();
        names
    }

    /// How many clients listen to a channel; patterns do not count.
    pub fn subscriber_count(&self, space: Space, channel: &[u8]) -> usize {
        self.channels(space).get(channel).map_or(0, |subscribers| subscribers.len())
    }

    /// How many different patterns somebody listens to.
    pub fn pattern_count(&self) -> usize {
        self.patterns.read().len()
    }
}

/// What a client is told beside messages on channels.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Told<'a> {
    /// What it has read of these keys is no longer true; of all keys, without any.
    Invalidated(Option<&'a [&'a [u8]]>),
    /// The client that is told of changes in its place is gone: this one.
    RedirectionBroken(u64),
}

/// Tells clients of something. Those without a mailbox are not told.
pub(crate) fn tell(settings: &Settings, clients: &[&Arc<ClientShared>], told: Told<'_>) {
    let event = match told {
        Told::Invalidated(keys) => Event::Invalidated(keys),
        Told::RedirectionBroken(client) => Event::RedirectionBroken(client),
    };
    let mut delivery = Delivery { settings, receivers: 0, doorbells: Vec::new() };
    delivery.deliver(clients.iter().copied(), &Message::new(event, b"", b""));
    delivery.finish();
}

/// Makes a mailbox for a client of another thread, which begins to look into it when it is woken.
pub(crate) fn open_mailbox_of(client: &ClientShared) {
    let protocol = client.published().protocol;
    client.mailbox.get_or_init(|| Box::new(Mailbox::new(protocol, None)));
}

/// Takes a client out of a channel, and the channel out of the registry when it was the last one.
fn strike_out(channels: &Channels, name: &[u8], id: u64) {
    if let Some(mut subscribers) = channels.get_mut(name) {
        subscribers.remove(&id);
    }
    channels.remove_if(name, |_, subscribers| subscribers.is_empty());
}

/// One publish under way.
struct Delivery<'a> {
    settings: &'a Settings,
    receivers: usize,
    /// To ring when all mail is in the boxes: ringing costs a system call, and once is enough.
    doorbells: Vec<Arc<Doorbell>>,
}

impl Delivery<'_> {
    fn deliver<'s>(
        &mut self,
        subscribers: impl Iterator<Item = &'s Arc<ClientShared>>,
        message: &Message<'_>,
    ) {
        let settings = self.settings;
        let limit = || settings.current().client_output_buffer_limit.pubsub.hard_bytes;
        for client in subscribers {
            self.receivers += 1;
            let Some(mailbox) = client.mailbox.get() else { continue };
            match mailbox.push(message, limit) {
                Pushed::First => self.announce(client, mailbox),
                Pushed::Waits => {}
                // Its memory is free already; the connection closes when its thread gets to it.
                Pushed::Overflow => client.kill(),
            }
        }
    }

    fn announce(&mut self, client: &Arc<ClientShared>, mailbox: &Mailbox) {
        match &mailbox.doorbell {
            Some(doorbell) if doorbell.announce(client) => {
                self.doorbells.push(Arc::clone(doorbell));
            }
            Some(_) => {}
            // Without a socket, it looks by itself.
            None => client.wake(),
        }
    }

    fn finish(self) -> usize {
        for doorbell in self.doorbells {
            doorbell.ring();
        }
        self.receivers
    }
}

impl Client {
    /// Whether it has a subscription and speaks RESP2, where a reply could be taken for a message: then
    /// most commands are refused.
    pub fn only_listens(&self) -> bool {
        self.protocol == Protocol::Resp2
            && self.subscriptions.as_ref().is_some_and(|own| !own.is_empty())
    }

    /// Sees to it that it has a mailbox and looks into it.
    pub(crate) fn open_mailbox(&mut self) {
        let protocol = self.protocol;
        let open = || Box::new(Mailbox::new(protocol, Doorbell::of_this_thread()));
        // One that another thread has opened may not know the protocol.
        self.shared.mailbox.get_or_init(open).switch_protocol(protocol);
        self.subscriptions.get_or_insert_default();
    }

    /// Writes all mail that waits.
    pub fn write_mail(&self, reply: &mut Reply<'_>) {
        if let Some(mailbox) = self.shared.mailbox.get() {
            mailbox.take_all(|mail| reply.append(mail));
        }
    }

    /// Changes the protocol, of waiting mail as well.
    pub fn switch_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
        if let Some(mailbox) = self.shared.mailbox.get() {
            mailbox.switch_protocol(protocol);
        }
    }
}

#[cfg(test)]
mod tests;
