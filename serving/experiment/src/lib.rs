//! Experiments as pure functions: who gets what, and what the numbers allow one to say.
//!
//! Nothing here reads a clock, a file or a global generator; time, seeds and data are arguments.

pub mod adaptive;
pub mod assign;
pub mod delivery;
mod error;
pub mod interleave;
pub mod metrics;
pub mod off_policy;
pub mod stats;

pub use error::Error;
