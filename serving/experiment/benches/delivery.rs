//! How many bad candidates a delivery stops before five percent of the traffic, and how many good ones.
//!
//! `cargo bench -p plaudit-experiment --bench delivery -- --runs 10000`
//!
//! 200,000 new units a day in a daily rhythm, evaluated every hour under the default configuration. The shadow sees
//! nothing, so that the canary and the ramp have to.
#![expect(clippy::print_stdout, reason = "a table for the reader of the run")]

#[path = "support/simulation.rs"]
mod simulation;
#[path = "delivery/traffic.rs"]
mod traffic;

use std::time::Instant;

use plaudit_event::{PolicyId, Seed, Timestamp};
use plaudit_experiment::delivery::{
    Arm, Delivery, DeliveryConfig, Event, Gate, Observation, Pair, Phase, State, Sums, Verdict,
};
use rand::Rng;
use simulation::{median, runs, share};
use traffic::{Change, METRICS, NONE, Pool, poisson};

const UNITS_PER_DAY: f64 = 200_000.0;
const HOUR: i64 = 3_600_000;
const MAX_HOURS: i64 = 24 * 120;

struct Candidate {
    name: &'static str,
    change: Change,
    /// Share of the units of each arm that arrive.
    arriving: [f64; 2],
    is_bad: bool,
}

const fn candidate(name: &'static str, change: Change, arriving: [f64; 2], is_bad: bool) -> Candidate {
    Candidate { name, change, arriving, is_bad }
}

const CANDIDATES: [Candidate; 7] = [
    candidate(
        "love +30 %, helpfulness −5 points, closings ×4",
        Change { love: 1.3, helpfulness: -0.05, closing: 4.0, ..NONE },
        [1.0, 1.0],
        true,
    ),
    candidate("latency +30 %", Change { latency: 1.3, ..NONE }, [1.0, 1.0], true),
    candidate("helpfulness −5 points, no other trace", Change { helpfulness: -0.05, ..NONE }, [1.0, 1.0], true),
    candidate("enrolment leak 51/49", NONE, [1.02, 0.98], true),
    candidate("2 % of the candidate's units lost", NONE, [0.98, 1.0], true),
    candidate("good: love +10 %", Change { love: 1.1, ..NONE }, [1.0, 1.0], false),
    candidate("equal", NONE, [1.0, 1.0], false),
];

/// How a delivery ended.
struct Run {
    end: State,
    /// Share of the candidate when it ended.
    share: f64,
    exposed: u64,
    population: u64,
    days: f64,
    reason: String,
}

fn arm() -> Arm {
    Arm { units: 0, metrics: METRICS.iter().map(|name| ((*name).to_owned(), Sums::default())).collect() }
}

/// The same order as the columns of a pool.
fn add(pool: &Pool, count: u64, rng: &mut impl Rng, to: &mut Arm) {
    let mut sums = [Sums::default(); METRICS.len()];
    pool.add(count as usize, rng, &mut sums);
    to.units += count;
    for (name, more) in METRICS.iter().zip(sums) {
        let of = to.metrics.get_mut(*name).expect("an arm has every metric");
        of.units += more.units;
        of.reacted += more.reacted;
        of.numerator += more.numerator;
        of.numerator_squared += more.numerator_squared;
        of.denominator += more.denominator;
        of.denominator_squared += more.denominator_squared;
        of.product += more.product;
    }
}

/// Past the gate and the shadow.
fn start() -> Delivery {
    let at = Timestamp::from_millis;
    let id = PolicyId::new("candidate").expect("a plain word");
    let mut delivery = Delivery::new(id, DeliveryConfig::default(), at(-48 * HOUR)).expect("defaults are valid");
    let gate = Gate { verdict: Verdict::Pass, reason: "simulated".to_owned(), evidence: Vec::new() };
    let mut score = Sums::default();
    (0..50_000).for_each(|unit| score.add(f64::from(unit % 10) / 10.0, 1.0));
    let metrics = ["score", "unsolicited_closing"].map(|name| (name.to_owned(), score));
    let arm = Arm { units: 50_000, metrics: metrics.into() };
    let seen = Observation { shadow: Some(Pair { treatment: arm.clone(), control: arm }), phases: Vec::new() };
    for (hour, event) in [(-48, Event::Gate(gate)), (-47, Event::Evaluate(seen.clone())), (0, Event::Evaluate(seen))] {
        delivery.apply(&event, at(hour * HOUR)).expect("the order of states");
    }
    assert_eq!(*delivery.state(), State::Canary, "the shadow passes");
    delivery
}

fn deliver(candidate: &Candidate, pools: [&Pool; 2], seed: Seed) -> Run {
    let mut rng = seed.stream("traffic");
    let mut delivery = start();
    let mut event = Event::Evaluate(Observation::default());
    let mut population = 0;
    for hour in 1..=MAX_HOURS {
        let shares = delivery.shares();
        let step = delivery.state().live_step().expect("a run ends with the comparison");
        let hourly = UNITS_PER_DAY / 24.0 * (1.0 + 0.5 * (hour as f64 * std::f64::consts::TAU / 24.0).sin());
        let Event::Evaluate(seen) = &mut event else { unreachable!("it is an evaluation") };
        if seen.phases.len() <= step {
            let arms = Pair { treatment: arm(), control: arm() };
            seen.phases.push(Phase { step, arms, ..Phase::default() });
        }
        let phase = &mut seen.phases[step];
        let treatment = poisson(hourly * shares.treatment * candidate.arriving[0], &mut rng);
        let control = poisson(hourly * shares.control * candidate.arriving[1], &mut rng);
        let rest = if shares.rest > 0.0 { poisson(hourly * shares.rest, &mut rng) } else { 0 };
        population += treatment + control + rest;
        add(pools[0], treatment, &mut rng, &mut phase.arms.treatment);
        add(pools[1], control, &mut rng, &mut phase.arms.control);
        phase.arrivals.treatment += treatment;
        phase.arrivals.control += control;
        *phase.arrivals.rest.get_or_insert(0) += rest;
        let exposed = seen.phases.iter().map(|phase| phase.arrivals.treatment).sum();
        let decision = delivery.apply(&event, Timestamp::from_millis(hour * HOUR)).expect("a live state");
        if decision.to.is_final() || decision.held || hour == MAX_HOURS {
            let days = hour as f64 / 24.0;
            let (end, reason) = (decision.to, decision.reason);
            return Run { end, share: shares.treatment, exposed, population, days, reason };
        }
    }
    unreachable!("the last hour ends a run")
}

/// Runs on all cores; the result does not depend on their number.
fn in_parallel(runs: u64, one: impl Fn(u64) -> Run + Sync) -> Vec<Run> {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let one = &one;
    std::thread::scope(|scope| {
        let work = |core| scope.spawn(move || (core..runs).step_by(cores as usize).map(one).collect::<Vec<_>>());
        let workers: Vec<_> = (0..cores).map(work).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker does not panic")).collect()
    })
}

fn quantiles(values: &[f64]) -> String {
    let mut sorted = values.to_vec();
    let Some(middle) = median(&mut sorted) else { return "–".to_owned() };
    let late = sorted[sorted.len() * 99 / 100];
    if middle < 100.0 { format!("{middle:.1} / {late:.1}") } else { format!("{middle:.0} / {late:.0}") }
}

/// The most frequent reasons.
fn reasons(runs: &[&Run]) -> String {
    let mut counts = std::collections::BTreeMap::new();
    for run in runs {
        *counts.entry(run.reason.as_str()).or_insert(0) += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let told =
        counts.iter().take(3).map(|(reason, count)| format!("{} ({count})", reason.trim_start_matches("failed: ")));
    told.collect::<Vec<_>>().join(", ")
}

fn report(candidate: &Candidate, runs: &[Run]) {
    let of = runs.len() as u64;
    let stopped: Vec<&Run> = runs.iter().filter(|run| matches!(run.end, State::RolledBack { .. })).collect();
    let promoted: Vec<f64> = runs.iter().filter(|run| run.end == State::Promoted).map(|run| run.days).collect();
    let early = stopped.iter().filter(|run| run.share < 0.05).count() as u64;
    let held = of - stopped.len() as u64 - promoted.len() as u64;
    if candidate.is_bad {
        let exposed: Vec<f64> = stopped.iter().map(|run| run.exposed as f64).collect();
        let part: Vec<f64> = stopped.iter().map(|run| run.exposed as f64 / run.population as f64 * 100.0).collect();
        let days: Vec<f64> = stopped.iter().map(|run| run.days).collect();
        println!(
            "| {} | {} | {} | {} % | {} | {held} | {} | {} |",
            candidate.name,
            share(early, of),
            quantiles(&exposed),
            quantiles(&part),
            quantiles(&days),
            promoted.len(),
            reasons(&stopped),
        );
    } else {
        println!(
            "| {} | {} | {} | {} | {} | {} |",
            candidate.name,
            share(stopped.len() as u64, of),
            share(promoted.len() as u64, of),
            share(held, of),
            quantiles(&promoted),
            reasons(&stopped),
        );
    }
}

fn main() {
    let num_runs = runs(10_000);
    let began = Instant::now();
    let config = DeliveryConfig::default();
    println!("{num_runs} deliveries of each; median / 99th percentile.\n");
    println!("| step | share | dwell, days | population at its end |\n|---|---|---|---|");
    let mut days = 0.0;
    for step in (0..).map_while(|index| config.step(index)) {
        let (least, most) = (step.min_seconds as f64 / 86_400.0, step.max_seconds as f64 / 86_400.0);
        days += least;
        println!("| | {} % | {least} to {most} | {:.0} at least |", step.share * 100.0, days * UNITS_PER_DAY);
    }
    let none = Pool::new(NONE);
    let head = "stopped below 5 % of the traffic | units exposed | of the population | days | held | promoted | by";
    println!("\n| bad candidate | {head} |\n|---|---|---|---|---|---|---|---|");
    for (index, candidate) in CANDIDATES.iter().enumerate() {
        if index > 0 && CANDIDATES[index - 1].is_bad && !candidate.is_bad {
            let head = "wrongly stopped | promoted | waits for a person | days to promotion | stopped by";
            println!("\n| good candidate | {head} |\n|---|---|---|---|---|---|");
        }
        let changed = (candidate.change != NONE).then(|| Pool::new(candidate.change));
        let pools = [changed.as_ref().unwrap_or(&none), &none];
        let seed = Seed::new(5).derive("candidate", index as u64);
        let runs = in_parallel(num_runs, |run| deliver(candidate, pools, seed.derive("run", run)));
        report(candidate, &runs);
    }
    println!("\n{:.0} s", began.elapsed().as_secs_f64());
}
