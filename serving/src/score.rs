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
    /// What policies are rewarded with: the logit, or the score without length where the model leaves that out.
    pub reward: f64,
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

/// A sentence of a response.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SpanScore {
    /// Its first character.
    pub start: u32,
    /// The character behind its last.
    pub end: u32,
    /// How likely people who work on parts keep it, in \[0, 1\].
    pub score: f64,
}

/// How a principle fits a response.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PrincipleScore {
    /// How likely someone who comments says it of the response, in \[0, 1\].
    pub p: f64,
    /// Its logit.
    pub logit: f64,
    /// Share of the principle's words that learned principles have.
    pub familiarity: f64,
    /// Share of those who gave the learned principle most like it that liked the response; nothing where none is alike.
    pub praise: Option<f64>,
}

/// One entry per row, with nothing while nothing was learned.
pub type PerRow<T> = Vec<Option<Vec<T>>>;
/// Scores the sentences of each response.
pub type ScoreSpans = Box<dyn Fn(&[ScoreRow]) -> Result<PerRow<SpanScore>, Error> + Send + Sync>;
/// Scores each response by each of the principles, in their order.
pub type ScorePrinciples = Box<dyn Fn(&[ScoreRow], &[String]) -> Result<PerRow<PrincipleScore>, Error> + Send + Sync>;

/// A reward model that does not change any more.
pub struct Reward {
    /// What it predicts.
    pub objectives: Vec<Objective>,
    /// Which one it is.
    pub version: RewardVersion,
    /// How it scores.
    pub score: ScoreRows,
    /// How it scores sentences.
    pub spans: ScoreSpans,
    /// How it scores by principles.
    pub principles: ScorePrinciples,
}

/// The newest reward model; nothing before the first one.
pub type NewestReward = Box<dyn Fn() -> Option<Reward> + Send + Sync>;
