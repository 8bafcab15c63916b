//! What happens to a candidate.

use serde::{Deserialize, Serialize};

use super::evidence::{RuleEvidence, Verdict};
use super::{Kind, Observation};
use crate::off_policy;

/// What the offline gate said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// Pass, fail, or inconclusive: a person decides. An error counts as inconclusive.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// Its numbers.
    pub evidence: Vec<RuleEvidence>,
}

impl Gate {
    /// The verdict of an off-policy gate with its `margin` and level `alpha`.
    #[must_use]
    pub fn of(verdict: &off_policy::Verdict, margin: f64, alpha: f64) -> Self {
        let (outcome, lower, diagnostics, reason) = match verdict {
            off_policy::Verdict::Passed { lower, diagnostics } => {
                (Verdict::Pass, Some(*lower), diagnostics, "better than the champion off policy".to_owned())
            }
            off_policy::Verdict::Undecided { lower, diagnostics } => {
                (Verdict::Inconclusive, Some(*lower), diagnostics, "not shown to be better off policy".to_owned())
            }
            off_policy::Verdict::Refused { reasons, diagnostics } => {
                let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
                (Verdict::Fail, None, diagnostics, reasons.join("; "))
            }
        };
        let evidence = RuleEvidence {
            rule: "off_policy".to_owned(),
            kind: Kind::Objective,
            verdict: outcome,
            value: None,
            lower,
            upper: None,
            threshold: margin,
            log_e: None,
            p: None,
            alpha,
            units: [diagnostics.units as u64, diagnostics.units as u64],
            note: Some(format!("{:.1} effective units", diagnostics.effective_units)),
        };
        Self { verdict: outcome, reason, evidence: vec![evidence] }
    }
}

/// What happens to a candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// The offline gate has spoken; only when trained.
    Gate(Gate),
    /// An evaluation, in any state after the gate that is not final.
    Evaluate(Observation),
    /// An evaluation that found no data; only in the shadow and later.
    NoData {
        /// Why.
        reason: String,
    },
    /// A person lets a candidate that waits go on.
    Approve {
        /// Who.
        by: String,
    },
    /// A person moves it on, whatever the rules of the step say: where nothing is decided without one.
    Advance {
        /// Who.
        by: String,
    },
    /// A person stops it; also after promotion.
    Stop {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
}

impl Event {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Gate(_) => "gate",
            Self::Evaluate(_) => "evaluate",
            Self::NoData { .. } => "no_data",
            Self::Approve { .. } => "approve",
            Self::Advance { .. } => "advance",
            Self::Stop { .. } => "stop",
        }
    }
}
