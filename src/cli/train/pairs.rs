//! Training on preferences.

mod report;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use plaudit_event::{Objective, Seed};
use plaudit_reward_model::plot::PairPoint;
use plaudit_reward_model::{Bootstrap, Config, Pair, PairQuality, PairReport, RewardModel, Trainer, evaluate_pairs};

use super::course::Course;
use super::preferences::{Preference, Preferences};
use super::{POINTS, RESAMPLES, Reward};
pub(super) use report::Trained;

/// Held-out pairs that a point of a learning curve is measured on, at most, spread over all of them.
const CURVE_PAIRS: usize = 500;

/// Learning curves by objective.
pub(super) type Curves = BTreeMap<Objective, Vec<PairPoint>>;

/// Learns all but the newest of `found` and judges on these.
pub(super) fn train(arguments: &Reward, found: Preferences, (config, seed): (Config, Seed)) -> anyhow::Result<Trained> {
    let Preferences { rows, tally } = found;
    let held_back = (rows.len() as f64 * arguments.holdout) as usize;
    let (train, test) = rows.split_at(rows.len() - held_back);
    anyhow::ensure!(!train.is_empty(), "there are no pairs to train on{}", report::described(&tally));
    let (mut trainer, course) = Course::begin(
        (config, seed.derive("reward", 0)),
        arguments.resume.as_deref(),
        (&arguments.out, arguments.checkpoint_every),
    )?;
    let bootstrap = Bootstrap { resamples: RESAMPLES, seed: seed.derive("bootstrap", 0) };
    let mut lessons = Lessons { train, passes: arguments.passes, sample: sample(test), ..Lessons::default() };
    let checkpoint = lessons.learn(&mut trainer, course)?;
    let Lessons { prequential, curves, .. } = lessons;
    let model = trainer.snapshot();
    let mut by_objective = BTreeMap::new();
    for objective in trainer.objectives() {
        let pairs: Vec<Pair<'_>> = test.iter().filter(|row| row.objective == *objective).map(pair).collect();
        let quality = evaluate_pairs(&*model, &objective.0, &pairs, bootstrap)?;
        by_objective.extend(quality.map(|quality| (objective.clone(), quality)));
    }
    Ok(Trained {
        checkpoint,
        passes: arguments.passes,
        train_pairs: train.len(),
        test_pairs: test.len(),
        test_pairs_of_known_contexts: known_contexts(train, test),
        prequential,
        test: by_objective,
        curves,
        file: tally,
    })
}

/// How many of `test` have a context that is also in `train`.
fn known_contexts(train: &[Preference], test: &[Preference]) -> usize {
    let key = |row: &Preference| serde_json::to_string(&row.context).expect("only string keys");
    let known: std::collections::HashSet<String> = train.iter().map(key).collect();
    test.iter().filter(|row| known.contains(&key(row))).count()
}

/// The pairs to be learned, and what was seen on the way.
#[derive(Default)]
struct Lessons<'a> {
    train: &'a [Preference],
    passes: u32,
    sample: Vec<&'a Preference>,
    prequential: BTreeMap<Objective, PairReport>,
    curves: Curves,
}

impl Lessons<'_> {
    /// All passes, or what is left of them; the name of the last checkpoint.
    fn learn(&mut self, trainer: &mut Trainer, mut course: Course) -> anyhow::Result<String> {
        let total = self.train.len() * self.passes as usize;
        let mut next = course.of(total)?;
        let started = next;
        while next < total {
            let mut sums: BTreeMap<Objective, PairReport> = BTreeMap::new();
            let stretch = course.stretch(total.div_ceil(POINTS));
            for at in next..next + stretch {
                let row = &self.train[at % self.train.len()];
                let report = trainer.learn_pairs(&row.objective.0, &[pair(row)])?;
                add(sums.entry(row.objective.clone()).or_default(), &report);
                if started == 0 && at < self.train.len() {
                    add(self.prequential.entry(row.objective.clone()).or_default(), &report);
                }
            }
            next += stretch;
            let message = self.point(trainer, &sums)?;
            course.advance(trainer, stretch, message)?;
        }
        course.finish(trainer)
    }

    /// Adds a point to the curve of every objective that was learned; what to show.
    fn point(&mut self, trainer: &Trainer, sums: &BTreeMap<Objective, PairReport>) -> anyhow::Result<String> {
        let model = trainer.snapshot();
        let mut message = String::new();
        for (objective, report) in sums {
            let held_out = self.held_out(&*model, objective)?;
            let shown = held_out.map_or(report.accuracy, |quality| quality.accuracy.value);
            // Writing to a string cannot fail.
            let _ = write!(message, "{objective} {shown:.3} ");
            let point = PairPoint {
                pairs: trainer.pairs(),
                accuracy: report.accuracy,
                log_loss: report.log_loss,
                held_out_accuracy: held_out.map(|quality| quality.accuracy.value),
                held_out_log_loss: held_out.map(|quality| quality.log_loss.value),
            };
            self.curves.entry(objective.clone()).or_default().push(point);
        }
        Ok(message)
    }

    fn held_out(&self, model: &dyn RewardModel, objective: &Objective) -> anyhow::Result<Option<PairQuality>> {
        let own = self.sample.iter().filter(|row| row.objective == *objective);
        let pairs: Vec<Pair<'_>> = own.map(|row| pair(row)).collect();
        let bootstrap = Bootstrap { resamples: 0, seed: Seed::new(0) };
        Ok(evaluate_pairs(model, &objective.0, &pairs, bootstrap)?)
    }
}

fn pair(row: &Preference) -> Pair<'_> {
    Pair { context: &row.context, chosen: &row.chosen, rejected: &row.rejected, weight: row.weight }
}

/// Evenly spread, so that every part of the tail has its share.
fn sample(test: &[Preference]) -> Vec<&Preference> {
    test.iter().step_by(test.len().div_ceil(CURVE_PAIRS).max(1)).collect()
}

/// The report over the pairs of both.
fn add(sum: &mut PairReport, one: &PairReport) {
    let pairs = sum.pairs + one.pairs;
    let mean = |a: f64, b: f64| (a * sum.pairs as f64 + b * one.pairs as f64) / pairs.max(1) as f64;
    *sum = PairReport { pairs, accuracy: mean(sum.accuracy, one.accuracy), log_loss: mean(sum.log_loss, one.log_loss) };
}
