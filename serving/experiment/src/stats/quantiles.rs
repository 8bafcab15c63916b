//! A watched test of a quantile: whether treatment and control share their median, or ninth decile.
//!
//! Howard & Ramdas 2022, *Sequential estimation of quantiles with applications to A/B testing*, section 5: at
//! a candidate x each arm's count of values below x is a sub-Bernoulli sum; e-values of the arms multiply; the
//! null says that one x fits both, so the evidence is the least over x. It needs the values in order, not sums.

use super::boundaries::{Boundary, Mixture};

/// Anytime p-value that both arms have the same quantile `p` in (0, 1), tightest at `t_opt` values an arm.
/// 1 with an empty arm or a value that is NaN.
#[must_use]
pub fn quantile_p(arms: [&[f64]; 2], p: f64, t_opt: f64, alpha_opt: f64) -> f64 {
    let is_usable = arms.iter().all(|arm| !arm.is_empty() && !arm.iter().any(|x| x.is_nan()));
    if !(is_usable && p > 0.0 && p < 1.0) {
        return 1.0;
    }
    let boundary = Boundary::new(Mixture::BetaBinomialTwoSided(p, 1.0 - p), t_opt * p * (1.0 - p), alpha_opt);
    let sorted = arms.map(|arm| {
        let mut values = arm.to_vec();
        values.sort_by(f64::total_cmp);
        values
    });
    let evidence = |values: &[f64], x: f64| -> f64 {
        let n = values.len() as f64;
        let log_e = |below: f64| boundary.log_mixture((below / n - p) * n, p * (1.0 - p) * n);
        let least = values.partition_point(|value| *value < x) as f64;
        let most = values.partition_point(|value| *value <= x) as f64;
        minimum(least, most, log_e)
    };
    let mut total = f64::INFINITY;
    for x in sorted.iter().flatten() {
        total = total.min(evidence(&sorted[0], *x) + evidence(&sorted[1], *x));
    }
    (-total).exp().min(1.0)
}

/// The least of a convex function on [low, high], by golden sections.
fn minimum(low: f64, high: f64, f: impl Fn(f64) -> f64) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let (mut low, mut high) = (low, high);
    let mut best = f(low).min(f(high));
    for _ in 0..40 {
        if high - low < 1e-6 {
            break;
        }
        let (left, right) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
        let (at_left, at_right) = (f(left), f(right));
        best = best.min(at_left).min(at_right);
        if at_left < at_right {
            high = right;
        } else {
            low = left;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_apart_are_told_apart_and_equal_arms_are_not() {
        let low: Vec<f64> = (0..200).map(f64::from).collect();
        let high: Vec<f64> = low.iter().map(|x| x + 500.0).collect();
        assert!(quantile_p([&low, &high], 0.5, 200.0, 0.05) < 1e-6);
        assert_eq!(quantile_p([&low, &low], 0.5, 200.0, 0.05), 1.0);
        assert_eq!(quantile_p([&[], &low], 0.5, 200.0, 0.05), 1.0);
        assert_eq!(quantile_p([&[f64::NAN], &low], 0.5, 200.0, 0.05), 1.0);
    }
}
