//! Intervals of the values that a score test does not refuse.

use super::super::special::{normal_quantile, root};
use super::Proportions;

impl Proportions {
    /// The score interval of the difference: all δ for which `(p̂₁ − p̂₂ − δ) / σ̃(δ)` is within the normal
    /// quantiles, σ̃ from the likeliest rates that are δ apart and with `N / (N − 1)` (Miettinen & Nurminen 1985,
    /// equations 8 and 9; their appendix I has the cubic). Defined for every table; within \[−1, 1\].
    #[must_use]
    pub fn score_difference(&self, alpha: f64) -> (f64, f64) {
        let (p1, _, p2, _) = self.parts();
        let z = normal_quantile(1.0 - alpha / 2.0);
        let statistic = |delta: f64| self.difference_score(delta);
        let found = p1 - p2;
        (root(-1.0, found, |delta| z - statistic(delta)), root(found, 1.0, |delta| -z - statistic(delta)))
    }

    fn difference_score(&self, delta: f64) -> f64 {
        let (p1, n1, p2, n2) = self.parts();
        let (x1, x2, n) = (self.treatment.hits as f64, self.control.hits as f64, n1 + n2);
        // The likelihood's derivative in control's rate, as a cubic with three real roots.
        let l3 = n;
        let l2 = (n1 + 2.0 * n2) * delta - n - (x1 + x2);
        let l1 = (n2 * delta - n - 2.0 * x2) * delta + x1 + x2;
        let l0 = x2 * delta * (1.0 - delta);
        let q = l2.powi(3) / (3.0 * l3).powi(3) - l1 * l2 / (6.0 * l3 * l3) + l0 / (2.0 * l3);
        let p = q.signum() * (l2 * l2 / (3.0 * l3).powi(2) - l1 / (3.0 * l3)).max(0.0).sqrt();
        let cosine = if p == 0.0 { 0.0 } else { (q / p.powi(3)).clamp(-1.0, 1.0) };
        let angle = (std::f64::consts::PI + cosine.acos()) / 3.0;
        let control = (2.0 * p * angle.cos() - l2 / (3.0 * l3)).clamp((-delta).max(0.0), (1.0 - delta).min(1.0));
        let treatment = control + delta;
        let variance = treatment * (1.0 - treatment) / n1 + control * (1.0 - control) / n2;
        over(p1 - p2 - delta, variance * n / (n - 1.0))
    }

    /// The score interval of the ratio treatment / control: as [`Self::score_difference`], with
    /// `(p̂₁ − φ·p̂₂) / σ̃(φ)` (Koopman 1984; Miettinen & Nurminen 1985, equations 10 to 12). From 0 without a hit in
    /// treatment, to infinity without one in control; nothing without any hit.
    #[must_use]
    pub fn score_ratio(&self, alpha: f64) -> Option<(f64, f64)> {
        let (p1, _, p2, _) = self.parts();
        if p1 + p2 == 0.0 {
            return None;
        }
        let z = normal_quantile(1.0 - alpha / 2.0);
        // On the logarithm: bisection is then as exact at small ratios as at large ones.
        let statistic = |log: f64| self.ratio_score(log.exp());
        let has_both = p1 > 0.0 && p2 > 0.0;
        let found = (p1 / p2).ln();
        let lower = || root(-LARGEST_LOG, if has_both { found } else { LARGEST_LOG }, |log| z - statistic(log));
        let upper = || root(if has_both { found } else { -LARGEST_LOG }, LARGEST_LOG, |log| -z - statistic(log));
        let ends = (if p1 > 0.0 { lower().exp() } else { 0.0 }, if p2 > 0.0 { upper().exp() } else { f64::INFINITY });
        Some(ends)
    }

    fn ratio_score(&self, ratio: f64) -> f64 {
        let (p1, n1, p2, n2) = self.parts();
        let (x1, x2, n) = (self.treatment.hits as f64, self.control.hits as f64, n1 + n2);
        let half = n1 * ratio + x1 + n2 + x2 * ratio;
        let discriminant = (half * half - 4.0 * n * ratio * (x1 + x2)).max(0.0);
        let control = (2.0 * (x1 + x2) / (half + discriminant.sqrt())).min(ratio.recip()).min(1.0);
        let treatment = (control * ratio).min(1.0);
        let variance = treatment * (1.0 - treatment) / n1 + ratio * ratio * control * (1.0 - control) / n2;
        over(p1 - ratio * p2, variance * n / (n - 1.0))
    }
}

/// Ratios beyond e^±300 are none.
const LARGEST_LOG: f64 = 300.0;

/// Difference over standard error; no error at all is proof of any difference.
fn over(difference: f64, variance: f64) -> f64 {
    if variance > 0.0 {
        difference / variance.sqrt()
    } else if difference == 0.0 {
        0.0
    } else {
        difference.signum() * f64::INFINITY
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Proportions, Successes};

    /// Python, with scipy 1.17.1: the likelihood maximised over control's rate by `numpy.roots` of its derivative, the
    /// ends by `brentq` to 1e-15. statsmodels 0.15.0 has x₂·δ in the cubic where the paper has n₂·δ, and so others.
    #[test]
    fn score_differences_agree_with_direct_maximisation() {
        let cases = [
            ([130, 1_000, 100, 1_000], 0.002_041_597_211_754_953, 0.058_172_473_659_913_036),
            ([9, 100, 3, 100], -0.006_872_673_913_247_553, 0.136_546_349_332_669_63),
            ([5, 50, 0, 50], 0.024_428_538_659_336_235, 0.214_312_644_278_539_1),
            ([560, 100_000, 500, 100_000], -3.649_141_661_981_937e-5, 0.001_238_600_488_274_382),
            ([15, 750, 12, 250], -0.063_024_560_826_201_5, -0.004_190_327_634_819_242),
            ([18, 1_190, 33, 1_200], -0.024_684_026_564_675_447, -0.000_813_935_916_172_167_2),
        ];
        for ([x1, n1, x2, n2], lower, upper) in cases {
            let (treatment, control) = (Successes { hits: x1, units: n1 }, Successes { hits: x2, units: n2 });
            let got = Proportions::new(treatment, control).unwrap().score_difference(0.05);
            assert!((got.0 - lower).abs() < 1e-12 && (got.1 - upper).abs() < 1e-12, "{got:?} {lower} {upper}");
        }
    }

    #[test]
    fn score_intervals_are_defined_for_every_table_and_hold_what_was_seen() {
        for (n1, n2) in [(1, 1), (3, 7), (20, 5)] {
            for (x1, x2) in (0..=n1).flat_map(|x1| (0..=n2).map(move |x2| (x1, x2))) {
                let arm = |hits, units| Successes { hits, units };
                let test = Proportions::new(arm(x1, n1), arm(x2, n2)).unwrap();
                let seen = x1 as f64 / n1 as f64 - x2 as f64 / n2 as f64;
                let (low, high) = test.score_difference(0.05);
                assert!(-1.0 <= low && low <= seen && seen <= high && high <= 1.0, "{x1} {x2}: {low} {high}");
                assert_eq!(test.score_ratio(0.05).is_none(), x1 + x2 == 0);
                let Some((low, high)) = test.score_ratio(0.05) else { continue };
                let ratio = x1 as f64 * n2 as f64 / (n1 as f64 * x2 as f64);
                assert!(0.0 <= low && low <= ratio * (1.0 + 1e-12) && ratio <= high * (1.0 + 1e-12), "{x1} {x2}");
                assert_eq!(
                    (low == 0.0, high == f64::INFINITY),
                    (x1 == 0, x2 == 0),
                    "{x1}/{n1} {x2}/{n2}: {low} {high}"
                );
                // The other way round it is the reciprocal.
                let swapped = Proportions::new(arm(x2, n2), arm(x1, n1)).unwrap().score_ratio(0.05).unwrap();
                assert!((swapped.0 * high - 1.0).abs() < 1e-9 || x2 == 0, "{swapped:?} {high}");
            }
        }
    }
}
