//! What a caller sends.

use axum::http::HeaderMap;
use plaudit_event::{FAILED, LATENCY_MS, Message, Role, UnitId};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Error;
use crate::experiment::{SESSION, UNIT};
use crate::routes::{extract, limits};

/// Who is asked for; wins over the field `user`.
const UNIT_HEADER: &str = "x-plaudit-unit";
/// The session, when the product has one.
const SESSION_HEADER: &str = "x-plaudit-session";
/// `shadow` for traffic that no experiment may count.
const ACTOR_HEADER: &str = "x-plaudit-actor";
/// Most entries of the metadata.
const MAX_METADATA: usize = 16;
/// Most bytes of a value in them, as JSON.
const MAX_METADATA_BYTES: usize = 512;
/// Attributes that have a meaning of their own.
const RESERVED: [&str; 8] = ["id", UNIT, SESSION, "surface", "actor", "interrupted", FAILED, LATENCY_MS];
/// Most messages of a conversation.
const MAX_MESSAGES: usize = 1_000;

#[derive(Debug, Deserialize)]
pub(super) struct ChatRequest {
    #[serde(default)]
    pub(super) model: Option<String>,
    pub(super) messages: Vec<ChatMessage>,
    #[serde(default)]
    pub(super) user: Option<String>,
    #[serde(default)]
    pub(super) temperature: Option<f32>,
    #[serde(default, alias = "max_completion_tokens")]
    pub(super) max_tokens: Option<usize>,
    #[serde(default)]
    pub(super) seed: Option<i64>,
    #[serde(default)]
    pub(super) stream: Option<bool>,
    /// What targeting and segments may look at.
    #[serde(default)]
    pub(super) metadata: Map<String, Value>,
    #[serde(default)]
    n: Option<u32>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ChatMessage {
    role: ChatRole,
    content: Content,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ChatRole {
    System,
    Developer,
    User,
    Assistant,
}

/// Text, or a list of parts that are text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
struct Part {
    text: String,
}

impl From<ChatMessage> for Message {
    fn from(message: ChatMessage) -> Self {
        let role = match message.role {
            ChatRole::System | ChatRole::Developer => Role::System,
            ChatRole::User => Role::User,
            ChatRole::Assistant => Role::Assistant,
        };
        let content = match message.content {
            Content::Text(text) => text,
            Content::Parts(parts) => parts.into_iter().map(|part| part.text).collect(),
        };
        Self { role, content }
    }
}

impl ChatRequest {
    pub(super) fn check(&self) -> Result<(), Error> {
        let count = self.messages.len();
        if count == 0 || count > MAX_MESSAGES {
            return Err(Error::invalid("messages", format!("must have 1 to {MAX_MESSAGES} entries, got {count}")));
        }
        if let Some(temperature) = self.temperature
            && !(0.0..=2.0).contains(&temperature)
        {
            return Err(Error::invalid("temperature", format!("must be between 0 and 2, got {temperature}")));
        }
        if self.max_tokens == Some(0) {
            return Err(Error::invalid("max_tokens", "must be at least 1, got 0"));
        }
        self.check_metadata()?;
        match self.n {
            None | Some(1) => Ok(()),
            Some(n) => Err(Error::invalid("n", format!("must be 1, got {n}"))),
        }
    }

    fn check_metadata(&self) -> Result<(), Error> {
        let count = self.metadata.len();
        if count > MAX_METADATA {
            return Err(Error::invalid("metadata", format!("must have at most {MAX_METADATA} entries, got {count}")));
        }
        for (key, value) in &self.metadata {
            let field = || format!("metadata.{key}");
            if RESERVED.contains(&key.as_str()) {
                let names = RESERVED.join("`, `");
                return Err(Error::invalid(
                    field(),
                    format!("must not be one of `{names}`, which mean something else"),
                ));
            }
            let bytes = value.to_string().len();
            if bytes > MAX_METADATA_BYTES {
                return Err(Error::invalid(
                    field(),
                    format!("must have at most {MAX_METADATA_BYTES} bytes, got {bytes}"),
                ));
            }
        }
        Ok(())
    }

    /// What targeting may look at: the metadata, and who asks.
    pub(super) fn attributes(&self, unit: &UnitId, session: Option<&str>) -> Value {
        let mut attributes = self.metadata.clone();
        let own =
            [("id", Some(unit.as_str())), (UNIT, Some(unit.as_str())), (SESSION, session), ("surface", Some("chat"))];
        for (name, value) in own.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            attributes.insert(name.to_owned(), Value::from(value));
        }
        Value::Object(attributes)
    }
}

/// The unit that is asked for, by header or by field.
pub(super) fn unit_of(headers: &HeaderMap, user: Option<&str>) -> Result<Option<UnitId>, Error> {
    let (field, name) = match extract::header(headers, UNIT_HEADER)? {
        Some(name) => (UNIT_HEADER, name),
        None => match user {
            Some(name) => ("user", name),
            None => return Ok(None),
        },
    };
    UnitId::new(name).map(Some).map_err(|error| Error::invalid(field, error.to_string()))
}

/// The session, within the limit.
pub(super) fn session_of(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let session = extract::header(headers, SESSION_HEADER)?;
    limits::session(SESSION_HEADER, session)?;
    Ok(session)
}

/// Whether no experiment may count the answer.
pub(super) fn is_shadow(headers: &HeaderMap) -> Result<bool, Error> {
    match extract::header(headers, ACTOR_HEADER)? {
        None | Some("user") => Ok(false),
        Some("shadow") => Ok(true),
        Some(other) => Err(Error::invalid(ACTOR_HEADER, format!("must be `user` or `shadow`, got `{other}`"))),
    }
}
