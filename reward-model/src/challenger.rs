//! Champion and challenger: before a newly trained model serves, it is compared with the one that does.
//!
//! Both are judged on rows that neither was trained on ([`golden`](crate::golden)): the newest, which tell whether
//! training went wrong, and the golden slices, which tell what was unlearned. On the slices the challenger meets the best
//! model that ever served for each of them, not only the last: a model that gets worse by a little with every publication
//! would pass a comparison with its neighbour.
//!
//! A challenger is refused when it is surely worse by more than a margin, that is, when the lower end of a paired 95 %
//! interval (200 resamples of whole units, percentiles) is beyond it. Where the difference itself is within the margin,
//! no interval is needed, which keeps publication cheap.

mod bootstrap;
mod config;
mod record;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use plaudit_event::{Objective, Seed};
use serde::{Deserialize, Serialize};

use crate::golden::{Golden, GoldenRow, Slice, probabilities, slice_area};
use crate::quality::{ece, nll, pearson};
use crate::{Error, RewardModel};
use bootstrap::{Paired, Units, area_interval, mean_areas, mean_interval};
pub use config::{ChallengerConfig, OnAlarm};
pub(crate) use record::Record;
pub use record::{ChallengerStatus, RefusedChallenger};

/// A figure of both models.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Versus {
    /// The champion's, or that of the best model that served.
    pub champion: f64,
    /// The challenger's.
    pub challenger: f64,
    /// 95 % interval of how much worse the challenger is; absent where the difference is within the margin anyway.
    pub interval: Option<(f64, f64)>,
}

/// Why a challenger does not serve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Refusal {
    /// Its weights or scores are no numbers.
    NotFinite,
    /// It could not be evaluated.
    NotEvaluated {
        /// What happened.
        detail: String,
    },
    /// It predicts the newest held-out labels worse.
    LogLoss {
        /// In nats.
        figure: Versus,
        /// Rows compared on.
        rows: usize,
    },
    /// It orders golden rows worse.
    GoldenAuroc {
        /// Mean area under the ROC curve.
        figure: Versus,
        /// Slices compared on.
        slices: usize,
    },
    /// It predicts golden labels worse.
    GoldenLoss {
        /// Mean log-loss in nats.
        figure: Versus,
        /// Slices compared on.
        slices: usize,
    },
    /// Its probabilities are further from the truth.
    Calibration {
        /// Expected calibration error.
        figure: Versus,
        /// Rows compared on.
        rows: usize,
    },
    /// It follows the length of responses more.
    Length {
        /// Correlation of probability and words.
        figure: Versus,
        /// Rows compared on.
        rows: usize,
    },
}

impl Refusal {
    /// The reason as a label of metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::NotFinite => "not_finite",
            Self::NotEvaluated { .. } => "not_evaluated",
            Self::LogLoss { .. } => "log_loss",
            Self::GoldenAuroc { .. } => "golden_auroc",
            Self::GoldenLoss { .. } => "golden_loss",
            Self::Calibration { .. } => "calibration",
            Self::Length { .. } => "length",
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, figure, on) = match self {
            Self::NotFinite => return f.write_str("weights or scores are not finite"),
            Self::NotEvaluated { detail } => return write!(f, "it could not be evaluated: {detail}"),
            Self::LogLoss { figure, rows } => ("log-loss", figure, format!("{rows} newest held-out rows")),
            Self::GoldenAuroc { figure, slices } => ("mean AUROC", figure, format!("{slices} golden slices")),
            Self::GoldenLoss { figure, slices } => ("mean log-loss", figure, format!("{slices} golden slices")),
            Self::Calibration { figure, rows } => ("ECE", figure, format!("{rows} newest held-out rows")),
            Self::Length { figure, rows } => {
                ("correlation with length", figure, format!("{rows} newest held-out rows"))
            }
        };
        write!(f, "{name} {:.4} against {:.4} on {on}", figure.challenger, figure.champion)?;
        figure.interval.map_or(Ok(()), |(low, high)| write!(f, ", worse by [{low:.4}, {high:.4}]"))
    }
}

/// Most answers of a champion that are kept.
const MOST_KNOWN: usize = 65_536;

/// What a model said, by exposure: a row is scored once.
type Known = HashMap<u64, f64>;

/// Compares models, and remembers the best on each golden slice.
#[derive(Debug)]
pub(crate) struct Judge {
    config: ChallengerConfig,
    objective: Objective,
    /// What the best model that served said of a slice, by segment and moment of the slice.
    best: BTreeMap<(String, u64), Known>,
    champion: Known,
    challenger: Known,
}

impl Judge {
    pub(crate) fn new(config: ChallengerConfig, objective: Objective) -> Self {
        let (champion, challenger) = (Known::new(), Known::new());
        Self { config, objective, best: BTreeMap::new(), champion, challenger }
    }

    /// Why `challenger` must not take the place of `champion`; empty when it may.
    pub(crate) fn refusals(
        &mut self,
        champion: &dyn RewardModel,
        challenger: &dyn RewardModel,
        golden: &Golden,
        seed: Seed,
    ) -> Vec<Refusal> {
        self.challenger.clear();
        if self.champion.len() > MOST_KNOWN {
            self.champion.clear();
        }
        if !self.config.enabled {
            return Vec::new();
        }
        if !challenger.is_finite() {
            return vec![Refusal::NotFinite];
        }
        let judged = self.compare(champion, challenger, golden, seed);
        judged.unwrap_or_else(|error| vec![Refusal::NotEvaluated { detail: plaudit_nn::describe(&error) }])
    }

    fn compare(
        &mut self,
        champion: &dyn RewardModel,
        challenger: &dyn RewardModel,
        golden: &Golden,
        seed: Seed,
    ) -> Result<Vec<Refusal>, Error> {
        let newest: Vec<Arc<GoldenRow>> = golden.newest().cloned().collect();
        let before = answers(champion, &newest, &self.objective, &mut self.champion)?;
        let after = answers(challenger, &newest, &self.objective, &mut self.challenger)?;
        let mut refusals = Vec::new();
        if self.is_enough(&newest) && !before.iter().any(|p| p.is_nan()) {
            if after.iter().any(|p| p.is_nan()) {
                return Ok(vec![Refusal::NotFinite]);
            }
            refusals.extend(self.on_newest(&newest, &before, &after, seed));
        }
        // Of a slice that is new, the champion is the best model there is.
        let is_new = |slice: &&Slice| !self.best.contains_key(&key(slice));
        let new: Vec<Slice> = golden.slices().iter().filter(is_new).cloned().collect();
        for slice in new {
            let scores = answers(champion, &slice.rows, &self.objective, &mut self.champion)?;
            self.best.insert(key(&slice), known(&slice, scores));
        }
        refusals.extend(self.on_slices(challenger, golden, seed)?);
        Ok(refusals)
    }

    /// `model`, the challenger of the last comparison or the first of all, serves: on some slices it may be the best.
    ///
    /// # Errors
    /// Fails when it cannot be evaluated.
    pub(crate) fn accepted(&mut self, model: &dyn RewardModel, golden: &Golden) -> Result<(), Error> {
        for slice in golden.slices().iter().filter(|_| self.config.enabled) {
            let scores = answers(model, &slice.rows, &self.objective, &mut self.challenger)?;
            let best = self.best.get(&key(slice)).and_then(|best| slice_area(&of(best, &slice.rows), &slice.rows));
            let area = slice_area(&scores, &slice.rows);
            if area.is_some() && area > best {
                self.best.insert(key(slice), known(slice, scores));
            }
        }
        self.champion = std::mem::take(&mut self.challenger);
        Ok(())
    }

    fn is_enough(&self, rows: &[Arc<GoldenRow>]) -> bool {
        let positives = rows.iter().filter(|row| row.is_positive()).count();
        rows.len() >= self.config.least && 10 * positives.min(rows.len() - positives) >= self.config.least
    }

    fn on_newest(&self, rows: &[Arc<GoldenRow>], before: &[f64], after: &[f64], seed: Seed) -> Vec<Refusal> {
        let labels: Vec<f64> = rows.iter().map(|row| f64::from(row.label)).collect();
        let words: Vec<f64> = rows.iter().map(|row| f64::from(row.words)).collect();
        let mut refusals = Vec::new();
        let loss = |p: &[f64]| -> Vec<f64> { p.iter().zip(&labels).map(|(p, y)| nll(*p, *y)).collect() };
        let (known, new) = (loss(before), loss(after));
        let rises: Vec<f64> = new.iter().zip(&known).map(|(new, known)| new - known).collect();
        let (num, margin) = (rows.len(), self.config.max_log_loss_rise);
        if mean(&rises) > margin {
            let mut stream = seed.stream("reward/challenger/newest");
            let rises: Vec<(f64, f64)> = rises.iter().map(|rise| (1.0, *rise)).collect();
            let interval = mean_interval(&Units::of(rows), &rises, self.config.resamples, &mut stream);
            if interval.0 > margin {
                let figure = Versus { champion: mean(&known), challenger: mean(&new), interval: Some(interval) };
                refusals.push(Refusal::LogLoss { figure, rows: num });
            }
        }
        let plain = |champion, challenger| Versus { champion, challenger, interval: None };
        let error = plain(ece(before, &labels), ece(after, &labels));
        if error.challenger > error.champion + self.config.max_ece_rise {
            refusals.push(Refusal::Calibration { figure: error, rows: num });
        }
        let follows = |p: &[f64]| pearson(p, &words).unwrap_or(0.0);
        let length = plain(follows(before), follows(after));
        if length.challenger.abs() > length.champion.abs() + self.config.max_length_rise {
            refusals.push(Refusal::Length { figure: length, rows: num });
        }
        refusals
    }

    fn on_slices(&mut self, challenger: &dyn RewardModel, golden: &Golden, seed: Seed) -> Result<Vec<Refusal>, Error> {
        let (mut pairs, mut losses) = (Vec::new(), Losses::default());
        for slice in golden.slices() {
            if let Some(best) = self.best.get(&key(slice)) {
                let scores = answers(challenger, &slice.rows, &self.objective, &mut self.challenger)?;
                let known = of(best, &slice.rows);
                losses.add(&slice.rows, &known, &scores);
                pairs.push(Paired::new(&slice.rows, known, scores));
            }
        }
        let Some((champion, area)) = mean_areas(&pairs) else { return Ok(Vec::new()) };
        let (slices, resamples) = (pairs.len(), self.config.resamples);
        let mut refusals = Vec::new();
        let margin = self.config.max_auroc_drop;
        if champion - area > margin {
            let mut stream = seed.stream("reward/challenger/golden");
            let interval = area_interval(&pairs, resamples, &mut stream);
            let figure = Versus { champion, challenger: area, interval: Some(interval) };
            refusals.extend((interval.0 > margin).then_some(Refusal::GoldenAuroc { figure, slices }));
        }
        let (margin, (champion, loss)) = (self.config.max_golden_loss_rise, losses.means());
        if loss - champion > margin {
            let mut stream = seed.stream("reward/challenger/golden-loss");
            let interval = mean_interval(&Units::of(&losses.rows), &losses.rises, resamples, &mut stream);
            let figure = Versus { champion, challenger: loss, interval: Some(interval) };
            refusals.extend((interval.0 > margin).then_some(Refusal::GoldenLoss { figure, slices }));
        }
        Ok(refusals)
    }
}

fn key(slice: &Slice) -> (String, u64) {
    (slice.segment.clone(), slice.frozen_at)
}

fn known(slice: &Slice, scores: Vec<f64>) -> Known {
    slice.rows.iter().map(|row| row.exposure).zip(scores).collect()
}

fn of(known: &Known, rows: &[Arc<GoldenRow>]) -> Vec<f64> {
    rows.iter().map(|row| known.get(&row.exposure).copied().unwrap_or(f64::NAN)).collect()
}

/// What `model` says of `rows`; it is asked for those that it has not been asked for.
fn answers(
    model: &dyn RewardModel,
    rows: &[Arc<GoldenRow>],
    objective: &Objective,
    answers: &mut Known,
) -> Result<Vec<f64>, Error> {
    let new: Vec<Arc<GoldenRow>> = rows.iter().filter(|row| !answers.contains_key(&row.exposure)).cloned().collect();
    let scores = probabilities(model, &new, objective)?;
    answers.extend(new.iter().map(|row| row.exposure).zip(scores));
    Ok(of(answers, rows))
}

/// Log-losses on golden rows: within a slice each counts as the examples that it stands for, and all slices count alike.
#[derive(Default)]
struct Losses {
    rows: Vec<Arc<GoldenRow>>,
    /// Weight and how much larger the challenger's loss is.
    rises: Vec<(f64, f64)>,
    champion: f64,
    challenger: f64,
}

impl Losses {
    fn add(&mut self, rows: &[Arc<GoldenRow>], known: &[f64], new: &[f64]) {
        let total: f64 = rows.iter().map(|row| row.weight).sum();
        // A row that the best model has not seen was added by a correction since; there is nothing to compare.
        for ((row, known), new) in rows.iter().zip(known).zip(new).filter(|((_, known), new)| !(*known + *new).is_nan())
        {
            let (weight, label) = (row.weight / total, f64::from(row.label));
            let (before, after) = (nll(*known, label), nll(*new, label));
            self.champion += weight * before;
            self.challenger += weight * after;
            self.rises.push((weight, after - before));
            self.rows.push(Arc::clone(row));
        }
    }

    fn means(&self) -> (f64, f64) {
        let total: f64 = self.rises.iter().map(|(weight, _)| weight).sum();
        let scale = 1.0 / total.max(f64::MIN_POSITIVE);
        (self.champion * scale, self.challenger * scale)
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests;
