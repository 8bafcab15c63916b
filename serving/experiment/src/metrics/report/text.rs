//! The report as a table that a person can read.

use std::fmt::Write;

use super::{Advice, EffectInterval, Report, ReportWarning, Row, RowWarning};
use crate::metrics::Choice;
use crate::stats::{Decision, Guardrail};

const HEAD: [&str; 9] = ["metric", "method", "control", "treatment", "lift", "interval", "p", "says", "days"];

impl Report {
    /// A few lines for each treatment: the decision, a table of the metrics, the segments, the warnings.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        let units: Vec<String> =
            self.variants.iter().zip(&self.units).map(|(name, units)| format!("{name} {units}")).collect();
        let _ = writeln!(out, "{:.1} days, units: {}", self.days, units.join(", "));
        for verdict in &self.verdicts {
            let _ = writeln!(out, "\n{} ({}): {}", verdict.variant, advice(verdict.advice), verdict.sentence);
            let of = |rows: &[Row]| -> Vec<Vec<String>> {
                rows.iter().filter(|row| row.variant == verdict.variant).map(line).collect()
            };
            table(&mut out, &of(&self.rows));
            if !self.segments.is_empty() {
                out.push_str("by segment\n");
                table(&mut out, &of(&self.segments));
            }
        }
        let told = self.rows.iter().flat_map(|row| row.warnings.iter().map(move |warning| (row, warning)));
        let rows = told.map(|(row, warning)| format!("{} ({}): {}", row.metric, row.variant, of_row(warning)));
        let all: Vec<String> = self.warnings.iter().map(of_report).chain(rows).collect();
        if !all.is_empty() {
            let _ = write!(out, "\nmind:\n- {}\n", all.join("\n- "));
        }
        let level = 100.0 * (1.0 - self.alpha);
        let _ = writeln!(out, "\nintervals hold with {level:.0} %; * stands after correction for all metrics");
        out
    }
}

const fn advice(advice: Advice) -> &'static str {
    match advice {
        Advice::Ship => "ship",
        Advice::Stop => "stop",
        Advice::GoOn => "go on",
        Advice::DoNotDecide => "do not decide",
    }
}

fn table(out: &mut String, rows: &[Vec<String>]) {
    let head: Vec<String> = HEAD.iter().map(|&name| name.to_owned()).collect();
    let lines: Vec<&Vec<String>> = std::iter::once(&head).chain(rows).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    for line in lines {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(out, "  {}", cells.join("  ").trim_end());
    }
}

fn line(row: &Row) -> Vec<String> {
    let name = row
        .segment
        .as_ref()
        .map_or_else(|| row.metric.clone(), |(attribute, value)| format!("{} [{attribute} = {value}]", row.metric));
    let value = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), short);
    let (lift, interval) = match (&row.relative, &row.absolute) {
        (Some(relative), _) => (relative.value.map_or_else(|| "–".to_owned(), percent), ends(relative, percent)),
        (None, Some(absolute)) => (value(absolute.value), ends(absolute, short)),
        (None, None) => ("–".to_owned(), "–".to_owned()),
    };
    let p = match (row.p, row.chance_to_win) {
        (Some(p), _) if p < 0.0001 => "<0.0001".to_owned(),
        (Some(p), _) => format!("{p:.4}"),
        (None, Some(chance)) => format!("{:.1} % to win", 100.0 * chance),
        (None, None) => "–".to_owned(),
    };
    let days = row.days_to_significance.map_or_else(|| "–".to_owned(), |days| format!("{days:.0}"));
    vec![
        name,
        method(row.method).to_owned(),
        value(row.control),
        value(row.treatment),
        lift,
        interval,
        p,
        says(row),
        days,
    ]
}

fn says(row: &Row) -> String {
    let decision = match row.decision {
        Decision::Better => "better",
        Decision::Worse => "worse",
        Decision::NoEffectBeyondMargin => "the same",
        Decision::Undecided => "undecided",
    };
    let star = if row.is_discovery { "*" } else { "" };
    let guard = match row.guardrail {
        None => "",
        Some(Guardrail::NotWorse) => ", guardrail holds",
        Some(Guardrail::Violated) => ", guardrail violated",
        Some(Guardrail::Undecided) => ", guardrail open",
    };
    format!("{decision}{star}{guard}")
}

const fn method(choice: Choice) -> &'static str {
    match choice {
        Choice::Default => "default",
        Choice::ExactArms => "exact arms",
        Choice::Betting => "betting",
        Choice::Asymptotic => "sequence",
        Choice::Msprt => "msprt",
        Choice::GroupSequential => "group sequential",
        Choice::Fixed => "fixed",
        Choice::Bayes => "bayes",
        Choice::QuantileAb => "quantile a/b",
    }
}

fn ends(interval: &EffectInterval, show: fn(f64) -> String) -> String {
    let low = interval.lower.map_or_else(|| "−∞".to_owned(), show);
    let high = interval.upper.map_or_else(|| "∞".to_owned(), show);
    format!("{low} to {high}")
}

fn percent(value: f64) -> String {
    format!("{:+.2} %", 100.0 * value)
}

/// Four significant digits.
fn short(value: f64) -> String {
    let digits = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    let decimals = usize::try_from((3 - digits).clamp(0, 8)).unwrap_or(0);
    format!("{value:.decimals$}")
}

fn of_row(warning: &RowWarning) -> String {
    match warning {
        RowWarning::NoData => "no unit of an arm has a value".to_owned(),
        RowWarning::DivisionByZero => "the denominator of an arm is zero".to_owned(),
        RowWarning::NoVariance => "all units have the same value".to_owned(),
        RowWarning::TooFewUnits { units, needed } => {
            format!("{units} units in the smaller arm, {needed} are asked for")
        }
        RowWarning::LowPower { detectable } => {
            format!("at this size only lifts of {} or more are likely to be found", percent(*detectable))
        }
        RowWarning::CarryOver { p } => {
            format!("units from an earlier experiment of the layer show another effect (p = {p:.4})")
        }
        RowWarning::Sampled { share } => format!("from a sample of {:.1} % of the units", 100.0 * share),
        RowWarning::FlatCovariate => "the covariate does not vary, nothing was adjusted".to_owned(),
        RowWarning::FellBack { from } => format!("{} needs all units, and only a sample is kept", method(*from)),
    }
}

fn of_report(warning: &ReportWarning) -> String {
    match warning {
        ReportWarning::SampleRatioMismatch { phase: Some(phase), p } => {
            format!("sample-ratio mismatch in phase {phase} (p = {p:.2e})")
        }
        ReportWarning::SampleRatioMismatch { phase: None, p } => {
            format!("sample-ratio mismatch over all phases (p = {p:.2e})")
        }
        ReportWarning::MultipleExposure { units, share, .. } => {
            format!("{units} units ({:.2} %) saw more than one variant and are left out", 100.0 * share)
        }
        ReportWarning::ClockWentBackwards { events } => format!("{events} reactions older than their exposure ignored"),
        ReportWarning::UnknownVariants { events } => format!("{events} exposures with an unknown variant ignored"),
        ReportWarning::NotNumbers { events } => format!("{events} values that are not finite ignored"),
        ReportWarning::BeyondLimit { events } => format!("{events} events of units that have too many ignored"),
        ReportWarning::NoUnits => "no unit is in the experiment".to_owned(),
        ReportWarning::UnusableLooks => "the planned looks must increase within (0, 1]".to_owned(),
    }
}
