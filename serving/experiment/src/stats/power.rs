//! How many units an experiment needs.

use super::special::normal_quantile as quantile;

/// Units per arm of a two-sided fixed-horizon test of two proportions: base rate `base` in (0, 1), true
/// relative `lift` ≠ 0, error rate `alpha`, `power`:
/// `n = (z_{1−α/2} + z_power)² · (p₀(1−p₀) + p₁(1−p₁)) / (p₁ − p₀)²`.
#[must_use]
pub fn units_per_arm(base: f64, lift: f64, alpha: f64, power: f64) -> f64 {
    let raised = base * (1.0 + lift);
    let variance = base * (1.0 - base) + raised * (1.0 - raised);
    let z = quantile(1.0 - alpha / 2.0) + quantile(power);
    z.powi(2) * variance / (raised - base).powi(2)
}

/// Units per arm until the always-valid interval of the lift (see [`super::lift`]), tuned to that size,
/// excludes zero with probability `power`.
///
/// At the tuned size the half-width is `K` standard errors with
/// `K = √(2·(c+1)/c · ln(√(c+1)/α))`, `c = −2·ln α + ln(−2·ln α + 1)`: 3.03 at α = 5 % where a single
/// look needs 1.96. Looks before that size only add power, so this is slightly too large, never too small.
#[must_use]
pub fn anytime_units_per_arm(base: f64, lift: f64, alpha: f64, power: f64) -> f64 {
    let raised = base * (1.0 + lift);
    let variance = (1.0 - base) / base + (1.0 - raised) / raised;
    let twice_log = -2.0 * alpha.ln();
    let c = twice_log + (twice_log + 1.0).ln();
    let k = (2.0 * (c + 1.0) / c * ((c + 1.0).sqrt() / alpha).ln()).sqrt();
    (k + quantile(power)).powi(2) * variance / lift.ln_1p().powi(2)
}

/// By how much `exposures_per_unit` exposures of one unit, correlated by `correlation` in \[0, 1\], are
/// worth less than that many independent ones: `1 + (m − 1)·ρ`. A count of independent exposures times
/// this is the count of exposures needed.
#[must_use]
pub fn design_effect(exposures_per_unit: f64, correlation: f64) -> f64 {
    1.0 + (exposures_per_unit - 1.0) * correlation
}

#[cfg(test)]
mod tests {
    use plaudit_event::Seed;
    use rand::Rng;
    use serde_json::Value;

    use super::*;
    use crate::stats::{RatioMoments, lift as lift_interval};

    #[test]
    fn fixed_horizon_sizes_agree_with_statsmodels() {
        let file: Value = serde_json::from_str(include_str!("../../tests/oracles/power.json")).unwrap();
        let mut compared = 0;
        for case in file["cases"].as_array().unwrap() {
            let Some(base) = case["inp"]["p_c"].as_f64() else { continue };
            let number = |key: &str| case["inp"][key].as_f64().unwrap();
            let lift = number("p_t") / base - 1.0;
            let got = units_per_arm(base, lift, number("alpha"), number("power"));
            let want = case["out"]["n_per_arm_unpooled"].as_f64().unwrap();
            assert!((got - want).abs() <= 1e-6 * want, "{got} {want}");
            compared += 1;
        }
        assert_eq!(compared, 5);
    }

    #[test]
    fn the_anytime_size_reaches_its_power() {
        let (base, lift) = (0.2, 0.3);
        let size = anytime_units_per_arm(base, lift, 0.05, 0.8);
        assert!(size > units_per_arm(base, lift, 0.05, 0.8));
        let runs = 300_u64;
        let mut found = 0_u64;
        for run in 0..runs {
            let mut rng = Seed::new(run).stream("power");
            let mut arms = [RatioMoments::default(); 2];
            for _ in 0..size.ceil() as u64 {
                for (moments, rate) in arms.iter_mut().zip([base, base * (1.0 + lift)]) {
                    moments.add((f64::from(u8::from(rng.random_bool(rate))), 1.0));
                }
            }
            let [control, treatment] = arms.map(|moments| moments.estimate().unwrap());
            let interval = lift_interval(&treatment, &control, 0.05, 2.0 * size).unwrap();
            found += u64::from(interval.lower > 0.0);
        }
        let power = found as f64 / runs as f64;
        // Standard error 2.3 %.
        assert!((0.73..0.90).contains(&power), "{power}");
    }
}
