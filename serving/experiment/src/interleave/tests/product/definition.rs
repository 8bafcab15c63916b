//! Faults of a definition, and what of it stays while it runs.

use super::*;
use crate::assign::{Definition, check_change};

#[test]
fn every_fault_of_a_definition_is_named_at_once() {
    let bad = config(&json!({
        "method": "optimised", "policies": ["a", "a", "b"], "length": 11, "clicks": [], "window_minutes": 0, "days": 91,
        "alpha": 0.5, "seed": "",
    }));
    let definition =
        Definition::<String> { interleavings: vec![bad, config(&json!({"length": 101}))], ..Definition::default() };
    let found = definition.validate("x");
    let told: Vec<String> = found.iter().map(ToString::to_string).collect();
    let expected = [
        ("x.interleavings[0].policies", "must be 2 policies when `optimised`, got 3"),
        ("x.interleavings[0].policies[1]", "got `a`"),
        ("x.interleavings[0].length", "must be 1 to 10, got 11"),
        ("x.interleavings[0].clicks", "at least one"),
        ("x.interleavings[0].window_minutes", "must be 1 to 43200, got 0"),
        ("x.interleavings[0].days", "must be 1 to 90, got 91"),
        ("x.interleavings[0].alpha", "must be above 0 and below 0.5, got 0.5"),
        ("x.interleavings[0].seed", "must be 1 to 128 bytes, got 0 bytes"),
        ("x.interleavings[1].id", "duplicate experiment `ranker-2`"),
        ("x.interleavings[1].length", "must be 1 to 100, got 101"),
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, (path, message)) in told.iter().zip(expected) {
        assert!(told.starts_with(&format!("{path}: ")) && told.contains(message), "{told}");
    }
    let unknown = json!({"id": "a", "method": "balanced", "policies": ["a", "b"]});
    let refused = serde_json::from_value::<InterleavingConfig>(unknown).unwrap_err().to_string();
    assert!(refused.contains("`team_draft` or `optimised`"), "{refused}");
}

#[test]
fn what_is_compared_stays_while_it_runs() {
    let now = Timestamp::from_millis(START);
    let of = |more: Value| Definition::<String> { interleavings: vec![config(&more)], ..Definition::default() };
    let before = of(json!({}));
    let running = [before.interleavings[0].id.clone()];
    let refused = |after: &Definition<String>| {
        let refusals = check_change(&before, after, &running, now);
        refusals.into_iter().map(|refusal| refusal.path).collect::<Vec<_>>()
    };
    assert!(refused(&of(json!({"active": false, "description": "x", "seed": "ranker-2"}))).is_empty());
    assert!(refused(&of(json!({"killed": true}))).is_empty());
    let other = of(json!({"policies": ["old", "newest"], "alpha": 0.1, "days": 2}));
    let expected = ["policies", "days", "alpha"].map(|key| format!("interleavings.ranker-2.{key}"));
    assert_eq!(refused(&other), expected);
    assert_eq!(refused(&Definition::default()), ["interleavings.ranker-2"]);
    assert!(check_change(&before, &other, &[], now).is_empty());
    assert_ne!(before.interleavings[0].mixture_id(), other.interleavings[0].mixture_id());
    // A definition without interleavings has the hash that it always had.
    let plain = serde_json::to_value(Definition::<String>::default()).unwrap();
    assert_eq!(plain.get("interleavings"), None);
}
