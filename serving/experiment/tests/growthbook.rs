//! The published cases of GrowthBook's SDK specification, where the file is to be had.

#[path = "growthbook/suite.rs"]
mod suite;

#[test]
fn every_published_case_passes_or_is_left_out_by_name() {
    let Some(cases) = suite::cases() else { return };
    let mut failures = Vec::new();
    for row in suite::rows(&cases) {
        let left_out = row.left_out.map(|reason| format!("left out: {reason}")).unwrap_or_default();
        println!("{:28} {:>4} / {:<4} {left_out}", row.group, row.passed, row.cases);
        failures.extend(row.failures);
    }
    assert!(failures.is_empty(), "{} cases fail:\n{}", failures.len(), failures.join("\n"));
}
