//! `plaudit evaluate`: from a data set through log, attribution and the continuous trainer to a report.

#[path = "support/command.rs"]
mod command;

use std::io::Write as _;
use std::path::Path;

use command::{run, succeed};
use flate2::Compression;
use flate2::write::GzEncoder;
use plaudit_datasets::{Split, convai};
use serde_json::{Value, json};

/// Dialogs of `users` in which polite answers get thumbs up and rude ones thumbs down.
fn write(data: &Path, split: Split, users: std::ops::Range<u32>) {
    let path = convai::path(data, split);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    let mut gzip = GzEncoder::new(std::fs::File::create(path).expect("made"), Compression::fast());
    for user in users {
        let (hour, minute) = (user / 60 % 24, user % 60);
        let mut turns = Vec::new();
        for turn in 0..4 {
            let is_polite = (user + turn) % 3 != 0;
            let answer = if is_polite { "gladly, here is my answer" } else { "go away, no answer" };
            turns.push(json!({"role": "user", "text": format!("question {turn} please"), "thumb": null}));
            turns.push(json!({"role": "assistant", "text": answer, "thumb": u8::from(is_polite)}));
        }
        let dialog = json!({"id": format!("d{user}"), "phase": "p", "policy": "Bot", "user": format!("User {user}"),
            "start": format!("2018-10-29 {hour:02}:{minute:02}:00"), "end": format!("2018-10-29 {hour:02}:{minute:02}:40"),
            "rating": null, "turns": turns});
        writeln!(gzip, "{dialog}").expect("written");
    }
    gzip.finish().expect("written");
}

fn evaluate(data: &Path) -> Value {
    let data = data.to_str().expect("UTF-8");
    serde_json::from_str(&succeed(&["evaluate", "--datasets", data, "--json"])).expect("one JSON object")
}

fn number(report: &Value, path: &str) -> f64 {
    report.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("no number at {path} in {report:#}"))
}

#[test]
fn what_users_liked_in_one_split_is_recognised_in_the_other() {
    let data = tempfile::tempdir().unwrap();
    write(data.path(), Split::Train, 0..150);
    write(data.path(), Split::Test, 150..200);
    let report = evaluate(data.path());
    assert_eq!((&report["dataset"], &report["train_examples"]), (&json!("convai"), &json!(600)));
    let test = |key: &str| number(&report, &format!("/test/{key}"));
    assert_eq!((test("n"), test("units")), (200.0, 50.0));
    assert!(test("auroc/value") > 0.99, "{report:#}");
    assert!(test("auroc/low") <= test("auroc/value") && test("auroc/value") <= test("auroc/high"));
    assert!(test("log_loss/value") < 0.5 * test("prior_log_loss/value"), "{report:#}");
    assert_eq!(report, evaluate(data.path()), "the same data and seed give the same report");
    let text = succeed(&["evaluate", "--datasets", data.path().to_str().unwrap()]);
    assert!(text.contains("600 examples in one pass, 200 thumbs of 50 users"), "{text}");
}

#[test]
fn a_missing_file_is_named() {
    let data = tempfile::tempdir().unwrap();
    let output = run(&["evaluate", "--datasets", data.path().to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("convai/dialogs.train.jsonl.gz"), "{said}");
}

#[test]
fn real_thumbs_are_told_apart() {
    #[expect(clippy::disallowed_methods, reason = "only the environment says where the real files are")]
    let Ok(data) = std::env::var("PLAUDIT_DATA") else {
        let why = "set PLAUDIT_DATA to the directory of the data sets";
        // Not with a macro: their output is hidden when a test passes.
        writeln!(std::io::stderr(), "SKIPPED real_thumbs_are_told_apart: {why}").expect("standard error");
        return;
    };
    let report = evaluate(Path::new(&data));
    assert!(number(&report, "/test/auroc/value") >= 0.734, "TF-IDF and logistic regression reach 0.734: {report:#}");
    assert!(number(&report, "/test/log_loss/value") < number(&report, "/test/prior_log_loss/value"), "{report:#}");
}

/// Decisions drawn evenly, in which everybody in one country likes `a` and everybody else `b`; every fourth reaction
/// is noise.
fn write_decisions(path: &Path, count: u32) {
    let mut file = std::fs::File::create(path).expect("made");
    for index in 0..count {
        let (country, item) =
            (if index % 2 == 0 { "fr" } else { "de" }, if (index / 2).is_multiple_of(2) { "a" } else { "b" });
        let fits = (country == "fr") == (item == "a");
        let click = if (index / 4).is_multiple_of(4) { !fits } else { fits };
        let example = json!({"exposure_id": format!("e{index}"), "revision": 0, "unit_id": format!("u{}", index / 3),
            "surface": "decide", "context": {}, "response": "", "item_id": item, "position": 0, "policy_id": "other",
            "propensity": 0.5, "labels": {"click": {"value": u8::from(click), "weight": 1.0}},
            "attributes": {"decision": "headline", "features": {"country": country}, "candidates": [
                {"item_id": "a", "propensity": 0.5}, {"item_id": "b", "propensity": 0.5}]},
            "exposure_ts": 1_700_000_000_000_u64 + u64::from(index), "ts": 1_700_000_100_000_u64 + u64::from(index)});
        let example: plaudit_event::Example = serde_json::from_value(example).expect("an example");
        let line = plaudit_event::Envelope::new(plaudit_event::Event::Example(example)).encode();
        file.write_all(&line).and_then(|()| file.write_all(b"\n")).expect("written");
    }
}

#[test]
fn a_selection_policy_is_evaluated_on_decisions_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("examples.jsonl");
    write_decisions(&file, 1_200);
    let file = file.to_str().unwrap();
    let of = |target: &str| -> Value {
        let arguments = ["evaluate", "--off-policy", target, "--decision", "headline", "--examples", file, "--json"];
        serde_json::from_str(&succeed(&arguments)).expect("one JSON object")
    };
    let contextual = of("contextual");
    assert_eq!(contextual["verdict"], "passed", "{contextual:#}");
    assert_eq!((number(&contextual, "/diagnostics/rows"), number(&contextual, "/diagnostics/units")), (1_200.0, 400.0));
    assert!((number(&contextual, "/served") - 0.5).abs() < 0.02);
    for estimator in ["IPS", "SNIPS", "clipped IPS", "DM", "DR", "switch-DR"] {
        let at = |end: &str| number(&contextual, &format!("/estimators/{estimator}/{end}"));
        assert!((0.68..0.8).contains(&at("value")), "{estimator}: {contextual:#}");
        assert!(at("lower") <= at("value") && at("value") <= at("upper"));
    }
    assert!(number(&contextual, "/lower") > 0.0 && number(&contextual, "/value_lower") < 0.75);
    assert_eq!(contextual, of("contextual"), "the same log and seed give the same report");
    let even = of("even");
    assert_eq!(even["verdict"], "undecided", "{even:#}");
    assert_eq!(number(&even, "/diagnostics/max_weight"), 1.0);
    let text = succeed(&["evaluate", "--off-policy", "beta", "--decision", "headline", "--examples", file]);
    assert!(text.contains("1200 rows of 400 units") && text.contains("switch-DR"), "{text}");
    write_decisions(Path::new(file), 60);
    assert_eq!(of("contextual")["verdict"], "refused");
}

#[test]
fn an_evaluation_of_nothing_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("examples.jsonl");
    write_decisions(&file, 4);
    let file = file.to_str().unwrap();
    let said = |arguments: &[&str], code| {
        let output = run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        said
    };
    let unknown = said(&["evaluate", "--off-policy", "even", "--decision", "other", "--examples", file], 1);
    assert!(unknown.contains("decision") && unknown.contains("`other`"), "{unknown}");
    let missing = said(&["evaluate", "--off-policy", "even", "--examples", file], 2);
    assert!(missing.contains("--decision"), "{missing}");
    let target = said(&["evaluate", "--off-policy", "best", "--decision", "headline"], 2);
    assert!(target.contains("contextual, beta, even"), "{target}");
    std::fs::write(file, "{}\n").unwrap();
    let broken = said(&["evaluate", "--off-policy", "even", "--decision", "headline", "--examples", file], 1);
    assert!(broken.contains("line 1 of"), "{broken}");
    let none = dir.path().join("none");
    let none = none.to_str().unwrap();
    let nothing = said(&["evaluate", "--off-policy", "even", "--decision", "headline", "--data", none], 1);
    assert!(nothing.contains("no data directory"), "{nothing}");
}
