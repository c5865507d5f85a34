//! The network: sockets in, bytes to and from connections, nothing about commands.
//!
//! [`addresses`] binds the ports, [`unix_socket`] the path; [`listener`] accepts on a thread of its own and
//! deals sockets round robin to the threads of [`worker`], each a `current_thread` runtime. A socket stays on its thread; [`connection`] is its
//! loop, and the hot path of the whole server.

pub(crate) mod addresses;
pub(crate) mod buffers;
pub(crate) mod client_tls;
pub(crate) mod connection;
pub(crate) mod listener;
mod opening;
pub(crate) mod relay;
mod replicated;
pub(crate) mod stream;
pub(crate) mod tls;
mod transaction;
pub(crate) mod unix_socket;
pub(crate) mod worker;
