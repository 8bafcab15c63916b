//! Policies, how they learn, and what they must show before anyone sees them.
//!
//! - [`generate`]: a decoder that writes the answer; [`select`]: a choice among candidates with exact propensities.
//! - [`tripwire`]: surface measures of a response; [`judge`]: hard constraints made of them.
//! - [`crpg`]: one step of improving a generated policy against a reward model under judges;
//!   [`learn`]: from a champion to a gated candidate; [`gate`]: the rules between the two.
//! - [`pretrain`]: a small decoder from nothing.
//!
//! Everything is synchronous and takes seeds as arguments; threads and clocks are the caller's.

mod batch;
mod config;
pub mod crpg;
mod error;
pub mod gate;
pub mod generate;
pub mod judge;
pub mod learn;
pub mod metrics;
pub mod pretrain;
pub mod select;
mod stats;
#[cfg(test)]
mod toy;
pub mod tripwire;

use plaudit_event::{Context, Impression, PolicyId, Propensity, Stream, TokenLogprob};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use config::Config;
pub use error::Error;
pub use generate::GeneratePolicy;

/// A choosable thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Names the item within the decision.
    pub item_id: String,
    /// What would be shown.
    #[serde(default)]
    pub content: String,
    /// What is known about it: numbers, categories and flags by name, for a policy that goes by them.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub features: Map<String, Value>,
}

/// What a policy decided, ready to be logged as an exposure.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What was decided among, in order; for a generated answer, the answer alone.
    pub slate: Vec<Impression>,
    /// Index into `slate` of the chosen action.
    pub chosen: u32,
    /// Probability of the chosen action; absent when only `token_logprobs` tell.
    pub propensity: Option<Propensity>,
    /// The generated tokens with their log-probabilities.
    pub token_logprobs: Option<Vec<TokenLogprob>>,
    /// Probability of every candidate, in the order of `slate`; empty for a generated answer.
    pub propensities: Vec<f64>,
}

/// Context × candidates → a decision with a propensity.
pub trait Policy: Send + Sync {
    /// The id recorded on exposures; immutable and never reused.
    fn id(&self) -> &PolicyId;

    /// Decides. All randomness comes from `rng`: equal arguments, state and stream give an equal decision,
    /// and the recorded propensity is the probability the action was drawn with.
    ///
    /// # Errors
    /// Fails on a bad candidate list or when the model fails; nothing is decided then.
    fn act(&self, context: &Context, candidates: &[Candidate], rng: &mut Stream) -> Result<Decision, Error>;
}
