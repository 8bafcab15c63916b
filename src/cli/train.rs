//! `plaudit train reward` and `plaudit reward card`: the reward model away from the stream.

mod course;
mod pairs;
mod preferences;
mod report;
mod source;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use plaudit_event::{Example, Objective, Seed};
use plaudit_reward_model::card::card;
use plaudit_reward_model::plot::{LearningPoint, PlotFormat};
use plaudit_reward_model::{Bootstrap, Config, Trainer, evaluate};

use super::{Files, print};
use course::Course;
use report::{Curves, Trained};

/// Resamples of the bootstrap intervals.
const RESAMPLES: usize = 1_000;
/// Points of a learning curve.
const POINTS: usize = 50;

/// Verbs of `train`.
#[derive(Debug, Subcommand)]
pub(crate) enum Train {
    /// Train the reward model on examples, in the order of their log, or on preferences, hold the newest back, and write
    /// checkpoints, a model card, a report and plots.
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
    /// Configuration file; see `deploy/embedded.toml`.
    #[arg(long)]
    config: Option<PathBuf>,
    /// What to train on: a data directory, whose log is read, or a file, plain or compressed, of examples (as `plaudit
    /// export examples` writes them, taken in the order of their times) or of preferences (see `docs/preferences.md`).
    /// Default: `data_dir` of the configuration.
    #[arg(long, visible_alias = "examples")]
    data: Option<PathBuf>,
    /// What preferences without an `objective` are about.
    #[arg(long, default_value = Objective::LOVE)]
    objective: String,
    /// How often all preferences are learned, 1 to 1000; examples are taken once.
    #[arg(long, default_value_t = 1)]
    passes: u32,
    /// Share of the examples or preferences, the newest, that are not trained on but judged on. 0 to 0.9.
    #[arg(long, default_value_t = 0.1)]
    holdout: f64,
    /// Write a checkpoint after this many examples or preferences, too; 0 is only at the end.
    #[arg(long, default_value_t = 0)]
    checkpoint_every: u64,
    /// Go on from this checkpoint of a training on the same data, under the same configuration and seed; the result is
    /// the same to the byte.
    #[arg(long)]
    resume: Option<PathBuf>,
    /// Directory for checkpoint, card, report and plots; made when absent.
    #[arg(long)]
    out: PathBuf,
    /// What the plots are.
    #[arg(long, value_enum, default_value_t = Plots::Svg)]
    plot_format: Plots,
    /// Root of all randomness.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the report as one JSON object.
    #[arg(long)]
    json: bool,
}

/// What plots can be.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Plots {
    /// Vectors, for browsers.
    Svg,
    /// Pixels, for everything else.
    Png,
}

impl From<Plots> for PlotFormat {
    fn from(plots: Plots) -> Self {
        match plots {
            Plots::Svg => Self::Svg,
            Plots::Png => Self::Png,
        }
    }
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
    let (share, passes) = (arguments.holdout, arguments.passes);
    anyhow::ensure!((0.0..=0.9).contains(&share), "`--holdout` must be 0 to 0.9, got {share}");
    anyhow::ensure!((1..=1_000).contains(&passes), "`--passes` must be 1 to 1000, got {passes}");
    let file = arguments.data.as_deref().filter(|path| path.is_file());
    let directory = arguments.data.clone().filter(|_| file.is_none());
    let config = Files { config: arguments.config.clone(), data: directory }.configuration()?;
    let out = arguments.out.as_path();
    std::fs::create_dir_all(out).with_context(|| format!("failed to create `{}`", out.display()))?;
    let setting = (config.reward_model.clone(), Seed::new(arguments.seed));
    if let Some(path) =
        file.map(|path| source::is_preferences(path).map(|is| is.then_some(path))).transpose()?.flatten()
    {
        let known = &setting.0.objectives;
        let found = preferences::read(path, &Objective::new(arguments.objective.as_str()), known)?;
        let trained = pairs::train(arguments, found, setting)?;
        for (objective, points) in &trained.curves {
            let (name, plot) = report::curve_of_pairs(objective, points, arguments.plot_format.into())?;
            write(out, &name, &plot)?;
        }
        return finish(arguments, trained.checkpoint(), &trained, &trained.to_text(out));
    }
    let examples = match file {
        Some(path) => source::of_file(path)?,
        None => source::of_log(&config).await?,
    };
    anyhow::ensure!(!examples.is_empty(), "there are no examples to train on");
    let trained = on_examples(arguments, &examples, setting)?;
    finish(arguments, trained.checkpoint(), &trained, &trained.to_text(out))
}

/// Trains on all but the newest of `examples`, judges on these, and writes the plots.
fn on_examples(arguments: &Reward, examples: &[Example], (config, seed): (Config, Seed)) -> anyhow::Result<Trained> {
    let held_back = (examples.len() as f64 * arguments.holdout) as usize;
    let (train, test) = examples.split_at(examples.len() - held_back);
    let (mut trainer, course) = Course::begin(
        (config, seed.derive("reward", 0)),
        arguments.resume.as_deref(),
        (&arguments.out, arguments.checkpoint_every),
    )?;
    let (curves, checkpoint) = learn(&mut trainer, course, train)?;
    let bootstrap = Bootstrap { resamples: RESAMPLES, seed: seed.derive("bootstrap", 0) };
    let reports = evaluate(&*trainer.try_snapshot()?, test, bootstrap)?;
    for (name, svg) in report::plots(&trainer, test, &curves, arguments.plot_format.into())? {
        write(&arguments.out, &name, &svg)?;
    }
    Trained::new(checkpoint, train.len(), test.len(), &trainer, reports)
}

/// One pass, or what is left of it: what quality was on the way, and the name of the last checkpoint.
fn learn(trainer: &mut Trainer, mut course: Course, train: &[Example]) -> anyhow::Result<(Curves, String)> {
    let mut curves = Curves::new();
    let mut next = course.of(train.len())?;
    while next < train.len() {
        let stretch = course.stretch(train.len().div_ceil(POINTS));
        trainer.try_step(&train[next..next + stretch])?;
        next += stretch;
        for objective in trainer.objectives() {
            if let Some(quality) = trainer.quality(&objective.0) {
                curves.entry(objective.clone()).or_default().push(LearningPoint::new(trainer.examples(), &quality));
            }
        }
        let area = trainer.quality(Objective::LOVE).and_then(|quality| quality.auroc);
        course.advance(trainer, stretch, area.map_or_else(String::new, |area| format!("P[love] AUROC {area:.3}")))?;
    }
    Ok((curves, course.finish(trainer)?))
}

/// Writes card and report, and says what came of it.
fn finish(arguments: &Reward, checkpoint: &str, trained: &impl serde::Serialize, text: &str) -> anyhow::Result<()> {
    let out = arguments.out.as_path();
    write(out, "card.md", card(&out.join(checkpoint))?.to_markdown())?;
    let json = serde_json::to_string_pretty(trained)? + "\n";
    write(out, "report.json", &json)?;
    print(if arguments.json { &json } else { text })
}

fn write(dir: &Path, name: &str, bytes: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let path = dir.join(name);
    std::fs::write(&path, bytes).with_context(|| format!("failed to write `{}`", path.display()))
}
