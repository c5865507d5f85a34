//! Time as the engine sees it: a [`Stamp`] handed in with every call.
//!
//! The engine never reads a clock. A memory-only server stamps calls with its wall clock, a cluster
//! with the leader's; both guarantee that stamps never run backwards. A stamp is milliseconds since
//! the Unix epoch and must stay below 2^44 (the year 2527), because records pack it into 44 bits.

/// A point in time: milliseconds since the Unix epoch, monotone over a store's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(u64);

impl Stamp {
    /// The largest stamp a record can hold, which stands for "never".
    pub const NEVER: Self = Self((1 << 44) - 1);

    /// A stamp of `milliseconds` since the Unix epoch, capped at [`Stamp::NEVER`].
    pub const fn from_millis(milliseconds: u64) -> Self {
        if milliseconds < Self::NEVER.0 { Self(milliseconds) } else { Self::NEVER }
    }

    /// Milliseconds since the Unix epoch.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// This stamp moved forward by `milliseconds`, at most to [`Stamp::NEVER`].
    #[must_use]
    pub const fn plus_millis(self, milliseconds: u64) -> Self {
        Self::from_millis(self.0.saturating_add(milliseconds))
    }

    /// Milliseconds from `earlier` to this stamp; zero when `earlier` is later.
    pub const fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whether this is [`Stamp::NEVER`].
    pub const fn is_never(self) -> bool {
        self.0 == Self::NEVER.0
    }

    /// Whether something with this deadline is still alive at `now`: the deadline lies after it.
    pub const fn alive_at(self, now: Self) -> bool {
        self.0 > now.0 || self.is_never()
    }
}
