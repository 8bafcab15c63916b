//! A/A tests of a lognormal metric, such as dwell time or cost.

use plaudit_event::Seed;
use plaudit_experiment::stats::{BettingEffect, Scored};
use rand::Rng;

use super::methods::{Arm, sequential_threshold, z_squared};
use super::{ALPHA, in_parallel, percent};

/// Standard deviation of the logarithm.
const SIGMA: f64 = 2.0;
/// Winsorised at this many deviations of the logarithm: the 99th percentile.
const CAP: f64 = 2.326;
const UNITS: u64 = 20_000;

fn standard_normal(rng: &mut impl Rng) -> f64 {
    let (radius, angle): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// Rejections: betting, gbstats sequential, gbstats sequential on the winsorised metric, t test.
fn run(test: u64, share: f64, lift: f64, peeks: u64) -> [bool; 4] {
    let cap = (SIGMA * CAP).exp();
    let mut rng = Seed::new(test).stream("skewed");
    let mut bets = BettingEffect::against((0.0, cap), &[0.0]).expect("bounds");
    let (mut raw, mut capped) = ([Arm::default(); 2], [Arm::default(); 2]);
    let mut rejected = [false; 4];
    for unit in 1..=UNITS {
        let in_treatment = rng.random_bool(share);
        let value = (SIGMA * standard_normal(&mut rng)).exp() * if in_treatment { 1.0 + lift } else { 1.0 };
        for (arms, value) in [(&mut raw, value), (&mut capped, value.min(cap))] {
            let arm = &mut arms[usize::from(in_treatment)];
            arm.n += 1.0;
            arm.sum += value;
            arm.squares += value * value;
        }
        bets.observe(Scored { value, in_treatment, share }).expect("a share and a number");
        if unit % (UNITS / peeks) == 0 {
            let threshold = sequential_threshold(unit as f64, 5000.0);
            rejected[0] = rejected[0] || bets.e_value(0.0) >= 1.0 / ALPHA;
            rejected[1] = rejected[1] || z_squared(&raw[1], &raw[0]) > threshold;
            rejected[2] = rejected[2] || z_squared(&capped[1], &capped[0]) > threshold;
            rejected[3] = rejected[3] || z_squared(&raw[1], &raw[0]) > 1.96 * 1.96;
        }
    }
    rejected
}

pub(crate) fn table(tests: u64, peeks: u64) {
    println!("{tests} tests of a lognormal metric (σ = {SIGMA}), {UNITS} units, {peeks} looks, rejected in percent\n");
    println!(
        "| split | true lift | betting, winsorised | gbstats sequential | the same, winsorised | t test at each look |"
    );
    println!("|---|---|---|---|---|---|");
    for (split, share) in [("50/50", 0.5), ("5/95", 0.05), ("1/99", 0.01)] {
        for lift in [0.0, 0.5] {
            let results = in_parallel(tests, |test| run(test, share, lift, peeks));
            let cell = |m: usize| percent(results.iter().filter(|rejected| rejected[m]).count() as u64, tests);
            println!("| {split} | {lift} | {} | {} | {} | {} |", cell(0), cell(1), cell(2), cell(3));
        }
    }
}
