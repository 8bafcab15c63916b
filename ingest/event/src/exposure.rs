//! Exposures: one decision shown to a unit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{ExperimentId, ExposureId, LayerId, PolicyId, Propensity, Timestamp, UnitId, VariantId};

/// The kind of product that shows the decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Surface {
    /// An answer in a conversation.
    Chat,
    /// A result page.
    Search,
    /// One item chosen among candidates: a headline, a prompt, a suggestion.
    Decide,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Instructions of the product.
    System,
    /// The person.
    User,
    /// The product.
    Assistant,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// What the decision was made for: a conversation or a query.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Context {
    /// The conversation up to the decision, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Message>,
    /// The query, on search surfaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Filters of the query.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub filters: Map<String, Value>,
}

impl Context {
    /// A conversation of one user message.
    #[must_use]
    pub fn of_user(text: impl Into<String>) -> Self {
        let message = Message { role: Role::User, content: text.into() };
        Self { messages: vec![message], ..Self::default() }
    }

    /// The last thing the person said: the query, or the last user message, or nothing.
    #[must_use]
    pub fn last_request(&self) -> &str {
        if let Some(query) = &self.query {
            return query;
        }
        let last = self.messages.iter().rev().find(|message| message.role == Role::User);
        last.map_or("", |message| &message.content)
    }
}

/// One item of an exposure at a position.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Impression {
    /// Names the item within the exposure.
    pub item_id: String,
    /// Rank, from 0.
    pub position: u32,
    /// What was shown; for chat, the response.
    #[serde(default)]
    pub content: String,
    /// What the policy scored it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}

/// The step of a pipeline that an exposure or a signal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Splitting a request into sub-requests.
    Decompose,
    /// Finding candidates.
    Retrieve,
    /// Ordering candidates.
    Rank,
    /// Writing the answer.
    Generate,
}

/// One generated token and the natural logarithm of the probability it was drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TokenLogprob(
    /// Token id in the policy's vocabulary.
    pub u32,
    /// Natural logarithm of its probability under the sampling distribution, at most 0.
    pub f32,
);

/// The variant that a layer gave to the unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Assignment {
    /// The layer.
    pub layer: LayerId,
    /// The experiment of that layer.
    pub experiment: ExperimentId,
    /// The variant of that experiment.
    pub variant: VariantId,
    /// How it was drawn; absent where a product decided elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draw: Option<Box<Draw>>,
}

/// All that drawing a variant again takes, besides the definition of the experiments and the unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Draw {
    /// SHA-256 of the definition of all experiments, in hexadecimal.
    pub definition: String,
    /// Salt of the hash that picked the variant.
    pub seed: String,
    /// The bucket of the unit under that salt.
    pub bucket: u32,
    /// Number of the step of the ramp, from 0.
    pub phase: u32,
    /// The probability of each variant among the enrolled, in the order of the definition.
    pub weights: Vec<f64>,
    /// The probability of the variant that was drawn.
    pub propensity: f64,
}

/// How a list was made of several rankings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mixture {
    /// The rankings took turns; each place counts for the one that put its item there.
    TeamDraft,
    /// A list was drawn under which blind users are neutral; each place counts by how differently its item is ranked.
    Optimised,
    /// The first ranking alone: nothing was compared.
    Control,
}

/// The rankings that a list was made of, and what each place counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interleaving {
    /// The interleaving experiment.
    pub experiment: ExperimentId,
    /// How the list was made.
    pub method: Mixture,
    /// Who ranked; the first is the control.
    pub policies: Vec<PolicyId>,
    /// The items of each ranking, best first, cut to the length of a list.
    pub rankings: Vec<Vec<String>>,
    /// With the exposure's id the name of the random stream that drew the list.
    pub seed: String,
    /// The probability of this list, with its teams, in (0, 1].
    pub propensity: f64,
    /// For each place of a team draft the index of the ranking that put it there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<u32>,
    /// For each place of an optimised list what a click on it is worth to the first ranking, in \[−1, 1\].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credits: Vec<f64>,
}

/// One decision shown to a unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Exposure {
    /// Names this exposure; signals refer to it.
    pub exposure_id: ExposureId,
    /// Who was exposed.
    pub unit_id: UnitId,
    /// The session, when the product has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Where it was shown.
    pub surface: Surface,
    /// What the decision was made for.
    pub context: Context,
    /// What was shown, in order; at least one item.
    pub slate: Vec<Impression>,
    /// Index into `slate` of the chosen action.
    #[serde(default)]
    pub chosen: u32,
    /// Probability of the chosen action under the policy that decided; absent when not known
    /// (a generated answer carries `token_logprobs` instead).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propensity: Option<Propensity>,
    /// The generated tokens with their log-probabilities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_logprobs: Option<Vec<TokenLogprob>>,
    /// The policy that decided.
    pub policy_id: PolicyId,
    /// The step of the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// Variants of the unit at this moment, one per layer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assignments: Vec<Assignment>,
    /// The rewrite that replaced the query, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewrite_applied: Option<String>,
    /// How the slate was made of several rankings, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interleaving: Option<Box<Interleaving>>,
    /// Free attributes for segments.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
    /// When it was shown.
    pub ts: Timestamp,
    /// Fields this version does not know: kept as they came.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

impl Exposure {
    /// The content of the chosen item, or nothing when `chosen` is out of range.
    #[must_use]
    pub fn response(&self) -> &str {
        let index = self.chosen as usize;
        self.slate.get(index).map_or("", |impression| &impression.content)
    }
}
