//! `/v1/score/openrlhf`: the reward server that OpenRLHF's `remote_rm_url` asks.
//!
//! Its trainers send `{"query", "prompts", "labels"}`: whole texts, the part of each that was the prompt, and labels,
//! which are not used here. They read `rewards` (what is maximised), `scores` (in \[0, 1\], for filters) and
//! `extra_logs`. A text is taken apart with the marks of the chat template that it was written with.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use plaudit_event::{Context, Message, Objective, Role};
use serde::{Deserialize, Serialize};

use super::{More, ScoreRow, check_rows, newest, positions, score};
use crate::Error;
use crate::routes::extract;
use crate::score::ObjectiveScore;
use crate::state::Serving;

/// Marks of a chat template: before a role, after it, after a message.
const TEMPLATES: [[&str; 3]; 2] =
    [["<|im_start|>", "\n", "<|im_end|>"], ["<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>"]];
/// What ends a text.
const ENDS: [&str; 5] = ["<|im_end|>", "<|eot_id|>", "<|endoftext|>", "<|end_of_text|>", "</s>"];

#[derive(Debug, Deserialize)]
pub(in crate::routes) struct RewardRequest {
    query: Vec<String>,
    prompts: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct Choice {
    /// The objective to maximise; love when absent.
    #[serde(default)]
    objective: Option<Objective>,
    #[serde(default)]
    reward: Scale,
}

/// What the trainer maximises.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Scale {
    /// The probability.
    #[default]
    P,
    /// Its logit.
    Logit,
    /// What the policies of this system are rewarded with: the logit, or the score without length.
    Reward,
}

#[derive(Debug, Serialize)]
pub(in crate::routes) struct RewardAnswer {
    rewards: Vec<f64>,
    scores: Vec<f64>,
    extra_logs: BTreeMap<String, Vec<f64>>,
}

pub(in crate::routes) async fn handle(
    State(serving): State<Arc<Serving>>,
    choice: Result<Query<Choice>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<RewardAnswer>, Error> {
    let Query(choice) = choice.map_err(|error| Error::invalid("query string", error.body_text()))?;
    let request: RewardRequest = extract::json(&headers, body, serving.config().max_body_bytes).await?;
    check_rows("query", request.query.len())?;
    if request.prompts.len() != request.query.len() {
        let reason = format!("must have {} entries, as `query`, got {}", request.query.len(), request.prompts.len());
        return Err(Error::invalid("prompts", reason));
    }
    let pairs = request.query.iter().zip(&request.prompts).enumerate();
    let rows: Result<Vec<ScoreRow>, Error> = pairs.map(|(at, (query, prompt))| row(at, query, prompt)).collect();
    let (rows, reward) = (rows?, newest(&serving)?);
    let objective = choice.objective.unwrap_or_else(|| Objective::new(Objective::LOVE));
    let at = positions(std::slice::from_ref(&objective), &reward.objectives)
        .map_err(|_| Error::invalid("objective", format!("is not predicted: `{}`", objective.0)))?[0];
    let names = reward.objectives.clone();
    let scores = score(&serving, reward, rows, More::default()).await?.objectives;
    let unlearned = || Error::unavailable(format!("`{}` has no label of each class yet", objective.0));
    let own: Option<Vec<ObjectiveScore>> = scores.iter().map(|row| row.get(at).copied().flatten()).collect();
    let own = own.ok_or_else(unlearned)?;
    let value = |score: &ObjectiveScore| match choice.reward {
        Scale::P => score.p,
        Scale::Logit => score.logit,
        Scale::Reward => score.reward,
    };
    Ok(Json(RewardAnswer {
        rewards: own.iter().map(value).collect(),
        scores: own.iter().map(|score| score.p).collect(),
        extra_logs: logs(&names, &scores),
    }))
}

/// The probability of every objective that has one, under its name.
fn logs(names: &[Objective], scores: &[Vec<Option<ObjectiveScore>>]) -> BTreeMap<String, Vec<f64>> {
    let mut logs = BTreeMap::new();
    for (at, name) in names.iter().enumerate() {
        let column: Option<Vec<f64>> = scores.iter().map(|row| Some(row.get(at).copied().flatten()?.p)).collect();
        if let Some(column) = column {
            logs.insert(format!("p_{}", name.0), column);
        }
    }
    logs
}

fn row(at: usize, query: &str, prompt: &str) -> Result<ScoreRow, Error> {
    // Decoding may have put the mark of a beginning in front.
    let start = query.find(prompt).ok_or_else(|| {
        let reason = format!("must contain `prompts[{at}]` ({} bytes) as it is", prompt.len());
        Error::invalid(format!("query[{at}]"), reason)
    })?;
    let response = without_end(&query[start + prompt.len()..]);
    let messages = TEMPLATES.iter().find_map(|template| messages(prompt, *template));
    let context =
        messages.map_or_else(|| Context::of_user(prompt.trim()), |messages| Context { messages, ..Context::default() });
    Ok(ScoreRow { context, response: response.to_owned() })
}

fn without_end(text: &str) -> &str {
    let mut rest = text.trim();
    while let Some(shorter) = ENDS.iter().find_map(|end| rest.strip_suffix(end)) {
        rest = shorter.trim_end();
    }
    rest
}

/// The messages of a text with the marks of one template; nothing when it has none, or a role that is not known.
/// The turn that is left open for the answer is no message.
fn messages(text: &str, [before, after, end]: [&str; 3]) -> Option<Vec<Message>> {
    let mut messages = Vec::new();
    for turn in text.split(before).skip(1) {
        let (role, content) = turn.split_once(after)?;
        let role = match role.trim() {
            "system" | "developer" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            _ => return None,
        };
        if let Some((content, _)) = content.split_once(end) {
            messages.push(Message { role, content: content.trim().to_owned() });
        }
    }
    (!messages.is_empty()).then_some(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_taken_apart_by_their_template() {
        let chatml = "<|im_start|>system\nbe kind<|im_end|>\n<|im_start|>user\nhow are you?<|im_end|>\n\
                      <|im_start|>assistant\n";
        let llama = "<|start_header_id|>system<|end_header_id|>\n\nbe kind<|eot_id|><|start_header_id|>user\
                     <|end_header_id|>\n\nhow are you?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n";
        for (prompt, end) in [(chatml, "<|im_end|><|endoftext|>"), (llama, "<|eot_id|>")] {
            let read = row(0, &format!("<s>{prompt}fine, thanks {end}"), prompt).unwrap();
            assert_eq!(read.response, "fine, thanks");
            let said: Vec<_> = read.context.messages.iter().map(|m| (m.role, m.content.as_str())).collect();
            assert_eq!(said, [(Role::System, "be kind"), (Role::User, "how are you?")]);
        }
        let plain = row(0, "how are you? fine", "how are you?").unwrap();
        assert_eq!((plain.context, plain.response.as_str()), (Context::of_user("how are you?"), "fine"));
        let error = row(3, "something else", "how are you?").unwrap_err();
        assert_eq!(error.field(), Some("query[3]"));
    }
}
