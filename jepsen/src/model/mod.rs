//! Sequential objects: what a key, a session and a user's sessions do when nothing is concurrent. They share no
//! code with the engine.

pub mod register;
pub mod session;
pub mod user;
