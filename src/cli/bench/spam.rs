//! `plaudit bench spam`: what coordinated units who love one phrase do to P\[love\], with and without the guard.

use std::fmt::Write as _;

use clap::Args;
use indicatif::ProgressBar;
use plaudit_event::{Objective, Seed};
use plaudit_reward_model::{Config, Row, Trainer, quality};
use plaudit_simulator::spam::{Reaction, Spam};
use serde::Serialize;

use crate::cli::{Files, print};

/// Clean examples to be judged on.
const TEST: usize = 8_000;

/// Arguments of `bench spam`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Examples of honest units to learn from.
    #[arg(long, default_value_t = 40_000)]
    examples: usize,
    /// Honest units, at least 1.
    #[arg(long, default_value_t = 1_300)]
    honest: usize,
    /// Numbers of spam units to try; together they always give the same share of the loves.
    #[arg(long, value_delimiter = ',', default_value = "10,20,30,70")]
    units: Vec<usize>,
    /// Share of all loves that is spam, below 1.
    #[arg(long, default_value_t = 0.2)]
    share: f64,
    /// Worlds to repeat it in, with seeds 1, 2, ….
    #[arg(long, default_value_t = 4)]
    seeds: u64,
    /// The other settings of the reward model are those of its section.
    #[command(flatten)]
    files: Files,
    /// Print the figures as one JSON object.
    #[arg(long)]
    json: bool,
}

/// One training.
#[derive(Debug, Serialize)]
struct Line {
    seed: u64,
    units: usize,
    is_guarded: bool,
    /// Whether what one unit teaches per day is bounded.
    is_capped: bool,
    /// Area under the ROC curve on clean examples.
    auroc: f64,
    /// P\[love\] of answers with the phrase over its true mean.
    inflation: f64,
    found: usize,
    honest_suspected: usize,
}

/// Trains in every world, clean and spammed, and prints the table.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let share = arguments.share;
    anyhow::ensure!((0.0..1.0).contains(&share), "`--share` must be at least 0 and below 1, got {share}");
    anyhow::ensure!(arguments.honest > 0, "`--honest` must be at least 1, got 0");
    let base = arguments.files.load(Vec::new())?.reward_model;
    let bar = ProgressBar::new(arguments.seeds * (1 + 3 * arguments.units.len() as u64));
    let mut lines = Vec::new();
    for seed in 1..=arguments.seeds {
        for (units, defence) in trials(&arguments.units) {
            lines.push(one(arguments, &base, seed, units, defence)?);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    print(&if arguments.json { serde_json::to_string_pretty(&lines)? + "\n" } else { text(&lines) })
}

/// What is done against spam.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defence {
    None,
    /// The bound of a unit per day alone.
    Cap,
    /// That and the guard.
    Guard,
}

/// Spam units and what is done against them, first without spam.
fn trials(units: &[usize]) -> impl Iterator<Item = (usize, Defence)> {
    let all = [Defence::None, Defence::Cap, Defence::Guard];
    std::iter::once((0, Defence::Guard)).chain(units.iter().flat_map(move |units| all.map(|defence| (*units, defence))))
}

fn one(arguments: &Arguments, base: &Config, seed: u64, units: usize, defence: Defence) -> anyhow::Result<Line> {
    let Arguments { examples, honest, share, .. } = *arguments;
    let spam = Spam { examples, honest, units, share };
    let root = Seed::new(seed);
    let mut config = Config { objectives: vec![Objective::new(Objective::LOVE)], ..base.clone() };
    config.guard.enabled = defence == Defence::Guard;
    if defence == Defence::None {
        config.max_examples_per_unit_day = u32::MAX;
    }
    let mut trainer = Trainer::new(config, root)?;
    for reaction in spam.draw(root, "train") {
        trainer.step(&[reaction.example]);
    }
    let test = Spam { examples: TEST, units: 0, ..spam }.draw(root, "test");
    let model = trainer.snapshot();
    let score = |reaction: &Reaction| {
        let row = Row { context: &reaction.example.context, response: &reaction.example.response };
        model.score_row(&row).prob(Objective::LOVE).unwrap_or(0.5)
    };
    let scores: Vec<f64> = test.iter().map(score).collect();
    let truth: Vec<f64> = test.iter().map(|reaction| reaction.love).collect();
    let pushed = test.iter().zip(&scores).filter(|(reaction, _)| reaction.pushed);
    let (said, meant) = pushed.fold((0.0, 0.0), |(said, meant), (reaction, p)| (said + p, meant + reaction.love));
    Ok(Line {
        seed,
        units,
        is_guarded: defence == Defence::Guard,
        is_capped: defence != Defence::None,
        auroc: quality::expected_auroc(&scores, &truth).unwrap_or(0.5),
        inflation: said / meant,
        found: (0..units).filter(|number| trainer.is_suspect(&Spam::spam_unit(*number))).count(),
        honest_suspected: (0..honest).filter(|number| trainer.is_suspect(&Spam::honest_unit(*number))).count(),
    })
}

fn text(lines: &[Line]) -> String {
    let mut text =
        String::from("seed  spam units  defence   AUROC     loss  P[love] / truth  found  honest suspected\n");
    let mut clean = 0.0;
    for line in lines {
        if line.units == 0 {
            clean = line.auroc;
        }
        let defence = match (line.is_guarded, line.is_capped) {
            (true, _) => "guard",
            (false, true) => "cap",
            (false, false) => "none",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:>4}  {:>10}  {defence:>7}  {:.4}  {:>7.4}  {:>15.2}  {:>5}  {:>16}",
            line.seed,
            line.units,
            line.auroc,
            clean - line.auroc,
            line.inflation,
            line.found,
            line.honest_suspected
        );
    }
    text
}
