//! What a gate makes of a log.

use serde::{Deserialize, Serialize};

use super::{Diagnostics, Estimator, Limits, LowerBound, Refusal, Sample, bound};
use crate::Error;
use crate::error::require;

/// The rule of a gate: the evaluated policy must be better than the one that served by more than `margin`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gate {
    /// How values are estimated; not one that is self-normalised.
    pub estimator: Estimator,
    /// Which bound decides.
    pub bound: LowerBound,
    /// Chance of passing a policy that is not better; in (0, 1).
    pub alpha: f64,
    /// Improvement in units of reward that must be exceeded; negative for "not worse by more than".
    pub margin: f64,
    /// Rewards, and a model's predictions, are in \[0, `reward_max`\].
    pub reward_max: f64,
    /// No weight can be larger; the reciprocal of the probability floor of the serving policy, known beforehand
    /// and never the largest weight seen. The betting bound without a model needs none.
    pub weight_max: Option<f64>,
    /// When to refuse.
    pub limits: Limits,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            estimator: Estimator::Ips,
            bound: LowerBound::Betting,
            alpha: 0.05,
            margin: 0.0,
            reward_max: 1.0,
            weight_max: None,
            limits: Limits::default(),
        }
    }
}

/// What the log says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// Better by more than the margin.
    Passed {
        /// Lower bound of the improvement, which exceeds the margin.
        lower: f64,
        /// What it rests on.
        diagnostics: Diagnostics,
    },
    /// The bound does not reach the margin; more data may.
    Undecided {
        /// Lower bound of the improvement.
        lower: f64,
        /// What it rests on.
        diagnostics: Diagnostics,
    },
    /// The log says nothing about this policy.
    Refused {
        /// All the reasons.
        reasons: Vec<Refusal>,
        /// What they rest on.
        diagnostics: Diagnostics,
    },
}

impl Sample {
    /// Lower bound of the evaluated policy's value, each unit weighing the same, under `gate`'s estimator, bound
    /// and ranges; its margin and limits are not used.
    ///
    /// # Errors
    /// When a setting is out of range, a row exceeds the ranges, a model is missing, or the estimator has no bound.
    pub fn lower_bound(&self, gate: &Gate) -> Result<f64, Error> {
        self.bound_of(gate, &self.scores(gate.estimator)?, 0.0)
    }

    /// Whether the evaluated policy is better than the one that served the log.
    ///
    /// Bounds the mean of `score − reward`, where both policies are judged on the same rows: a policy close to
    /// the serving one needs far fewer rows than the difference of two separate values would.
    ///
    /// # Errors
    /// As [`Sample::lower_bound`].
    pub fn judge(&self, gate: &Gate) -> Result<Verdict, Error> {
        require("margin", gate.margin, "finite", gate.margin.is_finite())?;
        let mut scores = self.scores(gate.estimator)?;
        for (score, row) in scores.iter_mut().zip(&self.rows) {
            *score -= row.reward;
        }
        let lower = self.bound_of(gate, &scores, gate.reward_max)?;
        let diagnostics = self.diagnostics();
        let reasons = diagnostics.refusals(&gate.limits);
        Ok(if !reasons.is_empty() {
            Verdict::Refused { reasons, diagnostics }
        } else if lower > gate.margin {
            Verdict::Passed { lower, diagnostics }
        } else {
            Verdict::Undecided { lower, diagnostics }
        })
    }

    /// Bounds the mean of scores from which up to `less` was taken away.
    fn bound_of(&self, gate: &Gate, scores: &[f64], less: f64) -> Result<f64, Error> {
        self.check_ranges(gate)?;
        let values = self.unit_means(scores);
        let has_model = gate.estimator.uses_model();
        let limit = gate.weight_max.map(|weight| weight * gate.reward_max);
        let known = || limit.ok_or(Error::Value { field: "weight_max", value: f64::NAN, range: "given" });
        let floor = if has_model { -known()? - less } else { -less };
        let ceiling = || Ok::<f64, Error>(known()? + if has_model { gate.reward_max } else { 0.0 });
        match gate.bound {
            LowerBound::Betting => bound::betting(&values, floor, gate.reward_max, gate.alpha),
            LowerBound::EmpiricalBernstein => bound::empirical_bernstein(&values, ceiling()? - floor, gate.alpha),
            LowerBound::Hoeffding => bound::hoeffding(&values, ceiling()? - floor, gate.alpha),
            LowerBound::StudentT => bound::student_t(&values, gate.alpha),
        }
    }

    fn check_ranges(&self, gate: &Gate) -> Result<(), Error> {
        let most = gate.reward_max;
        require("reward_max", most, "finite and > 0", most.is_finite() && most > 0.0)?;
        let weight_max = gate.weight_max.unwrap_or(f64::INFINITY);
        require("weight_max", weight_max, ">= 1", weight_max >= 1.0)?;
        let has_model = gate.estimator.uses_model();
        for (index, row) in self.rows.iter().enumerate() {
            let fail = |field, value, range| Err(Error::RowValue { row: index, field, value, range });
            if !(0.0..=most).contains(&row.reward) {
                return fail("reward", row.reward, "in [0, reward_max]");
            }
            if row.weight() > weight_max * (1.0 + 1e-12) {
                return fail("evaluation / propensity", row.weight(), "at most weight_max");
            }
            let model = row.model.filter(|_| has_model);
            for value in model.iter().flat_map(|model| [model.logged, model.expected]) {
                if !(0.0..=most).contains(&value) {
                    return fail("model", value, "in [0, reward_max]");
                }
            }
        }
        Ok(())
    }
}
