//! What a person writes: who is compared, how, and what counts.

use std::collections::BTreeSet;

use plaudit_event::{ExperimentId, PolicyId, SignalKind};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Credit, MAX_DRAFT_LENGTH, MAX_LENGTH};
use crate::assign::Problem;

/// Most interleavings of a definition.
pub const MAX_INTERLEAVINGS: usize = 256;
/// Most rankings that are compared at once.
pub const MAX_POLICIES: usize = 5;
/// Longest window, in minutes: thirty days.
const MAX_WINDOW_MINUTES: u32 = 43_200;
/// Most days that a unit is followed.
const MAX_DAYS: u32 = 90;

/// How lists are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// [`team_draft`](super::team_draft): two or more rankings.
    TeamDraft,
    /// [`Optimised`](super::Optimised): two rankings.
    Optimised,
}

/// An interleaving experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InterleavingConfig {
    /// Names it; no experiment has the same name.
    pub id: ExperimentId,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// How lists are made.
    pub method: Method,
    /// What a click on an optimised list is worth.
    #[serde(default)]
    pub credit: Credit,
    /// Who ranks; the first is the control that each other one is compared with, and that answers alone while paused.
    pub policies: Vec<PolicyId>,
    /// Longest list.
    #[serde(default = "default_length")]
    pub length: usize,
    /// Signals that count as clicks.
    #[serde(default = "default_clicks")]
    pub clicks: Vec<SignalKind>,
    /// Minutes after a list in which a click on it counts.
    #[serde(default = "default_window")]
    pub window_minutes: u32,
    /// Days from a unit's first list in which its lists count. One number is made of them, once and for all, when the
    /// window of the last of them is over.
    #[serde(default = "default_days")]
    pub days: u32,
    /// Error rate of the decision, above 0 and below ½; shared by the comparisons.
    #[serde(default = "default_alpha")]
    pub alpha: f64,
    /// Draws lists; the id when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
    /// Whether lists are mixed; else the control answers alone.
    #[serde(default = "yes")]
    pub active: bool,
    /// Whether it is over, for good: the control answers alone.
    #[serde(default)]
    pub killed: bool,
}

const fn default_length() -> usize {
    10
}

fn default_clicks() -> Vec<SignalKind> {
    vec![SignalKind::Click]
}

const fn default_window() -> u32 {
    60
}

const fn default_days() -> u32 {
    1
}

const fn default_alpha() -> f64 {
    0.05
}

const fn yes() -> bool {
    true
}

impl InterleavingConfig {
    /// The seed in force.
    #[must_use]
    pub fn seed(&self) -> &str {
        self.seed.as_deref().unwrap_or(self.id.as_str())
    }

    /// Names the mixture as a policy, by its content: `interleaved-` and 16 hexadecimal digits.
    ///
    /// # Panics
    /// Never: names and numbers can be written as JSON, and hexadecimal digits name a directory.
    #[must_use]
    pub fn mixture_id(&self) -> PolicyId {
        let content = (&self.id, self.method, self.credit, &self.policies, self.length, self.seed());
        let text = serde_json::to_vec(&content).expect("names and numbers can be written as JSON");
        let digest = Sha256::digest(text);
        let head = digest.iter().take(8);
        let id = head.fold("interleaved-".to_owned(), |id, byte| format!("{id}{byte:02x}"));
        PolicyId::new(id).expect("letters, digits and a hyphen")
    }

    /// Whether lists are mixed.
    #[must_use]
    pub const fn is_mixing(&self) -> bool {
        self.active && !self.killed
    }

    /// Milliseconds after a list in which a click on it counts.
    #[must_use]
    pub fn window_ms(&self) -> i64 {
        i64::from(self.window_minutes) * 60_000
    }

    /// Milliseconds from a unit's first list in which its lists count.
    #[must_use]
    pub fn period_ms(&self) -> i64 {
        i64::from(self.days) * 86_400_000
    }

    /// Every value that cannot be used, with key paths below `path`.
    #[must_use]
    pub fn validate(&self, path: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut check = |key: &str, allowed: String, value: String, is_allowed: bool| {
            if !is_allowed {
                let message = format!("must be {allowed}, got {value}");
                problems.push(Problem { path: format!("{path}.{key}"), message });
            }
        };
        let count = self.policies.len();
        let is_pair = self.method == Method::Optimised;
        let (most, longest) = if is_pair { (2, MAX_LENGTH) } else { (MAX_POLICIES, MAX_DRAFT_LENGTH) };
        let allowed = if is_pair { "2 policies when `optimised`".to_owned() } else { format!("2 to {most} policies") };
        check("policies", allowed, count.to_string(), (2..=most).contains(&count));
        let mut seen = BTreeSet::new();
        for (index, policy) in self.policies.iter().enumerate() {
            let is_new = seen.insert(policy);
            check(&format!("policies[{index}]"), "another than those before".to_owned(), format!("`{policy}`"), is_new);
        }
        let is_length = (1..=longest).contains(&self.length);
        check("length", format!("1 to {longest}"), self.length.to_string(), is_length);
        check("clicks", "at least one kind of signal".to_owned(), "none".to_owned(), !self.clicks.is_empty());
        let is_window = (1..=MAX_WINDOW_MINUTES).contains(&self.window_minutes);
        check("window_minutes", format!("1 to {MAX_WINDOW_MINUTES}"), self.window_minutes.to_string(), is_window);
        check("days", format!("1 to {MAX_DAYS}"), self.days.to_string(), (1..=MAX_DAYS).contains(&self.days));
        let is_alpha = self.alpha > 0.0 && self.alpha < 0.5;
        check("alpha", "above 0 and below 0.5".to_owned(), self.alpha.to_string(), is_alpha);
        let seed = self.seed();
        check("seed", "1 to 128 bytes".to_owned(), format!("{} bytes", seed.len()), (1..=128).contains(&seed.len()));
        problems
    }

    /// The keys in which `other` would show or count something else under the same name, so that they must stay.
    #[must_use]
    pub fn fixed_differences(&self, other: &Self) -> Vec<&'static str> {
        let same = [
            ("method", self.method == other.method),
            ("credit", self.credit == other.credit),
            ("policies", self.policies == other.policies),
            ("length", self.length == other.length),
            ("clicks", self.clicks == other.clicks),
            ("window_minutes", self.window_minutes == other.window_minutes),
            ("days", self.days == other.days),
            ("seed", self.seed() == other.seed()),
            // Choosing the level after looking at the evidence would not keep to it.
            ("alpha", self.alpha.to_bits() == other.alpha.to_bits()),
        ];
        same.into_iter().filter(|(_, is_same)| !is_same).map(|(key, _)| key).collect()
    }
}
