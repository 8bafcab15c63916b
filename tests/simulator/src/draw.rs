//! Draws from the distributions the simulation needs.

use rand::Rng;

/// A standard normal draw (Box–Muller).
pub(crate) fn normal(rng: &mut impl Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

/// A log-normal draw with the given median and standard deviation of the logarithm.
pub(crate) fn log_normal(median: f64, sigma: f64, rng: &mut impl Rng) -> f64 {
    median * (sigma * normal(rng)).exp()
}

#[cfg(test)]
mod tests {
    use plaudit_event::Seed;

    use super::*;

    #[test]
    fn normal_draws_have_mean_0_and_variance_1() {
        let mut rng = Seed::new(1).stream("normal");
        let draws: Vec<f64> = (0..20_000).map(|_| normal(&mut rng)).collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05);
    }

    #[test]
    fn log_normal_draws_have_their_median() {
        let mut rng = Seed::new(1).stream("log normal");
        let below = (0..20_000).filter(|_| log_normal(300.0, 0.6, &mut rng) < 300.0);
        assert!((9_700..10_300).contains(&below.count()));
    }
}
