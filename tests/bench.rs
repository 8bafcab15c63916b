//! `plaudit bench`: data through the real path, and every count compared.

#[path = "support/command.rs"]
mod command;

use std::io::Write as _;
use std::path::Path;

use command::{run, succeed};
use plaudit_datasets::Split;
use plaudit_datasets::upworthy::{self, synthetic};
use plaudit_event::Seed;
use serde_json::Value;

/// Both splits, made up by `seed`.
fn write(data: &Path, seed: u64) {
    synthetic::write(data, Split::Train, Seed::new(seed), 60).expect("written");
    synthetic::write(data, Split::Test, Seed::new(seed), 40).expect("written");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn number(report: &Value, path: &str) -> u64 {
    report.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("no number at {path} in {report:#}"))
}

#[test]
fn every_impression_and_click_is_counted_once_however_often_it_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 1);
    let data = dir.path().join("run");
    let arguments = ["bench", "upworthy", "--datasets", text(dir.path()), "--data", text(&data), "--json"];
    let first: Value = serde_json::from_str(&succeed(&arguments)).unwrap();
    let (impressions, clicks) = (number(&first, "/impressions"), number(&first, "/clicks"));
    assert_eq!((number(&first, "/tests"), number(&first, "/mismatches")), (40, 0));
    assert!(clicks > 100 && impressions > 10 * clicks, "{first:#}");
    assert_eq!(number(&first, "/accepted"), impressions + clicks);
    assert_eq!(number(&first, "/attribution/items"), impressions);
    assert_eq!(number(&first, "/sink/items"), 2 * impressions + clicks);
    assert_eq!(number(&first, "/count/items"), 2 * impressions + clicks);
    assert!(number(&first, "/disk/bytes") < (4 << 20) + 3_200 * impressions, "more than was reserved: {first:#}");
    let second: Value = serde_json::from_str(&succeed(&arguments)).unwrap();
    assert_eq!((number(&second, "/accepted"), number(&second, "/duplicate")), (0, impressions + clicks));
    assert_eq!((number(&second, "/mismatches"), number(&second, "/attribution/items")), (0, 0));
}

#[test]
fn a_store_that_is_not_as_the_data_fails_with_the_differences() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("run");
    let arguments = ["bench", "upworthy", "--data-sets", text(dir.path()), "--data", text(&data), "--tests", "3"];
    write(dir.path(), 1);
    let said = succeed(&arguments);
    assert!(said.contains("Upworthy, test split: 3 tests") && said.contains(" 0 mismatches"), "{said}");
    // The same tests with other counts: what the first run stored is not theirs.
    write(dir.path(), 2);
    let output = run(&arguments);
    let (said, why) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{why}");
    assert!(why.contains("counts in the store differ from the data"), "{why}");
    assert!(said.contains(", the data have "), "{said}");
}

#[test]
fn sample_ratios_that_tell_nothing_fail_the_run() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 1);
    let arguments = ["bench", "upworthy", "--datasets", text(dir.path()), "--tests", "1", "--json"];
    let report: Value = serde_json::from_str(&succeed(&arguments)).unwrap();
    assert_eq!((number(&report, "/sample_ratio/faulty/tests"), number(&report, "/sample_ratio/other/tests")), (25, 75));
    assert_eq!(number(&report, "/sample_ratio/faulty/alarms"), 25, "{report:#}");
    // The flag on the fair tests instead: now the faulty period raises no alarm, and the others do.
    flip_suspicion(dir.path());
    let output = run(&arguments);
    let why = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{why}");
    assert!(why.contains("sample-ratio alarms do not tell"), "{why}");
}

fn flip_suspicion(data: &Path) {
    for split in [Split::Train, Split::Test] {
        let path = upworthy::path(data, split);
        let mut lines = String::new();
        let file = std::fs::File::open(&path).expect("written before");
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(file), &mut lines).expect("UTF-8");
        let flipped = lines.replace("suspect\":false", "suspect\":now").replace("suspect\":true", "suspect\":false");
        let flipped = flipped.replace("suspect\":now", "suspect\":true");
        let file = std::fs::File::create(&path).expect("writable");
        let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        gzip.write_all(flipped.as_bytes()).and_then(|()| gzip.finish().map(drop)).expect("written");
    }
}

#[test]
fn the_first_real_test_comes_out_as_it_went_in() {
    #[expect(clippy::disallowed_methods, reason = "only the environment says where the real files are")]
    let Ok(data) = std::env::var("PLAUDIT_DATA") else {
        let why = "set PLAUDIT_DATA to the directory of the data sets";
        // Not with a macro: their output is hidden when a test passes.
        writeln!(std::io::stderr(), "SKIPPED the_first_real_test_comes_out_as_it_went_in: {why}")
            .expect("standard error");
        return;
    };
    let report = succeed(&["bench", "upworthy", "--datasets", &data, "--tests", "1", "--json"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((number(&report, "/tests"), number(&report, "/mismatches")), (1, 0));
    assert_eq!(number(&report, "/accepted"), number(&report, "/impressions") + number(&report, "/clicks"));
    assert_eq!(number(&report, "/sample_ratio/faulty/tests") + number(&report, "/sample_ratio/other/tests"), 3_892);
}
