//! Every reference file of the crate against the crate, as one table.
//!
//! `cargo test -p plaudit-experiment --test conformance`
//!
//! Each file under `tests/oracles` names the library that made it, its version and its tolerance; each is
//! checked by one function of an area in `tests/conformance/`. A file nobody checks, a case that differs,
//! or a case that compares nothing fails the run. `PLAUDIT_GROWTHBOOK_CASES` names the file of GrowthBook's
//! public SDK specification, which is not kept here.
#![expect(clippy::print_stdout, reason = "a table for the reader of the test run")]

#[path = "conformance/adaptive.rs"]
mod adaptive;
#[path = "conformance/anytime.rs"]
mod anytime;
#[path = "conformance/growthbook.rs"]
mod growthbook;
#[path = "conformance/harness.rs"]
mod harness;
#[path = "conformance/horizon.rs"]
mod horizon;
#[path = "conformance/interleave.rs"]
mod interleave;
#[path = "conformance/off_policy.rs"]
mod off_policy;
#[path = "conformance/platform.rs"]
mod platform;
#[path = "conformance/values.rs"]
mod values;

use std::process::ExitCode;

use harness::{Check, Row, Suite};

/// One entry per area: add a module in `tests/conformance/` and its `CHECKS` here.
const AREAS: &[&[Check]] = &[
    horizon::CHECKS,
    platform::CHECKS,
    anytime::CHECKS,
    values::CHECKS,
    adaptive::CHECKS,
    off_policy::CHECKS,
    interleave::CHECKS,
];

/// Checks of GrowthBook's specification, one row per group of cases.
const GROWTHBOOK: Option<Suite> = Some(growthbook::suite);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        // What cargo-nextest asks of a test without the standard harness.
        if !arguments.iter().any(|argument| argument == "--ignored") {
            println!("conformance: test");
        }
        return ExitCode::SUCCESS;
    }
    let mut rows: Vec<Row> = Vec::new();
    for check in AREAS.iter().copied().flatten() {
        rows.push(harness::run(check));
    }
    rows.push(growthbook::hash_vectors());
    let growthbook = harness::growthbook(GROWTHBOOK);
    rows.extend(growthbook.rows);
    let unchecked = harness::unchecked(AREAS);
    harness::print_table(&rows);
    for name in &unchecked {
        println!("| {name} | no check |");
    }
    if let Some(skipped) = growthbook.skipped {
        println!("{skipped}");
    }
    let has_failed = rows.iter().any(|row| row.passed + row.left_out < row.cases || row.cases == 0);
    let is_incomplete = !unchecked.is_empty();
    if has_failed || is_incomplete { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
