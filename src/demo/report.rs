//! The report: what happened, and how far it is from the truth that only the simulator knows.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use plaudit_reward_model::quality;
use plaudit_serving::readout::{ExperimentReadout, VariantReadout};
use plaudit_serving::rollout::{Rollout, Stage};
use plaudit_simulator::{Driver, Record};
use serde::Serialize;

use super::{Settings, Sightings};
use crate::app::App;
use crate::learner::CandidateSummary;

/// One variant of the experiment, as the product measured it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Arm {
    /// Its name.
    pub(crate) variant: String,
    /// The policy that answered.
    pub(crate) policy_id: String,
    /// `control` or `treatment`.
    pub(crate) role: &'static str,
    /// Exposures whose window closed during the experiment.
    pub(crate) exposures: u64,
    /// Loves per exposure.
    pub(crate) love_rate: f64,
    /// Share of answers that close the conversation.
    pub(crate) closing_rate: f64,
    /// Mean helpfulness among answers that users spoke about.
    pub(crate) helpfulness: f64,
    /// What the simulator knows about the same answers.
    pub(crate) oracle: OracleArm,
}

/// The truth about one variant.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct OracleArm {
    /// Mean probability of love.
    pub(crate) love: f64,
    /// Mean probability of being helpful.
    pub(crate) helpfulness: f64,
    /// Share of closings that nobody asked for.
    pub(crate) closings: f64,
    /// Share that answers the question.
    pub(crate) answered: f64,
}

/// A relative change with its always-valid interval.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Change {
    /// Estimate.
    pub(crate) value: f64,
    /// Lower end.
    pub(crate) lower: f64,
    /// Upper end.
    pub(crate) upper: f64,
}

/// Relative changes of the treatment against control.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Lift {
    /// Love, measured.
    pub(crate) love: Option<Change>,
    /// Love, by the simulator's probabilities.
    pub(crate) oracle: Option<f64>,
}

/// Quality of `P[love]` on the newest prequential predictions.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RewardQuality {
    /// How many predictions.
    pub(crate) n: usize,
    /// AUROC of the predictions.
    pub(crate) auroc: Option<f64>,
    /// AUROC of the true probabilities on the same exposures.
    pub(crate) oracle_auroc: Option<f64>,
    /// Expected calibration error, ten equally wide bins.
    pub(crate) ece: f64,
}

/// A candidate that was not let through.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Refusal {
    /// The candidate.
    pub(crate) policy_id: String,
    /// Why.
    pub(crate) reason: String,
}

/// How long learning takes.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Lag {
    /// From the close of the newest window that the reward model had learned from to the candidate's weights, written
    /// and gated.
    pub(crate) window_to_weights: Option<f64>,
    /// From there to its first answer to a user.
    pub(crate) weights_to_serving: Option<f64>,
}

/// The fate of every event.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Conservation {
    /// Events handed in.
    pub(crate) received: u64,
    /// Made durable.
    pub(crate) accepted: u64,
    /// Durable before.
    pub(crate) duplicate: u64,
    /// Refused.
    pub(crate) rejected: u64,
    /// Kept aside.
    pub(crate) quarantined: u64,
}

/// The report of one demo.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    /// Root of all randomness.
    pub(crate) seed: u64,
    /// Duration of the demo.
    pub(crate) wall_seconds: f64,
    /// Units per variant that the experiment was planned for.
    pub(crate) planned_units: u64,
    /// The variants of the last experiment.
    pub(crate) arms: Vec<Arm>,
    /// Treatment against control.
    pub(crate) lift: Lift,
    /// `P[love]`.
    pub(crate) reward_model: RewardQuality,
    /// Policies that won their experiment.
    pub(crate) promotions: Vec<String>,
    /// Candidates that the gate or a guardrail stopped.
    pub(crate) refusals: Vec<Refusal>,
    /// How long learning took.
    pub(crate) lag_seconds: Lag,
    /// The fate of every event.
    pub(crate) conservation: Conservation,
}

impl Report {
    pub(super) fn new(
        app: &App,
        driver: &Driver,
        settings: &Settings,
        sightings: &Sightings,
        wall: Duration,
    ) -> anyhow::Result<Self> {
        let serving = app.serving.as_ref().context("the demo serves")?;
        let rollout = serving.rollout();
        let readout = serving.finished().into_iter().chain(serving.readouts()).next_back();
        let range = sightings.experiment_from.unwrap_or(0)..sightings.experiment_to.unwrap_or(u64::MAX);
        let (arms, oracle) = driver.with_record(|record| {
            let arms = readout.as_ref().map(|readout| arms(readout, &rollout, record, range.clone()));
            (arms.unwrap_or_default(), oracle_lift(record, range))
        });
        let love = readout.as_ref().and_then(|readout| readout.comparisons.first()?.lift);
        let totals = app.intake.totals();
        let candidates = app.learner.borrow().candidates.clone();
        Ok(Self {
            seed: settings.seed,
            wall_seconds: wall.as_secs_f64(),
            planned_units: settings.units_per_variant,
            arms,
            lift: Lift {
                love: love.map(|lift| Change { value: lift.value, lower: lift.lower, upper: lift.upper }),
                oracle,
            },
            reward_model: driver.with_record(|record| reward_quality(app, record)),
            promotions: promotions(&rollout),
            refusals: refusals(&rollout),
            lag_seconds: lag(candidates.last(), sightings),
            conservation: Conservation {
                received: totals.received,
                accepted: totals.accepted,
                duplicate: totals.duplicate,
                rejected: totals.rejected,
                quarantined: totals.quarantined,
            },
        })
    }

    /// The report for people.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_text(&mut text);
        text
    }

    fn write_text(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "Plaudit demo, seed {}, {:.0} s", self.seed, self.wall_seconds)?;
        writeln!(out, "\nExperiment (planned: {} units per variant)", self.planned_units)?;
        writeln!(
            out,
            "  {:<10} {:<22} {:>9} {:>8} {:>9} {:>12}",
            "variant", "policy", "exposures", "love", "closings", "helpfulness"
        )?;
        for arm in &self.arms {
            let (love, closings, help) = (100.0 * arm.love_rate, 100.0 * arm.closing_rate, 100.0 * arm.helpfulness);
            writeln!(
                out,
                "  {:<10} {:<22} {:>9} {love:>6.2} % {closings:>7.2} % {help:>10.2} %",
                arm.variant, arm.policy_id, arm.exposures
            )?;
            let oracle = &arm.oracle;
            let (love, closings, help) = (100.0 * oracle.love, 100.0 * oracle.closings, 100.0 * oracle.helpfulness);
            writeln!(
                out,
                "  {:<10} {:<22} {:>9} {love:>6.2} % {closings:>7.2} % {help:>10.2} %",
                "", "  the truth", ""
            )?;
        }
        if let Some(love) = &self.lift.love {
            let (value, lower, upper) = (100.0 * love.value, 100.0 * love.lower, 100.0 * love.upper);
            writeln!(out, "  love lift {value:+.1} %, always-valid 95 % interval [{lower:+.1} %, {upper:+.1} %]")?;
        }
        if let Some(oracle) = self.lift.oracle {
            writeln!(out, "  love lift by the truth {:+.1} %", 100.0 * oracle)?;
        }
        let reward = &self.reward_model;
        let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.4}"));
        writeln!(out, "\nP[love], {} predictions made before training on them", reward.n)?;
        writeln!(
            out,
            "  AUROC {} (the truth reaches {}), ECE {:.4}",
            number(reward.auroc),
            number(reward.oracle_auroc),
            reward.ece
        )?;
        writeln!(
            out,
            "\nPromoted: {}",
            if self.promotions.is_empty() { "nothing".to_owned() } else { self.promotions.join(", ") }
        )?;
        for refusal in &self.refusals {
            writeln!(out, "Refused: {}: {}", refusal.policy_id, refusal.reason)?;
        }
        let seconds = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.1} s"));
        let (trained, served) =
            (seconds(self.lag_seconds.window_to_weights), seconds(self.lag_seconds.weights_to_serving));
        writeln!(
            out,
            "From the close of the newest window to new weights: {trained}; from weights to the first answer: {served}"
        )?;
        let c = &self.conservation;
        writeln!(
            out,
            "Events: {} received = {} accepted + {} duplicate + {} rejected + {} quarantined",
            c.received, c.accepted, c.duplicate, c.rejected, c.quarantined
        )
    }
}

fn arms(readout: &ExperimentReadout, rollout: &Rollout, record: &Record, range: std::ops::Range<u64>) -> Vec<Arm> {
    let truth = record.by_variant(range.clone());
    let arm = |variant: &VariantReadout| {
        let name = variant.variant.as_str();
        let is_control = variant.variant == readout.control;
        let policy = record.rows(range.clone()).find(|row| row.variant.as_deref() == Some(name));
        let oracle = truth.get(name);
        let champion = || rollout.champion().map_or_else(String::new, ToString::to_string);
        Arm {
            variant: name.to_owned(),
            policy_id: policy.map_or_else(champion, |row| row.policy_id.to_string()),
            role: if is_control { "control" } else { "treatment" },
            exposures: variant.exposures,
            love_rate: variant.love.map_or(0.0, |love| love.value),
            closing_rate: variant.tripwires.get("closing").copied().unwrap_or(0.0),
            helpfulness: variant.helpfulness.map_or(0.0, |helpfulness| helpfulness.value),
            oracle: OracleArm {
                love: oracle.map_or(0.0, |truth| truth.love),
                helpfulness: oracle.map_or(0.0, |truth| truth.helpfulness),
                closings: oracle.map_or(0.0, |truth| truth.closings),
                answered: oracle.map_or(0.0, |truth| truth.answered),
            },
        }
    };
    readout.variants.iter().map(arm).collect()
}

fn oracle_lift(record: &Record, range: std::ops::Range<u64>) -> Option<f64> {
    let truth = record.by_variant(range);
    Some(truth.get("treatment")?.love_lift(truth.get("control")?))
}

/// Quality on the exposures that both the reward model and the simulator still remember.
fn reward_quality(app: &App, record: &Record) -> RewardQuality {
    let predictions = app.reward.as_ref().map(|reward| reward.prequential());
    let truth: HashMap<&str, f64> =
        record.rows(0..u64::MAX).map(|row| (row.exposure_id.as_str(), row.judgement.love_logit)).collect();
    let (mut predicted, mut oracle, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    for prediction in predictions.iter().flat_map(|all| all.iter()) {
        if let Some(logit) = truth.get(prediction.exposure_id.as_str()) {
            predicted.push(prediction.p);
            oracle.push(*logit);
            labels.push(f64::from(prediction.label));
        }
    }
    RewardQuality {
        n: labels.len(),
        auroc: quality::auroc(&predicted, &labels),
        oracle_auroc: quality::auroc(&oracle, &labels),
        ece: quality::ece(&predicted, &labels),
    }
}

fn promotions(rollout: &Rollout) -> Vec<String> {
    let learned = rollout.policies().values().filter(|policy| policy.parent.is_some());
    let won = learned.filter(|policy| matches!(policy.stage, Stage::Champion | Stage::Retired));
    won.map(|policy| policy.policy_id.to_string()).collect()
}

fn refusals(rollout: &Rollout) -> Vec<Refusal> {
    let policies = rollout.policies().values();
    let stopped = policies.filter(|policy| matches!(policy.stage, Stage::Refused | Stage::RolledBack));
    stopped
        .map(|policy| Refusal { policy_id: policy.policy_id.to_string(), reason: policy.reasons.join("; ") })
        .collect()
}

fn lag(candidate: Option<&CandidateSummary>, sightings: &Sightings) -> Lag {
    let seconds = |millis: i64| millis as f64 / 1_000.0;
    let trained = candidate.map(|c| seconds(c.trained.millis_since(c.newest_example)));
    let served = candidate.and_then(|c| {
        let first = sightings.first_served.iter().find(|(policy, _)| *policy == c.policy_id)?;
        Some(seconds(first.1.millis_since(c.trained)))
    });
    Lag { window_to_weights: trained, weights_to_serving: served }
}
