//! Answers as server-sent events, in OpenAI's chunks.
//!
//! Text goes out as it is made, and its exposure is durable before the final chunk: who saw `[DONE]` saw a
//! logged exposure. When the reader leaves, the deadline passes or the model fails before that, what was sent
//! so far becomes an exposure with the attribute `interrupted`, written in the background: leaving early is a
//! reaction, and an answer that is left must not be missing from the readout. An answer of which no text was
//! sent is no exposure when its reader leaves. What deadline or model ended has the attribute `failed`, too, and is an
//! exposure in any case.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, Sse};
use futures::Stream;
use futures::stream::unfold;
use plaudit_nn::generate::{Finish, Output};
use serde_json::{Value, json};

use super::chat::Turn;
use super::reply::error_body;
use crate::Error;
use crate::engine::{Generation, Token, Whole};
use crate::metrics::Stopwatch;

/// The events of `generation`.
pub(super) fn events(turn: Turn, generation: Generation) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(unfold(Writer::new(turn, generation), |mut writer| async move {
        let event = writer.next().await?;
        Some((Ok(event), writer))
    }))
}

/// What comes next.
#[derive(Clone, Copy)]
enum State {
    /// The chunk with the role.
    Begin,
    /// Text.
    Text,
    /// `[DONE]`.
    Done,
    /// Nothing.
    End,
}

/// An answer under way. Dropped before its end, what was sent of it becomes an exposure.
struct Reading {
    /// Until the end.
    turn: Option<Box<Turn>>,
    generation: Generation,
    output: Output,
    /// What was sent of the answer.
    sent: String,
    /// How many tokens that took.
    num_sent: usize,
    /// Whether the model or the deadline ended it.
    has_failed: bool,
    /// Time to the newest token.
    elapsed: Duration,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.interrupt();
    }
}

impl Reading {
    fn interrupt(&mut self) {
        let Some(mut turn) = self.turn.take() else { return };
        match (self.sent.is_empty(), self.has_failed) {
            (true, true) => return turn.fail(),
            (true, false) => return,
            (false, true) => turn.mark_failed(),
            (false, false) => {}
        }
        let mut output = self.take_output();
        output.tokens.truncate(self.num_sent);
        output.logprobs.truncate(self.num_sent);
        turn.interrupt(output, std::mem::take(&mut self.sent));
    }

    fn push(&mut self, token: Token) {
        self.output.tokens.push(token.token);
        self.output.logprobs.push(token.logprob);
        self.output.finish = token.finished.unwrap_or(self.output.finish);
        self.elapsed = token.elapsed;
    }

    /// The text that can be sent now.
    fn piece(&mut self) -> Option<String> {
        let turn = self.turn.as_ref()?;
        let text = turn.routed.served.policy.tokenizer().decode(&self.output.tokens);
        let piece = new_text(&self.sent, &text)?.to_owned();
        self.sent.push_str(&piece);
        self.num_sent = self.output.tokens.len();
        Some(piece)
    }

    fn take_output(&mut self) -> Output {
        let empty = Output { tokens: Vec::new(), logprobs: Vec::new(), finish: Finish::Length };
        std::mem::replace(&mut self.output, empty)
    }
}

struct Writer {
    id: String,
    model: String,
    created: i64,
    started: Stopwatch,
    reading: Reading,
    state: State,
}

impl Writer {
    fn new(turn: Turn, generation: Generation) -> Self {
        Self {
            id: format!("chatcmpl-{}", turn.exposure_id),
            model: turn.routed.served.id().to_string(),
            created: turn.created,
            started: Stopwatch::start(),
            reading: Reading {
                turn: Some(Box::new(turn)),
                generation,
                output: Output { tokens: Vec::new(), logprobs: Vec::new(), finish: Finish::Length },
                sent: String::new(),
                num_sent: 0,
                has_failed: false,
                elapsed: Duration::ZERO,
            },
            state: State::Begin,
        }
    }

    async fn next(&mut self) -> Option<Event> {
        match std::mem::replace(&mut self.state, State::End) {
            State::Begin => {
                self.state = State::Text;
                Some(self.chunk(&json!({"role": "assistant", "content": ""}), None, None))
            }
            State::Text => match self.text().await {
                Ok(event) => Some(event),
                Err(error) => {
                    self.reading.has_failed = true;
                    self.reading.interrupt();
                    Some(Event::default().data(error_body(&error).to_string()))
                }
            },
            State::Done => Some(Event::default().data("[DONE]")),
            State::End => None,
        }
    }

    /// The next piece of text, or the final chunk.
    async fn text(&mut self) -> Result<Event, Error> {
        loop {
            let token = self.token().await?;
            self.reading.push(token);
            if token.finished.is_some() {
                return self.finish().await;
            }
            if let Some(piece) = self.reading.piece() {
                self.state = State::Text;
                return Ok(self.chunk(&json!({"content": piece}), None, None));
            }
        }
    }

    async fn token(&mut self) -> Result<Token, Error> {
        let Some(turn) = &self.reading.turn else { return Err(unanswered()) };
        let deadline = turn.serving.config().deadline.saturating_sub(self.started.elapsed());
        match tokio::time::timeout(deadline, self.reading.generation.next()).await {
            Err(_) => Err(Error::unavailable("no complete answer within the deadline")),
            Ok(received) => received.unwrap_or_else(|| Err(unanswered())),
        }
    }

    async fn finish(&mut self) -> Result<Event, Error> {
        let Some(turn) = self.reading.turn.take() else { return Err(unanswered()) };
        let whole = Whole { output: self.reading.take_output(), elapsed: self.reading.elapsed };
        let answered = turn.finish(whole).await?;
        self.state = State::Done;
        let rest = answered.text.strip_prefix(self.reading.sent.as_str()).unwrap_or("");
        let delta = if rest.is_empty() { json!({}) } else { json!({"content": rest}) };
        let extra = json!({"usage": answered.usage, "plaudit": answered.plaudit});
        Ok(self.chunk(&delta, Some(answered.finish_reason), Some(extra)))
    }

    fn chunk(&self, delta: &Value, finish_reason: Option<&str>, extra: Option<Value>) -> Event {
        let mut body = json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
        });
        if let (Some(Value::Object(extra)), Some(fields)) = (extra, body.as_object_mut()) {
            fields.extend(extra);
        }
        Event::default().data(body.to_string())
    }
}

fn unanswered() -> Error {
    Error::Engine("it left a request unanswered".to_owned())
}

/// What of `text` can be sent after `sent`: without blanks at the ends, which the final text lacks too,
/// and without a last character whose bytes are not complete yet.
fn new_text<'a>(sent: &str, text: &'a str) -> Option<&'a str> {
    let stable = text.trim_end_matches(char::REPLACEMENT_CHARACTER).trim();
    stable.strip_prefix(sent).filter(|piece| !piece.is_empty())
}

#[cfg(test)]
mod tests;
