//! What intervals cover and how close lower bounds come at love-like base rates; and whether a real log that says
//! nothing about a policy is refused.
//!
//! `cargo bench -p plaudit-experiment --bench off_policy -- --runs 400`; the second part reads `$PLAUDIT_DATA/obd`.
#![expect(clippy::print_stdout, reason = "a table for the reader of the run")]

#[path = "support/simulation.rs"]
mod simulation;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use plaudit_event::Seed;
use plaudit_experiment::off_policy::{
    Candidates, Estimator, Gate, Limits, LowerBound, Resampling, Row, Sample, Verdict,
};
use rand::Rng;
use simulation::{median, runs, share};

const CONTEXTS: usize = 50;

struct Setup {
    name: &'static str,
    units: usize,
    rows_per_unit: usize,
    actions: usize,
    base: f64,
    /// How much sharper than the serving policy the evaluated one is.
    sharpness: f64,
}

const SETUPS: [Setup; 5] = [
    Setup { name: "500 × 1, 5 actions, .05", units: 500, rows_per_unit: 1, actions: 5, base: 0.05, sharpness: 1.0 },
    Setup { name: "2,000 × 1, 10, .05", units: 2_000, rows_per_unit: 1, actions: 10, base: 0.05, sharpness: 1.0 },
    Setup {
        name: "2,000 × 1, 10, .02, peaky",
        units: 2_000,
        rows_per_unit: 1,
        actions: 10,
        base: 0.02,
        sharpness: 2.0,
    },
    Setup { name: "10,000 × 1, 20, .05", units: 10_000, rows_per_unit: 1, actions: 20, base: 0.05, sharpness: 1.0 },
    Setup { name: "500 × 8, 10, .05", units: 500, rows_per_unit: 8, actions: 10, base: 0.05, sharpness: 1.0 },
];

/// Both policies and the true rates, per context.
struct World {
    behavior: Vec<Vec<f64>>,
    evaluation: Vec<Vec<f64>>,
    rates: Vec<Vec<f64>>,
    /// What a model fitted elsewhere would say.
    values: Vec<Vec<f64>>,
}

fn softmax(scores: &[f64], scale: f64) -> Vec<f64> {
    let worth: Vec<f64> = scores.iter().map(|score| (score * scale).exp()).collect();
    let sum: f64 = worth.iter().sum();
    // Mixed with even shares, so that every action keeps a tenth of its even share.
    worth.iter().map(|worth| 0.9 * worth / sum + 0.1 / scores.len() as f64).collect()
}

impl World {
    fn new(setup: &Setup, seed: Seed) -> Self {
        let mut rng = seed.stream("world");
        let mut matrix = |low: f64, high: f64| -> Vec<Vec<f64>> {
            let mut row = || (0..setup.actions).map(|_| rng.random_range(low..high)).collect();
            (0..CONTEXTS).map(|_| row()).collect()
        };
        let (serving, evaluated, noise) = (matrix(-1.0, 1.0), matrix(-1.0, 1.0), matrix(0.6, 1.4));
        let rates: Vec<Vec<f64>> =
            matrix(0.2, 1.8).iter().map(|row| row.iter().map(|x| x * setup.base).collect()).collect();
        let noisy = |(rates, noise): (&Vec<f64>, &Vec<f64>)| rates.iter().zip(noise).map(|(a, b)| a * b).collect();
        let values = rates.iter().zip(&noise).map(noisy).collect();
        Self {
            behavior: serving.iter().map(|scores| softmax(scores, 1.0)).collect(),
            evaluation: evaluated.iter().map(|scores| softmax(scores, setup.sharpness)).collect(),
            rates,
            values,
        }
    }

    fn truth(&self) -> f64 {
        let rows = self.evaluation.iter().zip(&self.rates);
        rows.map(|(policy, rates)| policy.iter().zip(rates).map(|(p, r)| p * r).sum::<f64>()).sum::<f64>()
            / CONTEXTS as f64
    }

    fn weight_max(&self) -> f64 {
        let pairs = self.evaluation.iter().flatten().zip(self.behavior.iter().flatten());
        pairs.map(|(evaluation, behavior)| evaluation / behavior).fold(1.0, f64::max)
    }

    fn log(&self, setup: &Setup, seed: Seed) -> Sample {
        let mut rng = seed.stream("log");
        let mut rows = Vec::with_capacity(setup.units * setup.rows_per_unit);
        for unit in 0..setup.units {
            // Units differ in how easily they love; the factor has mean 1.
            let personal = if rng.random_bool(0.25) { 2.5 } else { 0.5 };
            for _ in 0..setup.rows_per_unit {
                let context = rng.random_range(0..CONTEXTS);
                let mut left: f64 = rng.random();
                let chosen = self.behavior[context].iter().position(|p| {
                    left -= p;
                    left < 0.0
                });
                let action = chosen.unwrap_or(0);
                let reward = f64::from(u8::from(rng.random_bool(personal * self.rates[context][action])));
                let of = Candidates {
                    behavior: &self.behavior[context],
                    evaluation: &self.evaluation[context],
                    values: Some(&self.values[context]),
                    action,
                };
                rows.push(Row::from_candidates(rows.len(), unit as u64, reward, &of).expect("candidates fit"));
            }
        }
        Sample::new(rows).expect("rows in range")
    }
}

const INTERVALS: [(&str, Estimator, bool); 6] = [
    ("IPS delta", Estimator::Ips, false),
    ("IPS bootstrap-t", Estimator::Ips, true),
    ("SNIPS delta", Estimator::Snips, false),
    ("SNIPS bootstrap-t", Estimator::Snips, true),
    ("DR delta", Estimator::Dr, false),
    ("DR bootstrap-t", Estimator::Dr, true),
];

const BOUNDS: [(&str, LowerBound); 4] = [
    ("Student t", LowerBound::StudentT),
    ("Hoeffding", LowerBound::Hoeffding),
    ("Bernstein", LowerBound::EmpiricalBernstein),
    ("betting", LowerBound::Betting),
];

fn intervals(runs: u64) {
    println!("| units × rows, actions, base rate | interval | covers (95 %) | width / value |");
    println!("|---|---|---|---|");
    for setup in &SETUPS {
        let (mut covered, mut widths) = ([0; INTERVALS.len()], [0.0; INTERVALS.len()]);
        for index in 0..runs {
            let world = World::new(setup, Seed::new(index));
            let (sample, truth) = (world.log(setup, Seed::new(index)), world.truth());
            let resampling = Resampling { seed: Seed::new(index), draws: 400, alpha: 0.05 };
            for (kind, (_, estimator, resamples)) in INTERVALS.into_iter().enumerate() {
                let interval = if resamples {
                    sample.bootstrap(estimator, resampling)
                } else {
                    sample.evaluate(estimator).and_then(|evaluation| evaluation.interval(0.05))
                };
                let interval = interval.expect("rows have weight");
                covered[kind] += u64::from(interval.lower <= truth && truth <= interval.upper);
                widths[kind] += (interval.upper - interval.lower) / truth / runs as f64;
            }
        }
        for (kind, (name, ..)) in INTERVALS.into_iter().enumerate() {
            println!("| {} | {name} | {} | {:.2} |", setup.name, share(covered[kind], runs), widths[kind]);
        }
    }
}

fn bounds(runs: u64) {
    println!(
        "\n| units × rows, actions, base rate | lower bound of IPS | valid (95 %) | median slack / value | above zero |"
    );
    println!("|---|---|---|---|---|");
    for setup in &SETUPS {
        for (name, bound) in BOUNDS {
            let (mut valid, mut positive, mut slacks) = (0, 0, Vec::new());
            for index in 0..runs {
                let world = World::new(setup, Seed::new(index));
                let (sample, truth) = (world.log(setup, Seed::new(index)), world.truth());
                let gate = Gate { bound, weight_max: Some(world.weight_max()), ..Gate::default() };
                let lower = sample.lower_bound(&gate).expect("rows in range");
                valid += u64::from(lower <= truth);
                positive += u64::from(lower > 0.0);
                slacks.push((truth - lower) / truth);
            }
            let slack = median(&mut slacks).unwrap_or(f64::NAN);
            println!("| {} | {name} | {} | {slack:.2} | {} |", setup.name, share(valid, runs), share(positive, runs));
        }
    }
}

#[derive(serde::Deserialize)]
struct Logged {
    click: f64,
    p: f64,
}

fn read(path: &Path, evaluation: f64) -> Sample {
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = BufReader::new(flate2::read::GzDecoder::new(file)).lines();
    let row = |(index, line): (usize, Result<String, std::io::Error>)| {
        let logged: Logged = serde_json::from_str(&line.expect("a gzip file")).expect("a row of the log");
        Row {
            unit: index as u64,
            reward: logged.click,
            propensity: logged.p,
            evaluation,
            model: None,
            unsupported: None,
        }
    };
    Sample::new(lines.enumerate().map(row).collect()).expect("rows in range")
}

#[expect(clippy::disallowed_methods, reason = "where the data lie is the caller's to say")]
fn data() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var("PLAUDIT_DATA").ok()?).join("obd");
    folder.is_dir().then_some(folder)
}

fn open_bandit() {
    println!();
    let Some(folder) = data() else {
        println!("SKIPPED: Open Bandit data, PLAUDIT_DATA/obd is not there");
        return;
    };
    println!("| log → policy | rows | effective rows | largest weight (share) | mean weight | IPS | SNIPS | verdict |");
    println!("|---|---|---|---|---|---|---|---|");
    let logs = [("women", 46.0, "bts"), ("men", 34.0, "bts"), ("women", 46.0, "random"), ("men", 34.0, "random")];
    for (campaign, items, policy) in logs {
        let sample = read(&folder.join(format!("{campaign}.{policy}.train.jsonl.gz")), 1.0 / items);
        let value = |estimator| sample.evaluate(estimator).expect("rows have weight").value;
        let gate = Gate { limits: Limits::default(), ..Gate::default() };
        let verdict = match sample.judge(&gate).expect("rows in range") {
            Verdict::Passed { lower, .. } => format!("passed, improvement ≥ {lower:.5}"),
            Verdict::Undecided { lower, .. } => format!("undecided, improvement ≥ {lower:.5}"),
            Verdict::Refused { reasons, .. } => {
                let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
                format!("refused: {}", reasons.join("; "))
            }
        };
        let diagnostics = sample.diagnostics();
        println!(
            "| {campaign} {policy} → uniform | {} | {:.1} | {:.1} ({:.1} %) | {:.3} ± {:.3} | {:.5} | {:.5} | {verdict} |",
            diagnostics.rows,
            diagnostics.effective_rows,
            diagnostics.max_weight,
            diagnostics.max_weight_share * 100.0,
            diagnostics.mean_weight,
            diagnostics.mean_weight_error,
            value(Estimator::Ips),
            value(Estimator::Snips),
        );
    }
}

fn main() {
    let runs = runs(100);
    println!("{runs} runs\n");
    intervals(runs);
    bounds(runs);
    open_bandit();
}
