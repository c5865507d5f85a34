//! Scripts: Lua 5.1 beside the store, sandboxed and bounded.
//!
//! [`Scripts`] is what all threads share: the cache by SHA-1, and what SCRIPT KILL has to know. A
//! `machine::Machine` is one thread's Lua, and `Host` whoever carries out the commands that a script calls:
//! the dispatcher on a server of its own ([`crate::dispatch`]), the state machine where the script is an
//! entry of the log. Nothing here looks at the store.

mod api;
pub(crate) mod aside;
mod bits;
mod convert;
mod json;
mod lent;
pub(crate) mod machine;
mod raise;
mod random;
pub(crate) mod shebang;
mod watch;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use dashmap::DashMap;
use hallpass_engine::Words;
use sha1::{Digest as _, Sha1};

pub(crate) use self::machine::{Call, check};
use self::shebang::{ScriptFlags, Shebang};
pub(crate) use self::watch::Bounds;
use crate::clock::Clock;
use crate::command::error::CommandError;
use crate::resp::reply::Protocol;

/// A SHA-1 in lower case hexadecimal: what a script is called by.
pub(crate) type Digest = [u8; 40];

/// Carries out the commands that a script calls.
pub(crate) trait Host {
    /// Carries a command out and writes its reply in `protocol`.
    fn call(&mut self, words: Words<'_>, protocol: Protocol, output: &mut Vec<u8>);

    /// Whether a command of these words could be called; `None` when there is no such command.
    fn may_call(&mut self, words: Words<'_>) -> Option<bool>;

    /// Whether a command called so far may have changed something.
    fn has_written(&self) -> bool;
}

/// A script.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) digest: Digest,
    /// As it was sent.
    pub(crate) body: Box<[u8]>,
    /// What it says of itself; `None` without a shebang.
    pub(crate) flags: Option<ScriptFlags>,
    /// Where the Lua code begins: behind the shebang, with its line end.
    code_at: usize,
}

impl Script {
    /// A script that was sent; refused when its first line makes no sense. Whether it compiles is not looked at.
    pub(crate) fn new(body: &[u8]) -> Result<Self, CommandError> {
        let Shebang { flags, code_at } = Shebang::read(body)?;
        Ok(Self { digest: digest(body), body: body.into(), flags, code_at })
    }

    fn code(&self) -> &[u8] {
        &self.body[self.code_at..]
    }
}

/// What all threads share about scripts.
#[derive(Debug)]
pub struct Scripts {
    cache: DashMap<Digest, Arc<Script>>,
    /// How many run.
    running: AtomicUsize,
    /// How many of those SCRIPT KILL may not end.
    unkillable: AtomicUsize,
    /// How often SCRIPT KILL ended what ran.
    kills: AtomicU64,
    /// Whether the server stops, so that nobody waits for a script.
    ending: AtomicBool,
    clock: Clock,
}

impl Default for Scripts {
    fn default() -> Self {
        Self {
            cache: DashMap::new(),
            running: AtomicUsize::new(0),
            unkillable: AtomicUsize::new(0),
            kills: AtomicU64::new(0),
            ending: AtomicBool::new(false),
            clock: Clock::new(),
        }
    }
}

impl Scripts {
    /// The script of this name, in any case.
    pub(crate) fn find(&self, name: &[u8]) -> Option<Arc<Script>> {
        let digest = Digest::try_from(name.to_ascii_lowercase()).ok()?;
        self.cache.get(&digest).map(|script| Arc::clone(&script))
    }

    /// The script that was sent, from the cache or new in it; refused when it does not compile.
    pub(crate) fn load(&self, body: &[u8]) -> Result<Arc<Script>, CommandError> {
        if let Some(known) = self.cache.get(&digest(body)) {
            return Ok(Arc::clone(&known));
        }
        let script = Arc::new(Script::new(body)?);
        check(&script)?;
        self.keep(&script);
        Ok(script)
    }

    /// Keeps a script that compiles.
    pub(crate) fn keep(&self, script: &Arc<Script>) {
        self.cache.insert(script.digest, Arc::clone(script));
    }

    /// Forgets all.
    pub(crate) fn flush(&self) {
        self.cache.clear();
    }

    /// SCRIPT KILL.
    pub(crate) fn kill(&self) -> Result<(), CommandError> {
        if self.running.load(Ordering::Acquire) == 0 {
            return Err("NOTBUSY No scripts in execution right now.".into());
        }
        if self.unkillable.load(Ordering::Acquire) > 0 {
            return Err("UNKILLABLE Sorry the script already executed write commands against the dataset. \
                        You can either wait the script termination or kill the server in a hard way using \
                        the SHUTDOWN NOSAVE command."
                .into());
        }
        self.kills.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Ends all that run, for the server stops. Those of the log are not among them.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::Release);
    }
}

/// The SHA-1 of a text.
pub(crate) fn digest(text: &[u8]) -> Digest {
    let mut hex = String::with_capacity(40);
    for byte in Sha1::digest(text) {
        // Writing to a string does not fail.
        let _written = write!(hex, "{byte:02x}");
    }
    hex.into_bytes().try_into().unwrap_or([0; 40])
}
