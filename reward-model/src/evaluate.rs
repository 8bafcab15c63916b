//! Offline quality of a reward model on given examples, with intervals.

mod pairs;

use std::collections::BTreeMap;

use plaudit_event::{Example, Objective, Seed};
use rand::Rng;
use serde::Serialize;

use crate::encode::surface::num_words;
use crate::quality::{ECE_BINS, auroc_weighted, ece_bin, entropy, nll, order, pearson};
use crate::{Error, RewardModel, Row};
pub use pairs::{PairQuality, evaluate_pairs};

/// Rows scored at a time.
const SCORE_ROWS: usize = 1_024;

/// How [`evaluate`] makes its intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Bootstrap {
    /// Resamples of the units; at least 40 for a 95 % interval.
    pub resamples: usize,
    /// Seed of the resampling.
    pub seed: Seed,
}

/// A figure with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// On all examples.
    pub value: f64,
    /// 2.5 % quantile over the resamples.
    pub low: f64,
    /// 97.5 % quantile over the resamples.
    pub high: f64,
}

/// Quality of one objective on given examples.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Labelled examples.
    pub n: usize,
    /// Units among them.
    pub units: usize,
    /// Share of positive labels.
    pub base_rate: f64,
    /// Area under the ROC curve; absent unless both classes occur and every probability is a number.
    pub auroc: Option<Estimate>,
    /// Mean negative log-likelihood, in nats.
    pub log_loss: Estimate,
    /// The log-loss of always predicting the base rate of these examples.
    pub prior_log_loss: Estimate,
    /// Expected calibration error over ten equally wide bins.
    pub ece: Estimate,
    /// Correlation of the probability with the number of words.
    pub length_correlation: Option<f64>,
}

/// Scores `examples` and compares with their labels, per objective that the model predicts and the examples label.
///
/// Intervals come from resampling whole units with replacement, since examples of one unit resemble each other (cluster
/// bootstrap, Field & Welsh 2007); a resample without both classes has no area and is left out of that interval.
///
/// # Errors
/// Fails when the model fails.
pub fn evaluate(
    model: &dyn RewardModel,
    examples: &[Example],
    bootstrap: Bootstrap,
) -> Result<BTreeMap<Objective, Report>, Error> {
    let mut tables: BTreeMap<Objective, Table> = BTreeMap::new();
    for chunk in examples.chunks(SCORE_ROWS) {
        let rows: Vec<Row<'_>> = chunk.iter().map(row).collect();
        for (example, scores) in chunk.iter().zip(model.score(&rows)?) {
            for objective in model.objectives() {
                let label = example.labels.get(objective);
                if let (Some(label), Some(p)) = (label, scores.prob(&objective.0)) {
                    let table = tables.entry(objective.clone()).or_default();
                    table.push(example, p, f64::from(label.value));
                }
            }
        }
    }
    let report = |(objective, table): (Objective, Table)| (objective, table.report(bootstrap));
    Ok(tables.into_iter().map(report).collect())
}

fn row(example: &Example) -> Row<'_> {
    Row { context: &example.context, response: &example.response }
}

#[derive(Default)]
struct Table {
    probabilities: Vec<f64>,
    labels: Vec<f64>,
    words: Vec<f64>,
    /// Number of each row's unit, in order of appearance.
    unit_of_row: Vec<usize>,
    units: BTreeMap<String, usize>,
}

/// The figures of one resample.
struct Figures {
    auroc: Option<f64>,
    log_loss: f64,
    prior_log_loss: f64,
    ece: f64,
}

impl Table {
    fn push(&mut self, example: &Example, p: f64, label: f64) {
        self.probabilities.push(p);
        self.labels.push(label);
        self.words.push(f64::from(num_words(&example.response)));
        let next = self.units.len();
        let unit = self.units.entry(example.unit_id.as_str().to_owned());
        self.unit_of_row.push(*unit.or_insert(next));
    }

    fn report(&self, bootstrap: Bootstrap) -> Report {
        let order = order(&self.probabilities);
        let all = self.figures(&order, &vec![1; self.labels.len()]);
        let mut stream = bootstrap.seed.stream("reward/bootstrap");
        let mut resampled = Vec::with_capacity(bootstrap.resamples);
        for _ in 0..bootstrap.resamples {
            let mut drawn = vec![0_u32; self.units.len()];
            for _ in 0..drawn.len() {
                drawn[stream.random_range(0..self.units.len())] += 1;
            }
            let counts: Vec<u32> = self.unit_of_row.iter().map(|unit| drawn[*unit]).collect();
            resampled.push(self.figures(&order, &counts));
        }
        let estimate = |value: f64, read: fn(&Figures) -> Option<f64>| {
            let mut values: Vec<f64> = resampled.iter().filter_map(read).collect();
            values.sort_by(f64::total_cmp);
            Estimate {
                value,
                low: quantile(&values, 0.025).unwrap_or(value),
                high: quantile(&values, 0.975).unwrap_or(value),
            }
        };
        Report {
            n: self.labels.len(),
            units: self.units.len(),
            base_rate: self.labels.iter().sum::<f64>() / self.labels.len() as f64,
            auroc: all.auroc.map(|value| estimate(value, |f| f.auroc)),
            log_loss: estimate(all.log_loss, |f| Some(f.log_loss)),
            prior_log_loss: estimate(all.prior_log_loss, |f| Some(f.prior_log_loss)),
            ece: estimate(all.ece, |f| Some(f.ece)),
            length_correlation: pearson(&self.probabilities, &self.words),
        }
    }

    /// The figures when row `i` counts `counts[i]` times.
    fn figures(&self, order: &[usize], counts: &[u32]) -> Figures {
        let (mut total, mut positives, mut loss) = (0.0, 0.0, 0.0);
        let mut gaps = [0.0; ECE_BINS];
        for ((p, y), count) in self.probabilities.iter().zip(&self.labels).zip(counts) {
            let weight = f64::from(*count);
            total += weight;
            positives += weight * y;
            loss += weight * nll(*p, *y);
            gaps[ece_bin(*p)] += weight * (p - y);
        }
        Figures {
            auroc: auroc_weighted(order, &self.probabilities, &self.labels, counts),
            log_loss: loss / total,
            prior_log_loss: entropy(positives / total),
            ece: gaps.iter().map(|gap| gap.abs()).sum::<f64>() / total,
        }
    }
}

/// The `share` quantile of ascending `values`, linear between neighbours.
fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let place = share * values.len().saturating_sub(1) as f64;
    let below = *values.get(place.floor() as usize)?;
    let above = *values.get(place.ceil() as usize)?;
    Some(below + (above - below) * place.fract())
}
