//! `plaudit bench faults` in short: a few kills, events five times, events out of order.

#[path = "support/command.rs"]
mod command;

use command::{run, succeed};
use serde_json::Value;

/// Plays `rows` with `more` arguments; the table, after the command ended well.
fn table(rows: &str, more: &[&str]) -> Vec<Value> {
    let arguments = [&["bench", "faults", "--json", "--kills", "4", "--only", rows], more].concat();
    let printed = succeed(&arguments);
    let report: Value = serde_json::from_str(&printed).expect("JSON");
    let rows = report["rows"].as_array().expect("rows").clone();
    for row in &rows {
        assert_eq!(row["verdict"], "passed", "{row}");
        let count =
            |part: &str, name: &str| row[part][name].as_u64().unwrap_or_else(|| panic!("{part}.{name} of {row}"));
        let tally = |name| count("tally", name);
        assert!(tally("acknowledged") > 0, "there was load: {row}");
        let outcomes = tally("accepted") + tally("duplicate") + tally("other");
        assert_eq!(tally("sent"), outcomes + tally("unanswered"), "{row}");
        for none in ["lost_log", "lost_store", "store_differs", "stored_twice", "closed_wrong", "examples_differ"] {
            assert_eq!(count("findings", none), 0, "{none}: {row}");
        }
        assert_eq!(count("findings", "examples"), count("findings", "exposures"), "{row}");
    }
    rows
}

#[expect(clippy::disallowed_methods, reason = "tests learn from the environment where the servers are")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn row<'a>(rows: &'a [Value], name: &str) -> &'a Value {
    rows.iter().find(|row| row["row"] == name).unwrap_or_else(|| panic!("no row {name}: {rows:?}"))
}

#[test]
fn kills_duplicates_and_reordering_lose_nothing_and_double_nothing_in_one_process() {
    let rows = table("kill,duplicates,reorder", &["--seed", "5"]);
    assert_eq!(rows.len(), 3);
    let tally = &row(&rows, "duplicates")["tally"];
    let (sent, accepted) = (tally["sent"].as_u64(), tally["accepted"].as_u64());
    assert_eq!(sent, accepted.map(|accepted| accepted * 5), "each event five times, accepted once: {tally}");
    let corrections = row(&rows, "reorder")["findings"]["corrections"].as_u64().expect("a count");
    assert!(corrections > 0, "signals came after the close");
}

#[test]
fn kills_rebalancing_duplicates_and_reordering_lose_nothing_and_double_nothing_on_a_cluster() {
    let Some(kafka) = variable("PLAUDIT_TEST_KAFKA") else {
        println!("SKIPPED: PLAUDIT_TEST_KAFKA is not set");
        return;
    };
    let mut arguments = vec!["--mode", "cluster", "--kafka", &kafka];
    let clickhouse = variable("PLAUDIT_TEST_CLICKHOUSE");
    match &clickhouse {
        Some(clickhouse) => arguments.extend(["--clickhouse", clickhouse]),
        None => println!("SKIPPED in part: PLAUDIT_TEST_CLICKHOUSE is not set, each process has a store of its own"),
    }
    // The other rows break the servers, which are not ours here.
    let rows = table("kill,rebalance,duplicates,reorder", &arguments);
    assert_eq!(rows.len(), 4);
    let corrections = row(&rows, "reorder")["findings"]["corrections"].as_u64().expect("a count");
    assert!(corrections > 0, "signals came after the close");
}

#[test]
fn rows_that_cannot_be_played_are_said_so() {
    let output = run(&["bench", "faults", "--only", "broker"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no such row in this mode"), "{said}");
    let output = run(&["bench", "faults", "--mode", "cluster", "--servers", "/nowhere/servers"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no script `/nowhere/servers`") && said.contains("--servers"), "{said}");
}
