//! The life of policies as an audited state machine.
//!
//! Every transition is one JSON record of topic `checkpoints`, keyed by the policy id, together with its
//! evidence; the present state is the fold of that topic and nothing else, so it survives any restart.
//!
//! ```text
//!              ┌──────────► refused
//! registered ──┴─► gated ──► treatment ──► champion ──► retired
//!      │                        │              │
//!      │                        └──► rolled back ◄┘
//!      └─(only while there is no champion)──► champion
//! ```
//!
//! A gated policy becomes the treatment only while its parent is the champion: what descends from a champion
//! that was rolled back never serves.
//!
//! # Format, version 1
//! `{"v": 1, "kind": "policy", "at": <ms>, "event": "<name>", …}` with, by name:
//!
//! | `event` | further fields |
//! |---|---|
//! | `registered` | `policy_id`, `parent` (id or null), `origin` (`pretrained`, `learned`, `imported`), `lineage` (object) |
//! | `gated` | `policy_id`, `evidence` (object) |
//! | `refused` | `policy_id`, `reasons` (strings, at least one), `evidence` |
//! | `experiment_started` | `experiment` (the run), `template` (its configuration), `control`, `treatment`, `layer` (as configured; may be absent) |
//! | `promoted` | `policy_id`, `experiment` (id or null), `evidence` |
//! | `rolled_back` | `policy_id` (leaves), `to` (serves from now on), `reason`, `evidence` (may be absent) |
//!
//! Records of another `kind` share the topic and are skipped; a newer `v` is an error.

mod event;
mod journal;
mod record;
mod state;

pub use event::{LIFECYCLE_VERSION, Lifecycle, LifecycleEvent, Origin};
pub use journal::Journal;
pub use record::{EndedRun, PolicyRecord, RunOutcome, Stage, Treatment};
pub use state::{Backtest, Rollout, Trial};
