//! `/v1/interleave`: one list of several rankings, so that who reads it compares them.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use plaudit_event::{
    Context, ExperimentId, Exposure, ExposureId, Impression, Mixture, PolicyId, Stage, Surface, UnitId,
};
use plaudit_experiment::interleave::{Drawn, InterleavingConfig};
use plaudit_ingest::MAX_SLATE;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{extract, limits};
use crate::Error;
use crate::experiment::interleaving;
use crate::state::Serving;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InterleaveRequest {
    experiment: ExperimentId,
    unit_id: UnitId,
    rankings: Vec<Ranking>,
    /// Names the list: the same id with the same rankings is the same list. Made here when absent.
    #[serde(default)]
    exposure_id: Option<ExposureId>,
    #[serde(default)]
    session_id: Option<String>,
    #[serde(default)]
    context: Context,
    /// Free attributes for segments.
    #[serde(default)]
    attributes: Map<String, Value>,
}

/// What a policy would show, best first.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ranking {
    policy_id: PolicyId,
    items: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct InterleaveAnswer {
    exposure_id: ExposureId,
    experiment: ExperimentId,
    policy_id: PolicyId,
    method: Mixture,
    items: Vec<String>,
    propensity: f64,
    seed: String,
}

pub(super) async fn handle(
    State(serving): State<Arc<Serving>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<InterleaveAnswer>, Error> {
    let request: InterleaveRequest = extract::json(&headers, body, serving.config().max_body_bytes).await?;
    limits::session("session_id", request.session_id.as_deref())?;
    let in_force = serving.experiments();
    let config = interleaving(&in_force.definition, request.experiment.as_str())?.clone();
    let is_mixed = config.is_mixing() && !in_force.definition.killed;
    let rankings = ordered(&config, request.rankings)?;
    limits::interleaving(&request.context, &request.attributes, &rankings, config.length)?;
    let exposure_id = request.exposure_id.unwrap_or_else(|| serving.new_exposure_id());
    // An optimised list takes milliseconds.
    let drawing = tokio::task::spawn_blocking({
        let (config, exposure_id) = (config.clone(), exposure_id.clone());
        move || config.draw(rankings, &exposure_id, is_mixed)
    });
    let drawn = drawing.await.map_err(|error| Error::Task { what: "drawing a list", detail: error.to_string() })?;
    let Drawn { items, interleaving } = drawn.map_err(|error| Error::invalid("rankings", error.to_string()))?;
    let policy_id = if is_mixed { config.mixture_id() } else { config.policies[0].clone() };
    let answer = InterleaveAnswer {
        exposure_id: exposure_id.clone(),
        experiment: request.experiment,
        policy_id: policy_id.clone(),
        method: interleaving.method,
        items: items.clone(),
        propensity: interleaving.propensity,
        seed: interleaving.seed.clone(),
    };
    let exposure = Exposure {
        exposure_id,
        unit_id: request.unit_id,
        session_id: request.session_id,
        surface: Surface::Search,
        context: request.context,
        slate: slate(items),
        chosen: 0,
        propensity: None,
        token_logprobs: None,
        policy_id,
        stage: Some(Stage::Rank),
        assignments: Vec::new(),
        rewrite_applied: None,
        interleaving: Some(Box::new(interleaving)),
        attributes: request.attributes,
        ts: serving.parts().clock.now(),
        unknown: Map::new(),
    };
    serving.expose_again(exposure).await?;
    Ok(Json(answer))
}

fn slate(items: Vec<String>) -> Vec<Impression> {
    let impression = |(place, item_id)| Impression {
        item_id,
        position: u32::try_from(place).unwrap_or(u32::MAX),
        content: String::new(),
        score: None,
    };
    items.into_iter().enumerate().map(impression).collect()
}

/// The rankings in the order of the policies, one for each, each within its limits.
fn ordered(config: &InterleavingConfig, rankings: Vec<Ranking>) -> Result<Vec<Vec<String>>, Error> {
    let expected: Vec<String> = config.policies.iter().map(ToString::to_string).collect();
    let (count, got) = (expected.len(), rankings.len());
    if got != count {
        let reason = format!("must have {count} entries, one for each of `{}`, got {got}", expected.join("`, `"));
        return Err(Error::invalid("rankings", reason));
    }
    let mut slots: Vec<Option<Vec<String>>> = vec![None; count];
    for (index, ranking) in rankings.into_iter().enumerate() {
        let field = format!("rankings[{index}]");
        let Some(slot) = config.policies.iter().position(|policy| *policy == ranking.policy_id) else {
            let reason = format!("must be one of `{}`, got `{}`", expected.join("`, `"), ranking.policy_id);
            return Err(Error::invalid(format!("{field}.policy_id"), reason));
        };
        if slots[slot].is_some() {
            let reason = format!("must be named once, got `{}` again", ranking.policy_id);
            return Err(Error::invalid(format!("{field}.policy_id"), reason));
        }
        check(&format!("{field}.items"), &ranking.items)?;
        slots[slot] = Some(ranking.items);
    }
    Ok(slots.into_iter().flatten().collect())
}

fn check(field: &str, items: &[String]) -> Result<(), Error> {
    if !(1..=MAX_SLATE).contains(&items.len()) {
        return Err(Error::invalid(field, format!("must have 1 to {MAX_SLATE} entries, got {}", items.len())));
    }
    let mut seen = HashSet::new();
    for (index, item) in items.iter().enumerate() {
        limits::item(&format!("{field}[{index}]"), item)?;
        if !seen.insert(item) {
            return Err(Error::invalid(format!("{field}[{index}]"), "must be another item than those before"));
        }
    }
    Ok(())
}
