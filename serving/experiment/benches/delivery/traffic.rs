//! Simulated units: what each does in all its exposures, as running sums to draw blocks of units from.

use plaudit_event::Seed;
use plaudit_experiment::delivery::Sums;
use rand::Rng;
use statrs::function::gamma::ln_gamma;

/// Units of a pool. Both arms of an equal candidate draw from the same one, so equality is exact.
const UNITS: usize = 1 << 19;
pub(crate) const METRICS: [&str; 10] = [
    "unsolicited_closing",
    "refusal",
    "error",
    "love",
    "helpfulness",
    "repetition",
    "words",
    "emoji",
    "diversity",
    "latency",
];
/// Exposures and their square, then four sums of each metric.
const WIDTH: usize = 2 + 4 * METRICS.len();

/// What a candidate changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Change {
    pub(crate) love: f64,
    pub(crate) helpfulness: f64,
    pub(crate) closing: f64,
    pub(crate) latency: f64,
}

pub(crate) const NONE: Change = Change { love: 1.0, helpfulness: 0.0, closing: 1.0, latency: 1.0 };

fn normal(rng: &mut impl Rng) -> f64 {
    let (radius, angle) = ((-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt(), rng.random::<f64>());
    radius * (std::f64::consts::TAU * angle).cos()
}

fn exponential(rng: &mut impl Rng) -> f64 {
    -(1.0 - rng.random::<f64>()).ln()
}

/// Running sums over a pool of units.
pub(crate) struct Pool(Vec<[f64; WIDTH]>);

impl Pool {
    /// The same people for every change: only what the change touches differs.
    pub(crate) fn new(change: Change) -> Self {
        let mut rng = Seed::new(11).stream("units");
        let mut sums = vec![[0.0; WIDTH]; UNITS + 1];
        for index in 0..UNITS {
            let unit = person(&mut rng, change);
            let before = sums[index];
            sums[index + 1] = std::array::from_fn(|column| before[column] + unit[column]);
        }
        Self(sums)
    }

    /// Adds `count` units in a row from a random place.
    pub(crate) fn add(&self, count: usize, rng: &mut impl Rng, to: &mut [Sums]) {
        let count = count.min(UNITS);
        let start = rng.random_range(0..=UNITS - count);
        let (first, last) = (&self.0[start], &self.0[start + count]);
        let sum = |column: usize| last[column] - first[column];
        for (index, sums) in to.iter_mut().enumerate() {
            let at = 2 + 4 * index;
            sums.units += count as u64;
            sums.reacted += sum(at) as u64;
            sums.numerator += sum(at + 1);
            sums.numerator_squared += sum(at + 2);
            sums.product += sum(at + 3);
            sums.denominator += sum(0);
            sums.denominator_squared += sum(1);
        }
    }
}

/// One unit: a geometric number of exposures, three in the mean; its own inclination to love, to find helpful, to
/// be slow. Every exposure draws the same numbers whatever the change.
fn person(rng: &mut impl Rng, change: Change) -> [f64; WIDTH] {
    let exposures = (1.0 + exponential(rng) / 1.5_f64.ln()).floor().min(60.0);
    let love = (0.05 * change.love * exponential(rng)).min(1.0);
    let closing = (0.02 * change.closing * exponential(rng)).min(1.0);
    let helpful = (0.7 + 0.15 * normal(rng).clamp(-2.0, 2.0) + change.helpfulness).clamp(0.0, 1.0);
    let slow = (0.3 * normal(rng)).exp();
    let mut values = [0.0; METRICS.len()];
    for _ in 0..exposures as usize {
        let mut chance = |rate: f64| f64::from(u8::from(rng.random::<f64>() < rate));
        let binary = [closing, 0.02, 0.005, love, helpful].map(&mut chance);
        let repetition = 0.2 * rng.random::<f64>();
        let words = (4.2 + 0.5 * normal(rng)).exp();
        let emoji = (exponential(rng) * 0.6).floor();
        let diversity = (0.7 + 0.1 * normal(rng)).clamp(0.0, 1.0);
        let latency = 400.0 * slow * (0.6 * normal(rng)).exp() * change.latency;
        let rest = [repetition, words, emoji, diversity, latency];
        for (value, of_exposure) in values.iter_mut().zip(binary.into_iter().chain(rest)) {
            *value += of_exposure;
        }
    }
    let mut unit = [0.0; WIDTH];
    (unit[0], unit[1]) = (exposures, exposures * exposures);
    for (index, value) in values.into_iter().enumerate() {
        let at = 2 + 4 * index;
        unit[at] = f64::from(u8::from(value > 0.0));
        (unit[at + 1], unit[at + 2], unit[at + 3]) = (value, value * value, value * exposures);
    }
    unit
}

/// A Poisson number: multiplication below 30 (Knuth), transformed rejection above (Hörmann 1993, PTRS).
pub(crate) fn poisson(mean: f64, rng: &mut impl Rng) -> u64 {
    if mean < 30.0 {
        let (limit, mut product, mut count) = ((-mean).exp(), rng.random::<f64>(), 0);
        while product > limit {
            product *= rng.random::<f64>();
            count += 1;
        }
        return count;
    }
    let b = 0.931 + 2.53 * mean.sqrt();
    let a = -0.059 + 0.02483 * b;
    let scale = (1.1239 + 1.1328 / (b - 3.4)).ln();
    loop {
        let u = rng.random::<f64>() - 0.5;
        let v = 1.0 - rng.random::<f64>();
        let distance = 0.5 - u.abs();
        let k = ((2.0 * a / distance + b) * u + mean + 0.43).floor();
        if distance >= 0.07 && v <= 0.9277 - 3.6224 / (b - 2.0) {
            return k as u64;
        }
        if k < 0.0 || (distance < 0.013 && v > distance) {
            continue;
        }
        let accept = v.ln() + scale - (a / (distance * distance) + b).ln();
        if accept <= k * mean.ln() - mean - ln_gamma(k + 1.0) {
            return k as u64;
        }
    }
}
