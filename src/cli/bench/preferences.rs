//! `plaudit bench preferences`: what is learned from pairs that people judged or readers voted on by clicking.
//!
//! Hyper-parameters were chosen by five-fold cross-validation within the train splits, whole prompts and whole tests
//! per fold, and nowhere else; see [`settings`].

mod measure;
mod report;
mod settings;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use plaudit_datasets::Split;
use plaudit_datasets::pairs::{Pair, PairSet};
use plaudit_datasets::upworthy::{Test, Upworthy};
use plaudit_event::{Objective, Seed};
use plaudit_reward_model::{EncoderConfig, HashModel, Pair as Lesson, PairReport, Trainer};

use crate::cli::{Files, print};
use measure::{length, line, pick, score};
use report::{Picks, Report, Training};
use settings::{Encoder, Settings};

/// Arguments of `bench preferences`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Directory of the public data sets.
    #[arg(long, visible_alias = "data-sets", env = "PLAUDIT_DATA")]
    datasets: PathBuf,
    /// What to encode texts with; may be repeated, each gets its tables.
    #[arg(long = "encoder", value_enum, default_values_t = [Encoder::Hash])]
    encoders: Vec<Encoder>,
    /// Directory of the network. Default: `reward_model.encoder.network.path` of the configuration, whose other settings of
    /// the encoder hold, too.
    #[arg(long)]
    network: Option<PathBuf>,
    /// Most pairs of each train split, the first ones. Default: all.
    #[arg(long)]
    limit: Option<usize>,
    #[command(flatten)]
    files: Files,
    /// Root of all randomness: the resampling of the intervals.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the figures as one JSON object.
    #[arg(long)]
    json: bool,
}

/// What LLMBar's subsets that try to mislead are called.
const ADVERSARIAL: &str = "LLMBar_Adversarial";
/// LLMBar's subset that does not.
const NATURAL: &str = "LLMBar_Natural";

/// Trains on the train splits, judges on the test splits, and prints the tables of each encoder.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut configured = arguments.files.load(Vec::new())?.reward_model.encoder;
    if let Some(path) = &arguments.network {
        configured.network.path.clone_from(path);
    }
    let mut reports = Vec::new();
    for encoder in &arguments.encoders {
        let report = one(arguments, &encoder.config(&configured)?, encoder.name())?;
        if !arguments.json {
            print(&report.to_text())?;
        }
        reports.push(report);
    }
    if arguments.json { print(&(serde_json::to_string_pretty(&reports)? + "\n")) } else { Ok(()) }
}

fn one(arguments: &Arguments, encoder: &EncoderConfig, name: &'static str) -> anyhow::Result<Report> {
    let (data, seed) = (arguments.datasets.as_path(), Seed::new(arguments.seed));
    let mut report = Report { seed: arguments.seed, encoder: name, ..Report::default() };
    let first = |mut pairs: Vec<Pair>| {
        pairs.truncate(arguments.limit.unwrap_or(usize::MAX));
        pairs
    };

    let mut helpful = None;
    for (name, set) in [("hh helpful", PairSet::Helpful), ("hh harmless", PairSet::Harmless)] {
        let (model, training) = train(&settings::answers(encoder), first(set.read(data, Split::Train)?), seed)?;
        report.training.push(Training { set: name, ..training });
        report.lines.push(line(name, &set.read(data, Split::Test)?, &score(&model), seed));
        helpful.get_or_insert(model);
    }
    if let Some(model) = helpful {
        let others = others(
            PairSet::LlmBar.read(data, Split::Test)?,
            [PairSet::PandaLm, PairSet::AutoJ].map(|set| set.read(data, Split::Test)),
        );
        for (name, pairs) in others? {
            report.lines.push(line(&name, &pairs, &score(&model), seed));
        }
    }

    let contests = Upworthy::open(data, Split::Train)?.contests();
    let weighed = contests.into_iter().map(|contest| Pair { weight: settings::weight(contest.z), ..contest.pair });
    let (model, training) = train(&settings::headlines(encoder), first(weighed.collect()), seed)?;
    report.training.push(Training { set: "Upworthy", ..training });
    headlines(&Upworthy::open(data, Split::Test)?, &model, seed, &mut report);
    Ok(report)
}

/// The tables of Upworthy's test split.
fn headlines(test: &Upworthy, model: &HashModel, seed: Seed, report: &mut Report) {
    let clear = test.contests().into_iter().filter(|contest| contest.z > settings::CLEAR);
    let clear: Vec<Pair> = clear.map(|contest| contest.pair).collect();
    report.lines.push(line("Upworthy, |z| > 1.96", &clear, &score(model), seed));
    report.picks = vec![
        Picks { by: "P[love]", ..pick(test.tests(), &score(model), seed) },
        Picks { by: "longest headline", ..pick(test.tests(), &length, seed) },
    ];
    // Where all arms have one headline, under several pictures, text cannot choose.
    let differ = |test: &&Test| test.arms.iter().any(|arm| arm.headline.trim() != test.arms[0].headline.trim());
    let differing: Vec<Test> = test.tests().iter().filter(differ).cloned().collect();
    report.picks.extend([
        Picks { by: "P[love], headlines differ", ..pick(&differing, &score(model), seed) },
        Picks { by: "longest, headlines differ", ..pick(&differing, &length, seed) },
    ]);
}

/// LLMBar in its natural part, all adversarial parts and each of them, then the other sets as a whole.
fn others<E>(bar: Vec<Pair>, whole: [Result<Vec<Pair>, E>; 2]) -> Result<Vec<(String, Vec<Pair>)>, E> {
    let part = |prefix: &str| bar.iter().filter(|pair| pair.subset.starts_with(prefix)).cloned().collect();
    let mut sets =
        vec![("LLMBar natural".to_owned(), part(NATURAL)), ("LLMBar adversarial, all".to_owned(), part(ADVERSARIAL))];
    for name in ["Neighbor", "GPTInst", "GPTOut", "Manual"] {
        sets.push((format!("LLMBar adversarial, {name}"), part(&format!("{ADVERSARIAL}_{name}"))));
    }
    for (name, pairs) in ["PandaLM", "Auto-J"].into_iter().zip(whole) {
        sets.push((name.to_owned(), pairs?));
    }
    Ok(sets)
}

/// A model of `pairs`, and what its training came to.
fn train(settings: &Settings, pairs: Vec<Pair>, seed: Seed) -> anyhow::Result<(Arc<HashModel>, Training)> {
    let mut trainer = Trainer::new(settings.config.clone(), seed.derive("trainer", 0))?;
    let lessons: Vec<Lesson<'_>> = pairs
        .iter()
        .filter(|pair| pair.weight > 0.0)
        .map(|Pair { context, chosen, rejected, weight, .. }| Lesson { context, chosen, rejected, weight: *weight })
        .collect();
    let started = Instant::now();
    let mut first = None;
    for _ in 0..settings.passes {
        let pass = trainer.learn_pairs(Objective::LOVE, &lessons)?;
        first.get_or_insert(pass);
    }
    trainer.settle()?;
    let seconds = started.elapsed().as_secs_f64();
    let PairReport { pairs, accuracy, .. } = first.unwrap_or_default();
    let training = Training { set: "", pairs, passes: settings.passes, prequential: accuracy, seconds };
    Ok((trainer.try_snapshot()?, training))
}
