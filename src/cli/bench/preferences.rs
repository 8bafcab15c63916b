//! `plaudit bench preferences`: what is learned from pairs that people judged or readers voted on by clicking.
//!
//! Hyper-parameters were chosen by five-fold cross-validation within the train splits, whole prompts and whole tests
//! per fold, and nowhere else; see [`settings`].

mod measure;
mod report;
mod settings;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use plaudit_datasets::Split;
use plaudit_datasets::pairs::{Pair, PairSet};
use plaudit_datasets::upworthy::{Test, Upworthy};
use plaudit_event::{Objective, Seed};
use plaudit_reward_model::{HashModel, Pair as Lesson, PairReport, Trainer};

use crate::cli::print;
use measure::{length, line, pick, score};
use report::{Picks, Report, Training};
use settings::Settings;

/// Arguments of `bench preferences`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Directory of the public data sets.
    #[arg(long, visible_alias = "data-sets", env = "PLAUDIT_DATA")]
    datasets: PathBuf,
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

/// Trains on the train splits, judges on the test splits, and prints the tables.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (data, seed) = (arguments.datasets.as_path(), Seed::new(arguments.seed));
    let mut report = Report { seed: arguments.seed, ..Report::default() };

    let mut helpful = None;
    for (name, set) in [("hh helpful", PairSet::Helpful), ("hh harmless", PairSet::Harmless)] {
        let (model, training) = train(&settings::answers(), set.read(data, Split::Train)?, seed)?;
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

    let headlines = settings::headlines();
    let contests = Upworthy::open(data, Split::Train)?.contests();
    let weighed = contests.into_iter().map(|contest| Pair { weight: settings::weight(contest.z), ..contest.pair });
    let (model, training) = train(&headlines, weighed.collect(), seed)?;
    report.training.push(Training { set: "Upworthy", ..training });
    let test = Upworthy::open(data, Split::Test)?;
    let clear = test.contests().into_iter().filter(|contest| contest.z > settings::CLEAR);
    let clear: Vec<Pair> = clear.map(|contest| contest.pair).collect();
    report.lines.push(line("Upworthy, |z| > 1.96", &clear, &score(&model), seed));
    report.picks = vec![
        Picks { by: "P[love]", ..pick(test.tests(), &score(&model), seed) },
        Picks { by: "longest headline", ..pick(test.tests(), &length, seed) },
    ];
    // Where all arms have one headline, under several pictures, text cannot choose.
    let differ = |test: &&Test| test.arms.iter().any(|arm| arm.headline.trim() != test.arms[0].headline.trim());
    let differing: Vec<Test> = test.tests().iter().filter(differ).cloned().collect();
    report.picks.extend([
        Picks { by: "P[love], headlines differ", ..pick(&differing, &score(&model), seed) },
        Picks { by: "longest, headlines differ", ..pick(&differing, &length, seed) },
    ]);
    print(&if arguments.json { report.to_json()? } else { report.to_text() })
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
    let mut first = None;
    for _ in 0..settings.passes {
        let pass = trainer.learn_pairs(Objective::LOVE, &lessons)?;
        first.get_or_insert(pass);
    }
    let PairReport { pairs, accuracy, .. } = first.unwrap_or_default();
    Ok((trainer.snapshot(), Training { set: "", pairs, passes: settings.passes, prequential: accuracy }))
}
