//! `plaudit bench continual`: what is forgotten when the world of the users changes.

mod report;

use clap::Args;
use plaudit_event::{Example, Objective, Seed};
use plaudit_reward_model::{Config, ReplayStrategy, RewardModel, Row, Trainer, quality};
use plaudit_simulator::domains::Domains;

use super::meter::{Stage, Watch};
use crate::cli::{Files, print};
use report::{Report, Run};

/// Arguments of `bench continual`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Domains, one after the other.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(2..=100))]
    domains: u16,
    /// Examples of each domain to train on.
    #[arg(long, default_value_t = 12_000)]
    examples: usize,
    /// Examples of each domain to be judged on.
    #[arg(long, default_value_t = 4_000)]
    test: usize,
    /// Most examples remembered, half of them positives.
    #[arg(long, default_value_t = 600)]
    capacity: usize,
    /// Runs with seeds 1, 2, ….
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// The other settings of the reward model are those of its section.
    #[command(flatten)]
    files: Files,
    /// Print the figures as one JSON object.
    #[arg(long)]
    json: bool,
}

/// What is compared.
const STRATEGIES: [(&str, ReplayStrategy, f64); 6] = [
    ("none", ReplayStrategy::None, 0.0),
    ("recent", ReplayStrategy::Recent, 0.0),
    ("reservoir", ReplayStrategy::Reservoir, 0.0),
    ("stratified", ReplayStrategy::Stratified, 0.0),
    ("confusable", ReplayStrategy::Stratified, 4.0),
    ("logits", ReplayStrategy::Logits, 0.0),
];

/// Trains under every strategy and prints the table.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let base = arguments.files.load(Vec::new())?.reward_model;
    let mut report = Report::new(arguments.capacity);
    let progress = indicatif::ProgressBar::new(STRATEGIES.len() as u64 * arguments.seeds);
    for (name, strategy, confusable) in STRATEGIES {
        let mut runs = Vec::new();
        for seed in 1..=arguments.seeds {
            progress.set_message(name);
            runs.push(one(arguments, &base, (strategy, confusable), Seed::new(seed))?);
            progress.inc(1);
        }
        report.push(name, &runs);
    }
    progress.finish_and_clear();
    print(&if arguments.json { report.to_json()? } else { report.to_text() })
}

/// One pass over all domains, judged on all of them after each.
fn one(
    arguments: &Arguments,
    base: &Config,
    (strategy, confusable): (ReplayStrategy, f64),
    seed: Seed,
) -> anyhow::Result<Run> {
    let num = usize::from(arguments.domains);
    let domains = Domains::new(num, seed);
    let mut config = Config { objectives: vec![Objective::new(Objective::LOVE)], ..base.clone() };
    config.segments.by = "domain".to_owned();
    config.replay.strategy = strategy;
    config.replay.confusable = confusable;
    config.replay.capacity = (arguments.capacity / 2).max(1);
    let mut trainer = Trainer::new(config, seed.derive("trainer", 0))?;
    let tests: Vec<Vec<(Example, f64)>> = (0..num).map(|n| domains.draw(n, "test", arguments.test)).collect();
    let mut training = Stage::default();
    let mut areas = Vec::new();
    for number in 0..num {
        let train: Vec<Example> =
            domains.draw(number, "train", arguments.examples).into_iter().map(|(e, _)| e).collect();
        let watch = Watch::start();
        trainer.step(&train);
        training.add(&watch, train.len() as u64);
        let model = trainer.snapshot();
        areas.push(tests.iter().map(|test| area(&*model, test)).collect::<anyhow::Result<Vec<f64>>>()?);
    }
    let oracle = tests.iter().map(|test| truth(test)).sum::<f64>() / num as f64;
    Ok(Run { areas, oracle, cpu_seconds: training.cpu.as_secs_f64() })
}

/// Area under the ROC curve of `model`.
fn area(model: &dyn RewardModel, test: &[(Example, f64)]) -> anyhow::Result<f64> {
    let rows: Vec<Row<'_>> = test.iter().map(|(e, _)| Row { context: &e.context, response: &e.response }).collect();
    let scores = model.score(&rows)?;
    let love: Vec<f64> = scores.iter().map(|scores| scores.prob(Objective::LOVE).unwrap_or(0.5)).collect();
    Ok(quality::auroc(&love, &labels(test)).unwrap_or(0.5))
}

/// The best possible area.
fn truth(test: &[(Example, f64)]) -> f64 {
    let love: Vec<f64> = test.iter().map(|(_, love)| *love).collect();
    quality::auroc(&love, &labels(test)).unwrap_or(0.5)
}

fn labels(test: &[(Example, f64)]) -> Vec<f64> {
    test.iter().map(|(e, _)| e.label(Objective::LOVE).map_or(0.0, |label| f64::from(label.value))).collect()
}
