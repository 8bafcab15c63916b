//! The table.

use serde::Serialize;

use super::check::Findings;
use super::ledger::Ledger;
use super::row::{Mode, Row};

/// All rows that were played.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) rows: Vec<RowReport>,
}

/// How a row went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Passed,
    Failed,
    /// It cannot be played here.
    LeftOut,
}

/// What clients sent and were answered.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Tally {
    /// Events sent, each copy and each attempt counted.
    pub(super) sent: u64,
    pub(super) accepted: u64,
    pub(super) duplicate: u64,
    /// Rejected, quarantined and sampled.
    pub(super) other: u64,
    /// In requests without an answer, or with 503.
    pub(super) unanswered: u64,
    /// Distinct events that were acknowledged.
    pub(super) acknowledged: u64,
}

impl From<&Ledger> for Tally {
    fn from(ledger: &Ledger) -> Self {
        let (accepted, duplicate) = (ledger.outcome("accepted"), ledger.outcome("duplicate"));
        Self {
            sent: ledger.sent,
            accepted,
            duplicate,
            other: ledger.answered() - accepted - duplicate,
            unanswered: ledger.unanswered,
            acknowledged: (ledger.exposures.len() + ledger.signals.len()) as u64,
        }
    }
}

/// One row.
#[derive(Debug, Serialize)]
pub(super) struct RowReport {
    pub(super) mode: Mode,
    pub(super) row: Row,
    /// What was done.
    pub(super) what: String,
    pub(super) tally: Option<Tally>,
    pub(super) findings: Findings,
    pub(super) seconds: f64,
    /// Why it failed.
    pub(super) problems: Vec<String>,
    pub(super) verdict: Verdict,
}

impl RowReport {
    /// A row that cannot be played, and why.
    pub(super) fn left_out(mode: Mode, row: Row, why: String) -> Self {
        Self {
            mode,
            row,
            what: why,
            tally: None,
            findings: Findings::default(),
            seconds: 0.0,
            problems: Vec::new(),
            verdict: Verdict::LeftOut,
        }
    }

    fn cells(&self) -> Vec<String> {
        let mut cells = vec![self.mode.as_str().to_owned(), self.row.as_str().to_owned()];
        let Some(tally) = &self.tally else {
            cells.resize(HEAD.len() - 1, "-".to_owned());
            cells.push("left out".to_owned());
            return cells;
        };
        let found = &self.findings;
        let counts = [
            tally.sent,
            tally.accepted,
            tally.duplicate,
            tally.other,
            tally.unanswered,
            tally.acknowledged,
            found.lost_log + found.lost_store,
            found.stored_twice,
            found.closed_wrong,
            found.examples,
            found.corrections,
            found.examples_differ,
        ];
        cells.extend(counts.iter().map(ToString::to_string));
        cells.push(format!("{:.0}", self.seconds));
        cells.push(if self.verdict == Verdict::Passed { "passed" } else { "FAILED" }.to_owned());
        cells
    }
}

const HEAD: [&str; 16] = [
    "mode",
    "row",
    "sent",
    "accepted",
    "duplicate",
    "other",
    "unanswered",
    "acknowledged",
    "lost",
    "twice",
    "misclosed",
    "examples",
    "corrections",
    "differ",
    "seconds",
    "verdict",
];

impl Report {
    /// The table, as Markdown, and below it what each row did and why one failed.
    pub(super) fn to_text(&self) -> String {
        let mut lines = vec![HEAD.map(str::to_owned).to_vec()];
        lines.extend(self.rows.iter().map(RowReport::cells));
        let widths: Vec<usize> = (0..HEAD.len())
            .map(|column| lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for (number, cells) in lines.iter().enumerate() {
            text += &line(cells, &widths);
            if number == 0 {
                let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
                text += &line(&rule, &widths);
            }
        }
        text += "\nsent = accepted + duplicate + other + unanswered, in every row.\n";
        for row in &self.rows {
            text += &format!("{} {}: {}\n", row.mode.as_str(), row.row.as_str(), row.what);
            for problem in &row.problems {
                text += &format!("  FAILED: {problem}\n");
            }
        }
        text
    }
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let cell = |(number, (cell, width)): (usize, (&String, &usize))| match number {
        0 | 1 => format!("{cell:<width$}"),
        _ => format!("{cell:>width$}"),
    };
    let cells: Vec<String> = cells.iter().zip(widths).enumerate().map(cell).collect();
    format!("| {} |\n", cells.join(" | "))
}
