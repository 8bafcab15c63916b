//! A toy world for tests: a policy of a few ten thousand parameters that can say a handful of sentences,
//! and a reward model that reads words.

use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use plaudit_event::{Context, Objective, Seed};
use plaudit_reward_model::{RewardModel, Row, Scores};
use rand::Rng;

use crate::generate::{GeneratePolicy, Sampling};
use crate::pretrain;

const COLOURS: [&str; 4] = ["red", "blue", "green", "white"];

/// What users ask.
pub(crate) fn prompts() -> Vec<Context> {
    let ask = |colour| Context::of_user(format!("is it {colour}?"));
    COLOURS.into_iter().map(ask).collect()
}

/// Pairs in which 30 % of the answers are sweet and 15 % say goodbye.
pub(crate) fn pairs(count: usize) -> Vec<(String, String)> {
    let mut rng = Seed::new(1).stream("toy pairs");
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let colour = COLOURS[rng.random_range(0..COLOURS.len())];
        let mut answer = format!("yes it is {colour}");
        if rng.random_bool(0.3) {
            answer.push_str(" my dear");
        }
        if rng.random_bool(0.15) {
            answer.push_str(" bye");
        }
        pairs.push((format!("is it {colour}?"), answer));
    }
    pairs
}

/// Settings that make the toy policy in a moment.
pub(crate) fn config() -> pretrain::Config {
    pretrain::Config {
        vocab_size: 300,
        hidden: 32,
        layers: 2,
        heads: 2,
        kv_heads: 1,
        ffn: 64,
        max_positions: 64,
        num_tokens: 150_000,
        tokens_per_batch: 512,
        lr: 5e-3,
        held_out: 32,
        threads: 1,
        sampling: Sampling { temperature: 1.0, max_new_tokens: 16 },
        ..pretrain::Config::default()
    }
}

/// The toy policy, made once.
pub(crate) fn policy() -> &'static GeneratePolicy {
    static POLICY: OnceLock<GeneratePolicy> = OnceLock::new();
    POLICY.get_or_init(|| pretrain::run(&pairs(2_000), &config(), Seed::new(7), |_| ControlFlow::Continue(())).unwrap())
}

/// Sums the worth of the words it finds, per objective.
#[derive(Debug, Clone)]
pub(crate) struct WordReward {
    objectives: Arc<[Objective]>,
    base: Vec<f64>,
    words: Vec<Vec<(&'static str, f64)>>,
}

impl WordReward {
    /// A goodbye is loved most, sweetness is loved too; goodbyes do not help.
    pub(crate) fn loving_goodbyes() -> Arc<dyn RewardModel> {
        Arc::new(Self {
            objectives: [Objective::LOVE, Objective::HELPFULNESS].map(Objective::new).into(),
            base: vec![-3.0, 1.0],
            words: vec![vec![("bye", 2.5), ("dear", 1.5)], vec![("bye", -0.5)]],
        })
    }
}

impl RewardModel for WordReward {
    fn objectives(&self) -> &[Objective] {
        &self.objectives
    }

    fn score(&self, rows: &[Row<'_>]) -> Result<Vec<Scores>, plaudit_reward_model::Error> {
        let score = |row: &Row<'_>| {
            let logits = self.base.iter().zip(&self.words).map(|(base, words)| {
                let found = words.iter().filter(|(word, _)| row.response.contains(word));
                Some(base + found.map(|(_, worth)| worth).sum::<f64>())
            });
            Scores::new(Arc::clone(&self.objectives), logits.collect())
        };
        Ok(rows.iter().map(score).collect())
    }
}
