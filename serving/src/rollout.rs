//! The life of policies as an audited state machine.
//!
//! Every transition is one JSON record of topic `checkpoints`, keyed by the policy id, together with its
//! evidence; the present state is the fold of that topic and nothing else, so it survives any restart.
//!
//! ```text
//! registered ─► gated ─► shadow ─► canary ─► ramp 1 ─► … ─► champion ─► retired
//!      │          │        │          │         │              ▲│
//!      └──────────┴────────┴─► refused└─────────┴► rolled back ┼┘
//!      │                                                       │
//!      └─(only while there is no champion)─────────────────────┘
//! ```
//!
//! From gated to its end a candidate is moved by its delivery ([`plaudit_experiment::delivery`]), one candidate at a
//! time, in a run of the rolling experiment. The delivery is serialised into these records, so that the fold alone goes
//! on where a process stopped, with the same shares and decisions; nothing is decided again while folding. A delivery
//! begins only while the parent of the policy is the champion: what descends from a champion that was rolled back never
//! serves.
//!
//! # Format, version 1
//! `{"v": 1, "kind": "policy", "at": <ms>, "event": "<name>", …}` with, by name:
//!
//! | `event` | further fields |
//! |---|---|
//! | `registered` | `policy_id`, `parent` (id or null), `origin` (`pretrained`, `learned`, `imported`), `lineage` (object) |
//! | `gated` | `policy_id`, `evidence` (object) |
//! | `refused` | `policy_id`, `reasons` (strings, at least one), `evidence`, `decision` (of the delivery, if that refused) |
//! | `experiment_started` | `experiment` (the run), `template` (its configuration), `control`, `treatment`, `layer` (as configured; may be absent), `delivery` (absent in runs of older versions) |
//! | `delivery` | `policy_id`, `decision`, `progress` (of the delivery), `shadow` (sums, while in the shadow) |
//! | `promoted` | `policy_id`, `experiment` (id or null), `evidence`, `decision` (absent when a person did it) |
//! | `rolled_back` | `policy_id` (leaves), `to` (serves from now on), `reason`, `evidence` (may be absent), `decision` (absent when nothing was under way) |
//!
//! A decision with a `notice` is news: the state changed, or a person is asked. It has the numbers of every rule; other
//! evaluations leave them out. Records of another `kind` share the topic and are skipped; a newer `v` is an error.

mod event;
mod journal;
mod record;
mod state;

pub use event::{LIFECYCLE_VERSION, Lifecycle, LifecycleEvent, Origin};
pub use journal::Journal;
pub use record::{EndedRun, PolicyRecord, RunOutcome, Stage, Treatment};
pub use state::{Backtest, Rollout, Trial};
