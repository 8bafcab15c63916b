//! What a choice by context earns beside one without, where the world stands still and where it moves; whether
//! propensities are what is drawn; and how often the gate that watches the log is wrong.
//!
//! `cargo bench -p plaudit-experiment --bench contextual -- --runs 40`; the last part reads `$PLAUDIT_DATA/obd`.
#![expect(clippy::print_stdout, reason = "a table for the reader of the run")]

#[path = "support/simulation.rs"]
mod simulation;

#[path = "contextual/open_bandit.rs"]
mod open_bandit;
#[path = "contextual/policies.rs"]
mod policies;
#[path = "contextual/world.rs"]
mod world;

use plaudit_event::Seed;
use plaudit_experiment::adaptive::{Contextual, ContextualSettings, HalfLife};
use plaudit_experiment::off_policy::{Logged, OnlineGate, OnlineRule};
use policies::{BetaThompson, Learner, contextual, draw};
use rand::Rng;
use simulation::{median, runs, share};
use world::{ARMS, WORLDS, World, features};

/// Decisions of one run.
const DECISIONS: u32 = 20_000;
/// What the product has by default.
const GREED: f64 = 30.0;
const MEMORY: f64 = 20_000.0;

fn half_life(observations: f64) -> HalfLife {
    HalfLife { observations, millis: 0.0 }
}

fn methods() -> Vec<(String, Box<dyn Fn() -> Learner>)> {
    let mut methods: Vec<(String, Box<dyn Fn() -> Learner>)> =
        vec![("even shares".to_owned(), Box::new(|| Learner::Even))];
    for memory in [0.0, 20_000.0, 5_000.0, 1_000.0] {
        let name = if memory > 0.0 { format!(", half-life {memory}") } else { String::new() };
        methods.push((
            format!("Beta Thompson{name}"),
            Box::new(move || Learner::Beta(BetaThompson::new(half_life(memory)))),
        ));
    }
    for greed in [1.0, 3.0, 10.0, 30.0, 100.0] {
        methods.push((format!("contextual, greed {greed}"), Box::new(move || contextual(greed, half_life(0.0)))));
    }
    for memory in [20_000.0, 5_000.0, 1_000.0] {
        methods.push((
            format!("contextual, greed {GREED}, half-life {memory}"),
            Box::new(move || contextual(GREED, half_life(memory))),
        ));
    }
    methods
}

/// Regret per decision: of all, and of the last quarter.
fn regret(world: &World, learner: &mut Learner, seed: Seed) -> [f64; 2] {
    let mut rng = seed.stream("decisions");
    let mut sums = [0.0; 2];
    for step in 0..DECISIONS {
        let context = world.context(&mut rng);
        let rates = world.rates(&context, f64::from(step) / f64::from(DECISIONS));
        let propensities = learner.propensities(&context);
        let best = rates.iter().copied().fold(f64::MIN, f64::max);
        let lost: f64 = propensities.iter().zip(&rates).map(|(p, rate)| p * (best - rate)).sum();
        sums[0] += lost / f64::from(DECISIONS);
        if step >= DECISIONS / 4 * 3 {
            sums[1] += lost / f64::from(DECISIONS / 4);
        }
        let arm = draw(&propensities, rng.random());
        let reward = f64::from(u8::from(rng.random_bool(rates[arm])));
        learner.learn(&context, arm, reward, i64::from(step));
    }
    sums
}

fn regrets(runs: u64) {
    println!("Regret per 1,000 decisions, all {DECISIONS} and the last quarter, ± standard error:\n");
    println!("| method | {} |", WORLDS.map(|world| world.name).join(" | "));
    println!("|---|{}", "---|".repeat(WORLDS.len()));
    for (name, make) in methods() {
        let mut cells = Vec::new();
        for kind in &WORLDS {
            let found: Vec<[f64; 2]> =
                (0..runs).map(|run| regret(&World::new(kind, Seed::new(run)), &mut make(), Seed::new(run))).collect();
            let cell = [0, 1].map(|part| {
                let n = found.len() as f64;
                let mean = found.iter().map(|sums| sums[part]).sum::<f64>() / n;
                let variance = found.iter().map(|sums| (sums[part] - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
                format!("{:.1} ± {:.1}", mean * 1e3, (variance / n).sqrt() * 1e3)
            });
            cells.push(cell.join(", "));
        }
        println!("| {name} | {} |", cells.join(" | "));
    }
}

/// Drawn arms against logged probabilities: Pearson's statistic over bins of probability, as a share of runs whose
/// p-value is below 5 %.
fn calibration(runs: u64) {
    const BINS: usize = 10;
    let (mut rejected, mut worst) = (0, 0.0_f64);
    for run in 0..runs {
        let world = World::new(&WORLDS[0], Seed::new(run));
        let mut learner = contextual(GREED, half_life(MEMORY));
        let mut rng = Seed::new(run).stream("calibration");
        // Per bin of logged probability: drawn, expected, variance.
        let mut bins = [[0.0; 3]; BINS];
        for step in 0..DECISIONS {
            let context = world.context(&mut rng);
            let rates = world.rates(&context, 0.0);
            let propensities = learner.propensities(&context);
            let arm = draw(&propensities, rng.random());
            worst = worst.max((propensities.iter().sum::<f64>() - 1.0).abs());
            // One arm of each decision, so that bins are independent.
            let watched = rng.random_range(0..ARMS);
            let p = propensities[watched];
            let bin = &mut bins[((p * BINS as f64) as usize).min(BINS - 1)];
            bin[0] += f64::from(u8::from(arm == watched));
            bin[1] += p;
            bin[2] += p * (1.0 - p);
            let reward = f64::from(u8::from(rng.random_bool(rates[arm])));
            learner.learn(&context, arm, reward, i64::from(step));
        }
        let used: Vec<f64> =
            bins.iter().filter(|bin| bin[2] > 5.0).map(|bin| (bin[0] - bin[1]).powi(2) / bin[2]).collect();
        // Wilson & Hilferty 1931.
        let k = used.len() as f64;
        let z = ((used.iter().sum::<f64>() / k).cbrt() - (1.0 - 2.0 / (9.0 * k))) / (2.0 / (9.0 * k)).sqrt();
        rejected += u64::from(z > 1.644_854);
    }
    println!(
        "\nDrawn against logged probabilities, Pearson's test at 5 %, {runs} runs of {DECISIONS}: rejected {}",
        share(rejected, runs)
    );
    println!("Largest distance of a sum of probabilities from 1: {worst:.1e}");
}

/// The gate on logs of Beta Thompson, the contextual policy learning as it watches.
fn gate(runs: u64) {
    let settings = ContextualSettings { greed: GREED, half_life: half_life(MEMORY), ..ContextualSettings::default() };
    println!("\nThe gate on {DECISIONS} decisions by Beta Thompson, asked after each (α = 5 %):\n");
    println!(
        "| world | passed | median decisions until then | ever above the true mean improvement | improvement, true | estimated | bound |"
    );
    println!("|---|---|---|---|---|---|---|");
    for kind in &WORLDS {
        let (mut passed, mut wrong, mut stops) = (0, 0, Vec::new());
        let mut sums = [0.0; 3];
        for run in 0..runs {
            let world = World::new(kind, Seed::new(run));
            let mut serving = BetaThompson::new(half_life(MEMORY));
            let mut target = Contextual::new(settings).expect("settings in range");
            let mut gate = OnlineGate::new(OnlineRule::default()).expect("settings in range");
            let mut rng = Seed::new(run).stream("gate");
            let (mut truth, mut is_wrong, mut stop) = (0.0, false, f64::INFINITY);
            for step in 0..DECISIONS {
                let context = world.context(&mut rng);
                let rates = world.rates(&context, f64::from(step) / f64::from(DECISIONS));
                let behavior = serving.propensities();
                let candidates = features(&context);
                let evaluated = target.propensities(&candidates, 0.01).expect("candidates in range");
                let arm = draw(&behavior, rng.random());
                let reward = f64::from(u8::from(rng.random_bool(rates[arm])));
                let gains = evaluated.iter().zip(&behavior).zip(&rates);
                truth += gains.map(|((e, b), rate)| (e - b) * rate).sum::<f64>();
                let row = Logged { unit: u64::from(step), weight: evaluated[arm] / behavior[arm], reward };
                gate.add(row).expect("a row in range");
                target.learn(&candidates[arm], reward, 1.0, i64::from(step)).expect("in range");
                serving.learn(arm, reward, i64::from(step));
                if step % 50 == 49 {
                    is_wrong |= gate.lower() > truth / f64::from(step + 1);
                    if stop.is_infinite() && gate.has_passed() {
                        stop = f64::from(step + 1);
                    }
                }
            }
            passed += u64::from(stop.is_finite());
            wrong += u64::from(is_wrong);
            stops.push(stop);
            let found = [truth / f64::from(DECISIONS), gate.improvement().unwrap_or(f64::NAN), gate.lower()];
            sums.iter_mut().zip(found).for_each(|(sum, value)| *sum += value / runs as f64);
        }
        let stop = median(&mut stops).filter(|stop| stop.is_finite()).map_or("–".to_owned(), |stop| stop.to_string());
        println!(
            "| {} | {} | {stop} | {} | {:.4} | {:.4} | {:.4} |",
            kind.name,
            share(passed, runs),
            share(wrong, runs),
            sums[0],
            sums[1],
            sums[2]
        );
    }
}

fn main() {
    let runs = runs(20);
    println!("{runs} runs\n");
    regrets(runs);
    calibration(runs);
    gate(runs);
    open_bandit::replay();
}
