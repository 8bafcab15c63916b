//! What is done about events before anything is stored.
//!
//! Two kinds of steps, kept apart because they need different things:
//!
//! - **Pure** steps look at one event and the configuration: they are part of the judge of intake, and give
//!   the same answer wherever an event comes from. `Cleaner` hashes the names of units and redacts texts.
//!   `Sampler` keeps a share, `BotRules` tell programs from persons.
//! - **Stateful** steps look at what came before: `Guard` caps the rate of a unit and knows the
//!   [`suspects`].
//!
//! # Why examples have no weight per unit
//!
//! A weight of min(1, cap / count) would depend on how much a unit sends later, so that every further
//! example of it would correct all its earlier ones. The reward model trains on at most
//! `max_examples_per_unit_day` examples of a unit and day, in the order of the log, which bounds its weight
//! the same way without corrections, and readouts are made of sums per unit. A second bound here would count
//! twice.

mod bots;
mod clean;
mod generations;
mod guard;
mod patterns;
mod rates;
mod redact;
mod salt;
mod sample;
pub mod suspects;
mod tail;

pub use bots::BotFilter;
pub(crate) use bots::BotRules;
pub(crate) use clean::Cleaner;
pub(crate) use guard::{Facts, Guard, Witness};
pub(crate) use redact::{Hits, Redactor};
pub use salt::{SALT_BYTES, Salt, UNIT_HASH_PREFIX};
pub use sample::SAMPLING_WEIGHT_ATTRIBUTE;
pub(crate) use sample::Sampler;
