//! `plaudit train reward` and `plaudit reward card`: the reward model away from the stream.

mod report;
mod source;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use plaudit_event::{Example, Objective, Seed};
use plaudit_nn::checkpoint;
use plaudit_reward_model::card::card;
use plaudit_reward_model::plot::LearningPoint;
use plaudit_reward_model::{Bootstrap, Trainer, evaluate};

use super::{Files, print};
use report::{Curves, Trained};

/// Resamples of the bootstrap intervals.
const RESAMPLES: usize = 1_000;
/// Points of a learning curve.
const POINTS: usize = 50;
/// Prefix of the checkpoint's name, that of the running service.
const PREFIX: &str = "reward-";

/// Verbs of `train`.
#[derive(Debug, Subcommand)]
pub(crate) enum Train {
    /// Train the reward model in one pass over examples, in the order of their log, hold the newest back, and write a
    /// checkpoint, a model card, a report and plots.
    Reward(Reward),
}

/// Verbs of `reward`.
#[derive(Debug, Subcommand)]
pub(crate) enum RewardVerb {
    /// Print the model card of a checkpoint: what it was trained on, how good it is, what it is not for.
    Card {
        /// Directory of the checkpoint.
        checkpoint: PathBuf,
        /// Print it as one JSON object instead of Markdown.
        #[arg(long)]
        json: bool,
    },
}

/// Arguments of `train reward`.
#[derive(Debug, Args)]
pub(crate) struct Reward {
    #[command(flatten)]
    files: Files,
    /// Examples from a file instead of the log in the data directory: one envelope per line, plain or compressed, as
    /// `plaudit export examples` writes them; they are taken in the order of their times.
    #[arg(long)]
    examples: Option<PathBuf>,
    /// Share of the examples, the newest, that are not trained on but judged on. 0 to 0.9.
    #[arg(long, default_value_t = 0.1)]
    holdout: f64,
    /// Directory for checkpoint, card, report and plots; made when absent.
    #[arg(long)]
    out: PathBuf,
    /// Root of all randomness.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the report as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs a verb of `train`.
pub(crate) async fn run(verb: &Train) -> anyhow::Result<()> {
    match verb {
        Train::Reward(arguments) => reward(arguments).await,
    }
}

/// Runs a verb of `reward`.
pub(crate) fn run_reward(verb: &RewardVerb) -> anyhow::Result<()> {
    let RewardVerb::Card { checkpoint, json } = verb;
    let card = card(checkpoint)?;
    print(&if *json { serde_json::to_string_pretty(&card)? + "\n" } else { card.to_markdown() })
}

async fn reward(arguments: &Reward) -> anyhow::Result<()> {
    let share = arguments.holdout;
    anyhow::ensure!((0.0..=0.9).contains(&share), "`--holdout` must be 0 to 0.9, got {share}");
    let config = arguments.files.configuration()?;
    let examples = match &arguments.examples {
        Some(path) => source::of_file(path)?,
        None => source::of_log(&config).await?,
    };
    anyhow::ensure!(!examples.is_empty(), "there are no examples to train on");
    std::fs::create_dir_all(&arguments.out)
        .with_context(|| format!("failed to create `{}`", arguments.out.display()))?;
    let held_back = (examples.len() as f64 * share) as usize;
    let (train, test) = examples.split_at(examples.len() - held_back);
    let seed = Seed::new(arguments.seed);
    let mut trainer = Trainer::new(config.reward_model, seed.derive("reward", 0))?;
    let curves = learn(&mut trainer, train)?;
    let bootstrap = Bootstrap { resamples: RESAMPLES, seed: seed.derive("bootstrap", 0) };
    let reports = evaluate(&*trainer.snapshot(), test, bootstrap)?;
    let checkpoint = save(&arguments.out, &trainer, train.len())?;
    let card = card(&arguments.out.join(&checkpoint))?;
    write(&arguments.out, "card.md", &card.to_markdown())?;
    let trained = Trained::new(checkpoint, train.len(), test.len(), &trainer, reports);
    for (name, svg) in report::plots(&trainer, test, &curves)? {
        write(&arguments.out, &name, &svg)?;
    }
    let json = serde_json::to_string_pretty(&trained)? + "\n";
    write(&arguments.out, "report.json", &json)?;
    print(&if arguments.json { json } else { trained.to_text(&arguments.out) })
}

/// One pass, and what quality was on the way.
fn learn(trainer: &mut Trainer, train: &[Example]) -> anyhow::Result<Curves> {
    let bar = ProgressBar::new(train.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} examples  {msg}  {eta} left")?);
    let mut curves = Curves::new();
    for part in train.chunks(train.len().div_ceil(POINTS)) {
        trainer.step(part);
        bar.inc(part.len() as u64);
        for objective in trainer.objectives() {
            if let Some(quality) = trainer.quality(&objective.0) {
                curves.entry(objective.clone()).or_default().push(LearningPoint::new(trainer.examples(), &quality));
            }
        }
        if let Some(area) = trainer.quality(Objective::LOVE).and_then(|quality| quality.auroc) {
            bar.set_message(format!("P[love] AUROC {area:.3}"));
        }
    }
    bar.finish_and_clear();
    Ok(curves)
}

/// Writes the checkpoint below `dir`; returns its name.
fn save(dir: &Path, trainer: &Trainer, position: usize) -> anyhow::Result<String> {
    let draft = trainer.checkpoint(position as u64, None)?;
    Ok(checkpoint::write(dir, PREFIX, &draft)?.id)
}

fn write(dir: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path = dir.join(name);
    std::fs::write(&path, text).with_context(|| format!("failed to write `{}`", path.display()))
}
