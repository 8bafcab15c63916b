//! The hash against vectors of a second implementation.

use plaudit_experiment::assign::hash;
use serde_json::Value;

#[test]
fn both_versions_agree_on_texts_in_many_scripts() {
    let vectors: Value = serde_json::from_str(include_str!("oracles/hash_vectors.json")).expect("JSON");
    let cases = vectors["cases"]["growthbook_v1_v2_utf16_units"].as_array().expect("cases");
    assert_eq!(cases.len(), 40);
    for case in cases {
        let [seed, value] = ["seed", "value"].map(|key| case[key].as_str().expect("a text"));
        assert_eq!(hash(seed, value, 1), case["v1"].as_f64(), "{case}");
        assert_eq!(hash(seed, value, 2), case["v2"].as_f64(), "{case}");
    }
}
