//! GrowthBook's SDK specification, group by group, and the hash against a second implementation.

use plaudit_experiment::assign::growthbook::{Context, Experiment, StickyBuckets, StickyDocument, query_override};
use plaudit_experiment::assign::{
    Condition, Groups, Pruned, bucket_ranges, choose_variation, equal_weights, hash, in_namespace, prune,
};
use serde_json::{Value, json};

use super::harness::Row;

type Check = fn(&Value) -> Result<(), String>;

/// The groups that are run: name, pointer into the file, check of one case.
const GROUPS: [(&str, &str, Check); 20] = [
    ("hash", "/hash", hash_case),
    ("getBucketRange", "/getBucketRange", range_case),
    ("chooseVariation", "/chooseVariation", choose_case),
    ("getEqualWeights", "/getEqualWeights", equal_case),
    ("inNamespace", "/inNamespace", namespace_case),
    ("evalCondition", "/evalCondition", condition_case),
    ("pruneCondition", "/pruneCondition", prune_case),
    ("run", "/run", run_case),
    ("feature", "/feature", feature_case),
    ("stickyBucket", "/stickyBucket", sticky_case),
    ("contextualBandit", "/contextualBandit", feature_case),
    ("getQueryStringOverride", "/getQueryStringOverride", query_case),
    ("savedGroups evalCondition", "/savedGroupReferencesV2/evalCondition", condition_case),
    ("savedGroups feature", "/savedGroupReferencesV2/feature", feature_case),
    ("savedGroups run", "/savedGroupReferencesV2/run", run_case),
    ("remoteGroups evalCondition", "/savedGroupReferencesRemote/evalCondition", condition_case),
    ("remoteGroups feature", "/savedGroupReferencesRemote/feature", feature_case),
    ("reducePayload", "/reducePayload", left_out),
    ("urlRedirect", "/urlRedirect", left_out),
    ("decrypt", "/decrypt", left_out),
];

/// Groups that have no place in a server that answers with decisions.
const LEFT_OUT: [(&str, &str); 3] = [
    ("reducePayload", "shrinks a payload of definitions for an edge cache; a server sends decisions"),
    ("urlRedirect", "sends a browser to another page; there is no page"),
    ("decrypt", "reads an encrypted payload; definitions are configuration"),
];

/// One row per group.
pub(crate) fn suite(cases: &Value) -> Vec<Row> {
    let list = |pointer: &str| cases.pointer(pointer).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    // A group that the file does not have is a row without cases, which fails.
    GROUPS.iter().map(|(group, pointer, check)| row(group, list(pointer), *check)).collect()
}

fn row(group: &'static str, list: &[Value], check: Check) -> Row {
    let mut row = Row { name: format!("GrowthBook {group}"), cases: list.len(), ..Row::default() };
    if let Some((_, reason)) = LEFT_OUT.iter().find(|(name, _)| *name == group) {
        row.left_out = list.len();
        row.tolerance = format!("left out: {reason}");
        return row;
    }
    row.tolerance = "exact; numbers 1e-6".to_owned();
    for case in list {
        match check(case) {
            Ok(()) => row.passed += 1,
            Err(difference) => row.mismatches.push(format!("{}: {difference}", case[0])),
        }
    }
    row
}

/// The hash on texts in many scripts: the vectors of the other products in the file are of hashes that nobody here uses.
pub(crate) fn hash_vectors() -> Row {
    let file: Value = serde_json::from_str(include_str!("../oracles/hash_vectors.json")).expect("JSON");
    let cases = file["cases"]["growthbook_v1_v2_utf16_units"].as_array().expect("cases");
    let mut row = Row { name: "hash_vectors".to_owned(), cases: cases.len(), ..Row::default() };
    row.tolerance = "exact".to_owned();
    for case in cases {
        let (seed, value) = (text(&case["seed"]), text(&case["value"]));
        let got = json!([hash(seed, value, 1), hash(seed, value, 2)]);
        if got == json!([case["v1"], case["v2"]]) {
            row.passed += 1;
        } else {
            row.mismatches.push(format!("{case}: {got}"));
        }
    }
    row
}

fn left_out(_: &Value) -> Result<(), String> {
    Err("left out".to_owned())
}

fn expect(got: &Value, expected: &Value) -> Result<(), String> {
    if same(got, expected) { Ok(()) } else { Err(format!("expected {expected}, got {got}")) }
}

/// Equal, numbers to 1e-6: the file rounds.
fn same(got: &Value, expected: &Value) -> bool {
    match (got, expected) {
        (Value::Number(got), Value::Number(expected)) => {
            let [got, expected] = [got, expected].map(|number| number.as_f64().unwrap_or(f64::NAN));
            (got - expected).abs() < 1e-6
        }
        (Value::Array(got), Value::Array(expected)) => {
            got.len() == expected.len() && got.iter().zip(expected).all(|(got, expected)| same(got, expected))
        }
        (Value::Object(got), Value::Object(expected)) => {
            let is_same = |(key, got): (&String, &Value)| expected.get(key).is_some_and(|expected| same(got, expected));
            got.len() == expected.len() && got.iter().all(is_same)
        }
        _ => got == expected,
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn ranges(value: &Value) -> Vec<(f64, f64)> {
    serde_json::from_value(value.clone()).expect("ranges")
}

fn hash_case(case: &Value) -> Result<(), String> {
    let version = case[2].as_u64().expect("a version");
    expect(&json!(hash(text(&case[0]), text(&case[1]), version)), &case[3])
}

fn range_case(case: &Value) -> Result<(), String> {
    let weights: Option<Vec<f64>> = serde_json::from_value(case[1][2].clone()).expect("weights");
    let count = usize::try_from(case[1][0].as_u64().expect("a count")).expect("a small count");
    expect(&json!(bucket_ranges(count, number(&case[1][1]), weights.as_deref())), &case[2])
}

fn choose_case(case: &Value) -> Result<(), String> {
    let index = choose_variation(number(&case[1]), &ranges(&case[2]));
    expect(&json!(index.map_or(-1, |index| i64::try_from(index).expect("a small index"))), &case[3])
}

fn equal_case(case: &Value) -> Result<(), String> {
    expect(&json!(equal_weights(case[0].as_i64().expect("a count"))), &case[1])
}

fn namespace_case(case: &Value) -> Result<(), String> {
    let (id, range) = (text(&case[2][0]), (number(&case[2][1]), number(&case[2][2])));
    expect(&json!(in_namespace(text(&case[1]), id, range)), &case[3])
}

fn condition_case(case: &Value) -> Result<(), String> {
    let groups = Groups::read(case.get(4).unwrap_or(&Value::Null));
    expect(&json!(Condition::read(&case[1]).holds(&case[2], &groups)), &case[3])
}

fn prune_case(case: &Value) -> Result<(), String> {
    let groups = Groups::read(case.get(4).unwrap_or(&Value::Null));
    let left = match prune(&case[1], &case[2], &groups) {
        Pruned::Always => json!(true),
        Pruned::Never => json!(false),
        Pruned::Left(condition) => condition,
    };
    expect(&left, &case[3])
}

fn context(value: &Value) -> Context {
    Context::read(value).expect("a context")
}

fn run_case(case: &Value) -> Result<(), String> {
    let experiment: Experiment = serde_json::from_value(case[2].clone()).expect("an experiment");
    let result = context(&case[1]).run(&experiment, None);
    expect(&json!([result.value, result.in_experiment, result.hash_used]), &json!([case[3], case[4], case[5]]))
}

fn feature_case(case: &Value) -> Result<(), String> {
    let result = context(&case[1]).feature(text(&case[2]), None);
    expect(&serde_json::to_value(result).expect("a result"), &case[3])
}

fn query_case(case: &Value) -> Result<(), String> {
    let count = usize::try_from(case[3].as_u64().expect("a count")).expect("a small count");
    expect(&json!(query_override(text(&case[1]), text(&case[2]), count)), &case[4])
}

fn sticky_case(case: &Value) -> Result<(), String> {
    let context = context(&case[1]);
    let mut buckets = StickyBuckets::default();
    for document in case[2].as_array().expect("documents") {
        let document: StickyDocument = serde_json::from_value(document.clone()).expect("a document");
        // A store hands out the documents of the user alone.
        if context.attributes[&document.attribute_name] == document.attribute_value.as_str() {
            buckets.insert(document);
        }
    }
    let result = context.feature(text(&case[3]), Some(&mut buckets));
    expect(&json!(result.experiment_result), &case[4])?;
    expect(&serde_json::to_value(buckets).expect("documents"), &case[5])
}
