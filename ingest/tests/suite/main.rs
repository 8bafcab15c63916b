//! What intake, attribution and the store promise together, across crashes and bad luck.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attribution;
mod crash;
mod intake;
mod service;
mod support;
