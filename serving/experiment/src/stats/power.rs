//! How many units an experiment needs.

use super::special::{normal_quantile as quantile, normal_sf, root, student_upper};

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
    anytime_errors(alpha, power).powi(2) * variance / lift.ln_1p().powi(2)
}

/// How many standard errors from zero an effect must be to be found with probability `power` while watched.
pub(crate) fn anytime_errors(alpha: f64, power: f64) -> f64 {
    let twice_log = -2.0 * alpha.ln();
    let c = twice_log + (twice_log + 1.0).ln();
    let k = (2.0 * (c + 1.0) / c * ((c + 1.0).sqrt() / alpha).ln()).sqrt();
    k + quantile(power)
}

/// Units per arm when the test pools the rates under "no effect":
/// `(z_{1−α/2}·√(2·p̄(1−p̄)) + z_power·√(p₀(1−p₀) + p₁(1−p₁)))² / (p₁ − p₀)²`. Infinite for equal rates.
#[must_use]
pub fn units_per_arm_pooled((control, treatment): (f64, f64), alpha: f64, power: f64) -> f64 {
    let mean = f64::midpoint(control, treatment);
    let under_null = (2.0 * mean * (1.0 - mean)).sqrt();
    let under_effect = (control * (1.0 - control) + treatment * (1.0 - treatment)).sqrt();
    let root = quantile(1.0 - alpha / 2.0) * under_null + quantile(power) * under_effect;
    (root / (treatment - control)).powi(2)
}

/// Cohen's h, `2·asin√p₁ − 2·asin√p₀`: the difference of two rates where its variance is constant.
#[must_use]
pub fn cohen_h(treatment: f64, control: f64) -> f64 {
    2.0 * (treatment.sqrt().asin() - control.sqrt().asin())
}

/// Units per arm by the arcsine transform: the two-sided normal test of [`cohen_h`], both tails counted.
#[must_use]
pub fn units_per_arm_arcsine((control, treatment): (f64, f64), alpha: f64, power: f64) -> f64 {
    let (z, h) = (quantile(1.0 - alpha / 2.0), cohen_h(treatment, control).abs());
    let reached = |shift: f64| normal_sf(z - shift) + normal_sf(z + shift);
    let shift = root(0.0, 60.0, |shift| reached(shift) - power);
    2.0 * (shift / h).powi(2)
}

/// Units of control for a two-sided t test of an effect in standard deviations, with `ratio` treatment units
/// for each: the exact power by the noncentral t. Nothing for an effect or ratio that is not positive.
#[must_use]
pub fn units_of_t_test(effect: f64, ratio: f64, alpha: f64, power: f64) -> Option<f64> {
    let is_valid = effect.abs() > 0.0 && effect.is_finite() && ratio > 0.0 && ratio.is_finite();
    if !is_valid {
        return None;
    }
    let reached = |n: f64| {
        let df = n * (1.0 + ratio) - 2.0;
        let shift = effect.abs() * (n * ratio / (1.0 + ratio)).sqrt();
        noncentral_power(student_upper(alpha / 2.0, df), df, shift)
    };
    let mut high = 4.0 / ratio.min(1.0);
    while reached(high) < power && high < 1e12 {
        high *= 2.0;
    }
    Some(root(2.0 / ratio.min(1.0), high, |n| reached(n) - power))
}

/// `P(|T| > t)` of the noncentral t: `T = (Z + δ)/√(χ²_ν/ν)`, integrated over the deviation by Simpson's rule.
fn noncentral_power(t: f64, df: f64, shift: f64) -> f64 {
    const STEPS: u32 = 400;
    // √(χ²/ν) is close to normal around 1 with variance 1/(2ν).
    let sd = (2.0 * df).sqrt().recip();
    let (low, high) = ((1.0 - 10.0 * sd).max(1e-9), 1.0 + 10.0 * sd);
    let width = (high - low) / f64::from(STEPS);
    let (mut mass, mut total) = (0.0, 0.0);
    for step in 0..=STEPS {
        let s = low + width * f64::from(step);
        // Density up to its constant, divided out below.
        let log_density = (df - 1.0) * s.ln() - 0.5 * df * (s * s - 1.0);
        let simpson = if step == 0 || step == STEPS { 1.0 } else { 2.0 + 2.0 * f64::from(step % 2) };
        let weight = simpson * log_density.exp();
        mass += weight;
        total += weight * (normal_sf(t * s - shift) + normal_sf(t * s + shift));
    }
    total / mass
}

/// The smallest relative lift that [`anytime_units_per_arm`] (or [`units_per_arm`]) finds with `units` an arm:
/// the inverse of either, passed as `size`, within 0.01 % to 100,000 %. Nothing when not even that suffices.
#[must_use]
pub fn minimum_detectable_lift(units: f64, size: impl Fn(f64) -> f64) -> Option<f64> {
    let needed = |log_lift: f64| size(log_lift.exp());
    let (low, high) = (1e-4_f64.ln(), 1e3_f64.ln());
    let usable = |log_lift: f64| {
        let n = needed(log_lift);
        // A rate above one has no variance: that lift is impossible.
        if n.is_finite() { n } else { 0.0 }
    };
    (usable(high) <= units).then(|| root(low, high, |log_lift| units - usable(log_lift)).exp())
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
    fn the_detectable_lift_is_the_inverse_of_the_size() {
        let size = |lift: f64| anytime_units_per_arm(0.05, lift, 0.05, 0.8);
        let lift = minimum_detectable_lift(size(0.2), size).unwrap();
        assert!((lift - 0.2).abs() < 1e-9, "{lift}");
        assert_eq!(units_of_t_test(0.0, 1.0, 0.05, 0.8), None);
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
