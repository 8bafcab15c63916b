//! Events that products send: one outcome per event, in order.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use plaudit_ingest::Outcome;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::extract;
use crate::Error;
use crate::state::Serving;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignalBatch {
    signals: Vec<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExposureBatch {
    exposures: Vec<Value>,
}

/// What became of the events.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    outcomes: Vec<Fate>,
}

/// What became of one event.
#[derive(Debug, Serialize)]
struct Fate {
    #[serde(skip_serializing_if = "Option::is_none")]
    signal_id: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exposure_id: Option<Value>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl Fate {
    fn new(outcome: &Outcome) -> Self {
        let refusal = outcome.refusal();
        Self {
            signal_id: None,
            exposure_id: None,
            outcome: outcome.as_str(),
            reason: refusal.map(|refusal| refusal.reason.as_str()),
            field: refusal.map(|refusal| refusal.field.clone()).filter(|field| !field.is_empty()),
            detail: refusal.map(|refusal| refusal.detail.clone()),
        }
    }
}

pub(super) async fn signals(
    State(serving): State<Arc<Serving>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Answer>, Error> {
    let batch: SignalBatch = extract::json(&headers, body, serving.config().max_body_bytes).await?;
    check_count(&serving, "signals", batch.signals.len())?;
    let mut signals = batch.signals;
    let ids = signals.iter_mut().map(|signal| name_signal(&serving, signal)).collect::<Vec<_>>();
    let outcomes = serving.parts().intake.signals(signals).await?;
    let fates = outcomes.iter().zip(ids);
    let outcomes = fates.map(|(outcome, id)| Fate { signal_id: Some(id), ..Fate::new(outcome) });
    Ok(Json(Answer { outcomes: outcomes.collect() }))
}

/// The id of `signal`, made here when the sender gave none. Without an own id a retry is a new signal.
fn name_signal(serving: &Serving, signal: &mut Value) -> Value {
    let Some(fields) = signal.as_object_mut() else { return Value::Null };
    if let Some(id) = fields.get("signal_id") {
        return id.clone();
    }
    let id = Value::from(serving.new_signal_id().to_string());
    fields.insert("signal_id".to_owned(), id.clone());
    id
}

pub(super) async fn exposures(
    State(serving): State<Arc<Serving>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Answer>, Error> {
    let batch: ExposureBatch = extract::json(&headers, body, serving.config().max_body_bytes).await?;
    check_count(&serving, "exposures", batch.exposures.len())?;
    let name = |exposure: &Value| exposure.get("exposure_id").cloned().unwrap_or_default();
    let ids: Vec<Value> = batch.exposures.iter().map(name).collect();
    let outcomes = serving.parts().intake.exposures(batch.exposures).await?;
    let fates = outcomes.iter().zip(ids);
    let outcomes = fates.map(|(outcome, id)| Fate { exposure_id: Some(id), ..Fate::new(outcome) });
    Ok(Json(Answer { outcomes: outcomes.collect() }))
}

fn check_count(serving: &Serving, field: &'static str, count: usize) -> Result<(), Error> {
    let max = serving.config().max_events;
    if count == 0 || count > max {
        return Err(Error::invalid(field, format!("must have 1 to {max} entries, got {count}")));
    }
    Ok(())
}
