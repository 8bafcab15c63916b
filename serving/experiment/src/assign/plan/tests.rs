use plaudit_event::{ExperimentId, LayerId, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::assign::{BUCKETS, Definition};

fn compile(value: Value) -> Plan<String> {
    compile_with(value, &Compile::default())
}

fn compile_with(value: Value, compile: &Compile<'_, String>) -> Plan<String> {
    let definition: Definition<String> = serde_json::from_value(value).expect("a definition");
    Plan::compile(&definition, compile).expect("a sound definition")
}

fn experiment(id: &str, range: [f64; 2]) -> Value {
    json!({
        "id": id, "layer": "l", "range": range,
        "variants": [{"id": "a", "weight": 0.5, "policy": "one"}, {"id": "b", "weight": 0.5, "policy": "two"}],
    })
}

fn one(experiment: Value) -> Value {
    json!({"layers": [{"id": "l", "unit": "user"}], "experiments": [experiment]})
}

fn layer() -> LayerId {
    LayerId::new("l").expect("an id")
}

fn reason_at(plan: &Plan<String>, unit: &str, attributes: &Value, now: i64) -> (Reason, Option<usize>) {
    let units = [("user", unit)];
    let request = Request { units: &units, attributes, now: Timestamp::from_millis(now) };
    let decision = plan.assign_in(&layer(), request).expect("the layer");
    assert_eq!(decision.variant().is_some(), matches!(decision.reason, Reason::Split | Reason::Forced));
    assert_eq!(decision.propensity().is_some(), decision.reason == Reason::Split);
    (decision.reason, decision.variant_index())
}

fn reason(plan: &Plan<String>, unit: &str) -> Reason {
    reason_at(plan, unit, &Value::Null, 0).0
}

#[test]
fn each_reason_has_its_case() {
    let mut definition = one(experiment("e", [0.0, 0.5]));
    let first = |plan: &Plan<String>, wanted: Reason| {
        (0..1_000).map(|i| format!("u{i}")).find(|unit| reason(plan, unit) == wanted).expect("a unit with the reason")
    };
    let plan = compile(definition.clone());
    let unit = first(&plan, Reason::Split);
    first(&plan, Reason::Unreserved);
    assert_eq!(reason(&plan, ""), Reason::NoUnit);
    let with = |pointer: &str, key: &str, value: Value| {
        let mut changed = definition.clone();
        changed.pointer_mut(pointer).expect("the parent")[key] = value;
        reason(&compile(changed), &unit)
    };
    assert_eq!(with("", "killed", json!(true)), Reason::Killed);
    assert_eq!(with("/layers/0", "killed", json!(true)), Reason::Killed);
    assert_eq!(with("/layers/0", "unit", json!("session")), Reason::NoUnit);
    assert_eq!(with("/experiments/0", "killed", json!(true)), Reason::Killed);
    assert_eq!(with("/experiments/0", "active", json!(false)), Reason::Inactive);
    assert_eq!(with("/experiments/0", "targeting", json!({"x": 1})), Reason::NotTargeted);
    assert_eq!(with("/experiments/0", "ramp", json!([{"from": 1, "share": 0.5}])), Reason::NotStarted);
    assert_eq!(with("", "holdout", json!({"fraction": 0.9999, "unit": "user"})), Reason::Holdout);
    definition["layers"][0]["holdout"] = json!(0.5);
    first(&compile(definition.clone()), Reason::LayerHoldout);
    definition["experiments"][0]["ramp"] = json!([{"from": 0, "share": 0.1}]);
    first(&compile(definition), Reason::Outside);
}

#[test]
fn force_beats_all_but_kill_switches() {
    let mut definition = one(experiment("e", [0.0, 0.1]));
    definition["experiments"][0]["variants"][1]["forced"] = json!(["qa-2", "qa-1"]);
    definition["experiments"][0]["active"] = json!(false);
    definition["experiments"][0]["targeting"] = json!({"x": 1});
    definition["holdout"] = json!({"fraction": 0.9999, "unit": "user"});
    let plan = compile(definition.clone());
    for unit in ["qa-1", "qa-2"] {
        assert_eq!(reason_at(&plan, unit, &Value::Null, 0), (Reason::Forced, Some(1)));
    }
    assert_ne!(reason(&plan, "qa-3"), Reason::Forced);
    definition["experiments"][0]["killed"] = json!(true);
    assert_eq!(reason(&compile(definition), "qa-1"), Reason::Killed);
}

#[test]
fn only_a_split_has_a_propensity_and_it_is_exact() {
    let mut definition = one(experiment("e", [0.0, 1.0]));
    let third = |id: &str, weight: f64| json!({"id": id, "weight": weight, "policy": id});
    definition["experiments"][0]["variants"] = json!([third("a", 0.3334), third("b", 0.3333), third("c", 0.3333)]);
    definition["experiments"][0]["ramp"] = json!([{"from": 0, "share": 0.01}]);
    let plan = compile(definition);
    let phase = &plan.experiments(&layer())[0].phases()[0];
    // 33.34 buckets from 0, 33.33 from 3334 and from 6667: whole buckets make it 34, 34, 34.
    assert_eq!(phase.weights(), [34.0 / 102.0; 3]);
    assert_eq!(phase.enrolled(), 0.0102);
    let mut counts = [0_u32; 3];
    for i in 0..400_000 {
        let unit = format!("u{i}");
        let units = [("user", unit.as_str())];
        let request = Request { units: &units, attributes: &Value::Null, now: Timestamp::from_millis(0) };
        let decision = plan.assign_in(&layer(), request).expect("the layer");
        match decision.variant_index() {
            Some(variant) => {
                assert_eq!(decision.propensity(), Some(1.0 / 3.0));
                assert_eq!(decision.weights(), phase.weights());
                counts[variant] += 1;
            }
            None => assert_eq!(decision.propensity(), None),
        }
    }
    let total: u32 = counts.iter().sum();
    // Six standard deviations.
    assert!(total.abs_diff(4_080) < 380, "{counts:?}");
    assert!(counts.iter().all(|count| (f64::from(*count) - f64::from(total) / 3.0).abs() < 180.0), "{counts:?}");
}

#[test]
fn experiments_of_a_layer_exclude_each_other_and_layers_do_not_know_of_each_other() {
    let mut definition = one(experiment("e", [0.0, 0.4]));
    definition["experiments"].as_array_mut().expect("a list").push(experiment("f", [0.4, 0.8]));
    let mut other = experiment("g", [0.0, 1.0]);
    other["layer"] = json!("m");
    definition["experiments"].as_array_mut().expect("a list").push(other);
    definition["layers"].as_array_mut().expect("a list").push(json!({"id": "m", "unit": "user"}));
    let plan = compile(definition);
    // Units by variant of the first layer (none, two of `e`, two of `f`) and of the second.
    let mut table = [[0_u32; 2]; 5];
    let total = 200_000;
    for i in 0..total {
        let unit = format!("u{i}");
        let units = [("user", unit.as_str())];
        let request = Request { units: &units, attributes: &Value::Null, now: Timestamp::from_millis(0) };
        let decisions: Vec<_> = plan.assign(request).collect();
        let row = match (decisions[0].experiment(), decisions[0].variant_index()) {
            (Some(experiment), Some(variant)) => 1 + variant + if experiment.id().as_str() == "e" { 0 } else { 2 },
            _ => 0,
        };
        table[row][decisions[1].variant_index().expect("everybody is in it")] += 1;
    }
    let mut chi_squared = 0.0;
    for row in table {
        for count in row {
            let expected = f64::from(total) * 0.2 * 0.5;
            chi_squared += (f64::from(count) - expected).powi(2) / expected;
        }
    }
    // Nine degrees of freedom: 40 is beyond the quantile of 1 in 100,000.
    assert!(chi_squared < 40.0, "{chi_squared} {table:?}");
}

#[test]
fn runs_of_a_rolling_experiment_are_independent() {
    let mut rolling = experiment("canary", [0.0, 1.0]);
    rolling["rolling"] = json!(true);
    let id = |text: &str| ExperimentId::new(text).expect("an id");
    let run = |name: &str| {
        let runs = [Run { template: id("canary"), id: id(name), ramp: Vec::new() }];
        compile_with(one(rolling.clone()), &Compile { runs: &runs, ..Compile::default() })
    };
    assert_eq!(reason(&compile(one(rolling.clone())), "u1"), Reason::Unreserved);
    let (first, second) = (run("canary-1"), run("canary-2"));
    assert_eq!(first.experiments(&layer())[0].id().as_str(), "canary-1");
    let variant = |plan: &Plan<String>, unit: &str| reason_at(plan, unit, &Value::Null, 0).1;
    let units = (0..20_000).map(|i| format!("u{i}"));
    let num_same = units.filter(|unit| variant(&first, unit) == variant(&second, unit)).count();
    // Half of them, within six standard deviations.
    assert!(num_same.abs_diff(10_000) < 425, "{num_same}");
}

#[test]
fn a_variant_that_nobody_serves_enrols_nobody() {
    let mut three = experiment("e", [0.0, 1.0]);
    three["variants"] = json!([
        {"id": "a", "weight": 0.5, "policy": "one"}, {"id": "b", "weight": 0.25, "policy": "two"},
        {"id": "c", "weight": 0.25, "policy": "three"},
    ]);
    let without = |gone: &'static str| {
        let is_served = move |policy: &String| policy != gone;
        compile_with(one(three.clone()), &Compile { is_served: &is_served, ..Compile::default() })
    };
    let plan = without("three");
    assert_eq!(plan.experiments(&layer())[0].phases()[0].weights(), [2.0 / 3.0, 1.0 / 3.0, 0.0]);
    let reasons = |plan: &Plan<String>| (0..200).map(|i| reason(plan, &format!("u{i}"))).collect::<Vec<_>>();
    assert!(reasons(&plan).contains(&Reason::Unserved));
    assert!(reasons(&plan).contains(&Reason::Split));
    // Units of served variants do not move.
    let all = compile(one(three.clone()));
    for i in 0..200 {
        let unit = format!("u{i}");
        let (before, after) = (reason_at(&all, &unit, &Value::Null, 0).1, reason_at(&plan, &unit, &Value::Null, 0).1);
        assert_eq!(after, before.filter(|variant| *variant != 2));
    }
    // Without the control there is nothing to compare.
    let headless = without("one");
    assert!(reasons(&headless).iter().all(|reason| *reason == Reason::Unserved));
    assert!(!headless.experiments(&layer())[0].can_enrol());
}

#[test]
fn a_clock_that_goes_back_moves_nobody_to_another_variant() {
    let mut ramped = experiment("e", [0.0, 1.0]);
    ramped["ramp"] = json!([{"from": 100, "share": 0.1}, {"from": 200, "share": 0.9}]);
    let plan = compile(one(ramped));
    for i in 0..2_000 {
        let unit = format!("u{i}");
        let variant = |now| reason_at(&plan, &unit, &Value::Null, now).1;
        assert_eq!(variant(50), None);
        assert!(variant(150).is_none() || variant(150) == variant(250));
    }
}

#[test]
fn a_holdout_by_another_kind_of_unit_follows_that_unit() {
    let mut definition = one(experiment("e", [0.0, 1.0]));
    definition["layers"][0]["unit"] = json!("session");
    definition["holdout"] = json!({"fraction": 0.5, "unit": "user"});
    let plan = compile(definition);
    for user in 0..200 {
        let user = format!("u{user}");
        let held: Vec<bool> = (0..5)
            .map(|session| {
                let session = format!("s{session}");
                let units = [("session", session.as_str()), ("user", user.as_str())];
                let request = Request { units: &units, attributes: &Value::Null, now: Timestamp::from_millis(0) };
                plan.assign_in(&layer(), request).expect("the layer").reason == Reason::Holdout
            })
            .collect();
        assert!(held.iter().all(|is_held| *is_held == held[0]), "{user} {held:?}");
    }
}

#[test]
fn a_logged_decision_can_be_had_again_and_a_forged_one_cannot() {
    let mut ramped = experiment("e", [0.0, 0.8]);
    ramped["ramp"] = json!([{"from": 0, "share": 0.4}]);
    ramped["targeting"] = json!({"plan": {"$in": ["pro"]}});
    ramped["variants"][0]["forced"] = json!(["u5"]);
    let plan = compile(one(ramped.clone()));
    let attributes = json!({"plan": "pro"});
    let mut seen = std::collections::BTreeSet::new();
    for i in 0..300 {
        let unit = format!("u{i}");
        let units = [("user", unit.as_str())];
        let request = Request { units: &units, attributes: &attributes, now: Timestamp::from_millis(7) };
        let decision = plan.assign_in(&layer(), request).expect("the layer");
        let text = serde_json::to_string(&plan.log(&decision, request)).expect("JSON");
        let mut logged: Logged = serde_json::from_str(&text).expect("a log");
        assert_eq!(plan.replay(&logged, &[], &attributes), Ok(()));
        seen.insert(format!("{:?}", logged.reason));
        if logged.reason == Reason::Split {
            logged.propensity = Some(0.9);
            logged.weights = vec![0.9, 0.1];
            let fields: Vec<&str> =
                plan.replay(&logged, &[], &attributes).expect_err("forged").iter().map(|m| m.field).collect();
            assert_eq!(fields, ["weights", "propensity"]);
            assert!(plan.replay(&logged, &[], &json!({"plan": "free"})).is_err());
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["Forced", "Outside", "Split", "Unreserved"]);
    let units = [("user", "u1")];
    let request = Request { units: &units, attributes: &attributes, now: Timestamp::from_millis(7) };
    let logged = plan.log(&plan.assign_in(&layer(), request).expect("the layer"), request);
    ramped["seed"] = json!("another");
    let fields: Vec<&str> = compile(one(ramped))
        .replay(&logged, &[], &attributes)
        .expect_err("another definition")
        .iter()
        .map(|m| m.field)
        .collect();
    assert!(fields.contains(&"definition"), "{fields:?}");
}

#[test]
fn a_faulty_definition_does_not_compile() {
    let definition: Definition<String> =
        serde_json::from_value(one(experiment("e", [0.5, 0.2]))).expect("a definition");
    assert_eq!(Plan::compile(&definition, &Compile::default()).expect_err("a fault").len(), 1);
}

#[test]
fn buckets_agree_with_the_published_ranges() {
    let weights = [0.2, 0.3, 0.5];
    for coverage in [0.0, 0.01, 0.29, 0.48, 0.72, 1.0] {
        let ranges = crate::assign::bucket_ranges(3, coverage, Some(&weights));
        for (range, (start, end)) in ranges.iter().zip(realise(coverage, &weights)) {
            for bucket in 0..BUCKETS {
                let position = f64::from(bucket) / f64::from(BUCKETS);
                assert_eq!(
                    crate::assign::in_range(position, *range),
                    (start..end).contains(&bucket),
                    "{coverage} {bucket}"
                );
            }
        }
    }
}

proptest! {
    #[test]
    fn a_growing_share_only_appends(
        raw in prop::collection::vec(1_u32..100, 2..6),
        shares in prop::collection::vec(0.0_f64..=1.0, 2..6),
    ) {
        let total: u32 = raw.iter().sum();
        let weights: Vec<f64> = raw.iter().map(|weight| f64::from(*weight) / f64::from(total)).collect();
        let mut shares = shares;
        shares.sort_by(f64::total_cmp);
        let steps: Vec<Vec<(u32, u32)>> = shares.iter().map(|share| realise(*share, &weights)).collect();
        for pair in steps.windows(2) {
            for (before, after) in pair[0].iter().zip(&pair[1]) {
                prop_assert!(before.0 == after.0 && before.1 <= after.1);
            }
        }
        // Parts never overlap, whatever the rounding.
        for step in &steps {
            for pair in step.windows(2) {
                prop_assert!(pair[0].1 <= pair[1].0);
            }
            prop_assert!(step.last().is_some_and(|(_, end)| *end <= BUCKETS));
        }
    }
}
