//! The definition of the experiments, for people and programs that edit it.
//!
//! Optimistic: an edit names the version that it was made on (`if-match`), and one that comes too late is refused with
//! 412. `?dry_run=true` says what an edit would do.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use plaudit_event::Timestamp;
use plaudit_experiment::assign::StepConfig;
use serde::Deserialize;
use serde_json::{Value, json};

use super::extract;
use super::guard::Who;
use crate::Error;
use crate::experiment::{Audit, Change, Definition};
use crate::state::Serving;

/// Longest reason, in bytes.
const MAX_REASON_BYTES: usize = 4_096;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EditQuery {
    #[serde(default)]
    dry_run: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EditRequest {
    definition: Definition,
    reason: String,
    /// Who asks, where the API key does not tell.
    #[serde(default)]
    who: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VerbRequest {
    reason: String,
    #[serde(default)]
    who: Option<String>,
    /// With `start`: the fraction of the layer enrolled from now on.
    #[serde(default)]
    share: Option<f64>,
}

/// The definition in force; its hash is the `etag`.
pub(super) async fn show(State(serving): State<Arc<Serving>>) -> Response {
    let in_force = serving.experiments();
    let body = json!({"hash": in_force.hash, "definition": in_force.definition});
    ([(header::ETAG, etag(&in_force.hash))], Json(body)).into_response()
}

/// Who changed what, oldest first.
pub(super) async fn audit(State(serving): State<Arc<Serving>>) -> Json<Value> {
    Json(json!({"audit": serving.audit()}))
}

/// Puts a definition in force, all of it.
pub(super) async fn replace(
    State(serving): State<Arc<Serving>>,
    query: Result<Query<EditQuery>, QueryRejection>,
    Extension(who): Extension<Who>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let Query(query) = query.map_err(|error| Error::invalid("query", error.body_text()))?;
    let expected = extract::header(&headers, "if-match")?.map(|tag| tag.trim().trim_matches('"').to_owned());
    let expected = expected.ok_or(Error::Unconditional)?;
    let request: EditRequest = extract::json(&headers, body, serving.config().max_body_bytes).await?;
    let change = Change {
        definition: request.definition,
        who: who.or(request.who)?,
        reason: reason(&request.reason)?,
        expected: Some(expected).filter(|expected| expected != "*"),
        made: serving.parts().clock.now(),
    };
    answer(&serving, change, query.dry_run).await
}

/// `start`, `pause` or `stop` of one experiment.
pub(super) async fn verb(
    State(serving): State<Arc<Serving>>,
    Path((id, verb)): Path<(String, String)>,
    query: Result<Query<EditQuery>, QueryRejection>,
    Extension(who): Extension<Who>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let Query(query) = query.map_err(|error| Error::invalid("query", error.body_text()))?;
    let request: VerbRequest = extract::json(&headers, body, serving.config().max_body_bytes).await?;
    let in_force = serving.experiments();
    let mut definition = in_force.definition.clone();
    let made = serving.parts().clock.now();
    let verb = Verb::of(&verb)?;
    switch(&mut definition, &id, verb)?;
    if verb == Verb::Start
        && let Some(share) = request.share
    {
        ramp(&mut definition, &id, share, made)?;
    }
    if request.share.is_some() && verb != Verb::Start {
        return Err(Error::invalid("share", "goes with `start` only"));
    }
    let change = Change {
        definition,
        who: who.or(request.who)?,
        reason: reason(&request.reason)?,
        expected: Some(in_force.hash.clone()),
        made,
    };
    answer(&serving, change, query.dry_run).await
}

/// What is done with an experiment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Start,
    Pause,
    Stop,
}

impl Verb {
    fn of(name: &str) -> Result<Self, Error> {
        match name {
            "start" => Ok(Self::Start),
            "pause" => Ok(Self::Pause),
            "stop" => Ok(Self::Stop),
            other => {
                let known = ["start", "pause", "stop"].map(str::to_owned).to_vec();
                Err(Error::NotFound { what: "verb", name: other.to_owned(), known })
            }
        }
    }
}

/// Switches the experiment, or the interleaving, called `id`.
fn switch(definition: &mut Definition, id: &str, verb: Verb) -> Result<(), Error> {
    let experiments = definition.experiments.iter_mut().map(|one| (&one.id, &mut one.active, &mut one.killed));
    let interleavings = definition.interleavings.iter_mut().map(|one| (&one.id, &mut one.active, &mut one.killed));
    let mut known = Vec::new();
    for (name, active, killed) in experiments.chain(interleavings) {
        if name.as_str() != id {
            known.push(name.to_string());
            continue;
        }
        match verb {
            Verb::Start if *killed => {
                let reason = format!("experiment `{id}` was stopped for good; make a new one");
                return Err(Error::Transition { event: "start", reason });
            }
            Verb::Start => *active = true,
            Verb::Pause => *active = false,
            Verb::Stop => *killed = true,
        }
        return Ok(());
    }
    Err(Error::NotFound { what: "experiment", name: id.to_owned(), known })
}

/// From now on `share` of the layer is enrolled.
fn ramp(definition: &mut Definition, id: &str, share: f64, now: Timestamp) -> Result<(), Error> {
    let found = definition.experiments.iter_mut().find(|experiment| experiment.id.as_str() == id);
    let experiment = found.ok_or_else(|| Error::invalid("share", "goes with experiments, not with an interleaving"))?;
    // What was to come later is replaced by what is asked for now.
    experiment.ramp.retain(|step| step.from < now);
    experiment.ramp.push(StepConfig { from: now, share });
    Ok(())
}

async fn answer(serving: &Arc<Serving>, change: Change, is_dry: bool) -> Result<Response, Error> {
    let audit = if is_dry {
        serving.plan_experiments(&change).await?
    } else {
        // The caller may go away in between.
        let serving = Arc::clone(serving);
        let task = tokio::spawn(async move { serving.change_experiments(change).await });
        task.await.map_err(|error| Error::Task { what: "changing experiments", detail: error.to_string() })??
    };
    let mut body = json!(audit);
    body["dry_run"] = Value::from(is_dry);
    body["text"] = Value::from(lines(&audit));
    Ok(([(header::ETAG, etag(&serving.experiments().hash))], Json(body)).into_response())
}

/// The edits, for people.
fn lines(audit: &Audit) -> Vec<String> {
    audit.edits.iter().map(ToString::to_string).collect()
}

fn etag(hash: &str) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{hash}\"")).expect("a hash is hexadecimal")
}

fn reason(text: &str) -> Result<String, Error> {
    let text = text.trim();
    if text.is_empty() || text.len() > MAX_REASON_BYTES {
        return Err(Error::invalid("reason", format!("must have 1 to {MAX_REASON_BYTES} bytes, got {}", text.len())));
    }
    Ok(text.to_owned())
}
