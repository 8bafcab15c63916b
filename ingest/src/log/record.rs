//! Topics, and what is in them.

use plaudit_event::Timestamp;
use serde::{Deserialize, Serialize};

/// The topics of the log.
///
/// | topic | key | shards | kept |
/// |---|---|---|---|
/// | `exposures` | exposure id | as many as the log has | at least as long as attribution looks back |
/// | `signals` | exposure id, so that a shard joins on its own | as many as the log has | like exposures |
/// | `examples` | exposure id | one: what learns from them depends on their order | for ever: models can be trained again |
/// | `dead_letters` | reason | as many as the log has | until a person has looked |
/// | `checkpoints` | checkpoint id | one | for ever: the audit trail |
///
/// On one machine every topic has one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// What was shown. Value: envelope.
    Exposures,
    /// Reactions. Value: envelope.
    Signals,
    /// Training rows. Value: envelope with the order of emission.
    Examples,
    /// Refused events with the reason. Value: [`DeadLetter`](crate::DeadLetter).
    DeadLetters,
    /// The life of policies and reward models, and erasures. Value: JSON.
    Checkpoints,
}

impl Topic {
    /// Every topic, in the order in which records of equal time are merged.
    pub const ALL: [Self; 5] = [Self::Exposures, Self::Signals, Self::Examples, Self::DeadLetters, Self::Checkpoints];

    /// The name on disk, on the wire and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exposures => "exposures",
            Self::Signals => "signals",
            Self::Examples => "examples",
            Self::DeadLetters => "dead_letters",
            Self::Checkpoints => "checkpoints",
        }
    }

    /// Whether a log with several shards splits this topic into them.
    #[must_use]
    pub const fn is_sharded(self) -> bool {
        matches!(self, Self::Exposures | Self::Signals | Self::DeadLetters)
    }
}

/// One shard of one topic: what has offsets of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part {
    /// The topic.
    pub topic: Topic,
    /// From 0; always 0 for a topic that is not split.
    pub shard: u32,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.topic, self.shard)
    }
}

impl std::fmt::Display for Topic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A record to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Decides the shard; need not be unique.
    pub key: String,
    /// The content.
    pub value: Vec<u8>,
}

/// How a record came into the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Plaudit wrote it, after it was checked.
    Checked,
    /// A product wrote it past intake: it must be checked before it is used.
    Direct,
    /// Nothing but a time: the log wrote it so that its horizon moves while nobody else writes.
    Tick,
    /// Its content was taken out.
    Erased,
}

impl Origin {
    /// Whether there is content at all.
    #[must_use]
    pub const fn has_content(self) -> bool {
        matches!(self, Self::Checked | Self::Direct)
    }
}

/// A record of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its place in the shard of its topic: rising, with gaps where the log keeps records of its own.
    pub offset: u64,
    /// When the log took it, by the clock of the log. Within a shard a reading cursor makes it never
    /// decrease; on one machine it never does, over all topics.
    pub appended: Timestamp,
    /// Decides the shard.
    pub key: String,
    /// The content; empty where `origin` says that there is none.
    pub value: Vec<u8>,
    /// How it came into the log.
    pub origin: Origin,
}
