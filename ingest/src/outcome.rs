//! The fate of a received event. Every event gets exactly one [`Outcome`].

use plaudit_event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::letters::LetterId;
use crate::log::Topic;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),* $(,)?) => {
        /// Why an event was refused. The names are stable: they are in answers, metrics and the
        /// dead-letter topic.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Reason {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The stable name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

reasons! {
    /// Not JSON.
    Json = "json",
    /// No `v`, or not a number.
    Version = "version",
    /// A version that a newer build may read: quarantined.
    NewerVersion = "newer_version",
    /// An envelope of something that cannot be sent in, such as an example.
    Event = "event",
    /// JSON of the wrong shape: a field is missing, of the wrong type, or not an id.
    Shape = "shape",
    /// Larger than an event may be.
    TooLarge = "too_large",
    /// A kind of signal that the configuration does not declare.
    UnknownKind = "unknown_kind",
    /// A kind of signal that the configuration has switched off: quarantined.
    DisabledKind = "disabled_kind",
    /// A `value` that is missing, not finite, or outside the range of its kind.
    Value = "value",
    /// A text that is too long.
    Text = "text",
    /// Parts of a response that are none, or too many.
    Spans = "spans",
    /// A slate that is empty, too long, or has an unusable item.
    Slate = "slate",
    /// `chosen` points outside the slate.
    Chosen = "chosen",
    /// Too many token log-probabilities, or one that is none.
    TokenLogprobs = "token_logprobs",
    /// A time before 1970 or too far in the future.
    Time = "time",
    /// A signal that retracts itself.
    SelfRetraction = "self_retraction",
    /// Another event with the same id and other content was accepted before.
    Conflict = "conflict",
    /// Sent by a program, as the rules of the configuration tell them: quarantined.
    Bot = "bot",
    /// A signal of a unit that sends more than it may: quarantined.
    UnitRate = "unit_rate",
    /// A signal of a unit whose reactions are not believed: quarantined.
    UnitSuspect = "unit_suspect",
    /// About an exposure that was erased with its unit; the text is not kept.
    Erased = "erased",
}

impl Reason {
    /// True when nothing is wrong with the event as such: another configuration, a newer build or a
    /// later time would take it, so it is kept to be sent again.
    #[must_use]
    pub const fn is_quarantine(self) -> bool {
        matches!(self, Self::NewerVersion | Self::DisabledKind | Self::Bot | Self::UnitRate | Self::UnitSuspect)
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an event was refused, down to the field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub reason: Reason,
    /// Path of the field, such as `slate[3].score`; empty when it is the event as a whole.
    pub field: String,
    /// What is allowed and what was found, for the sender.
    pub detail: String,
}

impl Refusal {
    /// Of `field`, which must be `allowed` but is `got`.
    pub(crate) fn new(
        reason: Reason,
        field: impl Into<String>,
        allowed: impl std::fmt::Display,
        got: impl std::fmt::Display,
    ) -> Self {
        Self { reason, field: field.into(), detail: format!("must be {allowed}, got {got}") }
    }
}

/// The fate of one received event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is durable.
    Accepted,
    /// The same event is durable already.
    Duplicate,
    /// It can never be taken; it is in the dead-letter topic.
    Rejected(Refusal),
    /// It cannot be taken now; it is in the dead-letter topic, to be sent again after the change.
    Quarantined(Refusal),
    /// It is left out, as the configuration asks for a share of exposures only: nothing of it is kept.
    Sampled,
}

impl Outcome {
    pub(crate) fn refused(refusal: Refusal) -> Self {
        if refusal.reason.is_quarantine() { Self::Quarantined(refusal) } else { Self::Rejected(refusal) }
    }

    /// The stable name: `accepted`, `duplicate`, `rejected`, `quarantined` or `sampled`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Rejected(_) => "rejected",
            Self::Quarantined(_) => "quarantined",
            Self::Sampled => "sampled",
        }
    }

    /// Why it was refused, if it was.
    #[must_use]
    pub const fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Accepted | Self::Duplicate | Self::Sampled => None,
            Self::Rejected(refusal) | Self::Quarantined(refusal) => Some(refusal),
        }
    }
}

/// A record of the dead-letter topic: a refused event as it came, less what must not be stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// `rejected` or `quarantined`.
    pub outcome: String,
    /// Why.
    pub reason: Reason,
    /// Path of the field; empty when it is the event as a whole.
    #[serde(default)]
    pub field: String,
    /// What is allowed and what was found.
    pub detail: String,
    /// The envelope as it came, or the one that the event would have come in: what
    /// [`Intake::envelopes`](crate::Intake::envelopes) takes once it is mended. Bytes that are not
    /// UTF-8 are replaced, and the end of what is too large is cut.
    pub raw: String,
    /// Bytes of the event before cutting.
    pub raw_bytes: usize,
    /// When it was received.
    pub received_ts: Timestamp,
    /// The record of the log that it was; nothing for an event that came through intake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The letter that this is a mended envelope of; nothing for one that was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mends: Option<LetterId>,
}

/// A record of the log that a product wrote past intake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its topic.
    pub topic: Topic,
    /// The shard of the topic.
    pub shard: u32,
    /// The offset in the shard.
    pub offset: u64,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.shard, self.offset)
    }
}
