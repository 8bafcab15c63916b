//! `plaudit experiment allocation`: how cohorts were split, and what they showed.

use std::fmt::Write as _;

use plaudit_serving::{AllocationReport, CohortReport};

use super::moment;
use super::remote::Ask;
use super::{Remote, print};

/// Prints the report of the running server.
pub(super) async fn run(id: &str, remote: &Remote) -> anyhow::Result<()> {
    let path = format!("/admin/v1/experiments/{id}/allocation");
    let answer = Ask::get(&path).send(remote).await?;
    if remote.json {
        return print(&(serde_json::to_string_pretty(&answer)? + "\n"));
    }
    print(&text(&serde_json::from_value(answer)?))
}

fn text(report: &AllocationReport) -> String {
    let allocation = &report.allocation;
    let mut text = format!(
        "{}: cohort {} of {}, weights by `{}`\n",
        report.experiment,
        report.cohorts.len(),
        allocation.cohorts,
        allocation.metric
    );
    for (number, cohort) in report.cohorts.iter().enumerate() {
        let _ = writeln!(text, "  {:>2}  {}", number + 1, line(cohort, &report.variants));
    }
    let evidence = report.variants.iter().zip(&report.ln_evidence);
    let evidence: Vec<String> = evidence.map(|(variant, evidence)| format!("{variant} {evidence:.2}")).collect();
    let _ = writeln!(
        text,
        "  evidence that a variant is the best (logarithm; {:.2} are needed): {}",
        report.ln_threshold,
        evidence.join(", ")
    );
    text + "  " + &state(report) + "\n"
}

fn line(cohort: &CohortReport, variants: &[String]) -> String {
    let mut parts = Vec::new();
    for (index, variant) in variants.iter().enumerate() {
        let weight = 100.0 * cohort.cohort.weights.get(index).copied().unwrap_or_default();
        let seen = cohort.seen.as_ref().and_then(|seen| seen.get(index));
        let seen = seen.map_or_else(String::new, |seen| format!(", {} of {} units", seen.successes, seen.units));
        parts.push(format!("{variant} {weight:.1} %{seen}"));
    }
    let from = moment::display(cohort.cohort.from);
    format!("{from}  up to {:.1} % of the layer  {}", 100.0 * cohort.cohort.share, parts.join("; "))
}

fn state(report: &AllocationReport) -> String {
    let winner = report.winner.as_ref();
    let due = report.due.filter(|due| due.as_millis() > 0).map(moment::display);
    match (winner, &report.waits, due) {
        (Some(winner), ..) => format!("`{winner}` is the best; nobody joins any more"),
        (None, Some(reason), _) => format!("waits: {reason}"),
        (None, None, Some(due)) => {
            format!("the newest cohort is closed at {due}, or later, once somebody of it was seen")
        }
        (None, None, None) if report.is_ended => "all have joined, and no variant was found to be the best".to_owned(),
        (None, None, None) => "the first cohort begins in a moment".to_owned(),
    }
}
