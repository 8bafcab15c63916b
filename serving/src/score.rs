//! What `POST /v1/score` asks: the reward model as serving sees it.
//!
//! Serving does not know how rewards are made. The process that trains hands in [`NewestReward`], and every request
//! asks it for the newest model once, so that all its rows are scored by the same one.

use plaudit_event::{Context, Objective};
use serde::Serialize;

use crate::Error;

/// A response with what it was made for.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreRow {
    /// What the response was made for.
    pub context: Context,
    /// The response.
    pub response: String,
}

/// What is predicted for one objective.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ObjectiveScore {
    /// The probability at the true base rate, in \[0, 1\].
    pub p: f64,
    /// Its logit.
    pub logit: f64,
    /// Standard deviation of the logit over an ensemble of heads; nothing without an ensemble.
    pub spread: Option<f64>,
}

/// Which reward model it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RewardVersion {
    /// The newest checkpoint at that moment; the model may have learned more since.
    pub checkpoint_id: Option<String>,
    /// Examples that it had seen.
    pub examples: u64,
}

/// Scores rows: per row, in order, one entry per objective, with nothing where no label of each class was seen.
pub type ScoreRows = Box<dyn Fn(&[ScoreRow]) -> Result<Vec<Vec<Option<ObjectiveScore>>>, Error> + Send + Sync>;

/// A reward model that does not change any more.
pub struct Reward {
    /// What it predicts.
    pub objectives: Vec<Objective>,
    /// Which one it is.
    pub version: RewardVersion,
    /// How it scores.
    pub score: ScoreRows,
}

/// The newest reward model; nothing before the first one.
pub type NewestReward = Box<dyn Fn() -> Option<Reward> + Send + Sync>;
