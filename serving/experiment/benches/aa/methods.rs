//! The tests under comparison, on sums.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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

/// For each number of votes in one stratum, for how many of treatment the answer is known. The logarithm of the
/// evidence is convex in that number (a mixture of exponentials of it), so what is not rejected has no gaps: neither
/// result depends on who asked first.
struct Known {
    /// Least and most that are not rejected.
    accepted: (AtomicU64, AtomicU64),
    /// Most below and least above that are rejected.
    rejected: (AtomicU64, AtomicU64),
}

impl Known {
    fn new() -> Self {
        let [least, most] = [0, u64::MAX].map(|value| move || AtomicU64::new(value));
        Self { accepted: (most(), least()), rejected: (least(), most()) }
    }

    fn answer(&self, treatment: u64) -> Option<bool> {
        let value = |number: &AtomicU64| number.load(Relaxed);
        if value(&self.accepted.0) <= treatment && treatment <= value(&self.accepted.1) {
            return Some(false);
        }
        // Zero below stands for nothing known.
        let is_beyond = treatment < value(&self.rejected.0) || treatment >= value(&self.rejected.1);
        is_beyond.then_some(true)
    }

    fn learn(&self, treatment: u64, is_rejected: bool, is_above: bool) {
        match (is_rejected, is_above) {
            (true, true) => self.rejected.1.fetch_min(treatment, Relaxed),
            (true, false) => self.rejected.0.fetch_max(treatment + 1, Relaxed),
            (false, _) => {
                self.accepted.0.fetch_min(treatment, Relaxed);
                self.accepted.1.fetch_max(treatment, Relaxed)
            }
        };
    }
}

/// Whether the default rejects; a bound from tabulated logarithms spares nearly all evaluations.
pub(crate) struct Exact {
    prior: Prior,
    /// n·ln n
    table: Vec<f64>,
    /// A share with its logarithms.
    first: (f64, f64, f64),
    known: Vec<Known>,
}

impl Exact {
    pub(crate) fn new(most: usize, share: f64) -> Self {
        let table = (0..=most).map(|n| if n == 0 { 0.0 } else { n as f64 * (n as f64).ln() }).collect();
        let known = (0..=most).map(|_| Known::new()).collect();
        Self { prior: Prior::default(), table, first: (share, share.ln(), (-share).ln_1p()), known }
    }

    /// What a stratum adds to the bound: the logarithm of the largest likelihood ratio that its votes allow.
    pub(crate) fn bound(&self, votes: &Votes) -> f64 {
        let x_ln_x = |n: u64| {
            let n = usize::try_from(n).expect("a count");
            self.table.get(n).copied().unwrap_or_else(|| n as f64 * (n as f64).ln())
        };
        let (b, a) = (votes.treatment, votes.control);
        let (_, of_treatment, of_control) =
            if votes.share == self.first.0 { self.first } else { (0.0, votes.share.ln(), (-votes.share).ln_1p()) };
        x_ln_x(b) + x_ln_x(a) - x_ln_x(a + b) - b as f64 * of_treatment - a as f64 * of_control
    }

    /// `bound` is the sum of the strata's.
    pub(crate) fn rejects(&self, strata: &[Votes], bound: f64) -> bool {
        let threshold = -ALPHA.ln();
        if bound < threshold {
            return false;
        }
        let evaluate = || {
            let arms = SuccessArms::from_votes(strata).expect("shares are probabilities");
            arms.log_e(&self.prior, 0.0) >= threshold
        };
        let [votes] = strata else { return evaluate() };
        let total = votes.treatment + votes.control;
        let known = usize::try_from(total).ok().and_then(|total| self.known.get(total));
        let Some(known) = known.filter(|_| votes.share == self.first.0) else { return evaluate() };
        known.answer(votes.treatment).unwrap_or_else(|| {
            let is_rejected = evaluate();
            known.learn(votes.treatment, is_rejected, votes.treatment as f64 > total as f64 * votes.share);
            is_rejected
        })
    }
}
