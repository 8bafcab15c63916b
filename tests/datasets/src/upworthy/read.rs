//! From a file to tests.

use std::collections::HashSet;
use std::path::Path;

use plaudit_event::ExperimentId;
use serde::{Deserialize, Serialize};

use super::{Arm, MAX_ARMS, MAX_IMPRESSIONS, Test};
use crate::files::read_mended;
use crate::{Error, time};

/// A test as a line of the file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RawTest {
    pub(super) test: String,
    pub(super) week: u32,
    pub(super) randomisation_suspect: bool,
    pub(super) arms: Vec<RawArm>,
}

/// An arm as the file has it; what else is there is not needed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RawArm {
    pub(super) headline: String,
    pub(super) impressions: u64,
    pub(super) clicks: u64,
}

/// All tests of the file, in its order.
pub(super) fn read(path: &Path) -> Result<Vec<Test>, Error> {
    let rows: Vec<(usize, RawTest)> = read_mended(path, mend)?;
    let mut tests = Vec::with_capacity(rows.len());
    let mut ids = HashSet::new();
    for (line, raw) in rows {
        let fault =
            |(field, problem, value): Problem| Error::Value { path: path.to_owned(), line, field, problem, value };
        let test = check(raw).map_err(fault)?;
        if !ids.insert(test.id.clone()) {
            return Err(fault(("test", "must name one test only", test.id.to_string())));
        }
        tests.push(test);
    }
    Ok(tests)
}

/// A missing image is written as `NaN`, which is no JSON. Within a text the quote before the colon would be escaped.
fn mend(text: String) -> String {
    if text.contains("\"image\": NaN") { text.replace("\"image\": NaN", "\"image\": null") } else { text }
}

type Problem = (&'static str, &'static str, String);

fn check(raw: RawTest) -> Result<Test, Problem> {
    let id = ExperimentId::new(raw.test.clone()).ok().filter(|id| id.as_str().len() <= 64);
    let id = id.ok_or(("test", "must be 1 to 64 characters of ASCII without spaces", raw.test))?;
    let start = time::week_start(raw.week);
    let start =
        start.ok_or_else(|| ("week", "must be a year and a week of it such as 201311", raw.week.to_string()))?;
    if raw.arms.is_empty() || raw.arms.len() > MAX_ARMS {
        return Err(("arms", "must be 1 to 255", raw.arms.len().to_string()));
    }
    let mut arms = Vec::with_capacity(raw.arms.len());
    let mut total = 0_u64;
    for RawArm { headline, impressions, clicks } in raw.arms {
        if clicks > impressions {
            return Err(("clicks", "must be at most the impressions of the arm", clicks.to_string()));
        }
        total = total.saturating_add(impressions);
        arms.push(Arm { headline, impressions, clicks });
    }
    if total > MAX_IMPRESSIONS {
        return Err(("impressions", "must be at most 10000000 in one test", total.to_string()));
    }
    Ok(Test { id, week: raw.week, start, randomisation_suspect: raw.randomisation_suspect, arms })
}
