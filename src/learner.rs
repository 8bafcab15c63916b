//! The loop that makes candidates: waits for enough new examples, trains against the newest reward model,
//! gates, and hands what passed to the rolling experiment.

mod config;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use plaudit_event::{Clock, Context, PolicyId, Seed, Timestamp};
use plaudit_ingest::store::EventStore;
use plaudit_nn::checkpoint;
use plaudit_nn::runtime::pinned_pool;
use plaudit_policy::GeneratePolicy;
use plaudit_policy::crpg::StepReport;
use plaudit_policy::gate::{Correlation, Verdict};
use plaudit_policy::learn::{CandidateReport, Training, gate_candidate, train_candidate};
use plaudit_reward_model::{RewardHandle, RewardModel, Status};
use plaudit_serving::Serving;
use plaudit_serving::rollout::{Origin, Stage};
use serde::Serialize;
use serde_json::json;
use tokio::sync::{oneshot, watch};

use crate::app::policies_dir;
use crate::config::Config;
pub(crate) use config::LearnConfig;

/// How often the loop looks whether it is time.
const POLL: Duration = Duration::from_millis(250);
/// Longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What the loop does now.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum Activity {
    /// Not enough examples yet, or an experiment is under way.
    #[default]
    Waiting,
    /// A candidate is being trained.
    Training {
        /// Steps made.
        step: u64,
        /// Steps to make, at most.
        steps: u64,
        /// Mean regularised reward of the last step.
        reward: f64,
    },
    /// A candidate is being compared with the champion.
    Gating,
}

/// A candidate that was made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct CandidateSummary {
    /// The candidate.
    pub(crate) policy_id: PolicyId,
    /// Why it was refused; empty when it passed the gate.
    pub(crate) refused: Vec<String>,
    /// Close of the newest window that its reward model had learned from.
    pub(crate) newest_example: Timestamp,
    /// When its weights were written and gated.
    pub(crate) trained: Timestamp,
    /// Training steps made.
    pub(crate) steps: usize,
}

/// What the learner does and did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct LearnerStatus {
    /// Now.
    pub(crate) activity: Activity,
    /// So far in this process, oldest first.
    pub(crate) candidates: Vec<CandidateSummary>,
}

/// The loop with its components.
pub(crate) struct Learner {
    pub(crate) config: Config,
    pub(crate) serving: Arc<Serving>,
    pub(crate) reward: Arc<RewardHandle>,
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) status: watch::Sender<LearnerStatus>,
}

/// What one candidate is made from.
struct Basis {
    parent: GeneratePolicy,
    reward: Arc<dyn RewardModel>,
    status: Status,
    train: Vec<Context>,
    gate: Vec<Context>,
    /// What earlier candidates say about the offline score.
    backtest: Correlation,
    seed: Seed,
}

impl Learner {
    /// Makes candidates until `stopped` turns true. A candidate that fails is logged and tried again later:
    /// serving goes on without it.
    pub(crate) async fn run(self, mut stopped: watch::Receiver<bool>) -> anyhow::Result<()> {
        let mut due = self.first_due();
        let mut pause = POLL;
        while self.config.learn.enabled && !*stopped.borrow() {
            let looked = self.look(&mut due, &stopped).await;
            self.status.send_modify(|status| status.activity = Activity::Waiting);
            pause = match looked {
                Ok(()) => POLL,
                Err(_) if *stopped.borrow() => break,
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "no candidate this time");
                    (pause * 2).min(LONGEST_PAUSE)
                }
            };
            tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        Ok(())
    }

    /// Position in the examples at which the next candidate is due: `every` after the newest that was made, also by
    /// an earlier process.
    fn first_due(&self) -> u64 {
        let root = policies_dir(&self.config);
        let rollout = self.serving.rollout();
        let learned = rollout.policies().values().filter(|policy| policy.origin == Origin::Learned);
        // A policy whose directory was removed says nothing.
        let made = learned.filter_map(|policy| checkpoint::read_manifest(&root.join(policy.policy_id.as_str())).ok());
        let newest = made.map(|manifest| manifest.log_position).max();
        newest.map_or(self.config.learn.first_after, |position| position + self.config.learn.every)
    }

    /// Finishes what is open, or makes a candidate when one is due.
    async fn look(&self, due: &mut u64, stopped: &watch::Receiver<bool>) -> anyhow::Result<()> {
        if self.serving.rollout().treatment().is_some() {
            return Ok(());
        }
        self.settle().await?;
        if let Some((reward, status)) = self.ready(*due) {
            *due = status.position + self.config.learn.every;
            self.candidate(reward, status, stopped).await?;
            self.settle().await?;
        }
        Ok(())
    }

    /// Gives every candidate that waits its next step: the experiment if it passed the gate against the policy that
    /// still is the champion, else the refusal. Candidates wait after a process that stopped in between, after a
    /// rollback of their parent, and after a rollback of an experiment.
    async fn settle(&self) -> anyhow::Result<()> {
        let rollout = self.serving.rollout();
        for policy in rollout.policies().values().filter(|policy| policy.origin == Origin::Learned) {
            let reason = match policy.stage {
                Stage::Gated if policy.parent.as_ref() == rollout.champion() => {
                    self.serving.start_experiment(&policy.policy_id).await?;
                    return Ok(());
                }
                Stage::Gated => "the policy it was compared with is no longer the champion",
                Stage::Registered => "the process stopped before its gate was on record",
                _ => continue,
            };
            self.serving.refuse(&policy.policy_id, vec![reason.to_owned()], policy.evidence.clone()).await?;
        }
        Ok(())
    }

    /// The reward model, when there is reason to make a candidate.
    fn ready(&self, due: u64) -> Option<(Arc<dyn RewardModel>, Status)> {
        let status = self.reward.status();
        let tells = status
            .love
            .as_ref()
            .is_some_and(|love| love.auroc.is_some_and(|auroc| auroc >= self.config.learn.min_auroc));
        if status.position < due || !tells {
            return None;
        }
        Some((self.reward.scorer()?, status))
    }

    async fn candidate(
        &self,
        reward: Arc<dyn RewardModel>,
        status: Status,
        stopped: &watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let basis = self.basis(reward, status).await?;
        let newest_example = basis.status.closed_through.unwrap_or_else(|| self.clock.now());
        let (report, verdict) = self.train_and_gate(basis, stopped.clone()).await?;
        anyhow::ensure!(!*stopped.borrow(), "shutting down");
        let trained = self.clock.now();
        let lineage = report.policy.lineage();
        let details = json!({"log_position": lineage.log_position, "config_hash": lineage.config_hash,
            "seed": lineage.seed, "stopped": report.stopped, "steps": report.steps.len()});
        let details = details.as_object().cloned().unwrap_or_default();
        let id = &report.policy_id;
        self.serving.register(id, lineage.parent.as_ref(), Origin::Learned, details).await?;
        let evidence = serde_json::to_value(&verdict.evidence)?;
        let reasons: Vec<String> = verdict.reasons.iter().map(ToString::to_string).collect();
        if verdict.passed() {
            self.serving.gated(id, evidence).await?;
        } else {
            self.serving.refuse(id, reasons.clone(), evidence).await?;
        }
        let summary = CandidateSummary {
            policy_id: id.clone(),
            refused: reasons,
            newest_example,
            trained,
            steps: report.steps.len(),
        };
        self.status.send_modify(|status| status.candidates.push(summary));
        Ok(())
    }

    async fn basis(&self, reward: Arc<dyn RewardModel>, status: Status) -> anyhow::Result<Basis> {
        let champion = self.serving.rollout().champion().cloned().context("no champion to improve")?;
        let dir = policies_dir(&self.config).join(champion.as_str());
        let parent = tokio::task::spawn_blocking(move || GeneratePolicy::load(&dir)).await??;
        let seed = Seed::new(self.config.seed).derive("candidate", status.position);
        let wanted = self.config.learn.prompts + self.config.policy.gate.num_prompts;
        let mut train = self.store.prompts(wanted, seed.derive("prompts", 0)).await?;
        anyhow::ensure!(train.len() >= 2, "too few prompts in the store: {}", train.len());
        // The gate judges on prompts that were not learned on, also when there are few.
        let num_gate = self.config.policy.gate.num_prompts.min(train.len() / 3).max(1);
        let gate = train.split_off(train.len() - num_gate);
        let backtest = self.serving.rollout().backtest().correlation;
        Ok(Basis { parent, reward, status, train, gate, backtest, seed })
    }

    /// Runs on a thread with cores of its own; `stopped` ends the training early.
    async fn train_and_gate(
        &self,
        basis: Basis,
        stopped: watch::Receiver<bool>,
    ) -> anyhow::Result<(CandidateReport, Verdict)> {
        let (sender, receiver) = oneshot::channel();
        let policy = self.config.policy.clone();
        let root = policies_dir(&self.config);
        let status = self.status.clone();
        let work = move || {
            let result = train_and_gate(&basis, &policy, &root, &status, &stopped);
            // Nobody waits any more when the process is shutting down.
            let _ = sender.send(result);
        };
        pinned_pool("learner", self.config.learn.threads, work)?;
        receiver.await.context("the learner's thread ended without a result")?
    }
}

fn train_and_gate(
    basis: &Basis,
    policy: &plaudit_policy::Config,
    root: &std::path::Path,
    status: &watch::Sender<LearnerStatus>,
    stopped: &watch::Receiver<bool>,
) -> anyhow::Result<(CandidateReport, Verdict)> {
    let training = Training {
        parent: &basis.parent,
        reward: Arc::clone(&basis.reward),
        prompts: &basis.train,
        config: policy,
        log_position: basis.status.position,
        seed: basis.seed,
    };
    let steps = policy.learner.steps as u64;
    let on_step = |step: &StepReport| {
        let activity = Activity::Training { step: step.step, steps, reward: step.reward };
        status.send_modify(|status| status.activity = activity);
        tracing::info!(
            step = step.step,
            reward = step.reward,
            kl_token = step.kl_token,
            closing_rate = step.closing_rate,
            judge_pass_rate = step.judge_pass_rate,
            words = step.words,
            "learner step"
        );
        if *stopped.borrow() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let report = train_candidate(&training, root, on_step)?;
    anyhow::ensure!(!*stopped.borrow(), "shutting down");
    status.send_modify(|status| status.activity = Activity::Gating);
    let seed = basis.seed.derive("gate", 0);
    let reward = Arc::clone(&basis.reward);
    let verdict = gate_candidate(&report.policy, &basis.parent, reward, &basis.gate, policy, seed)?;
    Ok((report, verdict.with_backtest(&policy.gate, &basis.backtest)))
}
