//! What intake, attribution and the store promise together, across crashes and bad luck.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attribution;
mod bad_input;
mod change;
mod histories;
mod in_flight;
mod intake;
mod privacy;
mod quarantine;
mod repair;
mod service;
mod sharded;
mod spool;
mod standing;
mod support;
mod suspects;
