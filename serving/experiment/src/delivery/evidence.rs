//! What a decision rests on, as data and as text.

use std::fmt;

use plaudit_event::{PolicyId, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Kind, State};

/// What a rule, or all of them, says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Go on.
    Pass,
    /// Not yet known.
    Inconclusive,
    /// No data, or data that cannot be.
    Error,
    /// Stop.
    Fail,
}

/// One rule with its numbers. Effects are in units of the threshold: a difference, a share of the control's mean,
/// or the candidate's own level. What does not exist, or is not finite, is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleEvidence {
    /// Name of the rule.
    pub rule: String,
    /// What it is for.
    pub kind: Kind,
    /// What it says.
    pub verdict: Verdict,
    /// The estimate.
    pub value: Option<f64>,
    /// Lower end of the always-valid interval.
    pub lower: Option<f64>,
    /// Upper end of the always-valid interval.
    pub upper: Option<f64>,
    /// What harm is compared with.
    pub threshold: f64,
    /// Logarithm of the evidence that the threshold is exceeded on the harmful side.
    pub log_e: Option<f64>,
    /// `min(1, 1/e)`, valid at any time; to be compared with `alpha`.
    pub p: Option<f64>,
    /// This rule's part of the error budget.
    pub alpha: f64,
    /// Units of candidate and control.
    pub units: [u64; 2],
    /// What the numbers do not say.
    pub note: Option<String>,
}

impl fmt::Display for RuleEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Pass => "pass",
            Verdict::Inconclusive => "inconclusive",
            Verdict::Error => "error",
            Verdict::Fail => "FAIL",
        };
        write!(f, "{}: {verdict}", self.rule)?;
        if let Some(value) = self.value {
            write!(f, ", effect {value:+.4}")?;
        }
        if self.lower.is_some() || self.upper.is_some() {
            let end = |end: Option<f64>| end.map_or("?".to_owned(), |end| format!("{end:+.4}"));
            write!(f, " in [{}, {}]", end(self.lower), end(self.upper))?;
        }
        write!(f, ", threshold {:+.4}", self.threshold)?;
        if let Some(p) = self.p {
            write!(f, ", p {p:.2e} (level {:.2e})", self.alpha)?;
        }
        write!(f, ", units {} + {}", self.units[0], self.units[1])?;
        self.note.as_ref().map_or(Ok(()), |note| write!(f, "; {note}"))
    }
}

/// What to tell the world. Sending it is the caller's part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// The candidate.
    pub policy_id: PolicyId,
    /// Where it stood.
    pub from: State,
    /// Where it stands; the same when it begins to wait for a person.
    pub to: State,
    /// Why.
    pub reason: String,
    /// The evidence.
    pub numbers: Vec<RuleEvidence>,
    /// When, by the machine's clock.
    pub at: Timestamp,
}

/// What came of an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// When, by the machine's clock.
    pub at: Timestamp,
    /// Where the candidate stood.
    pub from: State,
    /// Where it stands.
    pub to: State,
    /// What the rules of the step say together.
    pub verdict: Verdict,
    /// Why it moved, waits or stays.
    pub reason: String,
    /// Whether it waits for a person.
    pub held: bool,
    /// Each rule that was evaluated.
    pub evidence: Vec<RuleEvidence>,
    /// Whether the time given was earlier than one seen before.
    pub clock_went_back: bool,
    /// Present when the state changed, or when waiting for a person began.
    pub notice: Option<Notice>,
}

impl Decision {
    /// Lines for a person: the transition, then each rule with its numbers.
    #[must_use]
    pub fn explain(&self) -> Vec<String> {
        let wait = if self.held { " (waits for a person)" } else { "" };
        let head = if self.from == self.to {
            format!("{} stays{wait}: {}", self.from, self.reason)
        } else {
            format!("{} → {}{wait}: {}", self.from, self.to, self.reason)
        };
        let mut lines = vec![head];
        lines.extend(self.evidence.iter().map(|evidence| format!("  {evidence}")));
        if self.clock_went_back {
            lines.push("  the clock went back; the latest time seen was used".to_owned());
        }
        lines
    }
}
