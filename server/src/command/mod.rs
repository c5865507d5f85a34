//! Commands: what clients say, one typed row each.
//!
//! A family is a file with a table of [`spec::CommandSpec`] rows and the functions they name. Reads
//! look at the engine and write their reply; writes lower to an [`hallpass_engine::Op`], which the
//! dispatcher applies, and render its outcome; local commands need only the connection and the
//! server. A command never touches the engine in any other way. Lookup, COMMAND and its docs read
//! the same rows, so a command exists when it is in [`table::FAMILIES`] and nowhere else.

#![allow(clippy::unnecessary_wraps, reason = "a row's functions have one signature")]

pub mod context;
pub mod deadline;
pub mod error;
pub mod request;
pub mod spec;
pub mod table;

mod collection;
mod cursor;
mod help;
mod range;
mod render;

pub mod acl;
pub mod admin;
pub mod catalog;
pub mod client;
pub mod cluster;
pub mod connection;
pub mod hash;
pub mod index;
pub mod info;
pub mod key;
pub mod latency;
pub mod list;
pub mod memory;
pub mod pubsub;
pub mod script;
pub mod session;
pub mod set;
pub mod settings;
pub mod slow_log;
pub mod string;
mod tracking;
pub mod transaction;
pub mod zset;
