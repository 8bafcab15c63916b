//! HTTP serving: which policy answers whom, the model thread, experiments and their readout.
//!
//! # Path of a request
//! 1. [`router`] checks the key, the number of requests and the size of the body.
//! 2. The unit is assigned ([`experiment::Plan`], a pure hash); its variant decides which policy answers.
//! 3. The model thread ([`engine`]) generates, batched with whatever else is under way.
//! 4. The exposure is appended to the log and synced before the answer leaves; of a streamed answer, before
//!    its last chunk. A stream that its reader leaves is logged as far as it was sent.
//!
//! # Path of an example back
//! [`Serving::follow`] folds topic `examples` into [`readout`]s per variant and into the posteriors of
//! selection, and evaluates the delivery of the candidate, which moves it on or takes it out ([`rollout`]); the change
//! is durable first, then one replacement of the routing snapshot makes it real. Requests under way keep the
//! policy they began with.

mod config;
pub mod engine;
mod error;
pub mod experiment;
pub mod metrics;
pub mod readout;
pub mod results;
pub mod rollout;
mod routes;
pub mod score;
mod server;
mod shadow;
mod state;

pub use config::{ApiKey, ApiRole, Autopilot, Config, NoticesConfig};
pub use error::Error;
pub use routes::router;
pub use server::{Listener, serve};
pub use state::{AllocationReport, CohortReport, Eraser, Parts, RequestOf, Serving, Told, Why};
