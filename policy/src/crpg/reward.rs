//! From scores to the regularised reward: equations (5), (8) and (11), as plain functions.

use std::collections::BTreeMap;
use std::sync::Arc;

use plaudit_event::{Context, Objective};
use plaudit_reward_model::{RewardModel, Row};

use crate::Error;

/// Upper cut of the factor of equation (11); deviation 2 of the [module](super).
pub const MAX_KL_FACTOR: f64 = 2.0;

/// Rows scored in one call.
const MAX_ROWS: usize = 512;

/// Equation (5): `σ(r(s, a) − r(s, ā))`.
#[must_use]
pub fn calibrated(reward: f64, baseline: f64) -> f64 {
    1.0 / (1.0 + (baseline - reward).exp())
}

/// The factor of equation (11), `1 − log_ratio / kl_max`, cut to \[0, [`MAX_KL_FACTOR`]\].
#[must_use]
pub fn kl_factor(log_ratio: f64, kl_max: f64) -> f64 {
    (1.0 - log_ratio / kl_max).clamp(0.0, MAX_KL_FACTOR)
}

/// Equation (12): each reward less the mean of its group of `group` neighbours; the last group may be smaller.
#[must_use]
pub fn advantages(rewards: &[f64], group: usize) -> Vec<f64> {
    let mut all = Vec::with_capacity(rewards.len());
    for part in rewards.chunks(group.max(1)) {
        let mean = part.iter().sum::<f64>() / part.len() as f64;
        all.extend(part.iter().map(|reward| reward - mean));
    }
    all
}

/// What one response is worth.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// `Σ_o w_o · r_o`, where `r_o` is the logit, or the score without length where the model leaves that out.
    pub reward: f64,
    /// Probability of each objective that the reward model has.
    pub probabilities: BTreeMap<Objective, f64>,
}

/// A reward model with the weights of its objectives.
pub struct Combined {
    model: Arc<dyn RewardModel>,
    weights: Vec<(Objective, f64)>,
}

impl std::fmt::Debug for Combined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Combined").field(&self.weights).finish()
    }
}

impl Combined {
    /// Combines the objectives of `model` by `weights`; weighted objectives that it lacks are skipped.
    ///
    /// # Errors
    /// Fails when no objective of `model` has a weight above 0.
    pub fn new(model: Arc<dyn RewardModel>, weights: &BTreeMap<Objective, f64>) -> Result<Self, Error> {
        let objectives = model.objectives().iter();
        let weights: Vec<(Objective, f64)> =
            objectives.map(|o| (o.clone(), weights.get(o).copied().unwrap_or(0.0))).collect();
        if !weights.iter().any(|(_, weight)| *weight > 0.0) {
            let known: Vec<String> = weights.iter().map(|(o, _)| o.to_string()).collect();
            let allowed = "weights of an objective that the reward model has";
            return Err(Error::invalid("weights", allowed, known.join(", ")));
        }
        Ok(Self { model, weights })
    }

    /// Scores responses to their contexts, in order.
    ///
    /// # Errors
    /// Fails when the reward model does, or when it has learned none of the weighted objectives yet.
    pub fn score(&self, pairs: &[(&Context, &str)]) -> Result<Vec<Score>, Error> {
        let mut all = Vec::with_capacity(pairs.len());
        for part in pairs.chunks(MAX_ROWS) {
            let rows: Vec<Row<'_>> = part.iter().map(|(context, response)| Row { context, response }).collect();
            for scores in self.model.score(&rows)? {
                let mut score = Score { reward: 0.0, probabilities: BTreeMap::new() };
                let mut known = 0.0;
                for (objective, weight) in &self.weights {
                    let Some(logit) = scores.logit(&objective.0) else {
                        continue;
                    };
                    known += weight;
                    score.reward += weight * scores.reward(&objective.0).unwrap_or(logit);
                    let probability = 1.0 / (1.0 + (-logit).exp());
                    score.probabilities.insert(objective.clone(), probability);
                }
                if known == 0.0 {
                    return Err(Error::Untrained);
                }
                all.push(score);
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calibration_is_a_half_at_the_baseline_and_stays_in_range() {
        assert!((calibrated(1.3, 1.3) - 0.5).abs() < 1e-12);
        assert!((calibrated(1.0, 0.0) - 0.731_058_578_630_005).abs() < 1e-12);
        assert!(calibrated(1e6, 0.0) <= 1.0 && calibrated(-1e6, 0.0) >= 0.0);
        // Equal differences are worth the same, whatever the prompt's level is.
        assert!((calibrated(-4.0, -5.0) - calibrated(2.0, 1.0)).abs() < 1e-12);
    }

    #[test]
    fn the_kl_factor_falls_to_zero_at_the_bound() {
        assert!((kl_factor(0.0, 3.0) - 1.0).abs() < 1e-12);
        assert!((kl_factor(1.5, 3.0) - 0.5).abs() < 1e-12);
        assert!(kl_factor(3.0, 3.0).abs() < 1e-12 && kl_factor(9.0, 3.0).abs() < 1e-12);
        assert!((kl_factor(-100.0, 3.0) - MAX_KL_FACTOR).abs() < 1e-12);
    }

    #[test]
    fn advantages_have_no_mean() {
        assert_eq!(advantages(&[0.0, 0.5, 1.0], 3), [-0.5, 0.0, 0.5]);
        assert_eq!(advantages(&[0.0, 1.0, 5.0, 7.0], 2), [-0.5, 0.5, -1.0, 1.0]);
        assert!(advantages(&[], 4).is_empty());
    }
}
