//! RESP, the Redis protocol: requests come in through [`request`], replies go out through [`reply`].
//!
//! Nothing here knows a command. The parser yields spans of a connection's read buffer, the writer
//! appends to a connection's output buffer; neither allocates for each request.

pub mod reply;
pub mod request;
