//! Black-box evidence: real nodes, real faults, and histories that are judged by what clients saw.
//!
//! `generator` and `workload` say what clients do, `client` does it and says how it ended, `history` keeps it,
//! `nemesis` hurts the `cluster` meanwhile, `checker` judges the history against `model`, and `run` puts the
//! parts together. Nothing here shares code with the engine or the server.

#![allow(clippy::disallowed_methods, reason = "a harness measures real time")]

pub mod checker;
pub mod client;
pub mod cluster;
pub mod generator;
pub mod history;
pub mod model;
pub mod mutants;
pub mod nemesis;
pub mod run;
pub mod workload;
