//! Reads reference files, compares within the stated tolerance and prints the table.

use std::path::PathBuf;

use serde_json::Value;

/// The check of one reference file.
pub(crate) struct Check {
    /// Name of the file in `tests/oracles`, without its extension.
    pub(crate) file: &'static str,
    /// Compares one case.
    pub(crate) case: fn(&mut Case),
}

/// Checks the cases of a whole public specification.
pub(crate) type Suite = fn(&Value) -> Vec<Row>;

/// Results of a reference that are not compared, and why: the row says so.
const NOT_COMPARED: &[(&str, &str)] = &[(
    "proportions",
    "score interval of the difference: the reference's cubic differs from the paper's (see stats/proportions/score.rs)",
)];

/// One line of the table.
#[derive(Default)]
pub(crate) struct Row {
    /// The file, or the group of cases.
    pub(crate) name: String,
    /// How many cases there are.
    pub(crate) cases: usize,
    /// How many agree.
    pub(crate) passed: usize,
    /// How many are not run, for the reason that `tolerance` names.
    pub(crate) left_out: usize,
    /// What counts as agreement.
    pub(crate) tolerance: String,
    /// What differed, one line each.
    pub(crate) mismatches: Vec<String>,
}

/// How far a number may be from the reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Tolerance {
    /// Relative to the larger of the two magnitudes.
    Relative(f64),
    /// In units of the number.
    Absolute(f64),
}

impl Tolerance {
    fn of(file: &Value) -> Self {
        let absolute = file["abs_tol"].as_f64().map(Self::Absolute);
        let relative = file["rel_tol"].as_f64().map(Self::Relative);
        absolute.or(relative).unwrap_or(Self::Absolute(0.0))
    }

    fn accepts(self, got: f64, want: f64) -> bool {
        if got == want {
            return true;
        }
        match self {
            Self::Relative(tolerance) => (got - want).abs() <= tolerance * got.abs().max(want.abs()),
            Self::Absolute(tolerance) => (got - want).abs() <= tolerance,
        }
    }
}

impl std::fmt::Display for Tolerance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Relative(tolerance) => write!(f, "relative {tolerance:e}"),
            Self::Absolute(0.0) => write!(f, "exact"),
            Self::Absolute(tolerance) => write!(f, "absolute {tolerance:e}"),
        }
    }
}

/// One case under comparison.
pub(crate) struct Case<'a> {
    /// Number of the case in its file, from 0.
    pub(crate) index: usize,
    /// The file without its cases: constants such as `alpha` stand there.
    pub(crate) file: &'a Value,
    /// The inputs.
    pub(crate) inp: &'a Value,
    /// The reference results.
    pub(crate) out: &'a Value,
    /// The file's tolerance.
    pub(crate) tolerance: Tolerance,
    compared: usize,
    mismatches: Vec<String>,
}

impl Case<'_> {
    /// The number at `key` of the inputs.
    pub(crate) fn number(&self, key: &str) -> f64 {
        float(&self.inp[key])
    }

    /// The count at `key` of the inputs.
    pub(crate) fn count(&self, key: &str) -> u64 {
        self.inp[key].as_u64().unwrap_or_else(|| panic!("case {}: no count at {key}", self.index))
    }

    /// Compares with the file's tolerance.
    pub(crate) fn near(&mut self, what: &str, got: f64, want: &Value) {
        self.near_within(what, (got, want), self.tolerance);
    }

    /// Compares `(got, want)` with another tolerance.
    pub(crate) fn near_within(&mut self, what: &str, (got, want): (f64, &Value), tolerance: Tolerance) {
        let want = float(want);
        self.holds(what, tolerance.accepts(got, want), format_args!("{got:?} for {want:?}"));
    }

    /// Compares p-values: references that compute 1 − cdf are exact to 1e-15 only.
    pub(crate) fn near_p(&mut self, what: &str, got: f64, want: &Value) {
        if (got - float(want)).abs() <= 1e-15 {
            self.compared += 1;
            return;
        }
        self.near(what, got, want);
    }

    /// Compares logarithms as what they are the logarithms of: a relative tolerance is absolute here.
    pub(crate) fn near_log(&mut self, what: &str, got: f64, want: &Value) {
        let tolerance = match self.tolerance {
            Tolerance::Relative(relative) => Tolerance::Absolute(relative * float(want).abs().max(1.0)),
            absolute @ Tolerance::Absolute(_) => absolute,
        };
        self.near_within(what, (got, want), tolerance);
    }

    /// Compares two ends of an interval.
    pub(crate) fn interval(&mut self, what: &str, (lower, upper): (f64, f64), want: &Value) {
        self.near(&format!("{what} lower"), lower, &want[0]);
        self.near(&format!("{what} upper"), upper, &want[1]);
    }

    /// Compares for equality.
    pub(crate) fn same<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, got: &T, want: &T) {
        self.holds(what, got == want, format_args!("{got:?} for {want:?}"));
    }

    fn holds(&mut self, what: &str, is_equal: bool, difference: std::fmt::Arguments<'_>) {
        self.compared += 1;
        if !is_equal {
            self.mismatches.push(format!("case {} {what}: {difference}", self.index));
        }
    }
}

/// A number, where references spell infinities as text.
pub(crate) fn float(value: &Value) -> f64 {
    match value {
        Value::String(text) => text.parse().unwrap_or_else(|_| panic!("not a number: {text}")),
        other => other.as_f64().unwrap_or_else(|| panic!("not a number: {other}")),
    }
}

/// A list of numbers.
pub(crate) fn floats(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list of numbers").iter().map(float).collect()
}

/// A list of counts.
pub(crate) fn counts(value: &Value) -> Vec<u64> {
    value.as_array().expect("a list of counts").iter().map(|v| v.as_u64().expect("a count")).collect()
}

fn directory() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracles"))
}

/// Runs all cases of one file.
pub(crate) fn run(check: &Check) -> Row {
    let path = directory().join(format!("{}.json", check.file));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut file: Value = serde_json::from_str(&text).expect("a reference file is JSON");
    let cases = file["cases"].take();
    let cases = cases.as_array().expect("a reference file has cases");
    let tolerance = Tolerance::of(&file);
    let mut mismatches = Vec::new();
    let mut passed = 0;
    for (index, value) in cases.iter().enumerate() {
        let mut case = Case {
            index,
            file: &file,
            inp: &value["inp"],
            out: &value["out"],
            tolerance,
            compared: 0,
            mismatches: Vec::new(),
        };
        (check.case)(&mut case);
        if case.compared == 0 {
            case.mismatches.push(format!("case {index}: nothing compared"));
        }
        passed += usize::from(case.mismatches.is_empty());
        mismatches.append(&mut case.mismatches);
    }
    let without = NOT_COMPARED.iter().find(|(file, _)| *file == check.file);
    let tolerance = without.map_or_else(|| tolerance.to_string(), |(_, what)| format!("{tolerance}; without {what}"));
    Row { name: check.file.into(), cases: cases.len(), passed, left_out: 0, tolerance, mismatches }
}

/// Reference files that no area checks.
pub(crate) fn unchecked(areas: &[&[Check]]) -> Vec<String> {
    let entries = std::fs::read_dir(directory()).expect("the reference files are there");
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".json").map(str::to_owned))
        .filter(|name| name != "hash_vectors")
        .filter(|name| !areas.iter().copied().flatten().any(|check| check.file == name))
        .collect();
    names.sort();
    names
}

/// Rows of GrowthBook's specification, or why there are none.
pub(crate) struct GrowthBook {
    /// One per group of cases.
    pub(crate) rows: Vec<Row>,
    /// The line to print instead.
    pub(crate) skipped: Option<String>,
}

/// Runs `suite` over the file named by `PLAUDIT_GROWTHBOOK_CASES`.
#[expect(clippy::disallowed_methods, reason = "the specification lies outside the repository")]
pub(crate) fn growthbook(suite: Option<Suite>) -> GrowthBook {
    let skipped = |why: String| GrowthBook { rows: Vec::new(), skipped: Some(format!("SKIPPED: {why}")) };
    let Some(suite) = suite else {
        return skipped("no check of GrowthBook's specification yet".into());
    };
    let Ok(path) = std::env::var("PLAUDIT_GROWTHBOOK_CASES") else {
        return skipped(
            "GrowthBook's specification: PLAUDIT_GROWTHBOOK_CASES names no file (deploy/dev/growthbook-cases finds it)"
                .into(),
        );
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => return skipped(format!("GrowthBook's specification: {path}: {error}")),
    };
    let cases = serde_json::from_str(&text).expect("the specification is JSON");
    GrowthBook { rows: suite(&cases), skipped: None }
}

/// Prints what agrees, and under the table what does not.
#[expect(clippy::print_stdout, reason = "a table for the reader of the test run")]
pub(crate) fn print_table(rows: &[Row]) {
    println!("| file | cases | pass | tolerance |\n|---|---|---|---|");
    for row in rows {
        println!("| {} | {} | {} | {} |", row.name, row.cases, row.passed, row.tolerance);
    }
    for row in rows {
        for mismatch in row.mismatches.iter().take(20) {
            println!("MISMATCH {} {mismatch}", row.name);
        }
    }
}
