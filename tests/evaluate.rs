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
