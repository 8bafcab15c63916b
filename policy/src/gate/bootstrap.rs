//! The paired bootstrap.

use plaudit_event::Seed;
use plaudit_experiment::stats::Interval;
use rand::Rng;

/// The mean of `first − second` over pairs, with one-sided percentile bounds that each hold with probability
/// `confidence` (Efron & Tibshirani 1993, chapter 13). Pairs are resampled whole.
///
/// `(resamples, confidence)` are the size of the bootstrap and its level; equal arguments give equal bounds.
/// Of slices of different length the common part counts; without pairs all three numbers are NaN.
#[must_use]
pub fn paired_difference(first: &[f64], second: &[f64], (resamples, confidence): (usize, f64), seed: Seed) -> Interval {
    let differences: Vec<f64> = first.iter().zip(second).map(|(a, b)| a - b).collect();
    let count = differences.len();
    if count == 0 || resamples == 0 {
        return Interval { value: f64::NAN, lower: f64::NAN, upper: f64::NAN };
    }
    let mut rng = seed.stream("paired bootstrap");
    let mut means = Vec::with_capacity(resamples);
    for _ in 0..resamples {
        let mut sum = 0.0;
        for _ in 0..count {
            sum += differences[rng.random_range(0..count)];
        }
        means.push(sum / count as f64);
    }
    means.sort_by(f64::total_cmp);
    // The conservative order statistic: rounded outwards.
    let skipped = ((1.0 - confidence) * resamples as f64).floor() as usize;
    let skipped = skipped.min((resamples - 1) / 2);
    Interval {
        value: differences.iter().sum::<f64>() / count as f64,
        lower: means[skipped],
        upper: means[resamples - 1 - skipped],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_enclose_the_mean_and_repeat() {
        let first: Vec<f64> = (0..200).map(|i| f64::from(i % 17) / 17.0).collect();
        let second: Vec<f64> = first.iter().map(|x| x - 0.1).collect();
        let interval = paired_difference(&first, &second, (500, 0.95), Seed::new(1));
        // Every pair differs by the same amount: nothing is left to chance.
        assert!((interval.lower - 0.1).abs() < 1e-9 && (interval.upper - 0.1).abs() < 1e-9);
        let noisy: Vec<f64> = (0..200).map(|i| f64::from(i * 7 % 11) / 11.0).collect();
        let again = |seed| paired_difference(&first, &noisy, (500, 0.95), Seed::new(seed));
        assert!(again(1).lower < again(1).value && again(1).value < again(1).upper);
        assert_eq!(again(1), again(1));
        assert_ne!(again(1), again(2));
    }

    /// The lower bound must exceed the truth in about 1 − confidence of all data sets.
    #[test]
    fn the_lower_bound_holds_as_often_as_it_promises() {
        let mut rng = Seed::new(9).stream("data");
        let mut misses = 0;
        let trials = 600_u32;
        for trial in 0..trials {
            let data: Vec<f64> = (0..100).map(|_| f64::from(u8::from(rng.random_bool(0.3)))).collect();
            let zero = vec![0.0; data.len()];
            let own = Seed::new(u64::from(trial));
            if paired_difference(&data, &zero, (200, 0.95), own).lower > 0.3 {
                misses += 1;
            }
        }
        let rate = f64::from(misses) / f64::from(trials);
        assert!((0.02..0.08).contains(&rate), "{rate}");
    }

    #[test]
    fn no_pairs_give_no_numbers() {
        let interval = paired_difference(&[], &[1.0], (100, 0.95), Seed::new(1));
        assert!(interval.lower.is_nan() && interval.value.is_nan());
    }
}
