//! Signals: raw reactions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{ExposureId, SignalId, Stage, Timestamp};

macro_rules! signal_kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),* $(,)?) => {
        /// What the unit did.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(from = "String", into = "String")]
        #[schemars(with = "String")]
        pub enum SignalKind {
            $($(#[$doc])* $variant,)*
            /// A kind that the configuration declares; an undeclared name is rejected at intake.
            Custom(String),
        }

        impl SignalKind {
            /// Every kind that needs no declaration.
            pub const BUILT_IN: &'static [Self] = &[$(Self::$variant),*];

            /// The name on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Custom(name) => name,
                }
            }
        }

        impl From<String> for SignalKind {
            fn from(name: String) -> Self {
                match name.as_str() {
                    $($name => Self::$variant,)*
                    _ => Self::Custom(name),
                }
            }
        }
    };
}

signal_kinds! {
    /// A heart on one response: the rare, unambiguous reaction that `P[love]` predicts.
    Love = "love",
    /// An explicit approval.
    ThumbsUp = "thumbs_up",
    /// An explicit disapproval.
    ThumbsDown = "thumbs_down",
    /// Another emoji; `text` holds it.
    Emoji = "emoji",
    /// The response was copied; where only parts of it were, `spans` say which.
    Copy = "copy",
    /// A part of the response was marked as good; `spans` say which.
    Highlight = "highlight",
    /// The response was shared.
    Share = "share",
    /// Another response was asked for.
    Regenerate = "regenerate",
    /// The response was edited; `text` holds the result, `spans` the parts that were changed or deleted.
    Edit = "edit",
    /// Time spent, `value` in seconds.
    Dwell = "dwell",
    /// An item was opened.
    Click = "click",
    /// An item was put into the basket.
    AddToCart = "add_to_cart",
    /// An item was bought.
    Purchase = "purchase",
    /// The query was put in other words; `text` holds them.
    Reformulate = "reformulate",
    /// The unit left without using the answer.
    Abandon = "abandon",
    /// A rating, `value` from 0 (worst) to 1 (best).
    Rating = "rating",
    /// A remark; `text` holds it.
    Comment = "comment",
    /// The unit came back another day.
    ReturnVisit = "return_visit",
}

impl From<SignalKind> for String {
    fn from(kind: SignalKind) -> Self {
        match kind {
            SignalKind::Custom(name) => name,
            other => other.as_str().to_owned(),
        }
    }
}

impl std::fmt::Display for SignalKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A part of a response, in characters (Unicode scalar values) from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Span {
    /// The first character.
    pub start: u32,
    /// The character behind the last; above `start`.
    pub end: u32,
}

/// Who reacted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A person.
    #[default]
    User,
    /// A simulated stand-in: never part of an experiment's metrics.
    Shadow,
}

/// One raw reaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Signal {
    /// Names this signal: sending it again with the same id changes nothing.
    pub signal_id: SignalId,
    /// The exposure reacted to; it may arrive after the signal.
    pub exposure_id: ExposureId,
    /// The item of the slate, when not the chosen one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_id: Option<String>,
    /// What was done.
    pub kind: SignalKind,
    /// A number that belongs to the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// A text that belongs to the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The parts of the response that were copied, marked or edited, as it was shown; none for all of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<Span>,
    /// The pipeline step it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// What was done to that step: add, remove, reorder, mark, edit, rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
    /// Who reacted.
    #[serde(default)]
    pub actor: Actor,
    /// When.
    pub ts: Timestamp,
    /// The earlier signal that this one takes back, which must be about the same exposure. A retraction
    /// itself cannot be taken back: send the signal again under a new id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retracts: Option<SignalId>,
    /// Fields this version does not know: kept as they came.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}
