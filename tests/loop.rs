//! The loop as a whole, in a world where love is common, so that a minute is enough: events come in, P[love] learns
//! them, a candidate is trained, gated and delivered to users, and the report adds up.

#[path = "support/command.rs"]
mod command;

use std::path::Path;

use command::succeed;
use serde_json::Value;

/// Every second answer is loved: the power calculation then asks for hundreds of units instead of thousands.
const SCENARIO: &str = "name = \"common\"\nexpected_love = 0.5\n[population]\nunits = 20000\nactivity_skew = 1.0\n\
                        [preferences]\nlove_bias = -1.6\n[delays]\nmedian_ms = 100.0\nlate = 0.0\n\
                        [faults]\nduplicates = 0.05\n";

/// Runs the demo in that world; `more` are further arguments.
fn demo(dir: &Path, more: &[&str]) -> Value {
    let scenario = dir.join("common.toml");
    std::fs::write(&scenario, SCENARIO).expect("a writable directory");
    let scenario = scenario.to_str().expect("UTF-8");
    // However slow the machine is, it may finish.
    let arguments = ["demo", "--json", "--seed", "5", "--max-time", "1h", "--scenario", scenario];
    serde_json::from_str(&succeed(&[&arguments, more].concat())).expect("one JSON object")
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

/// One figure of control and treatment.
fn of_arms(report: &Value, figure: &str) -> [f64; 2] {
    let arms = report["arms"].as_array().expect("arms");
    assert_eq!(arms.len(), 2, "{report:#}");
    assert_eq!([&arms[0]["role"], &arms[1]["role"]], ["control", "treatment"]);
    [number(&arms[0][figure]), number(&arms[1][figure])]
}

#[test]
fn reactions_become_weights_that_users_like_better() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    let report = demo(dir.path(), &["--data", data]);

    let count = |key: &str| report["conservation"][key].as_u64().unwrap();
    let outcomes = ["accepted", "duplicate", "rejected", "quarantined", "unavailable"];
    assert_eq!(count("received"), outcomes.into_iter().map(count).sum::<u64>());
    assert!(count("duplicate") > 0 && count("rejected") == 0, "{}", report["conservation"]);
    assert_eq!((&report["traffic"]["failures"], &report["traffic"]["lost"]), (&0.into(), &0.into()));

    let reward = &report["reward_model"];
    let [auroc, oracle] = ["auroc", "oracle_auroc"].map(|key| number(&reward[key]));
    assert!((auroc - oracle).abs() <= 0.05, "P[love] {auroc}, the truth {oracle}");
    assert!(number(&reward["ece"]) <= 0.03, "{reward}");

    let [control, treatment] = [0, 1].map(|arm: usize| report["arms"][arm]["policy_id"].as_str().unwrap());
    assert_ne!(control, treatment);
    let (love, oracle) = (&report["lift"]["love"], number(&report["lift"]["oracle"]));
    assert!(oracle > 0.0, "users like the candidate better: {report:#}");
    assert!(number(&love["lower"]) < oracle && oracle < number(&love["upper"]), "{report:#}");
    let [before, after] = of_arms(&report, "closing_rate");
    assert!(after <= 1.2 * before.max(0.005), "the judge holds: {before} → {after}");
    let [before, after] = of_arms(&report, "helpfulness");
    assert!(after >= 0.99 * before, "{before} → {after}");
    assert_eq!(report["promotions"].as_array().unwrap().len(), 1, "{report:#}");
    let steps = report["delivery"].as_array().unwrap().iter().filter(|step| step["policy_id"] == treatment);
    let steps: Vec<&str> = steps.map(|step| step["to"].as_str().unwrap()).collect();
    assert_eq!(steps, ["shadow", "canary", "ramp 1", "ramp 2", "promoted"]);

    // What the report says can be found in the data that the demo left.
    let exposures = succeed(&["export", "exposures", "--data", data]);
    let served = exposures.lines().filter(|line| line.contains(treatment)).count() as u64;
    assert!(served >= report["arms"][1]["exposures"].as_u64().unwrap(), "{served} exposures of {treatment}");
    let first: Value = serde_json::from_str(exposures.lines().next().unwrap()).unwrap();
    assert!(first["data"]["token_logprobs"].is_array(), "log-probabilities are kept: {first}");
}

#[test]
fn without_judges_the_learner_finds_the_exploit() {
    let dir = tempfile::tempdir().unwrap();
    let report = demo(dir.path(), &["--no-judges"]);
    let [before, after] = of_arms(&report, "closing_rate");
    assert!(after >= 2.0 * before, "nothing stops it: {before} → {after}");
}
