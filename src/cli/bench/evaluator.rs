//! `plaudit bench evaluator`: does the mean P\[love\] of a policy on fixed prompts say how much users will love it?
//!
//! The users of the simulator react to a reference policy, and the trainer learns P\[love\] from that alone. Other
//! policies, which prefer some of the reference's answers to others, then answer fixed prompts (offline) and are tried on
//! other users against the reference (online). What is asked for is the correlation of the two differences.

mod holdout;
mod policies;
mod report;
mod world;

use anyhow::Context as _;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use plaudit_event::Seed;
use plaudit_reward_model::Config;

use crate::cli::{Files, print};
use policies::{MAX_POLICIES, Tilt};
use report::{Report, Trial};
use world::World;

/// Arguments of `bench evaluator`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Policies to compare with the reference, 4 to 16.
    #[arg(long, default_value_t = 12)]
    policies: usize,
    /// Worlds to repeat it in, each with its own users, log, prompts and experiments; 1 to 100.
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Exposures of the reference policy to learn from, 1,000 to 10,000,000.
    #[arg(long, default_value_t = 60_000)]
    examples: u64,
    /// Fixed prompts, 100 to 1,000,000.
    #[arg(long, default_value_t = 10_000)]
    prompts: u64,
    /// Impressions per arm of each experiment, about; 1,000 to 10,000,000.
    #[arg(long, default_value_t = 100_000)]
    impressions: u64,
    /// Leave out policies and experiments: only how good P\[love\] is on later exposures.
    #[arg(long)]
    holdout_only: bool,
    /// The settings of the reward model are those of its section.
    #[command(flatten)]
    files: Files,
    /// Print the figures as one JSON object.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// How many policies are compared with the reference.
    const fn compared(&self) -> usize {
        if self.holdout_only { 0 } else { self.policies }
    }

    fn check(&self) -> anyhow::Result<()> {
        let check = |name: &str, value: u64, least: u64, most: u64| {
            anyhow::ensure!((least..=most).contains(&value), "`{name}` must be {least} to {most}, got {value}");
            Ok(())
        };
        check("--policies", self.policies as u64, 4, MAX_POLICIES as u64)?;
        check("--seeds", self.seeds, 1, 100)?;
        check("--examples", self.examples, 1_000, 10_000_000)?;
        check("--prompts", self.prompts, 100, 1_000_000)?;
        check("--impressions", self.impressions, 1_000, 10_000_000)
    }
}

/// Trains, scores, tries, correlates and prints.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    arguments.check()?;
    let config = arguments.files.load(Vec::new())?.reward_model;
    let bar = ProgressBar::new(arguments.seeds * (1 + arguments.compared() as u64));
    let style = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {pos}/{len} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut trials = Vec::new();
    for seed in arguments.seed..arguments.seed + arguments.seeds {
        trials.push(one_world(arguments, &config, seed, &bar).await?);
    }
    bar.finish_and_clear();
    let report = Report { policies: arguments.compared(), trials };
    match arguments.json {
        true => print(&(serde_json::to_string_pretty(&report.to_json())? + "\n")),
        false => print(&report.to_text()),
    }
}

async fn one_world(arguments: &Arguments, config: &Config, seed: u64, bar: &ProgressBar) -> anyhow::Result<Trial> {
    bar.set_message(format!("seed {seed}: learning"));
    let (examples, prompts, impressions) = (arguments.examples, arguments.prompts, arguments.impressions);
    let config = config.clone();
    let world = blocking(move || World::learn(config, Seed::new(seed), examples, prompts)).await??;
    bar.inc(1);
    let world = std::sync::Arc::new(world);
    let mut rows = Vec::new();
    for (index, tilt) in Tilt::all().into_iter().take(arguments.compared()).enumerate() {
        bar.set_message(format!("seed {seed}: {}", tilt.name));
        let world = std::sync::Arc::clone(&world);
        rows.push(blocking(move || world.compare(&tilt, index as u64, impressions)).await??);
        bar.inc(1);
    }
    Ok(Trial::new(seed, world.holdout(), rows))
}

/// Runs `work` off the threads of the runtime.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await.context("the simulation ended early")
}
