//! Sessions: created, validated, touched, rotated, revoked.
//!
//! A session is a record in the session name space, found by the hash of its id, and listed in its
//! user's set. It is live while both its limits and its user's incarnation are; nothing else is asked,
//! and nothing that was dead is ever made live again: every change goes to a live record or nowhere
//! (promise 1, requirement R13).

pub(crate) mod change;
pub(crate) mod create;
pub(crate) mod limits;
pub(crate) mod list;
pub(crate) mod meta;
pub(crate) mod read;
pub(crate) mod revoke;
pub(crate) mod rotate;
pub(crate) mod touch;
