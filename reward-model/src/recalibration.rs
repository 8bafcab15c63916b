//! Recalibration of a batch: from logits and what came of them to honest probabilities.
//!
//! The trainer keeps its own predictions calibrated while it learns. This is for everything else: a model on traffic
//! that it was not trained on, or one segment of users whom it misjudges ([`PerSegment`]). [`select`] chooses among the
//! methods by cross-validated log-loss, with doing nothing as one of them.
//!
//! | method | map of the logit z | of |
//! |---|---|---|
//! | [`Method::Temperature`] | `σ(z/T)` | Guo et al., ICML 2017 |
//! | [`Method::Platt`] | `1/(1 + exp(a·z + b))`, targets `(N₊ + 1)/(N₊ + 2)` and `1/(N₋ + 2)` | Platt 1999; Lin, Lin & Weng 2007 |
//! | [`Method::Isotonic`] | the increasing function of σ(z) with the least squares | Zadrozny & Elkan, KDD 2002 |

mod isotonic;
mod parametric;
mod segments;

use std::collections::BTreeMap;

use plaudit_nn::loss::{logit, sigmoid};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::error::argument;
use crate::quality::nll;
pub use isotonic::Isotonic;
pub use segments::{PerSegment, SegmentLimits, SegmentMap};

/// Predictions and what came of them, of one length, all finite.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    logits: Vec<f64>,
    labels: Vec<f64>,
    weights: Vec<f64>,
}

impl Rows {
    /// Rows of `logits`, `labels` in \[0, 1\] and `weights` of at least 0.
    ///
    /// # Errors
    /// Fails when the lengths differ, and names the first value outside its range.
    pub fn new(logits: &[f64], labels: &[f64], weights: &[f64]) -> Result<Self, Error> {
        for (name, column) in [("labels", labels), ("weights", weights)] {
            if column.len() != logits.len() {
                return Err(argument(name, format!("{} values, one per logit", logits.len()), column.len()));
            }
        }
        let check = |name: &str, column: &[f64], allowed: &str, is_fine: fn(f64) -> bool| {
            let bad = column.iter().position(|value| !value.is_finite() || !is_fine(*value));
            bad.map_or(Ok(()), |at| Err(argument(format!("{name}[{at}]"), allowed, column[at])))
        };
        check("logits", logits, "finite", |_| true)?;
        check("labels", labels, "0 to 1", |label| (0.0..=1.0).contains(&label))?;
        check("weights", weights, "finite and at least 0", |weight| weight >= 0.0)?;
        Ok(Self { logits: logits.to_vec(), labels: labels.to_vec(), weights: weights.to_vec() })
    }

    /// Rows that all count the same.
    ///
    /// # Errors
    /// Like [`Rows::new`].
    pub fn unweighted(logits: &[f64], labels: &[f64]) -> Result<Self, Error> {
        Self::new(logits, labels, &vec![1.0; logits.len()])
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.logits.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.logits.is_empty()
    }

    /// Logit, label and weight of each row.
    fn iter(&self) -> impl Iterator<Item = (f64, f64, f64)> {
        let pairs = self.logits.iter().zip(&self.labels).zip(&self.weights);
        pairs.map(|((z, y), w)| (*z, *y, *w))
    }

    /// Weight of the positives and of the negatives.
    fn class_weights(&self) -> (f64, f64) {
        self.iter().fold((0.0, 0.0), |(positive, negative), (_, y, w)| (positive + w * y, negative + w * (1.0 - y)))
    }

    /// The rows whose number is `kept`.
    fn filter(&self, kept: impl Fn(usize) -> bool) -> Self {
        let mut rows = Self::default();
        for (_, (z, y, w)) in self.iter().enumerate().filter(|(at, _)| kept(*at)) {
            rows.logits.push(z);
            rows.labels.push(y);
            rows.weights.push(w);
        }
        rows
    }

    /// Weighted log-loss of `calibrator`, not divided.
    fn loss(&self, calibrator: &Calibrator) -> f64 {
        self.iter().map(|(z, y, w)| w * nll(calibrator.apply(z), y)).sum()
    }
}

/// How a calibrator is fitted; the earlier, the fewer parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Nothing is changed.
    Identity,
    /// One parameter: how sure the model is.
    Temperature,
    /// Two: how sure, and the base rate.
    Platt,
    /// As many as the data asks for.
    Isotonic,
}

impl Method {
    /// All, the simplest first.
    pub const ALL: [Self; 4] = [Self::Identity, Self::Temperature, Self::Platt, Self::Isotonic];
}

/// A fitted map from logits to probabilities; never decreasing, but for a [`Calibrator::Platt`] on labels that fall
/// with the logit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum Calibrator {
    /// `σ(z)`.
    Identity,
    /// `σ(z/T)`.
    Temperature {
        /// T, 0.01 to 100.
        temperature: f64,
    },
    /// `1/(1 + exp(a·z + b))`.
    Platt {
        /// Below 0 where labels rise with the logit.
        a: f64,
        /// How much lower the base rate is, in logits.
        b: f64,
    },
    /// A function of `σ(z)`.
    Isotonic(Isotonic),
}

impl Calibrator {
    /// Fits `method` to `rows`. Without rows of both classes only [`Calibrator::Identity`] is known not to harm, and
    /// results.
    #[must_use]
    pub fn fit(method: Method, rows: &Rows) -> Self {
        let (positive, negative) = rows.class_weights();
        if positive <= 0.0 || negative <= 0.0 {
            return Self::Identity;
        }
        match method {
            Method::Identity => Self::Identity,
            Method::Temperature => Self::Temperature { temperature: parametric::temperature(rows) },
            Method::Platt => {
                let (a, b) = parametric::platt(rows);
                Self::Platt { a, b }
            }
            Method::Isotonic => Self::Isotonic(Isotonic::fit(rows).within(1.0 / (positive + negative + 2.0))),
        }
    }

    /// The calibrated probability of the logit `z`.
    #[must_use]
    pub fn apply(&self, z: f64) -> f64 {
        match self {
            Self::Identity => sigmoid(z),
            Self::Temperature { temperature } => sigmoid(z / temperature),
            Self::Platt { a, b } => sigmoid(-(a * z + b)),
            Self::Isotonic(isotonic) => isotonic.apply(sigmoid(z)),
        }
    }

    /// [`Calibrator::apply`] as a logit, within ±27.7.
    #[must_use]
    pub fn apply_logit(&self, z: f64) -> f64 {
        logit(self.apply(z))
    }
}

/// A method and why it was chosen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Selection {
    /// The one with the least log-loss, and of equal ones the simplest.
    pub method: Method,
    /// Mean log-loss in nats of each method on rows that it was not fitted to.
    pub log_losses: BTreeMap<Method, f64>,
}

/// Chooses among `methods` by log-loss over `folds` folds (row `i` is in fold `i mod folds`).
///
/// # Errors
/// Fails when `folds` is not from 2 to the number of rows, or when no method is given.
pub fn select(rows: &Rows, methods: &[Method], folds: usize) -> Result<Selection, Error> {
    if folds < 2 || folds > rows.len() {
        return Err(argument("folds", format!("2 to {}, the number of rows", rows.len()), folds));
    }
    let weight: f64 = rows.weights.iter().sum();
    let mut log_losses = BTreeMap::new();
    for method in methods {
        let mut loss = 0.0;
        for fold in 0..folds {
            let calibrator = Calibrator::fit(*method, &rows.filter(|at| at % folds != fold));
            loss += rows.filter(|at| at % folds == fold).loss(&calibrator);
        }
        log_losses.insert(*method, loss / weight.max(f64::MIN_POSITIVE));
    }
    // Of equal ones the first is taken, and the map is in the order of the methods.
    let least = log_losses.iter().min_by(|a, b| a.1.total_cmp(b.1)).map(|(method, _)| *method);
    let method = least.ok_or_else(|| argument("methods", "at least one", 0))?;
    Ok(Selection { method, log_losses })
}

#[cfg(test)]
mod tests;
