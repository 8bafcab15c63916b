//! The Open Bandit logs of the random policy: what a contextual policy would have earned while learning on them.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use plaudit_event::Seed;
use plaudit_experiment::adaptive::{Contextual, ContextualSettings, Features, key};
use plaudit_experiment::off_policy::{
    Candidates, Estimator, Gate, Logged, OnlineGate, OnlineRule, Resampling, Row, Sample, Verdict,
};

#[derive(serde::Deserialize)]
struct Line {
    item: u64,
    pos: u8,
    click: f64,
    p: f64,
    u: Vec<String>,
}

#[expect(clippy::disallowed_methods, reason = "where the data lie is the caller's to say")]
fn data() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var("PLAUDIT_DATA").ok()?).join("obd");
    folder.is_dir().then_some(folder)
}

fn candidates(line: &Line, items: u64) -> Vec<Features> {
    let mut about = vec![(key("pos", Some(&line.pos.to_string())), 1.0)];
    about.extend(line.u.iter().enumerate().map(|(index, value)| (key(&format!("u{index}"), Some(value)), 1.0)));
    (0..items).map(|item| Features::crossed(&about, &[(key("item", Some(&item.to_string())), 1.0)])).collect()
}

/// Each row is predicted before it is learned.
fn prequential(path: &Path, items: u64, settings: ContextualSettings) -> (Sample, OnlineGate) {
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut policy = Contextual::new(settings).expect("settings in range");
    let mut gate = OnlineGate::new(OnlineRule::default()).expect("settings in range");
    let mut rows = Vec::new();
    let behavior = vec![1.0 / items as f64; items as usize];
    for (index, line) in BufReader::new(flate2::read::GzDecoder::new(file)).lines().enumerate() {
        let line: Line = serde_json::from_str(&line.expect("a gzip file")).expect("a row of the log");
        assert!((line.p - behavior[0]).abs() < 1e-9, "the random policy is uniform");
        let candidates = candidates(&line, items);
        let evaluation = policy.propensities(&candidates, 0.5 / items as f64).expect("in range");
        let values = policy.values(&candidates);
        let action = line.item as usize;
        let of = Candidates { behavior: &behavior, evaluation: &evaluation, values: Some(&values), action };
        let row = Row::from_candidates(index, index as u64, line.click, &of).expect("candidates fit");
        gate.add(Logged { unit: row.unit, weight: row.weight(), reward: row.reward }).expect("in range");
        rows.push(row);
        let at_ms = i64::try_from(index).expect("a small number");
        policy.learn(&candidates[action], line.click, 1.0, at_ms).expect("in range");
    }
    (Sample::new(rows).expect("rows in range"), gate)
}

pub(crate) fn replay() {
    println!();
    let Some(folder) = data() else {
        println!("SKIPPED: Open Bandit data, PLAUDIT_DATA/obd is not there");
        return;
    };
    println!("Open Bandit, logs of the random policy; the contextual policy learns row after row:\n");
    println!(
        "| log | weights | rows | effective | clicks per 1,000, random | contextual, DR (bootstrap-t) | IPS | SNIPS | watched gate: improvement ≥ | verdict |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (campaign, items) in [("women", 46), ("men", 34)] {
        for dimensions in [128, 512] {
            let settings = ContextualSettings { dimensions, ..ContextualSettings::default() };
            let path = folder.join(format!("{campaign}.random.train.jsonl.gz"));
            let (sample, gate) = prequential(&path, items, settings);
            let resampling = Resampling { seed: Seed::new(1), draws: 1_000, alpha: 0.05 };
            let dr = sample.bootstrap(Estimator::Dr, resampling).expect("rows have weight");
            let value = |estimator| 1e3 * sample.evaluate(estimator).expect("rows have weight").value;
            let verdict = match sample.judge(&Gate::default()).expect("rows in range") {
                Verdict::Passed { .. } => "passed",
                Verdict::Undecided { .. } => "undecided",
                Verdict::Refused { .. } => "refused",
            };
            println!(
                "| {campaign} | {dimensions} | {} | {:.0} | {:.2} | {:.2} [{:.2}, {:.2}] | {:.2} | {:.2} | {:.2} | {verdict} |",
                sample.rows().len(),
                sample.diagnostics().effective_rows,
                1e3 * gate.served().expect("rows"),
                1e3 * dr.value,
                1e3 * dr.lower,
                1e3 * dr.upper,
                value(Estimator::Ips),
                value(Estimator::Snips),
                1e3 * gate.lower(),
            );
        }
    }
}
