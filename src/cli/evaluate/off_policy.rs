//! `plaudit evaluate --off-policy`: what a selection policy would have earned on logged decisions.
//!
//! Learning policies are evaluated as they learn: what they would have done with a decision is computed before they
//! learn what came of it. Several evaluations of one log are several tries; the level holds for each alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use clap::ValueEnum;
use plaudit_event::{Envelope, Event, Example, Seed};
use plaudit_experiment::Error;
use plaudit_experiment::off_policy::{Diagnostics, Estimator, Gate, Resampling, Sample, Verdict};
use plaudit_experiment::stats::Interval;
use plaudit_ingest::service::copy_all;
use plaudit_policy::select::{Config, Replayed, Target, replay};
use serde::Serialize;

use super::super::event_file::Lines;
use super::super::{Evaluate, data, print};
use crate::clock::SystemClock;

/// Rows fetched at once.
const PAGE: usize = 2_000;
/// Draws of the bootstrap.
const DRAWS: u32 = 1_000;
/// Level of the intervals.
const ALPHA: f64 = 0.05;
/// Weights above this are clipped, or left to the model.
const WEIGHT_LIMIT: f64 = 10.0;

const ESTIMATORS: [(&str, Estimator); 6] = [
    ("IPS", Estimator::Ips),
    ("SNIPS", Estimator::Snips),
    ("clipped IPS", Estimator::ClippedIps(WEIGHT_LIMIT)),
    ("DM", Estimator::Dm),
    ("DR", Estimator::Dr),
    ("switch-DR", Estimator::SwitchDr(WEIGHT_LIMIT)),
];

/// The policy that is evaluated.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum OffPolicy {
    /// The policy that goes by features, learning as it goes.
    Contextual,
    /// Thompson sampling, learning as it goes.
    Beta,
    /// Every candidate as often as any other.
    Even,
}

/// What the log says about a policy.
#[derive(Debug, Serialize)]
struct Report {
    decision: String,
    target: Target,
    seed: u64,
    served: f64,
    /// By estimator, where there is weight.
    estimators: BTreeMap<&'static str, Option<Interval>>,
    /// Lower bound of the value by the inverse propensity score, each unit weighing the same.
    value_lower: f64,
    #[serde(flatten)]
    verdict: Verdict,
    without_candidates: usize,
}

/// Reads the examples, replays them, estimates and prints.
pub(super) async fn run(arguments: &Evaluate, target: OffPolicy) -> anyhow::Result<()> {
    let decision = arguments.decision.as_ref().context("`--decision NAME` is missing")?;
    let config = arguments.files.configuration()?;
    let examples = match &arguments.examples {
        Some(path) => from_file(path)?,
        None => from_store(&config).await?,
    };
    let target = match target {
        OffPolicy::Contextual => Target::Contextual,
        OffPolicy::Beta => Target::Beta,
        OffPolicy::Even => Target::Even,
    };
    let (decision, select, seed) = (decision.clone(), config.policy.select, arguments.seed);
    let report = tokio::task::spawn_blocking(move || evaluate(&examples, decision, target, &select, seed)).await??;
    if arguments.json {
        return print(&(serde_json::to_string_pretty(&report)? + "\n"));
    }
    print(&describe(&report))
}

fn from_file(path: &Path) -> anyhow::Result<Vec<Example>> {
    let mut lines = Lines::open(path)?;
    let mut examples = Vec::new();
    while let Some(line) = lines.next()? {
        let event = Envelope::decode(&line).map(|envelope| envelope.event);
        match event.with_context(|| format!("line {} of `{}`", lines.number(), path.display()))? {
            Event::Example(example) => examples.push(example),
            _ => anyhow::bail!("line {} of `{}` is no example", lines.number(), path.display()),
        }
    }
    Ok(examples)
}

async fn from_store(config: &crate::config::Config) -> anyhow::Result<Vec<Example>> {
    let log = data::open_log(config, Arc::new(SystemClock)).await?;
    let store = data::open_store(config)?;
    copy_all(&log, &store, &config.ingest).await?;
    let (mut examples, mut after) = (Vec::new(), None);
    loop {
        let page = store.scan_examples(after, PAGE).await?;
        let Some((last, _)) = page.last() else { return Ok(examples) };
        after = Some(*last);
        examples.extend(page.into_iter().map(|(_, example)| example));
    }
}

fn evaluate(
    examples: &[Example],
    decision: String,
    target: Target,
    config: &Config,
    seed: u64,
) -> anyhow::Result<Report> {
    let Replayed { sample, without_candidates } = replay(examples, &decision, target, config)?;
    let gate =
        Gate { alpha: config.gate.alpha, margin: config.gate.margin, limits: config.gate.limits(), ..Gate::default() };
    let rewards: f64 = sample.rows().iter().map(|row| row.reward).sum();
    let mut estimators = BTreeMap::new();
    for (name, estimator) in ESTIMATORS {
        estimators.insert(name, interval(&sample, estimator, seed)?);
    }
    Ok(Report {
        decision,
        target,
        seed,
        served: rewards / sample.rows().len() as f64,
        estimators,
        value_lower: sample.lower_bound(&gate)?,
        verdict: sample.judge(&gate)?,
        without_candidates,
    })
}

fn interval(sample: &Sample, estimator: Estimator, seed: u64) -> anyhow::Result<Option<Interval>> {
    let resampling = Resampling { seed: Seed::new(seed), draws: DRAWS, alpha: ALPHA };
    match sample.bootstrap(estimator, resampling) {
        Ok(interval) => Ok(Some(interval)),
        Err(Error::NoWeight) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn describe(report: &Report) -> String {
    let (verdict, diagnostics) = match &report.verdict {
        Verdict::Passed { lower, diagnostics } => (format!("passed: improvement at least {lower:.5}"), diagnostics),
        Verdict::Undecided { lower, diagnostics } => {
            (format!("undecided: improvement at least {lower:.5}"), diagnostics)
        }
        Verdict::Refused { reasons, diagnostics } => {
            let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
            (format!("refused: {}", reasons.join("; ")), diagnostics)
        }
    };
    let Diagnostics { rows, units, effective_rows, effective_units, max_weight, max_weight_share, .. } = diagnostics;
    let mut text = format!(
        "Decision `{}`, {:?} on what was served: {rows} rows of {units} units\n  {:<15} {:.5}\n",
        report.decision, report.target, "served", report.served
    );
    for (name, _) in ESTIMATORS {
        text += &match report.estimators.get(name).copied().flatten() {
            Some(Interval { value, lower, upper }) => format!("  {name:<15} {value:.5} [{lower:.5}, {upper:.5}]\n"),
            None => format!("  {name:<15} no weight\n"),
        };
    }
    text += &format!("  {:<15} {:.5}\n", "at least", report.value_lower);
    text += &format!(
        "  effective rows {effective_rows:.1}, units {effective_units:.1}; largest weight {max_weight:.1} ({:.1} % of \
         all); mean weight {:.3} ± {:.3}\n",
        max_weight_share * 100.0,
        diagnostics.mean_weight,
        diagnostics.mean_weight_error
    );
    if report.without_candidates > 0 {
        let left = report.without_candidates;
        text += &format!("  {left} labelled examples left out: candidates or propensities are missing or do not fit\n");
    }
    text + &format!("{verdict}\n")
}
