//! Comparisons of whole distributions, from the values themselves.

use super::kolmogorov::kolmogorov_sf;
use super::special::normal_sf;

/// How treatment's values compare with control's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankTests {
    /// Mann–Whitney U of treatment: pairs in which it is higher, ties half.
    pub u: f64,
    /// Its two-sided p-value, normal with continuity and tie correction.
    pub p_mann_whitney: f64,
    /// Median of all differences treatment − control.
    pub hodges_lehmann: f64,
    /// Common-language effect size: the share of pairs in which treatment is higher.
    pub cles: f64,
    /// Kolmogorov–Smirnov statistic.
    pub ks: f64,
    /// Its exact two-sided p-value (without ties; conservative with).
    pub p_ks: f64,
    /// Its approximation for large arms: that of one sample with m·n/(m+n) values against a known distribution.
    pub p_ks_asymptotic: f64,
    /// Wasserstein-1 distance.
    pub wasserstein: f64,
    /// Energy distance: √(2·∫ (F − G)²).
    pub energy: f64,
}

/// The tests; quadratic in the number of values. Nothing with an empty arm or a value that is not finite.
#[must_use]
pub fn rank_tests(treatment: &[f64], control: &[f64]) -> Option<RankTests> {
    let mut all: Vec<(f64, bool)> = treatment.iter().map(|x| (*x, true)).collect();
    all.extend(control.iter().map(|x| (*x, false)));
    if treatment.is_empty() || control.is_empty() || all.iter().any(|(x, _)| !x.is_finite()) {
        return None;
    }
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut differences: Vec<f64> = treatment.iter().flat_map(|t| control.iter().map(move |c| t - c)).collect();
    differences.sort_by(f64::total_cmp);
    let of = |x: &f64| {
        if *x > 0.0 {
            1.0
        } else if *x < 0.0 {
            0.0
        } else {
            0.5
        }
    };
    let u: f64 = differences.iter().map(of).sum();
    let middle = differences.len() / 2;
    let is_even = differences.len().is_multiple_of(2);
    let hodges_lehmann =
        if is_even { f64::midpoint(differences[middle - 1], differences[middle]) } else { differences[middle] };
    let (m, n) = (treatment.len(), control.len());
    let distances = distances(&all, (m, n));
    Some(RankTests {
        u,
        p_mann_whitney: p_mann_whitney(u, &all, (m, n)),
        hodges_lehmann,
        cles: u / differences.len() as f64,
        ks: distances.0,
        p_ks: p_ks(distances.0, (m, n)),
        p_ks_asymptotic: kolmogorov_sf(distances.0, effective_units(m, n)),
        wasserstein: distances.1,
        energy: (2.0 * distances.2).sqrt(),
    })
}

/// m·n/(m+n) to the nearest, ties to even; at least 1.
fn effective_units(m: usize, n: usize) -> u64 {
    let pairs = m as f64 * n as f64;
    (pairs / (m + n) as f64).round_ties_even().max(1.0) as u64
}

fn p_mann_whitney(u: f64, sorted: &[(f64, bool)], (m, n): (usize, usize)) -> f64 {
    let (pairs, total) = ((m * n) as f64, (m + n) as f64);
    let ties: f64 = sorted.chunk_by(|a, b| a.0 == b.0).map(|tie| (tie.len() as f64).powi(3) - tie.len() as f64).sum();
    let variance = pairs / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    if variance <= 0.0 {
        return 1.0;
    }
    let beyond = (u - pairs / 2.0).abs() - 0.5;
    (2.0 * normal_sf(beyond / variance.sqrt())).min(1.0)
}

/// Largest distance of the distribution functions, its integral, and the integral of its square.
fn distances(sorted: &[(f64, bool)], (m, n): (usize, usize)) -> (f64, f64, f64) {
    let (mut below, mut most, mut area, mut squares) = ([0_usize; 2], 0.0_f64, 0.0, 0.0);
    for (index, (x, in_treatment)) in sorted.iter().enumerate() {
        below[usize::from(*in_treatment)] += 1;
        let Some((next, _)) = sorted.get(index + 1) else { break };
        let gap = (below[1] as f64 / m as f64 - below[0] as f64 / n as f64).abs();
        if next > x {
            most = most.max(gap);
        }
        area += gap * (next - x);
        squares += gap * gap * (next - x);
    }
    (most, area, squares)
}

/// Exact: the share of the lattice paths from (0, 0) to (m, n) that reach the distance (Hodges 1958), as the
/// probability of staying inside, one step at a time.
fn p_ks(d: f64, (m, n): (usize, usize)) -> f64 {
    let reached = (d * (m * n) as f64).round() as i64;
    let (rows, columns) = (m as i64, n as i64);
    let mut outside = vec![0.0_f64; n + 1];
    for i in 0..=m {
        for j in 0..=n {
            let distance = (i as i64 * columns - j as i64 * rows).abs();
            // Share of paths to (i, j) that touched the distance: the last step came from either side.
            let from = (i + j) as f64;
            outside[j] = if distance >= reached && i + j > 0 {
                1.0
            } else if i + j == 0 {
                f64::from(u8::from(reached <= 0))
            } else {
                let above = if i > 0 { outside[j] * i as f64 / from } else { 0.0 };
                let left = if j > 0 { outside[j - 1] * j as f64 / from } else { 0.0 };
                above + left
            };
        }
    }
    outside[n].min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_no_evidence_and_empty_arms_no_test() {
        assert_eq!(rank_tests(&[], &[1.0]), None);
        assert_eq!(rank_tests(&[f64::NAN], &[1.0]), None);
        let same = rank_tests(&[2.0, 2.0], &[2.0, 2.0, 2.0]).unwrap();
        assert_eq!((same.p_mann_whitney, same.p_ks, same.cles, same.energy), (1.0, 1.0, 0.5, 0.0));
        // Two against two, fully apart: 2 of the 6 orders are.
        let apart = rank_tests(&[3.0, 4.0], &[1.0, 2.0]).unwrap();
        assert!((apart.p_ks - 1.0 / 3.0).abs() < 1e-12 && apart.ks == 1.0);
    }
}
