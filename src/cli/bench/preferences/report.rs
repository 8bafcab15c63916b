//! The tables of preferences.

use std::fmt::Write as _;

use plaudit_reward_model::Estimate;
use serde::Serialize;

/// What a training came to.
#[derive(Debug, Serialize)]
pub(super) struct Training {
    pub(super) set: &'static str,
    pub(super) pairs: u64,
    pub(super) passes: u32,
    /// Accuracy in the first pass, each pair before it was learned.
    pub(super) prequential: f64,
    /// Wall-clock time.
    pub(super) seconds: f64,
}

/// Accuracy on one test set.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    pub(super) set: String,
    pub(super) pairs: usize,
    pub(super) accuracy: Estimate,
    pub(super) longer_wins: Estimate,
}

/// What picking one headline per test brings.
#[derive(Debug, Serialize)]
pub(super) struct Picks {
    pub(super) by: &'static str,
    pub(super) tests: usize,
    /// Mean share of clicks of the picked arms over that of all arms, less 1.
    pub(super) lift: Estimate,
    /// Mean share of clicks when every arm is as likely.
    pub(super) uniform: f64,
    /// The lift of the arm with most clicks, by the same counts: chance included, out of reach.
    pub(super) best: f64,
}

/// All figures.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) encoder: &'static str,
    pub(super) training: Vec<Training>,
    pub(super) lines: Vec<Line>,
    pub(super) picks: Vec<Picks>,
}

impl Report {
    // Writing to a string cannot fail.
    pub(super) fn to_text(&self) -> String {
        let mut text = format!(
            "encoder: {}\n\n{:<30}{:>8}{:>8}{:>13}{:>10}\n",
            self.encoder, "train split", "pairs", "passes", "prequential", "seconds"
        );
        for Training { set, pairs, passes, prequential, seconds } in &self.training {
            let _ = writeln!(text, "{set:<30}{pairs:>8}{passes:>8}{prequential:>13.3}{seconds:>10.1}");
        }
        let _ = writeln!(text, "\n{:<30}{:>8}{:>24}{:>24}", "test split", "pairs", "accuracy", "longer wins");
        for Line { set, pairs, accuracy, longer_wins } in &self.lines {
            let _ = writeln!(text, "{set:<30}{pairs:>8}{:>24}{:>24}", cell(accuracy), cell(longer_wins));
        }
        let _ = writeln!(
            text,
            "\n{:<30}{:>8}{:>24}{:>16}",
            "Upworthy, one arm per test", "tests", "lift over uniform", "best possible"
        );
        for Picks { by, tests, lift, best, .. } in &self.picks {
            let _ = writeln!(text, "{by:<30}{tests:>8}{:>24}{best:>+16.3}", signed(lift));
        }
        text + "\n"
    }
}

fn cell(Estimate { value, low, high }: &Estimate) -> String {
    format!("{value:.3} [{low:.3}, {high:.3}]")
}

fn signed(Estimate { value, low, high }: &Estimate) -> String {
    format!("{value:+.3} [{low:+.3}, {high:+.3}]")
}
