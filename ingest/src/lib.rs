//! From a received event to an attributed example: log, store, intake, attribution.
//!
//! # Path of a signal
//!
//! ```text
//!  HTTP, files            exposures ─┐
//!      │                  signals  ──┼─► AttributionService ─► examples ─► reward model
//!      ▼                     ▲       │        (Joiner)             │
//!   Intake ── accepted ──────┘       └──────────┬─────────────────┘
//!      │                                        ▼
//!      └──── refused ───► dead_letters ───► StoreSink ─► EventStore ─► metrics, prompts, exports
//! ```
//!
//! 1. **Received.** [`Intake::signals`] (or `exposures`, `envelopes`, `events`) gets a batch. Each
//!    event is decoded and checked against the limits and the declared kinds. What fails is *rejected*,
//!    or *quarantined* when only this configuration or this build does not take it.
//! 2. **Sifted.** An exposure outside the configured share, and its signals, are *sampled*: nothing is kept.
//!    What a program sent is quarantined ([`quality`]). Then texts are redacted and names of units hashed:
//!    from here on, and in dead letters, there is nothing that must not be stored. All this looks at the
//!    event and the configuration only.
//! 3. **Recognised.** Its id is looked up. The same event sent again is a *duplicate*; another event
//!    with the same id is rejected as a *conflict*. An id that somebody else has in flight is waited
//!    for, since a duplicate is promised to be durable too. A new signal of a unit that is
//!    [suspect](quality::suspects), or sends more than it may, is quarantined; it comes after the look-up
//!    because a duplicate is durable already and must neither count nor be held back.
//! 4. **Logged.** What is new goes to topic `signals`, keyed by its exposure, what is refused to topic
//!    `dead_letters` with the reason. All batches that wait share one transaction and one sync to disk.
//! 5. **Acknowledged.** The sender gets exactly one [`Outcome`] per event, in order. *Accepted* means
//!    that the event survives a crash of the machine. Over all calls, received = Σ outcomes.
//! 6. **Attributed.** [`service::AttributionService`] reads exposures and signals in the order of the
//!    log and feeds them to the [`attribution::Joiner`]. When the window of the exposure closes, its
//!    example is appended to topic `examples`: one per exposure, with the labels that its signals make.
//!    A signal that comes later, or takes another back, makes a new revision.
//! 7. **Learned from and stored.** The reward model reads `examples`; [`service::StoreSink`] copies the
//!    topics into the [`store::EventStore`], where metrics, prompt sampling and exports ask.
//!
//! # Invariants
//!
//! - Nothing acknowledged is lost, nothing counts twice: under crashes, duplicates, reordering.
//! - Examples are a pure function of the log and the attribution configuration; when that changes, of
//!   what was written before, too. The services keep no state of their own: where they stand is read
//!   back from what they wrote.
//! - Time comes from a [`Clock`](plaudit_event::Clock), and only at the log and the intake.
//! - Texts of users are never written to traces or metric labels.

pub mod attribution;
mod config;
pub mod erasure;
mod error;
mod fingerprint;
mod intake;
pub mod letters;
mod location;
pub mod log;
pub mod metrics;
mod outcome;
pub mod quality;
pub mod service;
mod sqlite;
pub mod store;

pub use config::{
    BotRule, Bots, ClickHouseConfig, Config, CustomPattern, Evidence, Hashing, ObjectiveSpec, Pattern, Problem,
    Quality, RateCap, Redaction, Retention, Sampling, Secret, SignalSpec, Silence, Suspicion,
};
pub use error::{Error, ErrorKind};
pub use intake::{
    Intake, MAX_EVENT_BYTES, MAX_ITEM_ID_BYTES, MAX_SLATE, MAX_SPANS, MAX_TEXT_BYTES, MAX_TOKEN_LOGPROBS, Totals,
};
pub use outcome::{DeadLetter, Outcome, Reason, Refusal};
pub use quality::{BotFilter, SALT_BYTES, SAMPLING_WEIGHT_ATTRIBUTE, Salt, UNIT_HASH_PREFIX};
