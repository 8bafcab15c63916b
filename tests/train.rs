//! `plaudit train reward`, `plaudit reward card`, and the benches of the reward model on simulated streams.

#[path = "support/command.rs"]
mod command;

use std::fmt::Write as _;

use command::{run, succeed};
use plaudit_event::{Envelope, Event, Seed};
use plaudit_simulator::domains::Domains;
use serde_json::Value;

/// A file of `n` examples, the newest first.
fn examples(n: usize) -> String {
    let mut text = String::new();
    for (example, _) in Domains::new(1, Seed::new(1)).draw(0, "train", n).into_iter().rev() {
        let line = Envelope::new(Event::Example(example)).encode();
        writeln!(text, "{}", std::str::from_utf8(&line).expect("JSON")).expect("a string takes everything");
    }
    text
}

#[test]
fn a_training_leaves_a_checkpoint_with_its_card_a_report_and_plots() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("examples.jsonl");
    std::fs::write(&file, examples(4_000)).unwrap();
    let out = dir.path().join("out");
    let [file, place] = [&file, &out].map(|path| path.to_str().unwrap());
    let train = ["train", "reward", "--examples", file, "--out", place, "--holdout", "0.25", "--json"];
    let report: Value = serde_json::from_str(&succeed(&train)).unwrap();
    assert_eq!((&report["train_examples"], &report["test_examples"]), (&3_000.into(), &1_000.into()));
    let area = report.pointer("/test/love/auroc/value").and_then(Value::as_f64).unwrap();
    assert!(area > 0.75, "{report:#}");
    for plot in ["love.learning.svg", "love.roc.svg", "love.reliability.svg"] {
        assert!(std::fs::read_to_string(out.join(plot)).unwrap().starts_with("<svg"), "{plot}");
    }
    let checkpoint = out.join(report["checkpoint"].as_str().unwrap());
    let card = succeed(&["reward", "card", checkpoint.to_str().unwrap()]);
    assert_eq!(card, std::fs::read_to_string(out.join("card.md")).unwrap());
    assert!(card.contains("| examples | 3000 |"), "{card}");
    let again: Value = serde_json::from_str(&succeed(&train)).unwrap();
    assert_eq!(again["checkpoint"], report["checkpoint"], "the same examples and seed give the same checkpoint");
}

#[test]
fn what_cannot_be_trained_on_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("events.jsonl");
    std::fs::write(&file, "{\"v\":1,\"type\":\"signal\",\"data\":{}}\n").unwrap();
    let [file, out] = [&file, &dir.path().join("out")].map(|path| path.to_str().unwrap().to_owned());
    let told = |arguments: &[&str]| {
        let output = run(arguments);
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let error = told(&["train", "reward", "--examples", &file, "--out", &out]);
    assert!(error.contains("line 1 of"), "{error}");
    let error = told(&["train", "reward", "--examples", &file, "--out", &out, "--holdout", "1.5"]);
    assert!(error.contains("`--holdout` must be 0 to 0.9, got 1.5"), "{error}");
    let error = told(&["reward", "card", dir.path().to_str().unwrap()]);
    assert!(error.contains("manifest"), "{error}");
}

#[test]
fn replay_keeps_what_training_without_it_forgets() {
    let bench =
        ["bench", "continual", "--domains", "2", "--examples", "4000", "--test", "1000", "--seeds", "1", "--json"];
    let report: Value = serde_json::from_str(&succeed(&bench)).unwrap();
    let forgetting = |strategy: &str| {
        let lines = report["lines"].as_array().unwrap();
        let line = lines.iter().find(|line| line["strategy"] == strategy).unwrap();
        line["forgetting"].as_f64().unwrap()
    };
    assert!(forgetting("logits") + 0.03 < forgetting("none"), "{report:#}");
    assert!(forgetting("reservoir") + 0.03 < forgetting("none"), "{report:#}");
}

#[test]
fn the_guard_takes_back_what_spam_does() {
    let bench = ["bench", "spam", "--units", "10", "--seeds", "1", "--json"];
    let lines: Value = serde_json::from_str(&succeed(&bench)).unwrap();
    let area = |at: usize| lines[at]["auroc"].as_f64().unwrap();
    let defences: Vec<(bool, bool)> = lines.as_array().unwrap()[1..]
        .iter()
        .map(|line| (line["is_capped"].as_bool().unwrap(), line["is_guarded"].as_bool().unwrap()))
        .collect();
    assert_eq!(defences, [(false, false), (true, false), (true, true)]);
    assert!(area(0) - area(3) <= 0.01 && area(0) - area(1) > 0.01, "{lines:#}");
    // The bound per day is beyond what ten units send.
    assert!(area(0) - area(2) > 0.01, "{lines:#}");
    assert_eq!((&lines[3]["found"], &lines[3]["honest_suspected"]), (&10.into(), &0.into()));
    let wrong = run(&["bench", "spam", "--share", "1.5"]);
    assert!(!wrong.status.success());
}
