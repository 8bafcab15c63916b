//! Group-sequential tests: a few looks, planned by information, that spend alpha.
//!
//! Lan & DeMets (1983): the error spent by information t is a function given beforehand; the boundary of each
//! look follows by recursive integration over the density of the statistic among the paths that have not
//! stopped (Armitage, McPherson & Rowe 1969).

use super::special::{normal_pdf, normal_quantile, normal_sf, root};

/// How much of alpha is spent by information t in (0, 1].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Spending {
    /// `2(1 − Φ(z_{α/2}/√t))`: little early (O'Brien–Fleming).
    OBrienFleming,
    /// `α·ln(1 + (e−1)·t)`: nearly constant boundaries (Pocock).
    Pocock,
    /// `α·t^φ`, φ > 0.
    Power(f64),
}

impl Spending {
    /// Alpha spent by information `t`.
    #[must_use]
    pub fn spent(self, alpha: f64, t: f64) -> f64 {
        match self {
            Self::OBrienFleming => 2.0 * normal_sf(-normal_quantile(alpha / 2.0) / t.sqrt()),
            Self::Pocock => alpha * ((std::f64::consts::E - 1.0) * t).ln_1p(),
            Self::Power(phi) => alpha * t.powf(phi),
        }
    }
}

/// Points of the grid of each look.
const NODES: usize = 2001;
/// Where the grid starts, in standard deviations below zero.
const LOWEST: f64 = -9.0;

/// Upper z boundaries of the looks at increasing `information` in (0, 1], at one-sided `alpha` in (0, ½).
/// A two-sided test at 2α uses them on both sides. Nothing when the information does not increase within (0, 1].
#[must_use]
pub fn group_sequential(information: &[f64], alpha: f64, spending: Spending) -> Option<Vec<f64>> {
    let mut before = 0.0;
    let mut spent = 0.0;
    let mut boundaries = Vec::new();
    // Density of the sum √t·z among paths that go on: nodes, and density times Simpson weight.
    let mut paths: Vec<(f64, f64)> = vec![(0.0, 1.0)];
    for t in information {
        if !(*t > before && *t <= 1.0 && alpha > 0.0 && alpha < 0.5) {
            return None;
        }
        let step = (t - before).sqrt();
        let total = spending.spent(alpha, *t);
        let share = (total - spent).max(0.0);
        let exceeds =
            |z: f64| -> f64 { paths.iter().map(|(x, mass)| mass * normal_sf((z * t.sqrt() - x) / step)).sum::<f64>() };
        let z = root(-8.0, 40.0, |z| share - exceeds(z));
        boundaries.push(z);
        paths = continued(&paths, step, (LOWEST * t.sqrt(), z * t.sqrt()));
        (before, spent) = (*t, total);
    }
    Some(boundaries)
}

fn continued(paths: &[(f64, f64)], step: f64, (low, high): (f64, f64)) -> Vec<(f64, f64)> {
    let width = (high - low) / (NODES - 1) as f64;
    (0..NODES)
        .map(|node| {
            let x = low + width * node as f64;
            let simpson = match node {
                0 => 1.0,
                last if last == NODES - 1 => 1.0,
                odd if odd % 2 == 1 => 4.0,
                _ => 2.0,
            };
            let density: f64 = paths.iter().map(|(from, mass)| mass * normal_pdf((x - from) / step)).sum();
            (x, density / step * simpson * width / 3.0)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_table_is_reproduced() {
        // Lan & DeMets 1983: five looks, one-sided 2.5 %.
        let looks = [0.2, 0.4, 0.6, 0.8, 1.0];
        let got = group_sequential(&looks, 0.025, Spending::OBrienFleming).unwrap();
        for (got, want) in got.iter().zip([4.8769, 3.3569, 2.6803, 2.2898, 2.0310]) {
            assert!((got - want).abs() < 2e-4, "{got} {want}");
        }
    }

    #[test]
    fn information_must_increase() {
        for looks in [vec![0.5, 0.5], vec![0.0, 1.0], vec![0.5, 1.5], vec![f64::NAN]] {
            assert_eq!(group_sequential(&looks, 0.025, Spending::Pocock), None);
        }
    }
}
