//! Expiry: deadlines decide what is visible, the timing wheel only reclaims the memory behind it.

pub(crate) mod eviction;
pub(crate) mod sweep;
pub(crate) mod wheel;
