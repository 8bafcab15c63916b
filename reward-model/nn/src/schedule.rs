//! Learning-rate schedules: a factor per step, to be multiplied with the base rate.

use serde::{Deserialize, Serialize};

/// How the learning rate moves with the step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Schedule {
    /// Rises linearly over `warmup` steps, then stays at 1.
    Constant {
        /// Steps of the rise.
        warmup: u64,
    },
    /// Rises linearly over `warmup` steps, then falls to `floor` along half a cosine until step `total`.
    Cosine {
        /// Steps of the rise.
        warmup: u64,
        /// Steps altogether.
        total: u64,
        /// Factor at the end and after it, from 0 to 1.
        floor: f64,
    },
}

impl Schedule {
    /// The factor of step `step`, counted from 0; above 0 at step 0, 1 at the end of the rise.
    #[must_use]
    pub fn factor(&self, step: u64) -> f64 {
        let (Self::Constant { warmup } | Self::Cosine { warmup, .. }) = *self;
        if step < warmup {
            return (step + 1) as f64 / warmup as f64;
        }
        match *self {
            Self::Constant { .. } => 1.0,
            Self::Cosine { total, floor, .. } => {
                let span = total.saturating_sub(warmup).max(1) as f64;
                let progress = ((step - warmup) as f64 / span).min(1.0);
                let fall = 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
                floor + (1.0 - floor) * fall
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rise_ends_at_one_and_the_fall_at_the_floor() {
        let cosine = Schedule::Cosine { warmup: 4, total: 104, floor: 0.1 };
        let at: Vec<f64> = [0, 3, 4, 54, 104, 1_000].map(|s| cosine.factor(s)).into();
        for (got, expected) in at.iter().zip([0.25, 1.0, 1.0, 0.55, 0.1, 0.1]) {
            assert!((got - expected).abs() < 1e-12, "{at:?}");
        }
        let constant = Schedule::Constant { warmup: 0 };
        assert!((constant.factor(0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_fall_never_rises() {
        let cosine = Schedule::Cosine { warmup: 0, total: 50, floor: 0.0 };
        assert!((0..60).all(|s| cosine.factor(s + 1) <= cosine.factor(s)));
    }
}
