//! Experiments from the command line, against a running server.

#[path = "support/command.rs"]
mod command;
#[path = "support/failure.rs"]
mod failure;
#[path = "support/server.rs"]
mod server;

use std::path::{Path, PathBuf};

use command::succeed;
use failure::{fail, text};
use server::Server;

/// A layer with one experiment of champion against champion that enrols `share`.
fn definition(share: f64, weights: [f64; 2]) -> String {
    let [plain, warm] = weights;
    format!(
        "[[layers]]\nid = \"generation\"\nunit = \"user\"\n[[experiments]]\nid = \"tone\"\nlayer = \"generation\"\n\
         ramp = [{{from = 0, share = {share:?}}}]\nvariants = [{{id = \"plain\", weight = {plain:?}, policy = \
         \"champion\"}}, {{id = \"warm\", weight = {warm:?}, policy = \"champion\"}}]\n"
    )
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("writable");
    path
}

#[test]
fn a_file_is_planned_applied_and_told_and_what_would_move_units_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = write(dir.path(), "plaudit.toml", "[learn]\nenabled = false\n");
    let server = Server::start(&config, &dir.path().join("data"));
    let at = ["--server", &server.url];
    let small = write(dir.path(), "small.toml", &definition(0.1, [0.5, 0.5]));
    let small = text(&small);
    let with = |words: &[&str]| succeed(&[&["experiment"], words, &at].concat());

    assert!(with(&["plan", small]).contains("+ experiments.tone"));
    assert!(!with(&["show"]).contains("tone"), "a plan changes nothing");
    assert!(with(&["apply", small, "--reason", "to try", "--who", "ada"]).contains("in force is"));
    let shown = with(&["show", "tone"]);
    assert!(shown.contains("share = 0.1") && shown.contains("id = \"warm\""), "{shown}");
    assert!(with(&["plan", small]).contains("nothing changes"));

    let moved = write(dir.path(), "moved.toml", &definition(0.1, [0.4, 0.6]));
    let moved = text(&moved);
    let apply = [&["experiment", "apply", moved, "--reason", "more warmth"], &at[..]].concat();
    fail(&apply, 1, &["409", "`tone`", "variants.warm.weight: would move units"]);
    let wrong = write(dir.path(), "wrong.toml", &definition(2.0, [0.4, 0.4]));
    let plan = ["experiment", "plan", text(&wrong), "--offline"];
    fail(&plan, 1, &["ramp[0].share", "weights must add up to 1"]);

    assert!(with(&["start", "tone", "--share", "0.5", "--reason", "grow"]).contains("ramp"));
    assert!(with(&["stop", "tone", "--reason", "done", "--dry-run"]).contains("would be"));
    with(&["stop", "tone", "--reason", "done"]);
    fail(&[&["experiment", "start", "tone", "--reason", "again"], &at[..]].concat(), 1, &["stopped for good"]);
    let audit = with(&["audit"]);
    for part in ["configuration: ", "ada: to try", "operator: grow", "experiments.tone.killed: false -> true"] {
        assert!(audit.contains(part), "`{part}` is not in: {audit}");
    }
    server.stop();
}

#[test]
fn results_are_read_from_the_store_of_a_server_and_without_one() {
    let dir = tempfile::tempdir().unwrap();
    let small = write(dir.path(), "small.toml", &definition(0.1, [0.5, 0.5]));
    let settings = format!("[learn]\nenabled = false\n[serving]\nexperiments = {:?}\n", text(&small));
    let config = write(dir.path(), "plaudit.toml", &settings);
    let data = dir.path().join("data");
    let server = Server::start(&config, &data);
    let ask = ["experiment", "results", "tone", "--server", &server.url];
    let told = succeed(&ask);
    assert!(told.contains("no unit is in the experiment") && told.contains("exact arms"), "{told}");
    let json: serde_json::Value = serde_json::from_str(&succeed(&[&ask[..], &["--json"]].concat())).unwrap();
    assert_eq!((&json["units"], &json["rows"][0]["metric"]), (&serde_json::json!([0, 0]), &"loved".into()));
    let fixed = succeed(&[&ask[..], &["--method", "fixed", "--alpha", "0.1", "--since", "1d ago"]].concat());
    assert!(fixed.contains("intervals hold with 90 %") && !fixed.contains("exact arms"), "{fixed}");
    fail(&[&ask[..], &["--alpha", "0.7"]].concat(), 1, &["`alpha` must be above 0 and below 0.5, got 0.7"]);
    fail(&["experiment", "results", "ton", "--server", &server.url], 1, &["404", "unknown experiment `ton`", "`tone`"]);
    server.stop();
    let offline = ["experiment", "results", "tone", "--offline", "--config", text(&config), "--data", text(&data)];
    assert!(succeed(&offline).contains("no unit is in the experiment"));
}

#[test]
fn an_allocation_says_how_far_it_is_and_what_it_waits_for() {
    let dir = tempfile::tempdir().unwrap();
    let adaptive = definition(0.1, [0.5, 0.5]).replace(
        "ramp = [{from = 0, share = 0.1}]",
        "allocation = {metric = \"loved\", rule = \"track_and_stop\", cohorts = 4}",
    );
    let adaptive = write(dir.path(), "adaptive.toml", &adaptive);
    let settings = format!("[learn]\nenabled = false\n[serving]\nexperiments = {:?}\n", text(&adaptive));
    let config = write(dir.path(), "plaudit.toml", &settings);
    let server = Server::start(&config, &dir.path().join("data"));
    let at = ["--server", &server.url];
    let ask = [&["experiment", "allocation", "tone"], &at[..]].concat();
    let mut told = succeed(&ask);
    // The first cohort begins when the server looks for the first time.
    for _ in 0..100 {
        if told.contains("cohort 1 of 4") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
        told = succeed(&ask);
    }
    for part in
        ["tone: cohort 1 of 4, weights by `loved`", "up to 25.0 %", "plain 50.0 %; warm 50.0 %", "3.69 are needed"]
    {
        assert!(told.contains(part), "`{part}` is not in: {told}");
    }
    let json: serde_json::Value = serde_json::from_str(&succeed(&[&ask[..], &["--json"]].concat())).unwrap();
    assert_eq!(json["allocation"]["rule"], "track_and_stop");
    fail(
        &[&["experiment", "allocation", "ton"], &at[..]].concat(),
        1,
        &["404", "experiment with an allocation", "tone"],
    );
    server.stop();
}

#[test]
fn power_is_told_both_ways() {
    let words = ["experiment", "power", "--base", "0.05", "--lift", "0.2", "--units", "8155", "--json"];
    let told: serde_json::Value = serde_json::from_str(&succeed(&words)).unwrap();
    let once = &told["looked_at_once"];
    let units = once["units_per_variant"].as_f64().unwrap();
    assert!((8_000.0..8_300.0).contains(&units), "{told}");
    let lift = once["detectable_lift"].as_f64().unwrap();
    assert!((lift - 0.2).abs() < 0.01, "{told}");
    assert!(told["watched_at_any_time"]["units_per_variant"].as_f64().unwrap() > units);
    fail(
        &["experiment", "power", "--base", "1.5", "--lift", "0.2"],
        1,
        &["`--base` must be above 0 and below 1, got 1.5"],
    );
    fail(&["experiment", "power", "--base", "0.5", "--lift", "2"], 1, &["`--lift`", "got 2"]);
}
