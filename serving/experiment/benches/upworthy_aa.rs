//! False alarms on real headline tests whose viewers are dealt anew: what is found then is found by error.
//!
//! `cargo bench -p plaudit-experiment --bench upworthy_aa -- --peeks 50 --repeats 3`; reads `$PLAUDIT_DATA/upworthy`.
//!
//! Each test of the archive without a known fault of its randomisation gives all its viewers, clicks and all, to two
//! arms by a fair coin, in random order. Peeks are spread evenly over the viewers.
#![expect(clippy::print_stdout, reason = "a table for the reader of the run")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use plaudit_event::{Seed, Timestamp};
use plaudit_experiment::metrics::{
    Aggregates, Choice, Kind, MetricConfig, MetricSet, Reading, Source, UnitRow, UnitValue, analyse,
};
use plaudit_experiment::stats::{Direction, Successes};
use rand::Rng;

const ALPHA: f64 = 0.05;
const VARIANTS: [&str; 2] = ["control", "new"];

#[derive(serde::Deserialize)]
struct Test {
    randomisation_suspect: bool,
    arms: Vec<Arm>,
}

#[derive(serde::Deserialize)]
struct Arm {
    impressions: u64,
    clicks: u64,
}

fn argument(name: &str, default: u64) -> u64 {
    let mut arguments = std::env::args().skip_while(|argument| argument != name).skip(1);
    arguments.next().map_or(default, |value| value.parse().expect("a number follows the flag"))
}

#[expect(clippy::disallowed_methods, reason = "where the data lie is the caller's to say")]
fn data() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var("PLAUDIT_DATA").ok()?).join("upworthy");
    folder.is_dir().then_some(folder)
}

fn tests(path: &Path) -> Vec<Test> {
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = BufReader::new(flate2::read::GzDecoder::new(file)).lines();
    let parsed = lines.map(|line| {
        // Absent texts are written as NaN, which is no JSON.
        let line = line.expect("a gzip file").replace(": NaN", ": null");
        serde_json::from_str(&line).expect("a test of the archive")
    });
    parsed.collect()
}

fn clicked() -> MetricSet {
    let metric = MetricConfig::new("clicked", Kind::Proportion, Source::Exposures, Direction::Up);
    MetricSet { metrics: vec![metric], segments: Vec::new() }
}

fn viewer(variant: usize, has_clicked: bool) -> UnitRow {
    UnitRow {
        hash: 0,
        variant,
        phase: 0,
        weights: vec![0.5, 0.5],
        first: Timestamp::from_millis(0),
        is_carried: false,
        segments: Vec::new(),
        values: vec![Some(UnitValue {
            after: [f64::from(u8::from(has_clicked)), 1.0],
            before: [0.0, 1.0],
            events: Vec::new(),
        })],
    }
}

/// Whether a test finds something at its end and at any peek, for each method.
fn deal(set: &MetricSet, test: &Test, seed: Seed, peeks: u64) -> Vec<[bool; 2]> {
    let mut rng = seed.stream("deal");
    let (mut viewers, mut clicks) = (0, 0);
    for arm in &test.arms {
        viewers += arm.impressions;
        clicks += arm.clicks;
    }
    let rows = [0, 1].map(|variant| [viewer(variant, false), viewer(variant, true)]);
    let mut aggregates = Aggregates::new(&VARIANTS.map(str::to_owned), set);
    let mut found = vec![[false; 2]; METHODS.len()];
    let step = viewers.div_ceil(peeks).max(1);
    for left in (1..=viewers).rev() {
        // Clicks without replacement: each order of the viewers is equally likely.
        let has_clicked = rng.random_range(0..left) < clicks;
        clicks -= u64::from(has_clicked);
        let row = &rows[usize::from(rng.random_bool(0.5))][usize::from(has_clicked)];
        aggregates.row(row).expect("rows of this set");
        let seen = viewers - left + 1;
        if seen % step == 0 || left == 1 {
            for (found, (method, _)) in found.iter_mut().zip(METHODS) {
                let report = analyse(set, &aggregates, &Reading { method, alpha: ALPHA, ..Reading::default() });
                let is_found = report.rows[0].p.is_some_and(|p| p <= ALPHA);
                *found = [is_found, found[1] || is_found];
            }
        }
    }
    found
}

const METHODS: [(Choice, &str); 4] = [
    (Choice::Default, "default: exact arms"),
    (Choice::Asymptotic, "asymptotic sequence"),
    (Choice::Msprt, "msprt"),
    (Choice::Fixed, "fixed"),
];

fn main() {
    let Some(folder) = data() else {
        println!("SKIPPED: headline tests, PLAUDIT_DATA/upworthy is not there");
        return;
    };
    let peeks = argument("--peeks", 50).max(1);
    let mut all = tests(&folder.join("tests.train.jsonl.gz"));
    all.extend(tests(&folder.join("tests.test.jsonl.gz")));
    all.retain(|test| !test.randomisation_suspect);
    let viewers: u64 = all.iter().flat_map(|test| &test.arms).map(|arm| arm.impressions).sum();
    let set = clicked();
    let seed = Seed::new(argument("--seed", 1));
    let mut counts = vec![[0_u64; 2]; METHODS.len()];
    let repeats = argument("--repeats", 1).max(1);
    for dealing in 0..repeats * all.len() as u64 {
        let test = &all[dealing as usize % all.len()];
        let found = deal(&set, test, seed.derive("test", dealing), peeks);
        for (counts, found) in counts.iter_mut().zip(found) {
            for (count, is_found) in counts.iter_mut().zip(found) {
                *count += u64::from(is_found);
            }
        }
    }
    let units = repeats * all.len() as u64;
    println!(
        "{} tests, {viewers} viewers, dealt anew {repeats} times, {peeks} peeks, rejected at {:.0} %:\n",
        all.len(),
        100.0 * ALPHA
    );
    println!("| method | at the end | at any peek |");
    println!("|---|---|---|");
    for ((_, name), counts) in METHODS.iter().zip(counts) {
        let cells = counts.map(|hits| {
            let (low, high) = Successes { hits, units }.wilson(ALPHA).expect("tests");
            format!("{:.1} % ({:.1}–{:.1})", 100.0 * hits as f64 / units as f64, 100.0 * low.max(0.0), 100.0 * high)
        });
        println!("| {name} | {} | {} |", cells[0], cells[1]);
    }
}
