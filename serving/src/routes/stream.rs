//! Answers as server-sent events, in OpenAI's chunks.
//!
//! Text goes out as it is made. The exposure is made durable after the last token and before the final
//! chunk: who saw `[DONE]` saw a logged exposure. An answer that nobody read to its end is no exposure.

use std::convert::Infallible;

use axum::response::sse::{Event, Sse};
use futures::Stream;
use futures::stream::unfold;
use plaudit_nn::generate::{Finish, Output};
use serde_json::{Value, json};

use super::chat::Turn;
use super::reply::error_body;
use crate::Error;
use crate::engine::{Generation, Token};
use crate::metrics::Stopwatch;

/// The events of `generation`.
pub(super) fn events(turn: Turn, generation: Generation) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let writer = Writer {
        id: format!("chatcmpl-{}", turn.exposure_id),
        model: turn.routed.served.id().to_string(),
        created: turn.created,
        started: Stopwatch::start(),
        output: Output { tokens: Vec::new(), logprobs: Vec::new(), finish: Finish::Length },
        sent: String::new(),
        state: State::Begin(Box::new((turn, generation))),
    };
    Sse::new(unfold(writer, |mut writer| async move {
        let event = writer.next().await?;
        Some((Ok(event), writer))
    }))
}

/// What comes next.
enum State {
    /// The chunk with the role.
    Begin(Box<(Turn, Generation)>),
    /// Text.
    Text(Box<(Turn, Generation)>),
    /// `[DONE]`.
    Done,
    /// Nothing.
    End,
}

struct Writer {
    id: String,
    model: String,
    created: i64,
    started: Stopwatch,
    output: Output,
    /// What was sent of the answer.
    sent: String,
    state: State,
}

impl Writer {
    async fn next(&mut self) -> Option<Event> {
        match std::mem::replace(&mut self.state, State::End) {
            State::Begin(work) => {
                self.state = State::Text(work);
                Some(self.chunk(&json!({"role": "assistant", "content": ""}), None, None))
            }
            State::Text(work) => Some(self.text(work).await),
            State::Done => Some(Event::default().data("[DONE]")),
            State::End => None,
        }
    }

    /// The next piece of text, or the final chunk, or the error that ends the stream.
    async fn text(&mut self, mut work: Box<(Turn, Generation)>) -> Event {
        loop {
            let deadline = work.0.serving.config().deadline.saturating_sub(self.started.elapsed());
            let received = tokio::time::timeout(deadline, work.1.next()).await;
            let token = match received {
                Err(_) => return failed(&Error::unavailable("no complete answer within the deadline")),
                Ok(None) => return failed(&Error::Engine("it left a request unanswered".to_owned())),
                Ok(Some(Err(error))) => return failed(&error),
                Ok(Some(Ok(token))) => token,
            };
            self.push(token);
            if token.finished.is_some() {
                return self.finish(work.0).await;
            }
            let text = work.0.routed.served.policy.tokenizer().decode(&self.output.tokens);
            if let Some(piece) = new_text(&self.sent, &text) {
                let piece = piece.to_owned();
                self.sent.push_str(&piece);
                self.state = State::Text(work);
                return self.chunk(&json!({"content": piece}), None, None);
            }
        }
    }

    fn push(&mut self, token: Token) {
        self.output.tokens.push(token.token);
        self.output.logprobs.push(token.logprob);
        self.output.finish = token.finished.unwrap_or(self.output.finish);
    }

    async fn finish(&mut self, turn: Turn) -> Event {
        match turn.finish(self.output.clone()).await {
            Ok(answered) => {
                self.state = State::Done;
                let rest = answered.text.strip_prefix(self.sent.as_str()).unwrap_or("");
                let delta = if rest.is_empty() { json!({}) } else { json!({"content": rest}) };
                let extra = json!({"usage": answered.usage, "plaudit": answered.plaudit});
                self.chunk(&delta, Some(answered.finish_reason), Some(extra))
            }
            Err(error) => failed(&error),
        }
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

fn failed(error: &Error) -> Event {
    Event::default().data(error_body(error).to_string())
}

/// What of `text` can be sent after `sent`: without blanks at the ends, which the final text lacks too,
/// and without a last character whose bytes are not complete yet.
fn new_text<'a>(sent: &str, text: &'a str) -> Option<&'a str> {
    let stable = text.trim_end_matches(char::REPLACEMENT_CHARACTER).trim();
    stable.strip_prefix(sent).filter(|piece| !piece.is_empty())
}

#[cfg(test)]
mod tests {
    use super::new_text;

    #[test]
    fn pieces_add_up_to_the_trimmed_text() {
        let growing = [" ", " Boil", " Boil ", " Boil it\u{fffd}", " Boil it é", " Boil it é now "];
        let mut sent = String::new();
        for text in growing {
            if let Some(piece) = new_text(&sent, text) {
                sent.push_str(piece);
            }
        }
        assert_eq!(sent, "Boil it é now");
        assert_eq!(new_text("other", "text"), None);
    }
}
