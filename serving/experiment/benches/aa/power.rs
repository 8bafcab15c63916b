//! How long a real difference takes: a rate of 5 % against 6 %, equal arms, looks after every 50 units an arm.

use plaudit_event::Seed;
use plaudit_experiment::stats::{Msprt, Votes, asymp_cs};

use super::methods::{Arm, Exact, sequential_threshold, z_squared};
use super::sampler::Binomial;
use super::{ALPHA, in_parallel};

const RATES: [f64; 2] = [0.05, 0.06];
const BLOCK: u64 = 50;
const LOOKS: u64 = 1000;
/// Units an arm of a fixed test with 80 % power.
const FIXED: u64 = 8155;
const METHODS: [&str; 8] = [
    "default (exact)",
    "asymptotic sequence, horizon 5,000 (gbstats)",
    "asymptotic sequence, tuned to the horizon",
    "mSPRT, τ = 0.01",
    "group sequential, 5 looks, O'Brien–Fleming",
    "two sequences, one an arm (TensorZero)",
    "generalised likelihood ratio (TensorZero)",
    "fixed horizon, one look",
];
/// Two-sided 5 % with looks at fifths of the horizon (Lan & DeMets), horizon 8,360 an arm for 80 % power.
const GROUP: ([f64; 5], u64) = ([4.8769, 3.3569, 2.6803, 2.2898, 2.0310], 1672);

/// Units an arm at which each method first rejects.
fn run(test: u64, samplers: &[Binomial; 2], default: &Exact) -> [Option<u64>; 8] {
    let mut rng = Seed::new(test).stream("power");
    let mut arms = [Arm::default(); 2];
    let mut stops = [None; 8];
    for look in 1..=LOOKS {
        for (arm, sampler) in arms.iter_mut().zip(samplers) {
            let votes = sampler.draw(BLOCK, &mut rng) as f64;
            arm.n += BLOCK as f64;
            arm.sum += votes;
            arm.squares += votes;
        }
        let n = look * BLOCK;
        for (stop, is_rejected) in stops.iter_mut().zip(decisions(n, &arms, default)) {
            if stop.is_none() && is_rejected {
                *stop = Some(n);
            }
        }
    }
    stops
}

fn decisions(n: u64, arms: &[Arm; 2], default: &Exact) -> [bool; 8] {
    let [control, treatment] = arms;
    let z = z_squared(treatment, control);
    let units = 2.0 * n as f64;
    let squared = (treatment.variance() + control.variance()) / n as f64;
    let votes = Votes { share: 0.5, treatment: treatment.sum as u64, control: control.sum as u64 };
    let difference = treatment.mean() - control.mean();
    let msprt = Msprt { difference, variance: squared, tau_squared: 1e-4 };
    let (boundaries, every) = GROUP;
    let is_group_look = n / every <= 5 && n % every < BLOCK && n >= every;
    let boundary = if is_group_look { boundaries[usize::try_from(n / every - 1).expect("a look")] } else { f64::MAX };
    let sequence = |arm: &Arm| asymp_cs(arm.mean(), arm.variance(), n, ALPHA, None);
    let (of_treatment, of_control) = (sequence(treatment), sequence(control));
    let glr = difference * difference / (2.0 * squared);
    let is_fixed_look = n / BLOCK == FIXED.div_ceil(BLOCK);
    [
        default.rejects(&[votes], default.bound(&votes)),
        z > sequential_threshold(units, 5000.0),
        z > sequential_threshold(units, 2.0 * FIXED as f64),
        msprt.p().is_some_and(|p| p <= ALPHA),
        z > boundary * boundary,
        of_treatment.lower > of_control.upper || of_treatment.upper < of_control.lower,
        glr > ((1.0 + units.ln()) / ALPHA).ln(),
        is_fixed_look && z > 1.96 * 1.96,
    ]
}

pub(crate) fn table(tests: u64) {
    let samplers = RATES.map(|rate| Binomial::new(usize::try_from(BLOCK).expect("a block"), rate));
    let default = Exact::new(10_000, 0.5);
    let results = in_parallel(tests, |test| run(test, &samplers, &default));
    println!("{tests} tests of {} against {}: units an arm\n", RATES[0], RATES[1]);
    println!(
        "| method | found by {FIXED} | found by {} | found by {} | median stop | ninth decile |",
        2 * FIXED,
        LOOKS * BLOCK
    );
    println!("|---|---|---|---|---|---|");
    for (method, name) in METHODS.into_iter().enumerate() {
        let mut stops: Vec<u64> = results.iter().map(|stops| stops[method].unwrap_or(u64::MAX)).collect();
        stops.sort_unstable();
        let found = |by: u64| 100.0 * stops.iter().filter(|stop| **stop <= by).count() as f64 / tests as f64;
        let at = |share: f64| {
            let stop = stops[((stops.len() as f64 * share) as usize).min(stops.len() - 1)];
            if stop == u64::MAX { "never".to_owned() } else { stop.to_string() }
        };
        let shares = [FIXED + BLOCK, 2 * FIXED, LOOKS * BLOCK].map(|by| format!("{:.0} %", found(by)));
        println!("| {name} | {} | {} | {} |", shares.join(" | "), at(0.5), at(0.9));
    }
}
