//! The reward model as serving asks for it.

use std::sync::Arc;

use plaudit_reward_model::{RewardHandle, RewardModel, Row, Scores};
use plaudit_serving::Error;
use plaudit_serving::score::{NewestReward, ObjectiveScore, Reward, RewardVersion, ScoreRow};

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
        Some(Reward { objectives, version, score: Box::new(move |rows| score(&*model, rows)) })
    })
}

fn score(model: &dyn RewardModel, rows: &[ScoreRow]) -> Result<Vec<Vec<Option<ObjectiveScore>>>, Error> {
    let rows: Vec<Row<'_>> = rows.iter().map(|row| Row { context: &row.context, response: &row.response }).collect();
    let scores = model.score(&rows).map_err(|error| Error::Task { what: "scoring", detail: error.to_string() })?;
    let of = |scores: &Scores| {
        let one = |name: &str| {
            let (p, logit) = (scores.prob(name)?, scores.logit(name)?);
            Some(ObjectiveScore { p, logit, spread: scores.spread(name) })
        };
        model.objectives().iter().map(|objective| one(&objective.0)).collect()
    };
    Ok(scores.iter().map(of).collect())
}
