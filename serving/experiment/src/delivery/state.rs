//! Where a candidate stands.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a candidate stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum State {
    /// Exists.
    Trained,
    /// Passed the offline gate.
    Gated,
    /// Answers are scored and not shown.
    Shadow,
    /// Serves the first, small share.
    Canary,
    /// Serves a growing share.
    Ramp {
        /// From 0.
        step: usize,
    },
    /// Serves everybody.
    Promoted,
    /// Served and was taken out.
    RolledBack {
        /// Why.
        reason: String,
    },
    /// Never served anybody and never will.
    Refused {
        /// Why.
        reason: String,
    },
}

impl State {
    /// The live step: 0 is the canary. Nothing where nobody is served by a comparison.
    #[must_use]
    pub const fn live_step(&self) -> Option<usize> {
        match self {
            Self::Canary => Some(0),
            Self::Ramp { step } => Some(*step + 1),
            _ => None,
        }
    }

    /// Whether evaluations are over.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Promoted | Self::RolledBack { .. } | Self::Refused { .. })
    }

    /// Whether the machine may go from here to `next`.
    #[must_use]
    pub const fn leads_to(&self, next: &Self) -> bool {
        match (self, next) {
            (Self::Trained, Self::Gated | Self::Refused { .. })
            | (Self::Gated, Self::Shadow | Self::Refused { .. })
            | (Self::Shadow, Self::Canary | Self::Refused { .. })
            | (Self::Ramp { .. }, Self::Promoted)
            | (Self::Canary | Self::Ramp { .. } | Self::Promoted, Self::RolledBack { .. }) => true,
            (Self::Canary, Self::Ramp { step }) => *step == 0,
            (Self::Ramp { step: from }, Self::Ramp { step: to }) => *to == *from + 1,
            _ => false,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trained => f.write_str("trained"),
            Self::Gated => f.write_str("gated"),
            Self::Shadow => f.write_str("shadow"),
            Self::Canary => f.write_str("canary"),
            Self::Ramp { step } => write!(f, "ramp {}", step + 1),
            Self::Promoted => f.write_str("promoted"),
            Self::RolledBack { .. } => f.write_str("rolled_back"),
            Self::Refused { .. } => f.write_str("refused"),
        }
    }
}

/// How the population is divided; the three sum to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    /// To the candidate.
    pub treatment: f64,
    /// To the champion, as the candidate's control.
    pub control: f64,
    /// To the champion, uncompared.
    pub rest: f64,
}

impl Shares {
    /// Control is as large as the candidate, up to what is left.
    #[must_use]
    pub fn of(treatment: f64) -> Self {
        let control = treatment.min(1.0 - treatment);
        Self { treatment, control, rest: (1.0 - treatment - control).max(0.0) }
    }
}
