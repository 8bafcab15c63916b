//! How far one sample is from another: a reference period and now.
//!
//! [`compare_samples`] gives the figures in use for it, on raw values (Kolmogorov-Smirnov, Wasserstein) and on the
//! reference's ten decile bins (PSI, Jensen-Shannon, χ²). As a rule of thumb a PSI from 0.1 on is a minor change, and
//! one from 0.25 on a major one.

use serde::Serialize;
use statrs::distribution::{ChiSquared, ContinuousCDF};

use crate::Error;
use crate::error::argument;

/// Bins between the reference's deciles.
const BINS: usize = 10;
/// The least share that a bin counts as in PSI and Jensen-Shannon.
const LEAST_SHARE: f64 = 1e-4;
/// Most products of sample sizes for which the Kolmogorov-Smirnov test is exact.
const MAX_EXACT: usize = 25_000_000;
/// Most values of a sample.
const MAX_VALUES: usize = 10_000_000;

/// How far two samples are apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Distance {
    /// Population stability index, `Σ(q − p)·ln(q/p)`, in nats; at least 0.
    pub psi: f64,
    /// Jensen-Shannon distance, `√(½·KL(p ‖ m) + ½·KL(q ‖ m))` with `m = (p + q)/2`, in √nats; 0 to √ln 2.
    pub jensen_shannon: f64,
    /// Kolmogorov-Smirnov statistic, `max |F − G|`.
    pub ks: f64,
    /// Two-sided; exact up to 25 million pairs of values, asymptotic beyond.
    pub ks_p_value: f64,
    /// χ² of the 2 × k table of bins and samples, without bins that are empty in both.
    pub chi2: f64,
    /// With k − 1 degrees of freedom.
    pub chi2_p_value: f64,
    /// Wasserstein-1 distance, `∫|F − G|`, in the unit of the values.
    pub wasserstein: f64,
}

/// Compares `current` with `reference`.
///
/// # Errors
/// Fails when a sample is empty, has more than 10⁷ values, or one that is not finite.
pub fn compare_samples(reference: &[f64], current: &[f64]) -> Result<Distance, Error> {
    let (reference, current) = (ascending("reference", reference)?, ascending("current", current)?);
    let (ks, furthest) = kolmogorov_smirnov(&reference, &current);
    let edges = deciles(&reference);
    let (p, q) = (counts(&reference, &edges), counts(&current, &edges));
    let shares = |counts: &[f64; BINS], n: usize| counts.map(|count| (count / n as f64).max(LEAST_SHARE));
    let (chi2, chi2_p_value) = chi_squared(&p, &q);
    let shares = (shares(&p, reference.len()), shares(&q, current.len()));
    Ok(Distance {
        psi: shares.0.iter().zip(shares.1).map(|(p, q)| (q - p) * (q / p).ln()).sum(),
        jensen_shannon: jensen_shannon(shares.0, shares.1),
        ks,
        ks_p_value: ks_p_value(reference.len(), current.len(), furthest),
        chi2,
        chi2_p_value,
        wasserstein: wasserstein(&reference, &current),
    })
}

fn ascending(name: &str, values: &[f64]) -> Result<Vec<f64>, Error> {
    if values.is_empty() || values.len() > MAX_VALUES {
        return Err(argument(name, format!("1 to {MAX_VALUES} values"), values.len()));
    }
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        return Err(argument(format!("{name}[{at}]"), "finite", values[at]));
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Ok(sorted)
}

/// The nine inner deciles of ascending `values`, linear between neighbours.
fn deciles(values: &[f64]) -> [f64; BINS - 1] {
    std::array::from_fn(|at| {
        let place = (at + 1) as f64 / BINS as f64 * (values.len() - 1) as f64;
        let (below, above) = (values[place.floor() as usize], values[place.ceil() as usize]);
        below + (above - below) * place.fract()
    })
}

/// How many values are in each bin; an edge belongs to the bin above it.
fn counts(values: &[f64], edges: &[f64; BINS - 1]) -> [f64; BINS] {
    let mut counts = [0.0; BINS];
    for value in values {
        counts[edges.partition_point(|edge| edge <= value)] += 1.0;
    }
    counts
}

fn jensen_shannon(p: [f64; BINS], q: [f64; BINS]) -> f64 {
    let (all_p, all_q) = (p.iter().sum::<f64>(), q.iter().sum::<f64>());
    let parts = p.iter().zip(q).map(|(p, q)| {
        let (p, q) = (p / all_p, q / all_q);
        let middle = (p + q) / 2.0;
        p * (p / middle).ln() + q * (q / middle).ln()
    });
    (0.5 * parts.sum::<f64>()).max(0.0).sqrt()
}

/// Pearson's statistic and its probability.
fn chi_squared(p: &[f64; BINS], q: &[f64; BINS]) -> (f64, f64) {
    let (all_p, all_q) = (p.iter().sum::<f64>(), q.iter().sum::<f64>());
    let (mut statistic, mut filled) = (0.0, 0.0);
    for (p, q) in p.iter().zip(q).filter(|(p, q)| *p + *q > 0.0) {
        let (expected_p, expected_q) = ((p + q) * all_p / (all_p + all_q), (p + q) * all_q / (all_p + all_q));
        statistic += (p - expected_p).powi(2) / expected_p + (q - expected_q).powi(2) / expected_q;
        filled += 1.0;
    }
    // One bin has no degree of freedom: nothing can differ.
    let p_value = ChiSquared::new(filled - 1.0).map_or(1.0, |distribution| distribution.sf(statistic));
    (statistic, p_value)
}

/// `max |F − G|`, and the same times the product of the sample sizes, which is a whole number.
fn kolmogorov_smirnov(a: &[f64], b: &[f64]) -> (f64, u64) {
    let (n, m) = (a.len() as u64, b.len() as u64);
    let furthest = steps(a, b).map(|(_, i, j)| (i as u64 * m).abs_diff(j as u64 * n)).max().unwrap_or(0);
    (furthest as f64 / (n * m) as f64, furthest)
}

fn wasserstein(a: &[f64], b: &[f64]) -> f64 {
    let (n, m) = (a.len() as f64, b.len() as f64);
    let (mut sum, mut last) = (0.0, None);
    for (value, i, j) in steps(a, b) {
        if let Some((before, gap)) = last {
            sum += gap * (value - before);
        }
        last = Some((value, (i as f64 / n - j as f64 / m).abs()));
    }
    sum
}

/// Each distinct value of two ascending samples, with how many of either are not above it.
fn steps(a: &[f64], b: &[f64]) -> impl Iterator<Item = (f64, usize, usize)> {
    let (mut i, mut j) = (0, 0);
    std::iter::from_fn(move || {
        let value = match (a.get(i), b.get(j)) {
            (Some(x), Some(y)) => x.min(*y),
            (Some(x), None) | (None, Some(x)) => *x,
            (None, None) => return None,
        };
        i += a[i..].iter().take_while(|x| **x <= value).count();
        j += b[j..].iter().take_while(|y| **y <= value).count();
        Some((value, i, j))
    })
}

/// Probability that the statistic, times `n·m`, is `furthest` or more when both samples are from one continuous
/// distribution: that a random lattice path from (0, 0) to (n, m) is somewhere that far from the diagonal (Hodges,
/// *Arkiv för Matematik* 1958). All terms are positive, so that also the smallest probabilities are exact.
fn ks_p_value(n: usize, m: usize, furthest: u64) -> f64 {
    if furthest == 0 {
        return 1.0;
    }
    if n.saturating_mul(m) > MAX_EXACT {
        return kolmogorov_p_value(n as f64, m as f64, furthest as f64);
    }
    // Of a random path to (i, j), the probability that it was out: it came from the left or from below.
    let mut outside = vec![0.0_f64; m + 1];
    for i in 0..=n {
        for j in 0..=m {
            let is_out = ((i * m) as u64).abs_diff((j * n) as u64) >= furthest;
            let from_below = if j > 0 { outside[j - 1] * j as f64 } else { 0.0 };
            let steps = ((i + j) as f64).max(1.0);
            outside[j] = if is_out { 1.0 } else { (outside[j] * i as f64 + from_below) / steps };
        }
    }
    outside[m].min(1.0)
}

/// The limit for large samples, `2·Σ(−1)ᵏ⁻¹·exp(−2k²λ²)` with `λ = D·√(nm/(n + m))` (Smirnov 1948).
fn kolmogorov_p_value(n: f64, m: f64, furthest: f64) -> f64 {
    let lambda = furthest / (n * m) * (n * m / (n + m)).sqrt();
    if lambda < 0.2 {
        return 1.0;
    }
    let term = |k: i32| f64::from(2 * (k % 2) - 1) * (-2.0 * f64::from(k * k) * lambda * lambda).exp();
    (2.0 * (1..=100).map(term).sum::<f64>()).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(value: &serde_json::Value) -> Vec<f64> {
        value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() / 1e4).collect()
    }

    /// SciPy 1.17.1 and NumPy; see the `oracle` field of the file.
    #[test]
    fn distances_match_all_reference_cases() {
        let text = include_str!("../../tests/fixtures/drift_batch.json");
        let file: serde_json::Value = serde_json::from_str(text).unwrap();
        let cases = file["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 10);
        for case in cases {
            let (reference, current) = (numbers(&case["inp"]["reference"]), numbers(&case["inp"]["current"]));
            let distance = compare_samples(&reference, &current).unwrap();
            for (name, got) in [
                ("psi", distance.psi),
                ("js_distance_nats", distance.jensen_shannon),
                ("ks", distance.ks),
                ("ks_p", distance.ks_p_value),
                ("chi2", distance.chi2),
                ("chi2_p", distance.chi2_p_value),
                ("wasserstein", distance.wasserstein),
            ] {
                let expected = case["out"][name].as_f64().unwrap();
                assert!((got - expected).abs() <= 1e-8 * expected.abs(), "{name}: {got} is not {expected}");
            }
        }
    }

    #[test]
    fn equal_samples_are_not_apart_and_constant_ones_are_allowed() {
        for sample in [vec![3.0], vec![1.0; 50], (0..100).map(f64::from).collect()] {
            let distance = compare_samples(&sample, &sample).unwrap();
            assert_eq!((distance.ks, distance.ks_p_value, distance.wasserstein), (0.0, 1.0, 0.0));
            assert!(distance.psi.abs() < 1e-12 && distance.chi2.abs() < 1e-12 && distance.chi2_p_value > 0.99);
        }
        let apart = compare_samples(&[0.0; 20], &[1.0; 20]).unwrap();
        assert_eq!((apart.ks, apart.wasserstein), (1.0, 1.0));
        // 2 / C(40, 20)
        assert!((apart.ks_p_value / (2.0 / 137_846_528_820.0) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_limit_is_close_to_the_exact_probability() {
        for furthest in [70_000, 100_000, 150_000] {
            let exact = ks_p_value(1_000, 1_000, furthest);
            let limit = kolmogorov_p_value(1_000.0, 1_000.0, furthest as f64);
            assert!((exact - limit).abs() < 0.1 * exact + 1e-3, "{exact} and {limit}");
        }
    }

    #[test]
    fn bad_samples_are_refused_by_name() {
        let error = |a: &[f64], b: &[f64]| compare_samples(a, b).unwrap_err().to_string();
        assert_eq!(error(&[], &[1.0]), "`reference` must be 1 to 10000000 values, got 0");
        assert_eq!(error(&[1.0], &[1.0, f64::NAN]), "`current[1]` must be finite, got NaN");
    }
}
