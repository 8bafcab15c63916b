//! One test per operator and edge, on inputs of our own.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn holds(condition: &Value, attributes: &Value) -> bool {
    Condition::read(condition).holds(attributes, &Groups::default())
}

/// `(operand, attribute, expected)` of one operator; the attribute is missing where it is `None`.
fn table(operator: &str, cases: &[(Value, Option<Value>, bool)]) {
    for (operand, attribute, expected) in cases {
        let attributes = attribute.as_ref().map_or(json!({}), |value| json!({ "x": value }));
        let test = json!({ "x": { operator: operand } });
        assert_eq!(holds(&test, &attributes), *expected, "{test} on {attributes}");
        // Every operator here is decided, so `$not` is its opposite.
        assert_eq!(holds(&json!({ "$not": test }), &attributes), !expected, "$not {test} on {attributes}");
    }
}

#[test]
fn equality_never_converts() {
    table(
        "$eq",
        &[
            (json!("a"), Some(json!("a")), true),
            (json!("a"), Some(json!("A")), false),
            (json!(2), Some(json!(2.0)), true),
            (json!(2), Some(json!("2")), false),
            (json!(true), Some(json!(1)), false),
            (json!(null), None, true),
            (json!(0), None, false),
            (json!([1]), Some(json!([1])), false),
        ],
    );
    table("$ne", &[(json!(2), Some(json!(2.0)), false), (json!(2), Some(json!("2")), true), (json!(2), None, true)]);
}

#[test]
fn order_needs_two_numbers_or_two_texts() {
    table(
        "$gt",
        &[
            (json!(5), Some(json!(6)), true),
            (json!(5), Some(json!(5)), false),
            (json!("b"), Some(json!("c")), true),
            (json!(5), Some(json!("6")), false),
            (json!(5), None, false),
            (json!(false), Some(json!(true)), false),
        ],
    );
    table("$gte", &[(json!(5), Some(json!(5)), true), (json!(5), Some(json!(4)), false)]);
    table("$lt", &[(json!("10"), Some(json!("9")), false), (json!(10), Some(json!(9)), true)]);
    table("$lte", &[(json!(9), Some(json!(9)), true), (json!(9), Some(json!([9])), false)]);
    // By UTF-16 code units: a pair of surrogates (D83D ...) comes before U+FF5E, though not by code point.
    table("$lt", &[(json!("～"), Some(json!("😀")), true)]);
}

#[test]
fn membership_looks_into_lists() {
    table(
        "$in",
        &[
            (json!([1, 2]), Some(json!(2.0)), true),
            (json!([1, 2]), Some(json!([5, 2])), true),
            (json!([1, 2]), Some(json!([])), false),
            (json!([]), Some(json!(1)), false),
            (json!([null]), None, true),
            (json!([[1]]), Some(json!([[1]])), false),
            (json!("ab"), Some(json!("a")), false),
        ],
    );
    table(
        "$nin",
        &[(json!([1]), Some(json!(2)), true), (json!([1]), None, true), (json!([1]), Some(json!([2, 1])), false)],
    );
    table("$ini", &[(json!(["ÜBER"]), Some(json!("über")), true), (json!([1]), Some(json!("1")), false)]);
    table("$nini", &[(json!(["us"]), Some(json!("US")), false), (json!(["us"]), Some(json!("FR")), true)]);
    // Without a list neither holds.
    assert!(!holds(&json!({"x": {"$nin": 1}}), &json!({"x": 2})));
}

#[test]
fn lists_are_searched_and_measured() {
    table(
        "$all",
        &[
            (json!(["a", "b"]), Some(json!(["b", "c", "a"])), true),
            (json!(["a", "d"]), Some(json!(["b", "c", "a"])), false),
            (json!([]), Some(json!([])), true),
            (json!([{"$gt": 3}]), Some(json!([1, 4])), true),
            (json!([[1]]), Some(json!([[1.0]])), true),
            (json!(["a"]), Some(json!("a")), false),
        ],
    );
    table("$alli", &[(json!(["a"]), Some(json!(["A"])), true), (json!(["a"]), Some(json!(["b"])), false)]);
    table(
        "$size",
        &[
            (json!(2), Some(json!([0, 0])), true),
            (json!({"$gte": 3}), Some(json!([0, 0])), false),
            (json!(2), Some(json!("ab")), false),
        ],
    );
    table(
        "$elemMatch",
        &[
            (json!({"$gt": 3}), Some(json!([1, 4])), true),
            (json!({"a": 1, "b": 2}), Some(json!([{"a": 1}, {"b": 2}])), false),
            (json!({"a": 1, "b": 2}), Some(json!([{"a": 1, "b": 2}])), true),
            (json!({"$or": [{"a": 1}]}), Some(json!([{"a": 2}, {"a": 1}])), true),
            (json!({"$eq": null}), Some(json!([null])), false),
            (json!({"0": 7, "length": 1}), Some(json!([[7]])), true),
            (json!({"a": null}), Some(json!([5])), true),
            (json!({"$gt": 3}), Some(json!(4)), false),
            (json!(5), Some(json!([5])), false),
        ],
    );
}

#[test]
fn presence_and_type_take_null_for_missing() {
    table(
        "$exists",
        &[
            (json!(true), Some(json!(0)), true),
            (json!(true), Some(json!(null)), false),
            (json!(false), None, true),
            (json!(false), Some(json!("")), false),
        ],
    );
    let types = [json!(null), json!(true), json!(1.5), json!("t"), json!([]), json!({})];
    for (index, name) in ["null", "boolean", "number", "string", "array", "object"].into_iter().enumerate() {
        for (other, value) in types.iter().enumerate() {
            assert_eq!(holds(&json!({"x": {"$type": name}}), &json!({ "x": value })), index == other, "{name} {value}");
        }
    }
}

#[test]
fn patterns_match_texts_only() {
    table(
        "$regex",
        &[(json!("^a.c$"), Some(json!("abc")), true), (json!("5"), Some(json!(5)), false), (json!("("), None, false)],
    );
    table("$regexi", &[(json!("É"), Some(json!("école")), true), (json!("b"), Some(json!("école")), false)]);
    table("$notRegex", &[(json!("b"), Some(json!("abc")), false), (json!("b"), None, true), (json!("("), None, true)]);
    table("$notRegexi", &[(json!("B"), Some(json!("abc")), false), (json!("x"), Some(json!("abc")), true)]);
}

#[test]
fn versions_compare_texts_or_numbers() {
    table(
        "$vgt",
        &[
            (json!("1.9.0"), Some(json!("1.10.0")), true),
            (json!("1.0.0-rc.1"), Some(json!("1.0.0")), true),
            (json!("1"), Some(json!(2)), false),
            (json!(1), Some(json!(2)), true),
            (json!("1"), None, false),
        ],
    );
    table("$vgte", &[(json!("1.0"), Some(json!("v1.0")), true)]);
    table("$vlt", &[(json!("2.0.0"), Some(json!("2.0.0-beta")), true)]);
    table("$vlte", &[(json!("2.0.0"), Some(json!("2.0.1")), false)]);
    table("$veq", &[(json!("1.2.3"), Some(json!("1.2.3+build")), true), (json!("0"), Some(json!("")), true)]);
    table("$vne", &[(json!("1.2.3"), Some(json!("1.2.3+build")), false), (json!("1"), None, true)]);
}

#[test]
fn conditions_combine() {
    let user = json!({"a": 1, "b": {"c": [7, 8]}});
    assert!(holds(&json!({"$and": [{"a": 1}, {"b.c.1": 8}], "$nor": [{"a": 2}]}), &user));
    assert!(holds(&json!({"$or": [{"a": 2}, {"b.c.length": 2}]}), &user));
    assert!(!holds(&json!({"$or": [{"a": 2}, {"b.c.01": 8}]}), &user));
    assert!(holds(&json!({"$or": [], "$and": []}), &user));
    assert!(!holds(&json!({"$nor": []}), &user));
    assert!(holds(&json!({"a": {"$not": {"$gt": 1}}}), &user));
    assert!(!holds(&json!({"a": {"$not": 1}}), &user));
    assert!(holds(&json!({"b": {"c": [7.0, 8]}}), &user));
    assert!(holds(&json!({"a": {}}), &json!({})));
}

#[test]
fn what_is_not_understood_lets_nobody_in() {
    let user = json!({"a": 1});
    for condition in [
        json!({"a": {"$near": 1}}),
        json!({"$not": {"a": {"$near": 1}}}),
        json!({"$nor": [{"a": {"$near": 1}}]}),
        json!({"$not": null}),
        json!({"$not": {"$and": null}}),
        json!({"$or": [null, {"a": 1}]}),
        json!({"$not": {"$savedGroup": {"id": "later"}}}),
        json!(null),
        json!(["a"]),
    ] {
        let groups = Groups::read(&json!({"later": {"type": "later"}}));
        assert!(!Condition::read(&condition).holds(&user, &groups), "{condition}");
    }
    // Where something else decides, it does not matter.
    assert!(holds(&json!({"$or": [{"a": {"$near": 1}}, {"a": 1}]}), &user));
}

#[test]
fn groups_are_lists_conditions_or_somebody_elses() {
    let groups = Groups::read(&json!({
        "list": {"type": "list", "attributeKey": "id", "values": ["u1"]},
        "paying": {"type": "condition", "condition": {"plan": {"$ne": "free"}}},
        "both": {"type": "condition", "condition": {"$savedGroup": {"id": "paying"}, "id": {"$inGroup": "list"}}},
        "loop": {"type": "condition", "condition": {"$savedGroup": {"id": "loop"}}},
        "remote": {"type": "remote", "attributeKey": "id"},
        "bare": ["u1"],
    }));
    let holds = |condition: Value, user: Value| Condition::read(&condition).holds(&user, &groups);
    let in_group = |id: &str| json!({"$savedGroup": {"id": id}});
    assert!(holds(in_group("both"), json!({"id": "u1", "plan": "pro"})));
    assert!(!holds(in_group("both"), json!({"id": "u1", "plan": "free"})));
    assert!(!holds(in_group("loop"), json!({})));
    assert!(holds(json!({"$not": in_group("loop")}), json!({})));
    assert!(holds(in_group("remote"), json!({"__gb_remoteGroupIds": ["remote"]})));
    assert!(!holds(in_group("remote"), json!({"__gb_remoteGroupIds": "remote"})));
    assert!(!holds(in_group("bare"), json!({"id": "u1"})));
    assert!(holds(json!({"id": {"$inGroup": "bare"}}), json!({"id": "u1"})));
    assert!(holds(json!({"id": {"$notInGroup": "nobody"}}), json!({"id": "u1"})));
    assert!(!holds(json!({"id": {"$notInGroup": "paying"}}), json!({"id": "u1"})));
    assert!(holds(json!({"$savedGroup": {"id": "list", "attributeKey": "owner"}}), json!({"owner": "u1"})));
}

#[test]
fn groups_that_multiply_end_and_let_nobody_in() {
    let mut groups = serde_json::Map::new();
    for level in 0..40 {
        let next = json!({"$savedGroup": {"id": format!("g{}", level + 1)}});
        groups.insert(format!("g{level}"), json!({"type": "condition", "condition": {"$and": [next, next]}}));
    }
    groups.insert("g40".to_owned(), json!({"type": "condition", "condition": {"a": 1}}));
    let groups = Groups::read(&Value::Object(groups));
    let condition = json!({"$savedGroup": {"id": "g0"}});
    assert!(!Condition::read(&condition).holds(&json!({"a": 1}), &groups));
    assert!(!Condition::read(&json!({ "$not": condition })).holds(&json!({"a": 1}), &groups));
    assert_eq!(prune(&condition, &json!({"a": 1}), &groups), Pruned::Left(condition));
    assert!(Condition::read(&json!({"$savedGroup": {"id": "g31"}})).holds(&json!({"a": 1}), &groups));
}

#[test]
fn a_condition_of_our_own_is_refused_with_every_fault() {
    let errors = Condition::parse(&json!({
        "age": {"$gt": [1], "$near": 5},
        "$or": [{"name": {"$regex": "("}}, 7],
        "$xor": [],
        "tags": {"$in": "a", "$exists": "yes", "$veq": 2},
        "$savedGroup": "vip",
    }))
    .expect_err("faults");
    let paths: Vec<&str> = errors.iter().map(|error| error.path.as_str()).collect();
    let expected = [
        "age.$gt",
        "age.$near",
        "$or.0.name.$regex",
        "$or.1",
        "$xor",
        "tags.$in",
        "tags.$exists",
        "tags.$veq",
        "$savedGroup",
    ];
    assert_eq!(paths, expected, "{errors:?}");
    assert!(errors[1].to_string().contains("unknown operator `$near`"), "{}", errors[1]);
}

#[test]
fn nesting_has_a_limit() {
    let mut deep = json!({"a": 1});
    for _ in 0..500 {
        deep = json!({ "$not": deep });
    }
    assert!(Condition::parse(&deep).is_err());
    assert!(Condition::parse(&json!({"$not": {"$not": {"a": 1}}})).is_ok());
}

#[test]
fn plain_contradictions_are_seen() {
    let contradiction = |condition: Value| Condition::parse(&condition).expect("valid").contradiction();
    for condition in [
        json!({"x": {"$in": []}}),
        json!({"x": 1, "$and": [{"x": {"$eq": 2}}]}),
        json!({"x": {"$gt": 5, "$lt": 5}}),
        json!({"x": {"$gte": 5, "$lt": 5}}),
        json!({"x": {"$gt": 5}, "$and": [{"x": 5}]}),
        json!({"$or": [{"x": {"$in": []}}, {"x": {"$gt": 2, "$lt": 1}}]}),
        json!({"$nor": []}),
        json!({"$not": {}}),
    ] {
        assert!(contradiction(condition.clone()).is_some(), "{condition}");
    }
    for condition in [
        json!({}),
        json!({"x": {"$gte": 5, "$lte": 5}}),
        json!({"x": {"$gt": 1, "$lt": 2}}),
        json!({"$or": [{"x": {"$in": []}}, {"x": 1}]}),
        json!({"x": 5, "$and": [{"x": 5.0}]}),
        json!({"x": 1, "y": 2}),
    ] {
        assert_eq!(contradiction(condition.clone()), None, "{condition}");
    }
}

fn leaf() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["a", "b", "c"]);
    let value = prop::sample::select(vec![json!(1), json!(2), json!("x"), json!(null)]);
    let operator = prop::sample::select(vec!["$eq", "$ne", "$gt", "$lte"]);
    (name, operator, value).prop_map(|(name, operator, value)| json!({ name: { operator: value } }))
}

fn condition() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 24, 3, |inner| {
        let join = prop::sample::select(vec!["$and", "$or", "$nor"]);
        let list = prop::collection::vec(inner.clone(), 0..3);
        prop_oneof![
            (join, list).prop_map(|(join, list)| json!({ join: list })),
            inner.prop_map(|condition| json!({ "$not": condition })),
        ]
    })
}

fn user() -> impl Strategy<Value = Value> {
    let value = || prop::sample::select(vec![json!(1), json!(2), json!("x"), json!(null)]);
    (value(), value(), value()).prop_map(|(a, b, c)| json!({"a": a, "b": b, "c": c}))
}

proptest! {
    #[test]
    fn pruning_never_changes_the_answer(condition in condition(), user in user(), known in 0_usize..8) {
        let full = user.as_object().expect("an object");
        let part = full.iter().enumerate().filter(|(index, _)| known & (1 << index) != 0);
        let part: serde_json::Map<String, Value> = part.map(|(_, (key, value))| (key.clone(), value.clone())).collect();
        let expected = holds(&condition, &user);
        let pruned = match prune(&condition, &Value::Object(part), &Groups::default()) {
            Pruned::Always => true,
            Pruned::Never => false,
            Pruned::Left(left) => holds(&left, &user),
        };
        prop_assert_eq!(pruned, expected);
    }

    #[test]
    fn a_contradiction_is_never_met(condition in condition(), user in user()) {
        if Condition::read(&condition).contradiction().is_some() {
            prop_assert!(!holds(&condition, &user), "{condition} holds for {user}");
        }
    }

    #[test]
    fn negation_is_the_opposite(condition in condition(), user in user()) {
        prop_assert_ne!(holds(&condition, &user), holds(&json!({ "$not": condition }), &user));
    }
}
