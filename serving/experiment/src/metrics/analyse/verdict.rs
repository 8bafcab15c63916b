//! One line in plain words for each treatment.

use super::super::report::{Advice, ReportWarning, Row, Verdict};
use crate::stats::{Decision, Guardrail};

pub(super) fn verdict(variant: &str, rows: &[Row], warnings: &[ReportWarning]) -> Verdict {
    let mine: Vec<&Row> = rows.iter().filter(|row| row.variant == variant).collect();
    let (advice, sentence) = fault(warnings).map_or_else(|| judged(&mine), |why| (Advice::DoNotDecide, why));
    Verdict { variant: variant.to_owned(), advice, sentence }
}

/// Why the data cannot be trusted, if so.
fn fault(warnings: &[ReportWarning]) -> Option<String> {
    warnings.iter().find_map(|warning| match warning {
        ReportWarning::NoUnits => Some("Nobody has been in the experiment yet.".to_owned()),
        ReportWarning::SampleRatioMismatch { p, .. } => Some(format!(
            "Do not decide: units did not arrive in the promised proportions (p = {p:.2e}); find the fault first."
        )),
        ReportWarning::MultipleExposure { share, is_alarm: true, .. } => Some(format!(
            "Do not decide: {:.1} % of the units saw more than one variant; find the fault first.",
            100.0 * share
        )),
        _ => None,
    })
}

fn judged(rows: &[&Row]) -> (Advice, String) {
    let named = |wanted: &dyn Fn(&Row) -> bool| -> Option<String> {
        let names: Vec<&str> = rows.iter().filter(|row| wanted(row)).map(|row| row.metric.as_str()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    let is = |row: &Row, decision: Decision| row.is_goal && row.is_discovery && row.decision == decision;
    if let Some(names) = named(&|row| row.guardrail == Some(Guardrail::Violated)) {
        return (Advice::Stop, format!("Stop: worse than the guardrail allows in {names}."));
    }
    if let Some(names) = named(&|row| is(row, Decision::Worse)) {
        return (Advice::Stop, format!("Stop: worse in {names}."));
    }
    let open = named(&|row| row.guardrail == Some(Guardrail::Undecided));
    if let Some(names) = named(&|row| is(row, Decision::Better)) {
        return match open {
            None => (Advice::Ship, format!("Ship: better in {names}, and no guardrail stands against it.")),
            Some(open) => {
                (Advice::GoOn, format!("Go on: better in {names}, but {open} may still be worse than allowed."))
            }
        };
    }
    let goals: Vec<&&Row> = rows.iter().filter(|row| row.is_goal).collect();
    if goals.is_empty() {
        return (Advice::GoOn, "Go on: no metric is a goal, so there is nothing to decide by.".to_owned());
    }
    let days = goals.iter().filter_map(|row| row.days_to_significance).filter(|days| *days > 0.0).reduce(f64::min);
    let sentence = match days {
        Some(days) if days < 1000.0 => {
            format!("Go on: nothing is certain yet; if all stays as it is, about {} more days.", days.ceil())
        }
        _ => "Go on: nothing is certain yet, and no end can be foretold.".to_owned(),
    };
    (Advice::GoOn, sentence)
}
