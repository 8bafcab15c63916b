//! Seeded users with hidden preferences who talk to Plaudit over HTTP.
//!
//! The simulator knows the truth that the product has to find out: how likely each response is to
//! be loved and to be helpful. It talks to the product over HTTP alone, and no product crate may
//! depend on it.
//!
//! - [`language`]: the small world of facts, and the corpus a decoder is pretrained on.
//! - [`truth`]: what users really think of a response.
//! - [`Scenario`]: every number of a simulation.
//! - [`users`]: who comes, and how they react.
//! - [`domains`]: a stream whose domains contradict each other, without HTTP.
//! - [`spam`]: units that love one phrase, without HTTP.
//! - [`Driver`]: sends the requests and the reactions, and remembers the truth.

pub mod domains;
mod draw;
mod driver;
mod error;
pub mod language;
mod record;
pub mod scenario;
pub mod spam;
pub mod truth;
pub mod users;

pub use driver::{Counters, Counts, Driver, Phase, PhaseSpec};
pub use error::Error;
pub use language::{Pair, corpus};
pub use record::{Choice, Record, Row, Sample};
pub use scenario::Scenario;
