//! Which of two rankings users prefer.

use serde::{Deserialize, Serialize};
use statrs::function::beta::beta_reg;

use crate::Error;
use crate::error::require;

/// Fractions of the capital that are staked, on either side.
const STAKES: [f64; 10] = [0.005, 0.01, 0.02, 0.035, 0.06, 0.1, 0.16, 0.25, 0.4, 0.7];

/// The exact two-sided sign test: the chance that `wins` against `losses`, or something as uneven, comes from a
/// fair coin. Ties are not counted. One without either. For one look, fixed beforehand; what is watched is
/// [`Preference`].
#[must_use]
pub fn sign_test(wins: u64, losses: u64) -> f64 {
    let (more, total) = (wins.max(losses) as f64, (wins + losses) as f64);
    if wins == losses {
        return 1.0;
    }
    // P[X ≥ m] = I_½(m, n − m + 1).
    (2.0 * beta_reg(more, total - more + 1.0, 0.5)).min(1.0)
}

/// An e-process against "the mean preference of a unit is zero", which may be watched.
///
/// A unit's preference x is in \[−1, 1\]: the sign of clicks won less clicks lost under team draft, where the
/// hypothesis is a fair coin, or the credit of optimised interleaving. `Π (1 + λ·x)`, averaged over stakes λ on both
/// sides, is a martingale under the hypothesis, so that its reciprocal is a p-value at all times. For x = ±1 these
/// are likelihood ratios of coins with heads at (1 + λ)/2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preference {
    /// Logarithms of the capital: staked on the first ranking, on the second.
    logs: [[f64; STAKES.len()]; 2],
    scale: f64,
    best: f64,
    sum: f64,
    units: u64,
}

impl Preference {
    /// Nothing known. Preferences are divided by `scale` in (0, 1] and cut off at ±1 before they are staked on; the
    /// hypothesis is about the mean of what is cut. With 1 nothing is cut.
    ///
    /// # Errors
    /// When `scale` is out of range.
    pub fn new(scale: f64) -> Result<Self, Error> {
        require("scale", scale, "in (0, 1]", scale > 0.0 && scale <= 1.0)?;
        Ok(Self { logs: [[0.0; STAKES.len()]; 2], scale, best: 0.0, sum: 0.0, units: 0 })
    }

    /// Adds what all of a unit's clicks come to, in \[−1, 1\]; once per unit, since its impressions are not
    /// independent.
    ///
    /// # Errors
    /// When it is out of range.
    pub fn observe(&mut self, preference: f64) -> Result<(), Error> {
        require("preference", preference, "in [-1, 1]", (-1.0..=1.0).contains(&preference))?;
        let x = (preference / self.scale).clamp(-1.0, 1.0);
        for (side, logs) in [1.0, -1.0].into_iter().zip(&mut self.logs) {
            for (log, stake) in logs.iter_mut().zip(STAKES) {
                *log += (side * stake * x).ln_1p();
            }
        }
        self.sum += preference;
        self.units += 1;
        self.best = self.best.max(self.ln_evidence());
        Ok(())
    }

    /// ln of the evidence against "no preference" now.
    #[must_use]
    pub fn ln_evidence(&self) -> f64 {
        let logs = self.logs.iter().flatten();
        let most = logs.clone().copied().fold(f64::MIN, f64::max);
        let sum: f64 = logs.map(|log| (log - most).exp()).sum();
        most + (sum / (2 * STAKES.len()) as f64).ln()
    }

    /// The p-value that holds at all times: the reciprocal of the most evidence there ever was.
    #[must_use]
    pub fn p(&self) -> f64 {
        (-self.best).exp()
    }

    /// Mean preference of a unit, positive for the first ranking; nothing without units.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.units > 0).then(|| self.sum / self.units as f64)
    }
}
