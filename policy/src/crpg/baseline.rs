//! Baseline answers: one answer of the reference policy per prompt, remembered with its reward.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use plaudit_event::{Context, Seed};
use plaudit_nn::generate::Generator;

use super::{Combined, SLOTS};
use crate::Error;
use crate::generate::GeneratePolicy;

/// Rewards of baseline answers by prompt, the oldest forgotten first.
pub(super) struct Baselines {
    reference: GeneratePolicy,
    generator: Generator,
    rewards: HashMap<Vec<u32>, f64>,
    order: VecDeque<Vec<u32>>,
    capacity: usize,
    seed: Seed,
    asked: u64,
}

/// Fresh answers to prompts that were not known.
pub(super) struct Answers(Vec<(usize, Vec<u32>, String)>);

impl Baselines {
    pub(super) fn new(reference: &GeneratePolicy, capacity: usize, seed: Seed) -> Result<Self, Error> {
        Ok(Self {
            generator: Generator::new(Arc::clone(reference.decoder()), SLOTS)?,
            reference: reference.clone(),
            rewards: HashMap::new(),
            order: VecDeque::new(),
            capacity,
            seed,
            asked: 0,
        })
    }

    /// Answers those of `contexts` whose prompt has no baseline yet.
    pub(super) fn answer(&mut self, contexts: &[Context]) -> Result<Answers, Error> {
        let mut requests = Vec::new();
        let mut pending = Vec::new();
        let mut seen = HashSet::new();
        for (index, context) in contexts.iter().enumerate() {
            let request = self.reference.request(context, self.seed.derive("baseline", self.asked));
            let prompt = request.prompt.clone();
            if self.rewards.contains_key(&prompt) || !seen.insert(prompt.clone()) {
                continue;
            }
            self.asked += 1;
            requests.push(request);
            pending.push((index, prompt));
        }
        let outputs = self.generator.run(requests)?;
        let answered = pending
            .into_iter()
            .zip(outputs)
            .map(|((index, prompt), output)| (index, prompt, self.reference.response(output).text));
        Ok(Answers(answered.collect()))
    }

    /// `r(s, ā)` of each of `contexts`, for which [`Baselines::answer`] gave `answers`.
    pub(super) fn rewards(
        &mut self,
        contexts: &[Context],
        answers: Answers,
        reward: &Combined,
    ) -> Result<Vec<f64>, Error> {
        let pairs: Vec<(&Context, &str)> =
            answers.0.iter().map(|(index, _, text)| (&contexts[*index], text.as_str())).collect();
        let scores = reward.score(&pairs)?;
        for ((_, prompt, _), score) in answers.0.into_iter().zip(scores) {
            self.order.push_back(prompt.clone());
            self.rewards.insert(prompt, score.reward);
        }
        let known = contexts.iter().map(|context| {
            let prompt = self.reference.prompt(context);
            let found = self.rewards.get(&prompt).copied();
            found.expect("every prompt of this step has just been answered")
        });
        let known = known.collect();
        // After the look-up, so that a step with more prompts than the capacity still finds its own.
        while self.order.len() > self.capacity {
            if let Some(oldest) = self.order.pop_front() {
                self.rewards.remove(&oldest);
            }
        }
        Ok(known)
    }
}
