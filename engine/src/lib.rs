//! The Hallpass engine: a session store without I/O, clock or async.

pub mod engine;
pub mod key;
pub mod op;
pub mod outcome;
pub mod time;
pub mod value;

pub use engine::{
    Config, DatabaseStatistics, Engine, Entry, Eviction, Hint, Meta, SessionView, SizeLimits,
    Statistics, Swept, Value,
};
pub use key::{DATABASES, HashSeed, Key, SessionHash, Span, Words};
pub use op::{
    Cap, Combination, Condition, Deadline, ExpireCondition, Limits, Op, Side, SortedAddOptions,
    SortedEnd, SortedRange,
};
pub use outcome::{Outcome, Refusal, SessionBrief};
pub use time::Stamp;
