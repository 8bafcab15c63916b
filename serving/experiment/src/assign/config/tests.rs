use plaudit_event::Timestamp;
use serde_json::{Value, json};

use super::*;

type Config = Definition<String>;

fn read(value: Value) -> Config {
    serde_json::from_value(value).expect("a definition")
}

/// Two layers, two experiments.
fn sound() -> Value {
    json!({
        "holdout": {"fraction": 0.05, "unit": "user"},
        "groups": {"staff": {"type": "list", "attributeKey": "email", "values": ["a@b"]}},
        "layers": [{"id": "answers", "unit": "user", "holdout": 0.1}, {"id": "looks", "unit": "session"}],
        "experiments": [
            {
                "id": "tone", "layer": "answers", "range": [0, 0.5],
                "targeting": {"country": {"$in": ["US", "CA"]}, "$not": {"$savedGroup": {"id": "staff"}}},
                "ramp": [{"from": "2026-11-01T00:00:00Z", "share": 0.01}, {"from": "2026-11-08T00:00:00Z", "share": 0.25}],
                "variants": [
                    {"id": "plain", "weight": 0.5, "policy": "champion"},
                    {"id": "warm", "weight": 0.5, "policy": "p-2", "forced": ["qa-1"]},
                ],
            },
            {
                "id": "length", "layer": "looks",
                "variants": [{"id": "long", "weight": 0.4, "policy": "l"}, {"id": "short", "weight": 0.6, "policy": "s"}],
            },
        ],
    })
}

/// `sound` with the value at a JSON pointer replaced; the parent must exist.
fn edited(pointer: &str, value: Value) -> Config {
    read(edit(sound(), pointer, value))
}

fn edit(mut definition: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let parent = definition.pointer_mut(parent).expect("the parent");
    match parent {
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => items[key.parse::<usize>().expect("an index")] = value,
        _ => parent[key] = value,
    }
    definition
}

#[test]
fn a_sound_definition_has_no_faults() {
    assert_eq!(read(sound()).validate("experiments"), []);
    assert_eq!(Config::default().validate(""), []);
}

#[test]
fn every_fault_is_named_with_its_key() {
    let faults: [(&str, Value, &str, &str); 27] = [
        ("/holdout/fraction", json!(1.0), "holdout.fraction", "without 1, got 1"),
        ("/holdout/unit", json!("house"), "holdout.unit", "`user`, `session`, `conversation`, got `house`"),
        ("/holdout/salt", json!("tone"), "experiments[0].seed", "must differ from `holdout.salt`"),
        ("/groups/staff", json!({"type": "guess"}), "groups.staff", "condition or remote"),
        (
            "/groups/staff",
            json!({"type": "condition", "condition": {"a": {"$near": 1}}}),
            "groups.staff.condition.a.$near",
            "unknown operator",
        ),
        (
            "/groups/staff",
            json!({"type": "condition", "condition": {"$savedGroup": {"id": "staff"}}}),
            "groups.staff",
            "itself",
        ),
        ("/layers/1/id", json!("answers"), "layers[1].id", "duplicate layer `answers`"),
        ("/layers/0/unit", json!("users"), "layers[0].unit", "got `users`"),
        ("/layers/0/salt", json!(""), "layers[0].salt", "must not be empty"),
        ("/layers/0/holdout", json!(0.6), "layers[0]", "at most 1, got 0.5 + 0.6"),
        ("/layers/0/holdout", json!(-0.1), "layers[0].holdout", "got -0.1"),
        ("/experiments/1/id", json!("tone"), "experiments[1].id", "duplicate experiment"),
        ("/experiments/1/layer", json!("sounds"), "experiments[1].layer", "got `sounds`"),
        ("/experiments/1/seed", json!("__answers"), "experiments[1].seed", "must differ from `layers[0].salt`"),
        ("/experiments/0/range", json!([0.5, 0.5]), "experiments[0].range", "[start, end)"),
        ("/experiments/0/range", json!([0.5, 1.0]), "experiments[0].range", "holdout at 0.9, got 1"),
        ("/experiments/0/targeting", json!({"a": {"$in": []}}), "experiments[0].targeting", "nobody can meet it"),
        ("/experiments/0/targeting", json!({"a": 1, "$and": [{"a": 2}]}), "experiments[0].targeting", "1 and 2"),
        ("/experiments/0/targeting", json!({"$savedGroup": {"id": "vip"}}), "experiments[0].targeting", "group `vip`"),
        (
            "/experiments/0/ramp/0/share",
            json!(0.6),
            "experiments[0].ramp[0].share",
            "at most the length of `range` 0.5",
        ),
        ("/experiments/0/ramp/1/share", json!(0.001), "experiments[0].ramp[1].share", "must not shrink below 0.01"),
        ("/experiments/0/ramp/1/from", json!(5), "experiments[0].ramp[1].from", "must come after"),
        ("/experiments/0/variants", json!([]), "experiments[0].variants", "2 to 32 entries, got 0"),
        (
            "/experiments/0/variants/0/weight",
            json!(0.4),
            "experiments[0].variants",
            "add up to 1 (0.99 to 1.01), got 0.9",
        ),
        ("/experiments/0/variants/0/weight", json!(-0.5), "experiments[0].variants[0].weight", "above 0"),
        ("/experiments/0/variants/0/id", json!("warm"), "experiments[0].variants[1].id", "duplicate variant `warm`"),
        (
            "/experiments/0/variants/0/forced",
            json!(["qa-1"]),
            "experiments[0].variants[1].forced",
            "forced in `experiments[0].variants[0].forced`",
        ),
    ];
    for (pointer, value, path, message) in faults {
        let problems = edited(pointer, value.clone()).validate("");
        let is_named = |problem: &Problem| problem.path == path && problem.message.contains(message);
        assert!(problems.iter().any(is_named), "{pointer} = {value}: {problems:?}");
    }
}

#[test]
fn faults_of_an_allocation_are_named_with_their_keys() {
    let with = |allocation: Value| {
        let mut definition = edit(sound(), "/experiments/1/allocation", json!({"metric": "loved"}));
        for (key, value) in allocation.as_object().expect("an object") {
            definition = edit(definition, &format!("/experiments/1/allocation/{key}"), value.clone());
        }
        read(definition).validate("").iter().map(Problem::to_string).collect::<Vec<_>>()
    };
    assert_eq!(with(json!({})), Vec::<String>::new());
    let faults = [
        (json!({"metric": ""}), "allocation.metric: must not be empty"),
        (json!({"cohorts": 1}), "allocation.cohorts: must be between 2 and 64, got 1"),
        (json!({"period_seconds": 0}), "allocation.period_seconds: must be at least 1, got 0"),
        (json!({"delta": 0.5}), "allocation.delta: must be above 0 and below 0.5, got 0.5"),
        (json!({"floor": 0.6}), "allocation.floor: must be > 0 and at most 1 / arms, got 0.6"),
        (json!({"floor": 0.001}), "allocation.floor: must be at least 0.002 with 20 cohorts, got 0.001"),
        (json!({"floor": 0.45}), "allocation: variant `long` must have at least the `floor` 0.45, got 0.4"),
        (json!({"min_units": 1}), "allocation.min_units: must be at least 2, got 1"),
        (json!({"rule": {"top_two": 1.0}}), "allocation.beta: must be in (0, 1), got 1"),
        (json!({"memory": {"half_life": 0.0}}), "allocation.half_life: must be finite and > 0, got 0"),
    ];
    for (allocation, message) in faults {
        let found = with(allocation.clone());
        assert!(matches!(&found[..], [one] if one.contains(message)), "{allocation}: {found:?}");
    }
    let mut definition = edit(sound(), "/experiments/0/allocation", json!({"metric": "loved"}));
    definition = edit(definition, "/experiments/0/rolling", json!(true));
    let found: Vec<String> = read(definition).validate("").iter().map(|problem| problem.path.clone()).collect();
    assert_eq!(found, ["experiments[0].allocation", "experiments[0].ramp"]);
}

#[test]
fn overlap_names_both_and_all_faults_come_at_once() {
    let third = json!({
        "id": "third", "layer": "answers", "range": [0.4, 0.6], "control": "none",
        "variants": [{"id": "a", "weight": 0.5, "policy": ""}, {"id": "b", "weight": 0.6, "policy": ""}],
    });
    let problems = edited("/experiments/-", third).validate("plan");
    let texts: Vec<String> = problems.iter().map(Problem::to_string).collect();
    let expected = [
        "plan.experiments[2].variants: weights must add up to 1 (0.99 to 1.01), got 1.1",
        "plan.experiments[2].control: no variant is called `none`",
        "plan.experiments[2].range: must not overlap [0, 0.5] of `tone` in the same layer, got [0.4, 0.6]",
    ];
    assert_eq!(texts, expected);
}

#[test]
fn a_share_too_small_for_its_variants_is_a_fault() {
    let rare = json!([{"id": "a", "weight": 0.99995, "policy": ""}, {"id": "b", "weight": 0.00005, "policy": ""}]);
    let problems = read(edit(sound(), "/experiments/0/variants", rare)).validate("");
    assert!(problems.iter().any(|problem| problem.path == "experiments[0].ramp[0].share"), "{problems:?}");
}

#[test]
fn numbers_that_are_none_are_faults() {
    let mut config = read(sound());
    config.experiments[0].variants[0].weight = f64::NAN;
    config.experiments[0].range = (f64::NAN, 0.5);
    config.experiments[0].ramp[0].share = f64::INFINITY;
    config.layers[0].holdout = f64::NAN;
    let paths: Vec<String> = config.validate("").into_iter().map(|problem| problem.path).collect();
    for path in [
        "layers[0].holdout",
        "experiments[0].range",
        "experiments[0].variants[0].weight",
        "experiments[0].ramp[0].share",
    ] {
        assert!(paths.iter().any(|found| found == path), "{path} in {paths:?}");
    }
}

#[test]
fn unknown_keys_and_times_are_refused() {
    assert!(serde_json::from_value::<Config>(json!({"layer": []})).is_err());
    let bad_time = edit(sound(), "/experiments/0/ramp/0/from", json!("yesterday"));
    assert!(serde_json::from_value::<Config>(bad_time).is_err());
    let millis = edited("/experiments/0/ramp/0/from", json!(1_793_491_200_000_i64));
    assert_eq!(millis.experiments[0].ramp[0].from, read(sound()).experiments[0].ramp[0].from);
}

#[test]
fn the_hash_is_that_of_the_meaning() {
    let plain = read(sound()).canonical_hash();
    // Another order of keys, white space, defaults written out, a time in milliseconds.
    let mut other: Value = serde_json::from_str(&serde_json::to_string_pretty(&sound()).expect("JSON")).expect("JSON");
    let experiment = other["experiments"][1].as_object_mut().expect("an object");
    let id = experiment.remove("id").expect("an id");
    experiment.insert("active".to_owned(), json!(true));
    experiment.insert("range".to_owned(), json!([0.0, 1]));
    experiment.insert("id".to_owned(), id);
    other["experiments"][0]["ramp"][0]["from"] = json!(1_793_491_200_000_i64);
    // Targeting and policies are kept as they were written, key by key.
    other["experiments"][0]["targeting"] =
        json!({"$not": {"$savedGroup": {"id": "staff"}}, "country": {"$in": ["US", "CA"]}});
    assert_eq!(read(other).canonical_hash(), plain);
    assert_eq!(plain.len(), 64);
    let others = [
        edited("/killed", json!(true)),
        edited("/experiments/0/variants/0/weight", json!(0.500_000_1)),
        edited("/experiments/0/targeting/country/$in", json!(["CA", "US"])),
        edited("/experiments/1/description", json!("x")),
    ];
    for other in others {
        assert_ne!(other.canonical_hash(), plain);
    }
}

fn refused(new: &Config, running: &[&str], now: i64) -> Vec<String> {
    let running: Vec<ExperimentId> = running.iter().map(|id| ExperimentId::new(*id).expect("an id")).collect();
    let refusals = check_change(&read(sound()), new, &running, Timestamp::from_millis(now));
    refusals.into_iter().map(|refusal| refusal.path).collect()
}

/// Between the two steps of the ramp.
const NOW: i64 = 1_793_600_000_000;

#[test]
fn what_keeps_every_unit_in_its_place_may_change() {
    let third = json!({
        "id": "third", "layer": "answers", "range": [0.5, 0.6],
        "variants": [{"id": "a", "weight": 0.5, "policy": ""}, {"id": "b", "weight": 0.5, "policy": ""}],
    });
    let allowed = [
        edited("/killed", json!(true)),
        edited("/layers/0/killed", json!(true)),
        edited("/layers/0/holdout", json!(0.3)),
        edited("/layers/-", json!({"id": "more", "unit": "user"})),
        edited("/experiments/-", third),
        edited("/experiments/0/description", json!("warmer answers")),
        edited("/experiments/0/active", json!(false)),
        edited("/experiments/0/killed", json!(true)),
        edited("/experiments/0/variants/0/forced", json!(["qa-2"])),
        edited("/experiments/0/ramp/1/share", json!(0.5)),
        edited("/experiments/0/ramp/1/from", json!(NOW)),
        edited("/experiments/0/ramp/-", json!({"from": NOW + 864_000_000_000_i64, "share": 0.5})),
        edited("/experiments/1/variants/0/policy", json!("other")),
        edited("/groups/pilots", json!(["x"])),
    ];
    for new in allowed {
        assert_eq!(refused(&new, &["tone"], NOW), [""; 0], "{:?}", diff(&read(sound()), &new));
    }
}

#[test]
fn what_would_move_units_is_refused_with_its_key() {
    let refusals: [(&str, Value, &str); 17] = [
        ("/holdout/fraction", json!(0.06), "holdout"),
        ("/layers/0/salt", json!("new"), "layers.answers.salt"),
        ("/layers/0/unit", json!("session"), "layers.answers.unit"),
        ("/layers/0/holdout", json!(0.05), "layers.answers.holdout"),
        ("/layers/0/id", json!("renamed"), "layers.answers"),
        ("/groups/staff/values", json!(["a@b", "c@d"]), "groups.staff"),
        ("/experiments/0/id", json!("renamed"), "experiments.tone"),
        ("/experiments/0/layer", json!("looks"), "experiments.tone.layer"),
        ("/experiments/0/range", json!([0.0, 0.6]), "experiments.tone.range"),
        ("/experiments/0/seed", json!("other"), "experiments.tone.seed"),
        ("/experiments/0/rolling", json!(true), "experiments.tone.rolling"),
        ("/experiments/0/targeting", json!({}), "experiments.tone.targeting"),
        ("/experiments/0/control", json!("warm"), "experiments.tone.control"),
        ("/experiments/0/variants/1/weight", json!(0.6), "experiments.tone.variants.warm.weight"),
        ("/experiments/0/variants/1/policy", json!("p-3"), "experiments.tone.variants.warm.policy"),
        ("/experiments/0/variants/-", json!({"id": "new", "weight": 0.1, "policy": ""}), "experiments.tone.variants"),
        ("/experiments/0/ramp/0/share", json!(0.005), "experiments.tone.ramp"),
    ];
    for (pointer, value, path) in refusals {
        let new = edited(pointer, value.clone());
        assert!(
            refused(&new, &["tone"], NOW).contains(&path.to_owned()),
            "{pointer} = {value}: {:?}",
            refused(&new, &["tone"], NOW)
        );
        // Nothing of it matters to an experiment that does not run, or that is not known.
        assert_eq!(refused(&new, &["unknown"], NOW), [""; 0]);
    }
}

#[test]
fn the_past_of_a_ramp_stands_and_its_share_never_shrinks() {
    let late = NOW + 864_000_000_000;
    assert_eq!(
        refused(&edited("/experiments/0/ramp/1/share", json!(0.2)), &["tone"], late),
        ["experiments.tone.ramp"; 2]
    );
    let all_at_once = edited("/experiments/0/ramp", json!([]));
    assert_eq!(refused(&all_at_once, &["tone"], NOW), ["experiments.tone.ramp"]);
    assert_eq!(
        refused(&edited("/experiments/0/ramp/1/from", json!(NOW - 1)), &["tone"], NOW),
        ["experiments.tone.ramp"]
    );
}

#[test]
fn a_killed_experiment_stays_killed() {
    let killed = edited("/experiments/0/killed", json!(true));
    let running = [ExperimentId::new("tone").expect("an id")];
    let refusals = check_change(&killed, &read(sound()), &running, Timestamp::from_millis(NOW));
    assert_eq!(refusals.len(), 1);
    assert!(refusals[0].to_string().starts_with("experiments.tone.killed: a killed experiment"), "{}", refusals[0]);
}

#[test]
fn an_edit_reads_as_lines() {
    let mut new = edit(sound(), "/experiments/0/variants/1/weight", json!(0.6));
    new["experiments"].as_array_mut().expect("a list").reverse();
    new["killed"] = json!(true);
    new.as_object_mut().expect("an object").remove("holdout");
    let lines: Vec<String> = diff(&read(sound()), &read(new)).iter().map(Edit::to_string).collect();
    let expected = [
        "~ experiments.tone.variants.warm.weight: 0.5 -> 0.6",
        r#"- holdout: {"fraction":0.05,"salt":"__holdout","unit":"user"}"#,
        "~ killed: false -> true",
    ];
    assert_eq!(lines, expected);
    assert_eq!(diff(&read(sound()), &read(sound())), []);
}
