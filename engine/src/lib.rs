//! The Hallpass engine: a session store as a library, without I/O, clock or async.
//!
//! [`Engine::apply`] is a deterministic function of the state, an [`Op`] and a [`Stamp`]; reads take the
//! same stamp. Whoever embeds it brings time and randomness:
//!
//! ```
//! use hallpass_engine::{Config, Engine, HashSeed, Limits, Op, SessionHash, Stamp, Touch, Words};
//!
//! let engine = Engine::new(&Config::new(HashSeed::new(1, 2)));
//! let (id, now) = (SessionHash([7; 16]), Stamp::from_millis(1_000));
//! engine.apply(
//!     &Op::SessionCreate {
//!         id,
//!         user: b"alice",
//!         limits: Limits { idle_seconds: 60, lifetime_seconds: 0 },
//!         data: b"cart: 3 books",
//!         meta: Words::EMPTY,
//!         cap: None,
//!     },
//!     now,
//! );
//! assert!(engine.validate(&id, now, Touch::Now, |user| user == Some(&b"alice"[..])));
//! engine.apply(&Op::SessionRevokeUser { user: b"alice", except: None }, now);
//! assert!(engine.validate(&id, now, Touch::Now, |user| user.is_none()));
//! ```
//!
//! Reading order: [`op`] (what can be asked), [`outcome`] (what comes of it), `apply` (how), `store`
//! (where it is kept), `session` and `user` (what makes it a session store), [`rule`] (which plain keys are
//! sessions), `expiry`, [`snapshot`].
//! Absent by design: clocks, sockets, threads, randomness.

mod apply;
mod digest;
pub mod engine;
mod expiry;
pub mod glob;
pub mod key;
mod observe;
pub mod op;
pub mod outcome;
mod register;
mod room;
pub mod rule;
mod session;
pub mod snapshot;
mod store;
pub mod time;
mod user;
pub mod value;
mod varint;

pub use engine::{
    Config, DatabaseStatistics, Engine, Entry, Eviction, KeyView, SessionView, SizeLimits,
    Statistics, Swept, UserEntry, Value,
};
pub use key::{DATABASES, HashSeed, Hint, Key, SessionHash, SessionKey, Span, Words};
pub use observe::{Change, Observer};
pub use op::{
    Cap, Combination, Condition, Deadline, Due, ExpireCondition, Fingerprint, Limits, Op,
    OpDecoder, OpFault, RegisterChange, Side, SortedAddOptions, SortedEnd, SortedRange,
};
pub use outcome::{Outcome, Refusal, SessionBrief};
pub use register::{
    REGISTER_NAME_BYTES_MAX, REGISTER_VALUE_BYTES_MAX, REGISTERS_BYTES_MAX, REGISTERS_MAX,
    Registers,
};
pub use room::Evictable;
pub use rule::{Decoder, FenceReply, Rule, RuleFault, Source};
pub use session::meta::Meta;
pub use session::touch::Touch;
pub use time::Stamp;
