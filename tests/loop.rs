//! The loop as a whole, in a world where love is common, so that a minute is enough: events come in, P[love] learns
//! them, a candidate is trained, gated and tried on users, and the report adds up.

#[path = "support/command.rs"]
mod command;

use command::succeed;
use serde_json::Value;

/// Every second answer is loved: the power calculation then asks for hundreds of units instead of thousands.
const SCENARIO: &str = "name = \"common\"\nexpected_love = 0.5\n[population]\nunits = 20000\nactivity_skew = 1.0\n\
                        [preferences]\nlove_bias = -1.6\n[delays]\nmedian_ms = 100.0\nlate = 0.0\n\
                        [faults]\nduplicates = 0.05\n";

#[test]
fn reactions_become_weights_that_users_like_better() {
    let dir = tempfile::tempdir().unwrap();
    let scenario = dir.path().join("common.toml");
    std::fs::write(&scenario, SCENARIO).unwrap();
    let data = dir.path().join("data");
    let (scenario, data) = (scenario.to_str().unwrap(), data.to_str().unwrap());
    let report: Value =
        serde_json::from_str(&succeed(&["demo", "--json", "--seed", "5", "--scenario", scenario, "--data", data]))
            .unwrap();

    let count = |key: &str| report["conservation"][key].as_u64().unwrap();
    let outcomes: u64 = ["accepted", "duplicate", "rejected", "quarantined"].into_iter().map(count).sum();
    assert_eq!(count("received"), outcomes);
    assert!(count("duplicate") > 0 && count("rejected") == 0, "{}", report["conservation"]);

    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("no number in {report:#}"));
    let [auroc, oracle] = ["auroc", "oracle_auroc"].map(|key| number(&report["reward_model"][key]));
    assert!(auroc > 0.6 && auroc < oracle + 0.02, "P[love] {auroc}, the truth {oracle}");

    let arms = report["arms"].as_array().unwrap();
    assert_eq!(arms.len(), 2, "{report:#}");
    assert_eq!([&arms[0]["role"], &arms[1]["role"]], ["control", "treatment"]);
    assert_ne!(arms[0]["policy_id"], arms[1]["policy_id"]);
    let (love, oracle) = (&report["lift"]["love"], number(&report["lift"]["oracle"]));
    assert!(oracle > 0.0, "users like the candidate better: {report:#}");
    assert!(number(&love["lower"]) < oracle && oracle < number(&love["upper"]), "{report:#}");
    let [before, after] = [&arms[0]["closing_rate"], &arms[1]["closing_rate"]].map(number);
    assert!(after <= 1.2 * before.max(0.005), "the judge holds: {before} → {after}");
    assert_eq!(report["promotions"].as_array().unwrap().len(), 1, "{report:#}");

    // What the report says can be found in the data that the demo left.
    let exposures = succeed(&["export", "exposures", "--data", data]);
    let treated = arms[1]["policy_id"].as_str().unwrap();
    let served = exposures.lines().filter(|line| line.contains(treated)).count() as u64;
    assert!(served >= arms[1]["exposures"].as_u64().unwrap(), "{served} exposures of {treated}");
    let first: Value = serde_json::from_str(exposures.lines().next().unwrap()).unwrap();
    assert!(first["data"]["token_logprobs"].is_array(), "log-probabilities are kept: {first}");
}
