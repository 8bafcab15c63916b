//! The report: what happened, and how far it is from the truth that only the simulator knows.

mod text;

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use plaudit_experiment::delivery::Notice;
use plaudit_policy::tripwire::UNSOLICITED_CLOSING;
use plaudit_reward_model::{Freshness, quality};
use plaudit_serving::readout::{ExperimentReadout, VariantReadout};
use plaudit_serving::rollout::{Rollout, Stage};
use plaudit_simulator::{Driver, Record};
use serde::Serialize;

use super::{Settings, Sightings};
use crate::app::App;
use crate::learner::CandidateSummary;
use crate::memory;

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
    pub(crate) love_rate: Option<f64>,
    /// Share of answers that close a conversation which the user did not close.
    pub(crate) closing_rate: Option<f64>,
    /// Mean helpfulness among answers that users spoke about.
    pub(crate) helpfulness: Option<f64>,
    /// What the simulator knows about the same answers.
    pub(crate) oracle: Option<OracleArm>,
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

/// A step of the delivery of a candidate.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DeliveryStep {
    /// The candidate.
    pub(crate) policy_id: String,
    /// Where it went, or waits.
    pub(crate) to: String,
    /// Why.
    pub(crate) reason: String,
    /// Seconds since the start of the demo.
    pub(crate) seconds: f64,
}

/// How long learning takes.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Lag {
    /// From the close of the newest window that the reward model had learned from to the candidate's weights, written
    /// and gated.
    pub(crate) window_to_weights: Option<f64>,
    /// From there to its first answer to a user.
    pub(crate) weights_to_serving: Option<f64>,
    /// From the close of a window to weights of the reward model that used it, and where that time goes.
    pub(crate) window_to_reward: Option<Freshness>,
}

/// The fate of every event: `received = accepted + duplicate + rejected + quarantined + unavailable`.
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
    /// Handed back to be sent again.
    pub(crate) unavailable: u64,
}

/// What the simulated users met.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Traffic {
    /// Requests for an answer or a choice.
    pub(crate) requests: u64,
    /// Of these, not answered after all attempts.
    pub(crate) failures: u64,
    /// Signals sent, duplicates included.
    pub(crate) signals: u64,
    /// Signals that nobody took after all attempts.
    pub(crate) lost: u64,
}

/// The report of one demo.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    /// Root of all randomness.
    pub(crate) seed: u64,
    /// Duration of the demo.
    pub(crate) wall_seconds: f64,
    /// The most memory that product and simulated users had at once, in bytes, where the system tells.
    pub(crate) peak_memory_bytes: Option<u64>,
    /// Units per variant that the experiment was planned for.
    pub(crate) planned_units: u64,
    /// The variants of the last experiment.
    pub(crate) arms: Vec<Arm>,
    /// Treatment against control.
    pub(crate) lift: Lift,
    /// `P[love]`.
    pub(crate) reward_model: RewardQuality,
    /// How candidates were delivered.
    pub(crate) delivery: Vec<DeliveryStep>,
    /// Policies that won their experiment.
    pub(crate) promotions: Vec<String>,
    /// Candidates that the gate or a guardrail stopped.
    pub(crate) refusals: Vec<Refusal>,
    /// How long learning took.
    pub(crate) lag_seconds: Lag,
    /// The fate of every event.
    pub(crate) conservation: Conservation,
    /// What the simulated users met.
    pub(crate) traffic: Traffic,
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
            peak_memory_bytes: memory::peak_bytes(),
            planned_units: settings.units_per_variant,
            arms,
            lift: Lift {
                love: love.map(|lift| Change { value: lift.value, lower: lift.lower, upper: lift.upper }),
                oracle,
            },
            reward_model: driver.with_record(|record| reward_quality(app, record)),
            delivery: sightings.notices.iter().map(step).collect(),
            promotions: promotions(&rollout),
            refusals: refusals(&rollout),
            lag_seconds: lag(app, candidates.last(), sightings),
            conservation: Conservation {
                received: totals.received,
                accepted: totals.accepted,
                duplicate: totals.duplicate,
                rejected: totals.rejected,
                quarantined: totals.quarantined,
                unavailable: totals.unavailable,
            },
            traffic: traffic(driver),
        })
    }
}

fn arms(readout: &ExperimentReadout, rollout: &Rollout, record: &Record, range: std::ops::Range<u64>) -> Vec<Arm> {
    let truth = record.by_variant(range.clone());
    let arm = |variant: &VariantReadout| {
        let name = variant.variant.as_str();
        let is_control = variant.variant == readout.control;
        let policy = record.rows(range.clone()).find(|row| row.variant.as_deref() == Some(name));
        let oracle = truth.get(name).map(|truth| OracleArm {
            love: truth.love,
            helpfulness: truth.helpfulness,
            closings: truth.closings,
            answered: truth.answered,
        });
        let champion = || rollout.champion().map_or_else(String::new, ToString::to_string);
        Arm {
            variant: name.to_owned(),
            policy_id: policy.map_or_else(champion, |row| row.policy_id.to_string()),
            role: if is_control { "control" } else { "treatment" },
            exposures: variant.exposures,
            love_rate: variant.love.map(|love| love.value),
            closing_rate: variant.tripwires.get(UNSOLICITED_CLOSING).map(|rate| rate.value),
            helpfulness: variant.helpfulness.map(|helpfulness| helpfulness.value),
            oracle,
        }
    };
    readout.variants.iter().map(arm).collect()
}

fn step((elapsed, notice): &(Duration, Notice)) -> DeliveryStep {
    DeliveryStep {
        policy_id: notice.policy_id.to_string(),
        to: notice.to.to_string(),
        reason: notice.reason.clone(),
        seconds: elapsed.as_secs_f64(),
    }
}

fn traffic(driver: &Driver) -> Traffic {
    let counts = driver.counters().counts();
    Traffic { requests: counts.requests, failures: counts.failures, signals: counts.sent, lost: counts.lost }
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

fn lag(app: &App, candidate: Option<&CandidateSummary>, sightings: &Sightings) -> Lag {
    let seconds = |millis: i64| millis as f64 / 1_000.0;
    let trained = candidate.map(|c| seconds(c.trained.millis_since(c.newest_example)));
    let served = candidate.and_then(|c| {
        let first = sightings.first_served.iter().find(|(policy, _)| *policy == c.policy_id)?;
        Some(seconds(first.1.millis_since(c.trained)))
    });
    let window_to_reward = app.reward.as_ref().and_then(|reward| reward.status().freshness);
    Lag { window_to_weights: trained, weights_to_serving: served, window_to_reward }
}
