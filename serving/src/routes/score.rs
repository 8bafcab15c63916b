//! `/v1/score`: P\[love\] and its kin for given responses.
//!
//! Scoring runs on a thread for blocking work, one request at a time: it cannot take the cores of the requests that
//! are answered. Those that wait count among `max_concurrent`, and are given up at the deadline.

pub(super) mod openrlhf;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use plaudit_event::{Context, Message, Objective};
use serde::{Deserialize, Serialize};

use super::extract;
use crate::score::{ObjectiveScore, PerRow, PrincipleScore, Reward, RewardVersion, ScoreRow, SpanScore};
use crate::state::Serving;
use crate::{Error, metrics};

/// Most rows of one request.
const MAX_ROWS: usize = 4_096;
/// Most principles of one request.
const MAX_PRINCIPLES: usize = 64;
/// Most pairs of a row and a principle.
const MAX_PRODUCTS: usize = 65_536;
/// Longest principle.
const MAX_PRINCIPLE_BYTES: usize = 1_000;
/// Most messages of one row.
const MAX_MESSAGES: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScoreRequest {
    rows: Vec<RowRequest>,
    #[serde(default)]
    objectives: Option<Vec<Objective>>,
    /// Whether to score each sentence, too.
    #[serde(default)]
    spans: bool,
    /// Principles in words, to score by, too.
    #[serde(default)]
    principles: Option<Vec<String>>,
}

/// What is asked beside the objectives.
#[derive(Debug, Default)]
pub(super) struct More {
    spans: bool,
    principles: Option<Vec<String>>,
}

/// What came of it.
pub(super) struct Scored {
    version: RewardVersion,
    objectives: Vec<Vec<Option<ObjectiveScore>>>,
    spans: Option<PerRow<SpanScore>>,
    principles: Option<PerRow<PrincipleScore>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RowRequest {
    #[serde(default)]
    messages: Option<Vec<Message>>,
    #[serde(default)]
    prompt: Option<String>,
    response: String,
}

#[derive(Debug, Serialize)]
pub(super) struct ScoreAnswer {
    reward: RewardVersion,
    rows: Vec<BTreeMap<Objective, Option<ObjectiveScore>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spans: Option<PerRow<SpanScore>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    principles: Option<PerRow<PrincipleScore>>,
}

pub(super) async fn handle(
    State(serving): State<Arc<Serving>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ScoreAnswer>, Error> {
    let request: ScoreRequest = extract::json(&headers, body, serving.config().max_body_bytes).await?;
    check_rows("rows", request.rows.len())?;
    check_principles(request.principles.as_deref(), request.rows.len())?;
    let more = More { spans: request.spans, principles: request.principles };
    let rows: Result<Vec<ScoreRow>, Error> =
        request.rows.into_iter().enumerate().map(|(at, row)| row.read(at)).collect();
    let (rows, reward) = (rows?, newest(&serving)?);
    let wanted = match request.objectives {
        None => (0..reward.objectives.len()).collect(),
        Some(names) => positions(&names, &reward.objectives)?,
    };
    let names: Vec<Objective> = wanted.iter().map(|at| reward.objectives[*at].clone()).collect();
    let Scored { version, objectives, spans, principles } = score(&serving, reward, rows, more).await?;
    let select = |row: Vec<Option<ObjectiveScore>>| {
        let chosen = wanted.iter().map(|at| row.get(*at).copied().flatten());
        names.iter().cloned().zip(chosen).collect()
    };
    let rows = objectives.into_iter().map(select).collect();
    Ok(Json(ScoreAnswer { reward: version, rows, spans, principles }))
}

impl RowRequest {
    fn read(self, at: usize) -> Result<ScoreRow, Error> {
        let context = match (self.messages, self.prompt) {
            (Some(messages), None) => {
                let count = messages.len();
                if count == 0 || count > MAX_MESSAGES {
                    let reason = format!("must have 1 to {MAX_MESSAGES} entries, got {count}");
                    return Err(Error::invalid(format!("rows[{at}].messages"), reason));
                }
                Context { messages, ..Context::default() }
            }
            (None, Some(prompt)) => Context::of_user(prompt),
            (messages, _) => {
                let got = if messages.is_some() { "both" } else { "neither" };
                let reason = format!("must have either `messages` or `prompt`, got {got}");
                return Err(Error::invalid(format!("rows[{at}]"), reason));
            }
        };
        Ok(ScoreRow { context, response: self.response })
    }
}

/// Checks the number of rows in `field`.
fn check_rows(field: &str, count: usize) -> Result<(), Error> {
    if (1..=MAX_ROWS).contains(&count) {
        return Ok(());
    }
    Err(Error::invalid(field, format!("must have 1 to {MAX_ROWS} entries, got {count}")))
}

fn check_principles(principles: Option<&[String]>, rows: usize) -> Result<(), Error> {
    let Some(principles) = principles else { return Ok(()) };
    let count = principles.len();
    if !(1..=MAX_PRINCIPLES).contains(&count) {
        return Err(Error::invalid("principles", format!("must have 1 to {MAX_PRINCIPLES} entries, got {count}")));
    }
    if rows * count > MAX_PRODUCTS {
        let reason = format!("must be at most {MAX_PRODUCTS} rows × principles, got {rows} × {count}");
        return Err(Error::invalid("principles", reason));
    }
    let wrong = |text: &String| text.trim().is_empty() || text.len() > MAX_PRINCIPLE_BYTES;
    match principles.iter().position(wrong) {
        None => Ok(()),
        Some(at) => {
            let reason =
                format!("must be a text of 1 to {MAX_PRINCIPLE_BYTES} bytes, got {} bytes", principles[at].len());
            Err(Error::invalid(format!("principles[{at}]"), reason))
        }
    }
}

fn positions(names: &[Objective], known: &[Objective]) -> Result<Vec<usize>, Error> {
    if names.is_empty() {
        return Err(Error::invalid("objectives", "must have at least 1 entry, got 0; leave it out for all"));
    }
    let find = |(at, name): (usize, &Objective)| {
        known.iter().position(|objective| objective == name).ok_or_else(|| {
            let all: Vec<&str> = known.iter().map(|objective| objective.0.as_str()).collect();
            Error::invalid(format!("objectives[{at}]"), format!("must be one of {}, got `{}`", all.join(", "), name.0))
        })
    };
    names.iter().enumerate().map(find).collect()
}

/// The reward model of this moment.
fn newest(serving: &Serving) -> Result<Reward, Error> {
    let source = serving.parts().reward.as_ref();
    let source = source.ok_or_else(|| Error::unavailable("this process has no reward model: add the role `learn`"))?;
    source().ok_or_else(|| Error::unavailable("there is no reward model yet: no example has been learned"))
}

/// Scores `rows` off the threads that answer.
async fn score(serving: &Serving, reward: Reward, rows: Vec<ScoreRow>, more: More) -> Result<Scored, Error> {
    let turn = Arc::clone(serving.scoring()).acquire_owned().await;
    let turn = turn.map_err(|_| Error::unavailable("the server is shutting down"))?;
    let work = move || {
        // Held until the work is done, also when the caller has left.
        let _turn = turn;
        let objectives = (reward.score)(&rows)?;
        let spans = more.spans.then(|| (reward.spans)(&rows)).transpose()?;
        let principles = more.principles.map(|principles| (reward.principles)(&rows, &principles)).transpose()?;
        metrics::scored(rows.len());
        Ok(Scored { version: reward.version, objectives, spans, principles })
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Task { what: "scoring", detail: error.to_string() })?
}
