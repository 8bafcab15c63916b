//! `plaudit train reward` on preference files, and `plaudit bench preferences`, on pairs made here.

#[path = "support/command.rs"]
mod command;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use command::{run, succeed};
use plaudit_datasets::Split;
use plaudit_datasets::upworthy::synthetic;
use plaudit_event::Seed;
use serde_json::{Value, json};

const NOUNS: [&str; 10] =
    ["cat", "river", "clock", "window", "garden", "mirror", "bottle", "ladder", "engine", "basket"];
const VERBS: [&str; 12] =
    ["paint", "move", "repair", "sell", "lift", "clean", "hide", "find", "draw", "buy", "open", "measure"];

/// A question, the better and the worse answer: whoever is kind wins.
fn triple(at: usize) -> [String; 3] {
    let (noun, verb) = (NOUNS[at % NOUNS.len()], VERBS[at / NOUNS.len() % VERBS.len()]);
    [
        format!("how do i {verb} a {noun}?"),
        format!("gladly! first look at the {noun}."),
        format!("whatever. first you {verb} the {noun} somehow."),
    ]
}

/// Every form of a line in turn.
fn line(at: usize) -> Value {
    let [asked, better, worse] = triple(at);
    let said = |text: &str| json!([{"role": "assistant", "content": text}]);
    let ask = json!({"role": "user", "content": asked});
    match at % 5 {
        0 => json!({"prompt": asked, "chosen": better, "rejected": worse, "reason": "kinder", "score_chosen": 4}),
        1 => json!({"prompt": [ask], "chosen": said(&better), "rejected": said(&worse), "weight": 2}),
        2 => json!({
            "chosen": [ask, {"role": "assistant", "content": better}],
            "rejected": [ask, {"role": "assistant", "content": worse}],
        }),
        3 => json!({
            "chosen": format!("\n\nHuman: {asked}\n\nAssistant: {better}"),
            "rejected": format!("\n\nHuman: {asked}\n\nAssistant: {worse}"),
        }),
        _ => json!({"prompt": format!("Human: {asked}"), "a": worse, "b": better, "p_a": 0.25}),
    }
}

fn file(dir: &Path, lines: impl Iterator<Item = String>) -> String {
    let path = dir.join("preferences.jsonl");
    let mut text = String::new();
    lines.for_each(|line| writeln!(text, "{line}").expect("a string takes everything"));
    std::fs::write(&path, text).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

fn trained(file: &str, out: &Path, more: &[&str]) -> Value {
    let out = out.to_str().expect("UTF-8");
    let base = ["train", "reward", "--data", file, "--out", out, "--holdout", "0.25", "--json"];
    serde_json::from_str(&succeed(&[&base[..], more].concat())).expect("JSON")
}

#[test]
fn every_form_is_learned_and_judged_on_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    let data = file(dir.path(), (0..120).map(|at| line(at).to_string()));
    let out = dir.path().join("out");
    let report = trained(&data, &out, &[]);
    assert_eq!((&report["train_pairs"], &report["test_pairs"]), (&90.into(), &30.into()), "{report:#}");
    let accuracy =
        |bound: &str| report.pointer(&format!("/test/love/accuracy/{bound}")).and_then(Value::as_f64).unwrap();
    assert!(accuracy("value") > 0.9 && accuracy("low") <= accuracy("value"), "{report:#}");
    assert!(report["test"]["love"]["longer_wins"]["value"].as_f64().unwrap() < 0.1, "length says the opposite");
    let tally = &report["file"];
    assert_eq!((&tally["lines"], &tally["pairs"], &tally["refused"]), (&120.into(), &120.into(), &0.into()));
    assert_eq!((&tally["reasons"], &tally["unused_fields"]), (&24.into(), &json!(["score_chosen"])));
    assert!(report["curves"]["love"].as_array().unwrap().len() > 20);
    assert!(std::fs::read_to_string(out.join("love.pairs.svg")).unwrap().contains("held back"));
    let png = trained(&data, &out, &["--plot-format", "png"]);
    assert_eq!(png["checkpoint"], report["checkpoint"]);
    assert!(std::fs::read(out.join("love.pairs.png")).unwrap().starts_with(b"\x89PNG"));
    let card = std::fs::read_to_string(out.join("card.md")).unwrap();
    assert!(card.contains("| pairs | 90 |") && card.contains("Bradley-Terry"), "{card}");
}

#[test]
fn a_training_that_is_cut_and_resumed_ends_in_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let data = file(dir.path(), (0..120).map(|at| line(at).to_string()));
    let [whole, cut] = ["whole", "cut"].map(|name| dir.path().join(name));
    let every = ["--passes", "2", "--checkpoint-every", "70"];
    let straight = trained(&data, &whole, &every);
    let mut names: Vec<String> = std::fs::read_dir(&whole)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("reward-"))
        .collect();
    names.retain(|name| *name != straight["checkpoint"]);
    assert_eq!(names.len(), 2, "after 70 and 140 of 180");
    for name in names {
        let from = whole.join(name);
        let resumed = trained(&data, &cut, &[&every[..], &["--resume", from.to_str().unwrap()]].concat());
        assert_eq!(resumed["checkpoint"], straight["checkpoint"]);
        assert_eq!(resumed["test"], straight["test"]);
    }
    let short = file(dir.path(), (0..20).map(|at| line(at).to_string()));
    let from = whole.join(straight["checkpoint"].as_str().unwrap());
    let [from, out] = [&from, &cut].map(|path| path.to_str().unwrap());
    let refused = run(&["train", "reward", "--data", &short, "--out", out, "--resume", from]);
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(
        why.contains("`--resume` must be a checkpoint of these data: it has taken 180 rows, there are 18"),
        "{why}"
    );
}

#[test]
fn what_is_wrong_with_a_line_is_told_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let with = |field: &str, value: Value| {
        let mut line = line(0);
        line[field] = value;
        line.to_string()
    };
    let bad = [
        (with("weight", json!(-1)), "line 1: `weight` must be 0.000001 to 1000000, got -1"),
        (with("objective", json!("fame")), "line 2: `objective` must be one of love, helpfulness, safety, got `fame`"),
        (with("chosen", json!(7)), "line 3: `chosen` must be a text of at most 1048576 bytes, got 7"),
        (with("rejected", Value::Null), "line 4: `rejected` must be given, got nothing"),
        (with("p_a", json!(1.5)), "line 5: `p_a` must be 0 to 1, got 1.5"),
        (with("ts", json!("today")), "line 6: `ts` must be milliseconds since 1970, a whole number of at least 0, got"),
        (
            with("prompt", json!([])),
            "line 7: `prompt` must be 1 to 1000 messages with `role` and `content`, got a list",
        ),
        (with("rejected", line(0)["chosen"].clone()), "line 8: `rejected` must be another response than `chosen`"),
        ("{\"chosen\": ".to_owned(), "line 9: `(line)` must be JSON, got an error at column 11"),
        ("7".to_owned(), "line 10: `(line)` must be an object, got 7"),
        (json!({"chosen": "a", "rejected": "b"}).to_string(), "line 11: `prompt` must be given, or the transcript"),
    ];
    let tie = json!({"prompt": "who?", "a": "me", "b": "you", "p_a": 0.5}).to_string();
    let good = (0..40).map(|at| line(at).to_string());
    let data = file(dir.path(), bad.iter().map(|(line, _)| line.clone()).chain([tie]).chain(good));
    let out = dir.path().join("out");
    let said = succeed(&["train", "reward", "--data", &data, "--out", out.to_str().unwrap()]);
    assert!(said.contains("52 lines = 40 pairs + 1 ties + 11 refused"), "{said}");
    for (line, problem) in &bad {
        assert!(said.contains(problem), "{problem} of {line} is not in {said}");
    }
    assert!(!said.contains("gladly"), "texts of people are not shown");
    let all = file(dir.path(), bad.iter().map(|(line, _)| line.clone()));
    let refused = run(&["train", "reward", "--data", &all, "--out", out.to_str().unwrap()]);
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && why.contains("no pairs to train on") && why.contains(bad[0].1), "{why}");
}

#[test]
fn times_order_pairs_and_objectives_are_kept_apart() {
    let dir = tempfile::tempdir().unwrap();
    // The newest come first in the file and say the opposite about another objective.
    let row = |at: usize| {
        let [asked, better, worse] = triple(at);
        let (ts, safety) = (1_000 - at, at.is_multiple_of(2));
        let (chosen, rejected) = if safety { (worse, better) } else { (better, worse) };
        let objective = if safety { "safety" } else { "helpfulness" };
        json!({"prompt": asked, "chosen": chosen, "rejected": rejected, "objective": objective, "ts": ts}).to_string()
    };
    let data = file(dir.path(), (0..120).map(row));
    let report = trained(&data, &dir.path().join("out"), &[]);
    assert_eq!(report["file"]["by_time"], true);
    for objective in ["safety", "helpfulness"] {
        let quality = &report["test"][objective];
        assert_eq!(quality["pairs"], 15, "{report:#}");
        assert!(quality["accuracy"]["value"].as_f64().unwrap() > 0.9, "{report:#}");
    }
    assert!(report["test"].get("love").is_none());
}

/// A file as the public sets have them: votes for `a` and `b`, gzipped.
fn votes(path: &Path, rows: impl Iterator<Item = Value>) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
    let file = std::fs::File::create(path).expect("writable");
    let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    rows.for_each(|row| writeln!(gzip, "{row}").expect("written"));
    gzip.finish().expect("written");
}

/// Row `at`: whoever is kind wins, or loses, or there is a tie.
fn vote(at: usize, kind_wins: bool, subset: &str) -> Value {
    let [asked, kind, cold] = triple(at);
    let share = if at % 10 == 9 { 0.5 } else { f64::from(u8::from(kind_wins)) };
    json!({"prompt": asked, "a": kind, "b": cold, "p_a": share, "subset": subset})
}

#[test]
fn the_bench_of_preferences_trains_and_judges_each_set() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path();
    for (part, wins) in [("helpful", true), ("harmless", false)] {
        let rows = |from: usize, n: usize| (from..from + n).map(move |at| vote(at, wins, ""));
        votes(&data.join(format!("hh_rlhf/{part}.train.jsonl.gz")), rows(0, 90));
        votes(&data.join(format!("hh_rlhf/{part}.test.jsonl.gz")), rows(90, 30));
    }
    // The subsets that try to mislead prefer whoever is not kind.
    let bar = (0..40).map(|at| match at % 2 {
        0 => vote(at, true, "LLMBar_Natural"),
        _ => vote(at, false, "LLMBar_Adversarial_Neighbor"),
    });
    votes(&data.join("human_pairs/llmbar.test.jsonl.gz"), bar);
    for set in ["pandalm", "autoj"] {
        votes(&data.join(format!("human_pairs/{set}.test.jsonl.gz")), (0..20).map(|at| vote(at, true, "")));
    }
    for (split, tests) in [(Split::Train, 60), (Split::Test, 40)] {
        synthetic::write(data, split, Seed::new(1), tests).unwrap();
    }
    let report = succeed(&["bench", "preferences", "--datasets", data.to_str().unwrap(), "--json"]);
    // One report per encoder.
    let reports: Vec<Value> = serde_json::from_str(&report).unwrap();
    let report = &reports[0];
    assert!(reports.len() == 1 && report["encoder"] == "hash", "{report:#}");
    let line = |set: &str| {
        let lines = report["lines"].as_array().unwrap();
        let line = lines.iter().find(|line| line["set"] == set).unwrap_or_else(|| panic!("no {set} in {report:#}"));
        (line["pairs"].as_u64().unwrap(), line["accuracy"]["value"].as_f64().unwrap())
    };
    // Each tenth row is a tie, which carries no order.
    assert!(line("hh helpful").0 == 27 && line("hh helpful").1 > 0.9, "{report:#}");
    assert!(line("hh harmless").0 == 27 && line("hh harmless").1 > 0.9, "{report:#}");
    assert!(line("LLMBar natural").0 == 20 && line("LLMBar natural").1 > 0.9, "{report:#}");
    let misled = line("LLMBar adversarial, all");
    assert!(misled.0 == 16 && misled.1 < 0.1 && misled == line("LLMBar adversarial, Neighbor"), "{report:#}");
    assert!(line("PandaLM").1 > 0.9 && line("Auto-J").0 == 18, "{report:#}");
    assert_eq!(report["training"][0]["pairs"], 81);
    let picks = report["picks"].as_array().unwrap();
    assert!(picks[0]["tests"].as_u64().unwrap() > 0 && picks[0]["lift"]["value"].is_number(), "{report:#}");
}
