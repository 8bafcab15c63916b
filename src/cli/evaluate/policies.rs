//! `plaudit evaluate --policy A --policy B`: policies on fixed prompts, before anybody sees their answers.
//!
//! Every policy answers the same prompts under the same seeds. The rules of the gate are the criteria: per segment they
//! are fixed once, by the answers of the first policy, and every other policy is then looked at alone.

mod files;
mod report;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use plaudit_event::{Context, Seed};
use plaudit_policy::gate::{self, Evaluation, Evaluator};
use plaudit_policy::generate::{GeneratePolicy, Response};
use plaudit_policy::judge::Judges;

use super::super::{Evaluate, print};
use report::{Report, Segment};

/// Most prompts of a file.
const MAX_PROMPTS: usize = 100_000;
/// Most answers to each prompt.
const MAX_SAMPLES: usize = 256;

/// Answers, scores, compares and prints.
pub(super) async fn run(arguments: &Evaluate) -> anyhow::Result<()> {
    let samples = arguments.samples;
    anyhow::ensure!((1..=MAX_SAMPLES).contains(&samples), "`--samples` must be 1 to {MAX_SAMPLES}, got {samples}");
    let path = arguments.prompts.as_ref().context("`--prompts FILE` is missing")?;
    let prompts = files::prompts(path, MAX_PROMPTS)?;
    let config = arguments.files.load(Vec::new())?;
    let policies: anyhow::Result<Vec<GeneratePolicy>> =
        arguments.policies.iter().map(|name| files::policy(&config, name)).collect();
    let (reward, checkpoint_id) = files::reward(&config, arguments.reward.as_deref())?;
    let work = Work { prompts, policies: policies?, samples, seed: Seed::new(arguments.seed) };
    let evaluator = Evaluator::new(reward, Judges::new(&config.policy.judges))?;
    let gate = config.policy.gate.clone();
    let compared = tokio::task::spawn_blocking(move || work.compare(&evaluator, &gate)).await?;
    let report = Report { checkpoint_id, samples, segments: compared? };
    match arguments.json {
        true => print(&(serde_json::to_string_pretty(&report.to_json())? + "\n")),
        false => print(&report.to_text()),
    }
}

struct Work {
    prompts: Vec<(String, Context)>,
    policies: Vec<GeneratePolicy>,
    samples: usize,
    seed: Seed,
}

impl Work {
    /// All prompts, then each segment, the worst first.
    fn compare(&self, evaluator: &Evaluator, config: &gate::Config) -> anyhow::Result<Vec<Segment>> {
        let bar = ProgressBar::new(self.policies.len() as u64);
        let style = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {pos}/{len} policies");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let contexts: Vec<Context> = self.prompts.iter().map(|(_, context)| context.clone()).collect();
        let mut answers = Vec::new();
        for policy in &self.policies {
            // Equal seeds: where the policies agree they give the same answer, which narrows the intervals.
            answers.push(policy.samples(&contexts, self.samples, self.seed.derive("answers", 0))?);
            bar.inc(1);
        }
        bar.finish_and_clear();
        let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, (segment, _)) in self.prompts.iter().enumerate() {
            members.entry(segment).or_default().push(index);
        }
        let everything: Vec<usize> = (0..contexts.len()).collect();
        let all = self.segment("all", &everything, (evaluator, config), &answers)?;
        let mut segments = Vec::new();
        if members.len() > 1 {
            for (name, members) in &members {
                segments.push(self.segment(name, members, (evaluator, config), &answers)?);
            }
        }
        segments.sort_by(|a, b| a.badness().total_cmp(&b.badness()));
        segments.insert(0, all);
        Ok(segments)
    }

    fn segment(
        &self,
        name: &str,
        members: &[usize],
        (evaluator, config): (&Evaluator, &gate::Config),
        answers: &[Vec<Vec<Response>>],
    ) -> anyhow::Result<Segment> {
        let prompts: Vec<Context> = members.iter().map(|at| self.prompts[*at].1.clone()).collect();
        let look = |answers: &Vec<Vec<Response>>| -> anyhow::Result<Evaluation> {
            let own: Vec<Vec<Response>> = members.iter().map(|at| answers[*at].clone()).collect();
            Ok(evaluator.look(&prompts, &own)?)
        };
        let evaluations: Vec<Evaluation> = answers.iter().map(look).collect::<anyhow::Result<_>>()?;
        let base = evaluations.first().context("there is no policy")?;
        let mut scored = Vec::new();
        for (policy, evaluation) in self.policies.iter().zip(&evaluations) {
            let seed = self.seed.derive("bootstrap", 0);
            let verdict = gate::decide(config, evaluation, base, evaluator.has_judges(), seed)?;
            scored.push(match scored.is_empty() {
                true => report::Policy::first(policy.id(), evaluation),
                false => report::Policy::other(policy.id(), evaluation, verdict),
            });
        }
        Ok(Segment { name: name.to_owned(), prompts: prompts.len(), policies: scored })
    }
}

type Model = Arc<dyn plaudit_reward_model::RewardModel>;
