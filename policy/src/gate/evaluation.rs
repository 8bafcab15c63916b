//! What a policy does with a fixed set of prompts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plaudit_event::{Context, Objective, Seed};
use plaudit_reward_model::RewardModel;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::crpg::Combined;
use crate::generate::{GeneratePolicy, Response};
use crate::judge::{Judges, Sample};
use crate::stats::{mean, share};
use crate::tripwire::Tripwires;

/// Surface of a set of responses.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Surface {
    /// Share of responses that every judge accepts.
    pub judge_pass_rate: f64,
    /// Share that closes the conversation.
    pub closing_rate: f64,
    /// Share that closes it unasked.
    pub unsolicited_closing_rate: f64,
    /// Share that refuses.
    pub refusal_rate: f64,
    /// Mean number of words.
    pub words: f64,
    /// Mean share of repeated word triples.
    pub repetition: f64,
    /// Mean number of pictographs per word.
    pub emoji: f64,
    /// Distinct responses per response.
    pub diversity: f64,
}

/// Scores and surface of one policy over a set of prompts.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Per objective, the mean probability over the answers to each prompt, in the order of the prompts.
    objectives: BTreeMap<Objective, Vec<f64>>,
    surface: Surface,
    num_prompts: usize,
    samples_per_prompt: usize,
}

impl Evaluation {
    /// Prompts answered.
    #[must_use]
    pub const fn num_prompts(&self) -> usize {
        self.num_prompts
    }

    /// Answers per prompt.
    #[must_use]
    pub const fn samples_per_prompt(&self) -> usize {
        self.samples_per_prompt
    }

    /// Per objective, the mean probability for each prompt.
    #[must_use]
    pub const fn objectives(&self) -> &BTreeMap<Objective, Vec<f64>> {
        &self.objectives
    }

    /// The mean probability of `objective` for each prompt.
    #[must_use]
    pub fn objective(&self, objective: &str) -> Option<&[f64]> {
        self.objectives.get(objective).map(Vec::as_slice)
    }

    /// The mean probability of `objective` over all prompts.
    #[must_use]
    pub fn mean(&self, objective: &str) -> Option<f64> {
        let values = self.objective(objective)?;
        Some(mean(values.iter().copied()))
    }

    /// Surface of the responses.
    #[must_use]
    pub const fn surface(&self) -> &Surface {
        &self.surface
    }
}

/// Evaluates policies under one reward model and one set of judges.
pub struct Evaluator {
    reward: Combined,
    judges: Judges,
    tripwires: Tripwires,
}

impl Evaluator {
    /// An evaluator. All objectives of `reward` are reported.
    ///
    /// # Errors
    /// Fails when `reward` has no objective.
    pub fn new(reward: Arc<dyn RewardModel>, judges: Judges) -> Result<Self, Error> {
        let all = reward.objectives().iter();
        let weights = all.map(|objective| (objective.clone(), 1.0)).collect();
        Ok(Self { reward: Combined::new(reward, &weights)?, judges, tripwires: Tripwires::new() })
    }

    /// Whether there are judges.
    #[must_use]
    pub fn has_judges(&self) -> bool {
        !self.judges.is_empty()
    }

    /// Lets `policy` answer each of `prompts` `k` times, and looks at the answers.
    ///
    /// # Errors
    /// Fails when `prompts` is empty or a model fails.
    pub fn evaluate(
        &self,
        policy: &GeneratePolicy,
        prompts: &[Context],
        k: usize,
        seed: Seed,
    ) -> Result<Evaluation, Error> {
        let responses = policy.samples(prompts, k, seed)?;
        self.look(prompts, &responses)
    }

    /// Looks at the answers to `prompts`, equally many to each.
    ///
    /// # Errors
    /// Fails when there are none, or when the reward model fails.
    pub fn look(&self, prompts: &[Context], responses: &[Vec<Response>]) -> Result<Evaluation, Error> {
        let k = responses.first().map_or(0, Vec::len);
        if prompts.len() != responses.len() || k == 0 || responses.iter().any(|r| r.len() != k) {
            let allowed = "answered equally often, at least once";
            return Err(Error::invalid("prompts", allowed, prompts.len()));
        }
        let pairs: Vec<(&Context, &str)> = prompts
            .iter()
            .zip(responses)
            .flat_map(|(prompt, all)| all.iter().map(move |r| (prompt, r.text.as_str())))
            .collect();
        let scores = self.reward.score(&pairs)?;
        let mut objectives: BTreeMap<Objective, Vec<f64>> = BTreeMap::new();
        for (index, score) in scores.iter().enumerate() {
            for (objective, probability) in &score.probabilities {
                let per_prompt = objectives.entry(objective.clone()).or_default();
                per_prompt.resize(prompts.len(), 0.0);
                per_prompt[index / k] += probability / k as f64;
            }
        }
        Ok(Evaluation {
            objectives,
            surface: self.surface(prompts, responses),
            num_prompts: prompts.len(),
            samples_per_prompt: k,
        })
    }

    fn surface(&self, prompts: &[Context], responses: &[Vec<Response>]) -> Surface {
        let mut measures = Vec::new();
        let mut passes = Vec::new();
        let mut distinct = BTreeSet::new();
        for (prompt, answers) in prompts.iter().zip(responses) {
            let request = prompt.last_request();
            for answer in answers {
                let sample = Sample::new(&self.tripwires, request, &answer.text, answer.finished);
                passes.push(self.judges.pass(&sample));
                measures.push(sample.measures);
                distinct.insert(answer.text.as_str());
            }
        }
        Surface {
            judge_pass_rate: share(passes.iter().copied()),
            closing_rate: share(measures.iter().map(|m| m.closing)),
            unsolicited_closing_rate: share(measures.iter().map(|m| m.unsolicited_closing)),
            refusal_rate: share(measures.iter().map(|m| m.refusal)),
            words: mean(measures.iter().map(|m| f64::from(m.words))),
            repetition: mean(measures.iter().map(|m| m.repetition)),
            emoji: mean(measures.iter().map(|m| m.emoji)),
            diversity: distinct.len() as f64 / measures.len().max(1) as f64,
        }
    }
}
