//! The HTTP contract, against a real server on a free port: memory log, real engine, tiny random weights.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod admin;
mod allocation;
mod chat;
mod decide;
mod delivery;
mod events;
mod experiments;
mod interleave;
mod limits;
mod log;
mod ofrep;
mod rollback;
mod score;
mod support;
mod swap;
