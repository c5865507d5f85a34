//! The sorted set: members with scores, in the order of (score, member).

mod bound;

pub use bound::{LexBound, ScoreBound};
