//! The forgetting matrix, and what may be the cause of it, as text.

use std::fmt::{Result, Write};

use super::markdown::{cell, number};
use crate::{CONFUSABLE, ConfusablePair, FORGETTING_ALARM, GoldenReport, Measurement};

/// Most earlier models that are shown.
const MOST_ROWS: usize = 12;

/// Two tables in Markdown: the slices, and the models on each of them.
#[must_use]
pub fn forgetting_table(report: &GoldenReport) -> String {
    let mut text = String::new();
    write(&mut text, report).expect("a string takes everything");
    text
}

fn write(text: &mut String, report: &GoldenReport) -> Result {
    if report.slices.is_empty() {
        return writeln!(text, "No golden slice was frozen yet; {} labelled examples are held out.", report.held_out);
    }
    let held_out = report.held_out;
    writeln!(text, "On golden slices, of {held_out} labelled examples that were never trained on.\n")?;
    writeln!(text, "| slice | segment | frozen at | rows | positives | best AUROC before | now | forgotten |")?;
    writeln!(text, "|---|---|---|---|---|---|---|---|")?;
    for (at, slice) in report.slices.iter().enumerate() {
        let (best, now, lost) = (number(slice.best), number(slice.now), number(slice.forgotten));
        let (segment, frozen_at) = (cell(&slice.segment), slice.frozen_at);
        writeln!(
            text,
            "| {} | {segment} | {frozen_at} | {} | {} | {best} | {now} | {lost} |",
            at + 1,
            slice.rows,
            slice.positives
        )?;
    }
    writeln!(text, "\nMean forgetting: {}.", number(report.forgetting))?;
    if report.alarm {
        writeln!(
            text,
            "\n**Alarm:** more than {FORGETTING_ALARM} was forgotten on average, or twice that on one slice."
        )?;
    }
    writeln!(text, "\nModels (examples seen, down) on slices (across), area under the ROC curve:\n")?;
    let columns = report.slices.len();
    let head: Vec<String> = (1..=columns).map(|number| number.to_string()).collect();
    writeln!(text, "| examples | {} |\n|---|{}", head.join(" | "), "---|".repeat(columns))?;
    for row in shown(&report.matrix) {
        let area = |at: usize| number(row.areas.get(at).copied().flatten());
        let areas: Vec<String> = (0..columns).map(area).collect();
        writeln!(text, "| {} | {} |", row.examples, areas.join(" | "))?;
    }
    Ok(())
}

/// The newest models and the first.
fn shown(matrix: &[Measurement]) -> impl Iterator<Item = &Measurement> {
    let from = matrix.len().saturating_sub(MOST_ROWS - 1).max(1);
    matrix.iter().take(1).chain(matrix.iter().skip(from))
}

/// Pairs of segments that are easily confused, as a table in Markdown.
#[must_use]
pub fn confusable_table(pairs: &[ConfusablePair]) -> String {
    let mut text = String::new();
    write_pairs(&mut text, pairs).expect("a string takes everything");
    text
}

fn write_pairs(text: &mut String, pairs: &[ConfusablePair]) -> Result {
    if pairs.is_empty() {
        return writeln!(text, "None: where responses look alike, the same is loved.");
    }
    writeln!(
        text,
        "Responses look alike (closeness 1: the same), and something else is loved (agreement -1: the opposite);"
    )?;
    writeln!(text, "confusion of at least {CONFUSABLE}. What is learned of one is wrong in the other.\n")?;
    writeln!(text, "| segment | and | closeness | agreement | confusion |\n|---|---|---|---|---|")?;
    for pair in pairs {
        let (a, b) = (cell(&pair.a), cell(&pair.b));
        writeln!(text, "| {a} | {b} | {:.3} | {:.3} | {:.3} |", pair.closeness, pair.agreement, pair.confusion)?;
    }
    Ok(())
}
