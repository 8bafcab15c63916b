//! The order of a run, on definitions of our own.

use serde_json::{Value, json};

use super::*;

fn context(value: Value) -> Context {
    Context::read(&value).expect("a context")
}

fn experiment(value: Value) -> Experiment {
    serde_json::from_value(value).expect("an experiment")
}

#[test]
fn forcing_comes_before_everything_that_excludes() {
    let excluded = experiment(json!({
        "key": "e", "variations": ["a", "b"], "active": false, "coverage": 0, "condition": {"x": 1},
    }));
    let plain = context(json!({"attributes": {"id": "1"}})).run(&excluded, None);
    assert!(!plain.in_experiment);
    let forced = context(json!({"attributes": {}, "forcedVariations": {"e": 1}})).run(&excluded, None);
    assert_eq!((forced.value, forced.in_experiment, forced.hash_used), (json!("b"), true, false));
    let by_url = context(json!({"url": "http://h/?e=0", "forcedVariations": {"e": 1}})).run(&excluded, None);
    assert_eq!(by_url.value, json!("a"));
    let disabled = context(json!({"enabled": false, "forcedVariations": {"e": 1}})).run(&excluded, None);
    assert!(!disabled.in_experiment);
}

#[test]
fn pages_are_not_known_here_so_an_experiment_on_pages_includes_nobody() {
    let on_pages = experiment(json!({"key": "e", "variations": [0, 1], "urlPatterns": [{"pattern": "/a"}]}));
    assert!(!context(json!({"attributes": {"id": "1"}})).run(&on_pages, None).in_experiment);
}

#[test]
fn a_sticky_bucket_survives_weights_coverage_and_targeting() {
    let mut buckets = StickyBuckets::default();
    let user = context(json!({"attributes": {"id": "u", "plan": "pro"}}));
    let before = experiment(json!({"key": "e", "variations": [0, 1], "weights": [0, 1], "hashVersion": 2}));
    let first = user.run(&before, Some(&mut buckets));
    assert_eq!((first.variation_id, first.sticky_bucket_used), (1, false));
    let after =
        json!({"key": "e", "variations": [0, 1], "weights": [1, 0], "coverage": 0, "condition": {"plan": "free"}});
    let second = user.run(&experiment(after.clone()), Some(&mut buckets));
    assert_eq!((second.variation_id, second.in_experiment, second.sticky_bucket_used), (1, true, true));
    assert!(!user.run(&experiment(after.clone()), None).in_experiment);
    let mut blocked = after;
    blocked["minBucketVersion"] = json!(1);
    blocked["bucketVersion"] = json!(1);
    assert!(!user.run(&experiment(blocked), Some(&mut buckets)).in_experiment);
}

#[test]
fn prerequisites_that_depend_on_themselves_end() {
    let flags = json!({"features": {
        "a": {"defaultValue": 1, "rules": [{"parentConditions": [{"id": "b", "condition": {"value": 1}}], "force": 2}]},
        "b": {"defaultValue": 1, "rules": [{"parentConditions": [{"id": "a", "condition": {"value": 1}}], "force": 2}]},
    }});
    let result = context(flags).feature("a", None);
    assert_eq!((result.value, result.source), (Value::Null, Source::CyclicPrerequisite));
}

#[test]
fn a_bandit_logs_the_weights_it_decided_with_and_nothing_when_forced() {
    let mut bandit = json!({
        "attributes": {"id": "u", "plan": "pro"},
        "features": {"f": {"rules": [{"key": "e", "contextualVariations": [0, 1], "contextualBanditRef": "b", "weights": [0.5, 0.5]}]}},
        "contextualBandits": {"b": {"banditVersion": 3, "contexts": [{"leafId": 4, "condition": {"plan": "pro"}, "weights": [0, 1]}]}},
    });
    let chosen = context(bandit.clone()).feature("f", None).experiment_result.expect("in the experiment");
    let logged = chosen.bandit.expect("logged");
    assert_eq!((chosen.variation_id, logged.leaf_id, logged.variation_weights), (1, 4, vec![0.0, 1.0]));
    bandit["forcedVariations"] = json!({"e": 0});
    let forced = context(bandit.clone()).feature("f", None).experiment_result.expect("in the experiment");
    assert_eq!((forced.variation_id, forced.bandit), (0, None));
}

#[test]
fn definitions_of_the_wrong_type_are_refused() {
    assert!(Context::read(&json!({"features": {"f": {"rules": [{"weights": "half"}]}}})).is_err());
    assert!(Context::read(&json!({"forcedVariations": {"e": "b"}})).is_err());
    assert!(Context::read(&json!(null)).is_ok());
}
