//! Who names a false winner when the base rate moves, how soon a true one is found, and what intervals cover.
//!
//! `cargo bench -p plaudit-experiment --bench adaptive -- --runs 2000`
#![expect(clippy::print_stdout, reason = "a table for the reader of the run")]

#[path = "support/simulation.rs"]
mod simulation;

use plaudit_event::Seed;
use plaudit_experiment::adaptive::{
    Allocator, ArmCount, ArmSums, Belief, Cohorts, Goal, Memory, Rule, Settings, Split, WeightedAipw, Weighting,
    WinnerTest, glr_stop, track_and_stop,
};
use plaudit_experiment::assign::AllocationConfig;
use rand::Rng;
use simulation::{median, runs, share};

const EPISODES: u32 = 20_000;
const DELTA: f64 = 0.05;
/// Episodes between looks.
const LOOK: u32 = 100;
/// Episodes between our own changes of weights.
const EPOCH: u32 = 500;
/// Cohorts of episodes that keep their weights, as experiments of the product have them.
const COHORTS: u32 = 20;

/// A world: the rate of arm 0 is the base rate plus `edge`, all others have the base rate.
struct World {
    name: &'static str,
    arms: usize,
    edge: f64,
    base: fn(f64) -> f64,
}

impl World {
    fn rate(&self, arm: usize, episode: u32) -> f64 {
        let base = (self.base)(f64::from(episode) / f64::from(EPISODES));
        base + if arm == 0 { self.edge } else { 0.0 }
    }
}

fn rising(time: f64) -> f64 {
    0.1 + 0.2 * time
}

/// Twenty days.
fn daily(time: f64) -> f64 {
    0.2 + 0.1 * (time * 20.0 * std::f64::consts::TAU).sin()
}

fn constant(_: f64) -> f64 {
    0.1
}

const WORLDS: [World; 7] = [
    World { name: "5 equal arms, .1 → .3", arms: 5, edge: 0.0, base: rising },
    World { name: "3 equal arms, .1 → .3", arms: 3, edge: 0.0, base: rising },
    World { name: "5 equal arms, daily", arms: 5, edge: 0.0, base: daily },
    World { name: "3 equal arms, daily", arms: 3, edge: 0.0, base: daily },
    World { name: "3 arms, one +.01, .1 → .3", arms: 3, edge: 0.01, base: rising },
    World { name: "3 arms, .13 .10 .10", arms: 3, edge: 0.03, base: constant },
    World { name: "5 arms, .13 and four .10", arms: 5, edge: 0.03, base: constant },
];

/// What assigns and decides.
#[derive(Clone, Copy)]
enum Method {
    /// TensorZero's: shares by track-and-stop on the plain means, the likelihood ratio rule on them too.
    Peer,
    /// Even shares with the peer's rule.
    EvenGlr,
    /// Our test under an allocation.
    Winner(Rule, Memory),
    /// Our test and an allocation that both look only where a cohort ends.
    Cohorts(Rule),
}

const METHODS: [(&str, Method); 7] = [
    ("track-and-stop + GLR (peer)", Method::Peer),
    ("even + GLR", Method::EvenGlr),
    ("even + winner test", Method::Winner(Rule::Uniform, Memory::Forever)),
    ("top-two + winner test", Method::Winner(Rule::TopTwo(0.5), Memory::Forever)),
    ("top-two, half-life 10 epochs", Method::Winner(Rule::TopTwo(0.5), Memory::HalfLife(10.0))),
    ("Thompson + winner test", Method::Winner(Rule::Thompson, Memory::Forever)),
    ("top-two in 20 cohorts + winner test", Method::Cohorts(Rule::TopTwo(0.5))),
];

struct Run {
    winner: Option<(u32, usize)>,
    regret: f64,
}

/// The peer's allocation and rule, from its published source: round-robin up to 10 units per arm, gaps of at least
/// 10⁻³, probabilities of at least 10⁻⁶, variances of at least 10⁻¹².
struct Peer {
    adapts: bool,
    sums: Vec<ArmSums>,
    weights: Vec<f64>,
}

impl Peer {
    fn new(arms: usize, adapts: bool) -> Self {
        Self { adapts, sums: vec![ArmSums::default(); arms], weights: vec![1.0 / arms as f64; arms] }
    }

    fn choose(&self, uniform: f64) -> usize {
        let short = self.sums.iter().position(|sums| sums.units < 10.0);
        if let (true, Some(arm)) = (self.adapts, short) {
            return arm;
        }
        let mut left = uniform;
        self.weights
            .iter()
            .position(|weight| {
                left -= weight;
                left < 0.0
            })
            .unwrap_or(0)
    }

    fn look(&mut self) -> Option<usize> {
        let means: Vec<f64> = self.sums.iter().map(|sums| sums.mean().unwrap_or(0.0)).collect();
        let variances: Vec<f64> = self.sums.iter().map(|sums| sums.variance().unwrap_or(0.0).max(1e-12)).collect();
        let counts: Vec<u64> = self.sums.iter().map(|sums| sums.units as u64).collect();
        if counts.iter().any(|count| *count < 10) {
            return None;
        }
        let glr = glr_stop(&counts, &means, &variances, 0.0, DELTA).expect("arms in range");
        if self.adapts {
            let top = means[glr.leader];
            let apart: Vec<f64> =
                (0..means.len()).map(|arm| if arm == glr.leader { top } else { means[arm].min(top - 1e-3) }).collect();
            let shares = track_and_stop(&apart, &variances, 0.0, Goal::Maximise).expect("arms in range");
            if let Some(shares) = shares {
                self.weights = shares.weights.into_iter().map(|weight| weight.max(1e-6)).collect();
            }
        }
        glr.stops().then_some(glr.leader)
    }
}

fn peer_run(world: &World, adapts: bool, seed: Seed) -> Run {
    let mut rng = seed.stream("peer");
    let mut peer = Peer::new(world.arms, adapts);
    let mut run = Run { winner: None, regret: 0.0 };
    for episode in 0..EPISODES {
        let arm = peer.choose(rng.random());
        let rate = world.rate(arm, episode);
        run.regret += world.rate(0, episode) - rate;
        peer.sums[arm].add(f64::from(u8::from(rng.random_bool(rate))));
        if (episode + 1) % LOOK == 0
            && let Some(winner) = peer.look()
        {
            run.winner = Some((episode + 1, winner));
            break;
        }
    }
    run
}

fn our_run(world: &World, rule: Rule, memory: Memory, seed: Seed) -> Run {
    let mut rng = seed.stream("ours");
    let settings =
        Settings { rule, memory, belief: Belief::Gaussian, floor: 0.2 / world.arms as f64, ..Settings::default() };
    let mut allocator = Allocator::new(world.arms, settings).expect("settings in range");
    let mut test = WinnerTest::new(world.arms, Goal::Maximise, DELTA).expect("settings in range");
    let mut run = Run { winner: None, regret: 0.0 };
    for episode in 0..EPISODES {
        let arm = allocator.choose(rng.random()).arm;
        let rate = world.rate(arm, episode);
        run.regret += world.rate(0, episode) - rate;
        let reward = f64::from(u8::from(rng.random_bool(rate)));
        test.observe(arm, reward, allocator.weights()).expect("a unit in range");
        let mut sums = ArmSums::default();
        sums.add(reward);
        allocator.observe(arm, &sums).expect("a unit in range");
        if (episode + 1) % EPOCH == 0 {
            allocator.advance();
        }
        if (episode + 1) % LOOK == 0
            && let Some(winner) = test.winner()
        {
            run.winner = Some((episode + 1, winner));
            break;
        }
    }
    run
}

fn cohort_run(world: &World, rule: Rule, seed: Seed) -> Run {
    let mut rng = seed.stream("cohorts");
    let config = AllocationConfig {
        metric: "reward".to_owned(),
        rule,
        cohorts: COHORTS,
        period_seconds: 1,
        floor: 0.2 / world.arms as f64,
        min_units: 100,
        memory: Memory::Forever,
        delta: DELTA,
    };
    let mut cohorts = Cohorts::new(world.arms, &config, Goal::Maximise).expect("settings in range");
    let mut weights = vec![1.0 / world.arms as f64; world.arms];
    let mut run = Run { winner: None, regret: 0.0 };
    let length = EPISODES / COHORTS;
    for number in 0..COHORTS {
        let mut arms = vec![ArmCount::default(); world.arms];
        for episode in number * length..(number + 1) * length {
            let mut left: f64 = rng.random();
            let mut drawn = weights.iter().map(|weight| {
                left -= weight;
                left < 0.0
            });
            let arm = drawn.position(|is_drawn| is_drawn).unwrap_or(0);
            let rate = world.rate(arm, episode);
            run.regret += world.rate(0, episode) - rate;
            arms[arm].units += 1;
            arms[arm].successes += u64::from(rng.random_bool(rate));
        }
        let seen = [Split { propensities: weights.clone(), arms }];
        let next = cohorts.close(&seen).expect("counts in range").map(<[f64]>::to_vec);
        if let Some(winner) = cohorts.winner() {
            run.winner = Some(((number + 1) * length, winner));
            break;
        }
        weights = next.unwrap_or(weights);
    }
    run
}

/// After a winner was named it gets everything.
fn finished(world: &World, mut run: Run) -> Run {
    if let Some((episode, arm)) = run.winner
        && arm != 0
    {
        run.regret += world.edge * f64::from(EPISODES - episode);
    }
    run
}

fn winners(runs: u64) {
    println!("| world | method | wrong winner | right winner | median stop | mean regret |");
    println!("|---|---|---|---|---|---|");
    for world in &WORLDS {
        for (name, method) in METHODS {
            let (mut wrong, mut right, mut regret) = (0, 0, 0.0);
            let mut stops = Vec::new();
            for index in 0..runs {
                let seed = Seed::new(index);
                let run = finished(
                    world,
                    match method {
                        Method::Peer => peer_run(world, true, seed),
                        Method::EvenGlr => peer_run(world, false, seed),
                        Method::Winner(rule, memory) => our_run(world, rule, memory, seed),
                        Method::Cohorts(rule) => cohort_run(world, rule, seed),
                    },
                );
                let is_right = world.edge > 0.0 && run.winner.is_some_and(|(_, arm)| arm == 0);
                right += u64::from(is_right);
                wrong += u64::from(run.winner.is_some() && !is_right);
                stops.push(run.winner.map_or(f64::INFINITY, |(episode, _)| f64::from(episode)));
                regret += run.regret / runs as f64;
            }
            let stop =
                median(&mut stops).filter(|stop| stop.is_finite()).map_or("–".into(), |stop| format!("{stop}"));
            let (found, regret) = if world.edge > 0.0 {
                (share(right, runs), format!("{regret:.1}"))
            } else {
                ("–".into(), "–".into())
            };
            println!("| {} | {name} | {} | {found} | {stop} | {regret} |", world.name, share(wrong, runs));
        }
    }
}

fn coverage(runs: u64) {
    const RATE: f64 = 0.1;
    let names = ["plain mean", "AIPW, even weights", "AIPW, weights √π"];
    let (mut covered, mut bias) = ([0; 3], [0.0; 3]);
    for index in 0..runs {
        let mut rng = Seed::new(index).stream("coverage");
        let settings =
            Settings { rule: Rule::Thompson, belief: Belief::Gaussian, min_units: 20, ..Settings::default() };
        let mut allocator = Allocator::new(2, settings).expect("settings in range");
        let mut aipw = [Weighting::Even, Weighting::Stabilised].map(|weighting| WeightedAipw::new(2, weighting));
        let mut plain = [ArmSums::default(); 2];
        for unit in 0..2_000 {
            let arm = allocator.choose(rng.random()).arm;
            let reward = f64::from(u8::from(rng.random_bool(RATE)));
            for estimator in &mut aipw {
                estimator.observe(arm, reward, allocator.weights()).expect("a unit in range");
            }
            let mut sums = ArmSums::default();
            sums.add(reward);
            plain[arm].add(reward);
            allocator.observe(arm, &sums).expect("a unit in range");
            if unit % 20 == 19 {
                allocator.advance();
            }
        }
        for (arm, plain) in plain.iter().enumerate() {
            let (mean, variance) = (plain.mean().unwrap_or(0.0), plain.variance().unwrap_or(0.0));
            let plain = (mean, (variance / plain.units.max(1.0)).sqrt());
            let [even, stabilised] = [0, 1].map(|kind: usize| aipw[kind].estimate(arm).unwrap_or((0.0, 0.0)));
            for (kind, (value, error)) in [plain, even, stabilised].into_iter().enumerate() {
                covered[kind] += u64::from((value - RATE).abs() <= 1.959_964 * error);
                bias[kind] += (value - RATE) / (2 * runs) as f64;
            }
        }
    }
    println!("\n| interval at 95 % under Thompson, two equal arms of .1, 2,000 units | coverage | bias |");
    println!("|---|---|---|");
    for kind in 0..3 {
        println!("| {} | {} | {:+.4} |", names[kind], share(covered[kind], 2 * runs), bias[kind]);
    }
}

fn main() {
    let runs = runs(200);
    println!("{runs} runs of {EPISODES} episodes, δ = {DELTA}\n");
    winners(runs);
    coverage(runs);
}
