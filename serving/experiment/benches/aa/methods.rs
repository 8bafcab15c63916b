//! The tests under comparison, on sums.

use plaudit_experiment::stats::{Prior, SuccessArms, Votes};

use super::ALPHA;

/// Sums of one arm.
#[derive(Clone, Copy, Default)]
pub(crate) struct Arm {
    pub(crate) n: f64,
    pub(crate) sum: f64,
    pub(crate) squares: f64,
}

impl Arm {
    pub(crate) fn mean(&self) -> f64 {
        self.sum / self.n
    }

    pub(crate) fn variance(&self) -> f64 {
        (self.squares - self.sum * self.sum / self.n) / (self.n - 1.0)
    }
}

/// The squared statistic of the difference, 0 without variance or units.
pub(crate) fn z_squared(treatment: &Arm, control: &Arm) -> f64 {
    if treatment.n < 2.0 || control.n < 2.0 {
        return 0.0;
    }
    let squared = treatment.variance() / treatment.n + control.variance() / control.n;
    if squared > 0.0 { (treatment.mean() - control.mean()).powi(2) / squared } else { 0.0 }
}

/// The squared statistic at which the asymptotic sequence tuned to `horizon` units rejects (gbstats).
pub(crate) fn sequential_threshold(units: f64, horizon: f64) -> f64 {
    let twice_log = -2.0 * ALPHA.ln();
    let inner = units * (twice_log + (twice_log + 1.0).ln()) / horizon + 1.0;
    2.0 * inner / (inner - 1.0) * (inner.sqrt() / ALPHA).ln()
}

/// Whether the default rejects; a bound from tabulated logarithms spares nearly all evaluations.
pub(crate) struct Exact {
    prior: Prior,
    /// n·ln n
    table: Vec<f64>,
    /// A share with its logarithms.
    first: (f64, f64, f64),
}

impl Exact {
    pub(crate) fn new(most: usize, share: f64) -> Self {
        let table = (0..=most).map(|n| if n == 0 { 0.0 } else { n as f64 * (n as f64).ln() }).collect();
        Self { prior: Prior::default(), table, first: (share, share.ln(), (-share).ln_1p()) }
    }

    pub(crate) fn rejects(&self, strata: &[Votes]) -> bool {
        let threshold = -ALPHA.ln();
        let x_ln_x = |n: u64| {
            let n = usize::try_from(n).expect("a count");
            self.table.get(n).copied().unwrap_or_else(|| n as f64 * (n as f64).ln())
        };
        let (mut bound, mut shares) = (0.0, self.first);
        for votes in strata {
            let (b, a) = (votes.treatment, votes.control);
            bound += x_ln_x(b) + x_ln_x(a) - x_ln_x(a + b);
            if votes.share != shares.0 {
                shares = (votes.share, votes.share.ln(), (-votes.share).ln_1p());
            }
            bound -= b as f64 * shares.1 + a as f64 * shares.2;
        }
        if bound < threshold {
            return false;
        }
        SuccessArms::from_votes(strata).expect("shares are probabilities").log_e(&self.prior, 0.0) >= threshold
    }
}
