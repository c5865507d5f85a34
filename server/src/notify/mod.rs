//! Keyspace notifications: which events are wanted, and how they are told.
//!
//! What becomes of a key is an `Event` of one class. Events are published on two channels, as in Redis:
//! `__keyspace@0__:<key>` carries the event's name, `__keyevent@0__:<name>` the key. Every node publishes
//! what it applies to the subscribers it has.

use hallpass_engine::Key;

use crate::pubsub::{PubSub, Space};
use crate::state::Settings;

pub(crate) mod naming;

/// A set of classes of events, and of the channels they go to (`notify-keyspace-events`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events(u16);

/// The letters, in the order Redis shows them, and what they stand for.
const LETTERS: [(char, Events); 14] = [
    ('g', Events::GENERIC),
    ('$', Events::STRING),
    ('l', Events::LIST),
    ('s', Events::SET),
    ('h', Events::HASH),
    ('z', Events::SORTED),
    ('x', Events::EXPIRED),
    ('e', Events::EVICTED),
    ('t', Events::STREAM),
    ('d', Events::MODULE),
    ('n', Events::NEW),
    ('K', Events::KEYSPACE),
    ('E', Events::KEYEVENT),
    ('m', Events::MISS),
];

impl Events {
    /// On whatever type.
    pub(crate) const GENERIC: Self = Self(1);
    /// On strings.
    pub(crate) const STRING: Self = Self(1 << 1);
    /// On lists.
    pub(crate) const LIST: Self = Self(1 << 2);
    /// On sets.
    pub(crate) const SET: Self = Self(1 << 3);
    /// On hashes.
    pub(crate) const HASH: Self = Self(1 << 4);
    /// On sorted sets.
    pub(crate) const SORTED: Self = Self(1 << 5);
    /// A deadline has passed.
    pub(crate) const EXPIRED: Self = Self(1 << 6);
    /// A key had to make room.
    pub(crate) const EVICTED: Self = Self(1 << 7);
    /// On streams, which there are none of here.
    const STREAM: Self = Self(1 << 8);
    /// On types of modules, which there are none of here.
    const MODULE: Self = Self(1 << 9);
    /// A key was made.
    pub(crate) const NEW: Self = Self(1 << 10);
    /// A key was read that is not there.
    pub(crate) const MISS: Self = Self(1 << 11);
    const KEYSPACE: Self = Self(1 << 12);
    const KEYEVENT: Self = Self(1 << 13);
    /// What `A` stands for: all classes but `n` and `m`.
    const ALL: Self = Self((1 << 10) - 1);

    /// Reads the letters; `None` when one is unknown.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut events = Self::default();
        for letter in text.chars() {
            let of = |(known, events): &(char, Self)| (*known == letter).then_some(*events);
            let more = if letter == 'A' { Some(Self::ALL) } else { LETTERS.iter().find_map(of) };
            events.0 |= more?.0;
        }
        Some(events)
    }

    /// The letters as Redis shows them: with `A`, it leaves `n` out.
    pub(crate) fn show(self) -> String {
        let all = self.has(Self::ALL);
        let letters = LETTERS.iter().filter(|(_, events)| {
            self.has(*events) && !(all && (Self::ALL.has(*events) || *events == Self::NEW))
        });
        let head = if all { "A" } else { "" };
        head.chars().chain(letters.map(|(letter, _)| *letter)).collect()
    }

    /// As [`bits`](Self::bits) gave it.
    pub(crate) const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// As a number.
    pub(crate) const fn bits(self) -> u16 {
        self.0
    }

    /// Whether all of `other` are in it.
    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether anything is published at all: there has to be a channel, and a class.
    pub(crate) const fn any(self) -> bool {
        let channels = Self::KEYSPACE.0 | Self::KEYEVENT.0;
        self.0 & channels != 0 && self.0 & !channels != 0
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) class: Events,
    pub(crate) name: &'static str,
    pub(crate) db: u8,
    pub(crate) key: Box<[u8]>,
}

impl Event {
    /// An event on a key.
    pub(crate) fn of(class: Events, name: &'static str, key: &Key<'_>) -> Self {
        Self { class, name, db: key.db(), key: key.bytes().into() }
    }

    /// Tells the subscribers of this node, if the event is wanted.
    pub(crate) fn publish(&self, wanted: Events, pubsub: &PubSub, settings: &Settings) {
        if !wanted.has(self.class) {
            return;
        }
        let Self { name, db, key, .. } = self;
        if wanted.has(Events::KEYSPACE) {
            let channel = [format!("__keyspace@{db}__:").as_bytes(), key].concat();
            pubsub.publish(settings, Space::Common, &channel, name.as_bytes());
        }
        if wanted.has(Events::KEYEVENT) {
            let channel = format!("__keyevent@{db}__:{name}");
            pubsub.publish(settings, Space::Common, channel.as_bytes(), key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_come_back_as_redis_shows_them() {
        for (given, shown) in [
            ("", ""),
            ("KEA", "AKE"),
            ("g$lshzxetdKE", "AKE"),
            ("An", "A"),
            ("Am", "Am"),
            ("Enm", "nEm"),
            ("xexeKK", "xeK"),
            ("dt", "td"),
        ] {
            assert_eq!(Events::parse(given).expect("known letters").show(), shown, "{given}");
        }
        assert_eq!(Events::parse("KEq"), None);
        assert_eq!(Events::parse("x e"), None);
    }

    #[test]
    fn a_class_without_a_channel_is_silent() {
        for (letters, any) in [("", false), ("A", false), ("KE", false), ("Kg", true), ("Em", true)]
        {
            assert_eq!(Events::parse(letters).expect("known letters").any(), any, "{letters}");
        }
    }
}
