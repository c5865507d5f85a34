//! A user: who it is, how it proves that, and what it may do.
//!
//! A [`User`] never changes: a change makes a new one, and whoever holds the old one takes the new one
//! when it looks ([`crate::client::Client::follow_users`]). Passwords are here as their SHA-256 only.

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::rule::RuleError;
use crate::command::table::table;

/// The user of a client that has said no name.
pub const DEFAULT_USER: &[u8] = b"default";

/// The SHA-256 of a password.
pub(super) type PasswordHash = [u8; 32];

/// One user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name: any bytes but white space and zero.
    pub name: Box<[u8]>,
    /// Whether one may authenticate as this user.
    pub enabled: bool,
    /// Whether every password fits.
    pub any_password: bool,
    /// The flag `skip-sanitize-payload`, which changes nothing here: every payload is checked.
    pub skips_sanitizing: bool,
    /// The passwords that fit.
    pub passwords: Vec<[u8; 32]>,
    /// Which commands it may run.
    pub commands: Commands,
    /// Which keys it may name.
    pub keys: Keys,
    /// Which channels it may name.
    pub channels: Channels,
}

/// Commands a user may run, compiled to a bit for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commands {
    /// By [`crate::command::table::Entry::index`].
    pub(super) allowed: Vec<u64>,
    /// Whether nothing was taken away since `+@all`.
    pub(super) all: bool,
    /// Whether the last word on all commands was `+@all`: so the rules begin when they are shown.
    pub(super) begins_with_all: bool,
    /// The rules since then, in lower case, as they are shown: `+get`, `-@write`.
    pub(super) rules: Vec<Box<str>>,
    /// First arguments with which an otherwise forbidden command is allowed: `+select|0`.
    pub(super) first_arguments: Vec<(usize, Box<[u8]>)>,
}

/// Keys a user may name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// All, for reading and writing.
    pub(super) all: bool,
    /// Those that match one of these.
    pub(super) patterns: Vec<KeyPattern>,
}

/// A pattern of keys, and what may be done with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyPattern {
    /// The glob.
    pub(super) pattern: Box<[u8]>,
    /// What is allowed.
    pub(super) access: Access,
}

/// What is done, or may be done, with a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Its value reaches the client, or another key.
    pub reads: bool,
    /// It is changed.
    pub writes: bool,
}

/// Channels a user may name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Channels {
    /// All.
    pub(super) all: bool,
    /// Those that match one of these.
    pub(super) patterns: Vec<Box<[u8]>>,
}

impl Access {
    /// Neither: whether a key exists, and its type.
    pub const NONE: Self = Self { reads: false, writes: false };
    /// Reading only.
    pub const READ: Self = Self { reads: true, writes: false };
    /// Writing only.
    pub const WRITE: Self = Self { reads: false, writes: true };
    /// Both.
    pub const BOTH: Self = Self { reads: true, writes: true };

    /// Whether all of `other` is part of this.
    pub fn covers(self, other: Self) -> bool {
        (self.reads || !other.reads) && (self.writes || !other.writes)
    }
}

impl Commands {
    pub(super) fn none() -> Self {
        Self {
            allowed: vec![0; table().len().div_ceil(64)],
            all: false,
            begins_with_all: false,
            rules: Vec::new(),
            first_arguments: Vec::new(),
        }
    }

    /// Whether the command of this index may be run, whatever its arguments.
    pub(super) fn allow(&self, index: usize) -> bool {
        self.allowed.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// The rules that lead to this, beginning with all or none.
    pub fn describe(&self) -> String {
        let mut text = String::from(if self.begins_with_all { "+@all" } else { "-@all" });
        for rule in &self.rules {
            text.push(' ');
            text.push_str(rule);
        }
        text
    }
}

impl Keys {
    /// The rules that lead to this, separated by spaces.
    pub fn describe(&self) -> Vec<u8> {
        if self.all {
            return b"~*".to_vec();
        }
        let rules: Vec<Vec<u8>> = self
            .patterns
            .iter()
            .map(|KeyPattern { pattern, access }| {
                let mark: &[u8] = match (access.reads, access.writes) {
                    (true, false) => b"%R~",
                    (false, true) => b"%W~",
                    _ => b"~",
                };
                [mark, pattern].concat()
            })
            .collect();
        rules.join(&b' ')
    }
}

impl Channels {
    /// The rules that lead to this, separated by spaces.
    pub fn describe(&self) -> Vec<u8> {
        if self.all {
            return b"&*".to_vec();
        }
        let rules: Vec<Vec<u8>> =
            self.patterns.iter().map(|pattern| [b"&", &**pattern].concat()).collect();
        rules.join(&b' ')
    }
}

impl User {
    /// A user that may do nothing, as ACL SETUSER makes one; all channels if the setting says so.
    pub fn new(name: &[u8], all_channels: bool) -> Self {
        Self {
            name: name.into(),
            enabled: false,
            any_password: false,
            skips_sanitizing: false,
            passwords: Vec::new(),
            commands: Commands::none(),
            keys: Keys::default(),
            channels: Channels { all: all_channels, patterns: Vec::new() },
        }
    }

    /// The user there is without any configuration: it may do everything and needs no password.
    pub fn unrestricted() -> Self {
        let mut user = Self::new(DEFAULT_USER, true);
        (user.enabled, user.any_password, user.keys.all) = (true, true, true);
        user.commands.set_all(true);
        user
    }

    /// Gives it this password in place of all others; an empty one means that none is needed.
    pub fn set_password(&mut self, password: &str) {
        self.passwords.clear();
        self.any_password = password.is_empty();
        if !self.any_password {
            self.passwords.push(hash_password(password.as_bytes()));
        }
    }

    /// Whether it may do everything, so that nobody has to ask.
    pub fn may_do_everything(&self) -> bool {
        self.commands.all && self.keys.all && self.channels.all
    }

    /// Whether clients are this user without a word.
    pub fn needs_no_password(&self) -> bool {
        self.enabled && self.any_password
    }

    /// Whether one may authenticate as this user with this password. How long it takes tells nothing of how
    /// much of a password was right.
    pub fn accepts(&self, password: &[u8]) -> bool {
        let hash = hash_password(password);
        let fits = self.passwords.iter().fold(Choice::from(0), |fits, one| fits | one.ct_eq(&hash));
        self.enabled && (self.any_password || bool::from(fits))
    }

    /// Redis' names of its flags.
    pub fn flags(&self) -> impl Iterator<Item = &'static str> {
        let all = [
            (self.enabled, "on"),
            (!self.enabled, "off"),
            (self.any_password, "nopass"),
            (self.skips_sanitizing, "skip-sanitize-payload"),
            (!self.skips_sanitizing, "sanitize-payload"),
        ];
        all.into_iter().filter(|(is, _)| *is).map(|(_, name)| name)
    }

    /// The rules that make this user of a new one, as ACL LIST shows them and a file holds them.
    pub fn describe(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let mut add = |part: &[u8]| {
            if !part.is_empty() {
                if !text.is_empty() {
                    text.push(b' ');
                }
                text.extend_from_slice(part);
            }
        };
        self.flags().for_each(|flag| add(flag.as_bytes()));
        for password in &self.passwords {
            add(format!("#{}", hexadecimal(password)).as_bytes());
        }
        add(&self.keys.describe());
        if !self.channels.all {
            add(b"resetchannels");
        }
        add(&self.channels.describe());
        add(self.commands.describe().as_bytes());
        text
    }

    /// The user of this name that [`User::describe`] describes.
    pub fn parse(name: &[u8], rules: &[u8], all_channels: bool) -> Result<Self, RuleError> {
        let mut user = Self::new(name, all_channels);
        for rule in rules.split(|byte| *byte == b' ').filter(|rule| !rule.is_empty()) {
            user.apply(rule, all_channels)?;
        }
        Ok(user)
    }
}

/// What is kept of a password.
pub(super) fn hash_password(password: &[u8]) -> PasswordHash {
    Sha256::digest(password).into()
}

/// A password's hash as it is shown.
pub fn hexadecimal(hash: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
    hash.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}
