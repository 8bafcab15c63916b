//! What became of challengers, kept beside the checkpoints.

use std::collections::VecDeque;
use std::io::Write as _;
use std::path::Path;

use plaudit_event::Timestamp;
use serde::{Deserialize, Serialize};

use super::Refusal;

/// Name of the file in the directory of the checkpoints.
const FILE: &str = "challengers.json";
/// Refusals kept.
const MOST_REFUSALS: usize = 20;

/// A challenger that was not let through.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RefusedChallenger {
    /// When.
    pub at: Timestamp,
    /// Examples it had seen.
    pub examples: u64,
    /// Examples that the champion had seen.
    pub champion_examples: u64,
    /// Why.
    pub reasons: Vec<Refusal>,
}

/// What became of the models that were to serve.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ChallengerStatus {
    /// Models that were let through, over all restarts.
    pub accepted: u64,
    /// Models that were refused.
    pub refused: u64,
    /// Refusals since a model was let through last.
    pub in_a_row: u64,
    /// Whether those are so many that somebody should look.
    pub alarm: bool,
    /// The newest refusal.
    pub last: Option<RefusedChallenger>,
}

/// What a restart must know.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    /// The newest checkpoint of a model that was let through.
    pub(crate) champion: Option<String>,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) in_a_row: u64,
    /// The newest refusals, oldest first.
    pub(crate) refusals: VecDeque<RefusedChallenger>,
}

impl Record {
    /// The record in `dir`; a new one where there is none that can be read.
    pub(crate) fn read(dir: &Path) -> Self {
        let Ok(bytes) = std::fs::read(dir.join(FILE)) else { return Self::default() };
        serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!(%error, "record of challengers cannot be read, begun anew");
            Self::default()
        })
    }

    /// Puts the record into `dir` in one step, so that a crash leaves the old one or the new one.
    pub(crate) fn write(&self, dir: &Path) {
        let put = || -> std::io::Result<()> {
            std::fs::create_dir_all(dir)?;
            let part = dir.join(format!("{FILE}.part"));
            let mut file = std::fs::File::create(&part)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.sync_all()?;
            std::fs::rename(&part, dir.join(FILE))
        };
        if let Err(error) = put() {
            tracing::warn!(%error, "record of challengers not written");
        }
    }

    pub(crate) fn refuse(&mut self, refused: RefusedChallenger) {
        self.refused += 1;
        self.in_a_row += 1;
        self.refusals.push_back(refused);
        self.refusals.drain(..self.refusals.len().saturating_sub(MOST_REFUSALS));
    }

    pub(crate) fn status(&self, alarm_after: u64) -> ChallengerStatus {
        ChallengerStatus {
            accepted: self.accepted,
            refused: self.refused,
            in_a_row: self.in_a_row,
            alarm: self.in_a_row >= alarm_after,
            last: self.refusals.back().cloned(),
        }
    }
}
