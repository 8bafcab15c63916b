//! The reward model as serving asks for it.

use std::sync::Arc;

use plaudit_reward_model::{Principle, RewardHandle, RewardModel, Row, Scores};
use plaudit_serving::Error;
use plaudit_serving::score::{
    NewestReward, ObjectiveScore, PerRow, PrincipleScore, Reward, RewardVersion, ScoreRow, SpanScore,
};

/// Always the newest model that `handle` has published.
pub(crate) fn newest(handle: Arc<RewardHandle>) -> NewestReward {
    Box::new(move || {
        let model = handle.scorer()?;
        let status = handle.status();
        let version = RewardVersion {
            checkpoint_id: status.checkpoint_id.map(|id| id.to_string()),
            examples: model.examples().unwrap_or(status.examples),
        };
        let objectives = model.objectives().to_vec();
        let (by_span, by_principle) = (Arc::clone(&model), Arc::clone(&model));
        Some(Reward {
            objectives,
            version,
            score: Box::new(move |rows| score(&*model, rows)),
            spans: Box::new(move |rows| spans(&*by_span, rows)),
            principles: Box::new(move |rows, texts| principles(&*by_principle, rows, texts)),
        })
    })
}

fn borrowed(rows: &[ScoreRow]) -> Vec<Row<'_>> {
    rows.iter().map(|row| Row { context: &row.context, response: &row.response }).collect()
}

fn failed(error: plaudit_reward_model::Error) -> Error {
    Error::Task { what: "scoring", detail: error.to_string() }
}

fn spans(model: &dyn RewardModel, rows: &[ScoreRow]) -> Result<PerRow<SpanScore>, Error> {
    let of = |span: plaudit_reward_model::SpanScore| {
        let plaudit_reward_model::SpanScore { start, end, score } = span;
        SpanScore { start, end, score }
    };
    let scores = model.spans(&borrowed(rows)).map_err(failed)?;
    Ok(scores.into_iter().map(|row| row.map(|spans| spans.into_iter().map(of).collect())).collect())
}

fn principles(model: &dyn RewardModel, rows: &[ScoreRow], texts: &[String]) -> Result<PerRow<PrincipleScore>, Error> {
    let of = |score: plaudit_reward_model::PrincipleScore| {
        let plaudit_reward_model::PrincipleScore { p, logit, familiarity, praise } = score;
        PrincipleScore { p, logit, familiarity, praise }
    };
    let principles: Vec<Principle> = texts.iter().map(|text| Principle::of(text)).collect();
    let scores = model.principles(&borrowed(rows), &principles).map_err(failed)?;
    Ok(scores.into_iter().map(|row| row.map(|scores| scores.into_iter().map(of).collect())).collect())
}

fn score(model: &dyn RewardModel, rows: &[ScoreRow]) -> Result<Vec<Vec<Option<ObjectiveScore>>>, Error> {
    let scores = model.score(&borrowed(rows)).map_err(failed)?;
    let of = |scores: &Scores| {
        let one = |name: &str| {
            let (p, logit) = (scores.prob(name)?, scores.logit(name)?);
            let reward = scores.reward(name).unwrap_or(logit);
            Some(ObjectiveScore { p, logit, reward, spread: scores.spread(name) })
        };
        model.objectives().iter().map(|objective| one(&objective.0)).collect()
    };
    Ok(scores.iter().map(of).collect())
}
