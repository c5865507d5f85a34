//! The Hallpass engine.
