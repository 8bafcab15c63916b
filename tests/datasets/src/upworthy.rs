//! Upworthy: A/B tests of headlines, as counts of impressions and clicks per arm.
//!
//! Every impression becomes an exposure of the `decide` surface and every click a `click` signal, so
//! that what comes out of Plaudit can be compared with the counts of the data, to the unit. What the
//! counts do not say is made up, always in the same way:
//! - the week of a test is all that is known of its time: a test takes the first day of its week,
//!   its impressions evenly apart, and tests of one week run side by side;
//! - which arm comes when, and which impressions of an arm are clicked, is drawn by the seed: each arm
//!   gets exactly its numbers;
//! - a click comes [`CLICK_DELAY_MS`] after its impression;
//! - who saw a headline is unknown: every impression has a unit of its own.
//!
//! The propensity is one through the number of arms, as the experiment promised; tests whose
//! randomisation is suspect carry none, since nobody knows it. Ids are made from the test, the arm and
//! the number of the impression within the arm, so that expanding twice gives the same events.

mod expand;
mod pairs;
mod read;
pub mod synthetic;

use std::path::{Path, PathBuf};

use plaudit_event::{ExperimentId, ExposureId, Seed, Timestamp};

use crate::{Error, Split};

pub use expand::Events;
pub use pairs::Contest;

/// Time between an impression and the click on it.
pub const CLICK_DELAY_MS: i64 = 5_000;
/// How long a test takes.
pub const TEST_MS: i64 = 24 * 3_600_000;
/// Most arms of a test.
pub const MAX_ARMS: usize = 255;
/// Most impressions of a test: what a test under way holds in memory, a byte each.
pub const MAX_IMPRESSIONS: u64 = 10_000_000;
/// The layer that the tests are experiments of.
pub const LAYER: &str = "headline";
/// What every exposure id begins with.
const PREFIX: &str = "upworthy";

/// Where the tests of `split` lie under `data`, the directory of all data sets. No test is in both splits.
#[must_use]
pub fn path(data: &Path, split: Split) -> PathBuf {
    data.join("upworthy").join(format!("tests.{}.jsonl.gz", split.as_str()))
}

/// One headline of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arm {
    /// What was shown.
    pub headline: String,
    /// How often.
    pub impressions: u64,
    /// How often it was clicked, at most as often as shown.
    pub clicks: u64,
}

/// Headlines that were shown at random against each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// Names the test.
    pub id: ExperimentId,
    /// Year and number of the week, such as `201311`; week 0 are the days before the first Monday.
    pub week: u32,
    /// When that week begins.
    pub start: Timestamp,
    /// Whether it ran while the randomisation of the site was faulty.
    pub randomisation_suspect: bool,
    /// The headlines, one to [`MAX_ARMS`]; an arm is named by its place.
    pub arms: Vec<Arm>,
}

/// The tests of one split, the earliest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upworthy {
    tests: Vec<Test>,
}

/// What a split holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tests.
    pub tests: usize,
    /// Headlines.
    pub arms: usize,
    /// Exposures.
    pub impressions: u64,
    /// Signals.
    pub clicks: u64,
}

impl Upworthy {
    /// Reads a split from `data`, the directory of all data sets.
    ///
    /// # Errors
    /// Fails when the file is absent or malformed, naming it and the line.
    pub fn open(data: &Path, split: Split) -> Result<Self, Error> {
        let mut tests = read::read(&path(data, split))?;
        tests.sort_by(|a, b| (a.week, &a.id).cmp(&(b.week, &b.id)));
        Ok(Self { tests })
    }

    /// The first `count` tests by time.
    #[must_use]
    pub fn first(mut self, count: usize) -> Self {
        self.tests.truncate(count);
        self
    }

    /// The tests, the earliest first.
    #[must_use]
    pub fn tests(&self) -> &[Test] {
        &self.tests
    }

    /// What there is.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { tests: self.tests.len(), ..Counts::default() };
        for arm in self.tests.iter().flat_map(|test| &test.arms) {
            counts.arms += 1;
            counts.impressions += arm.impressions;
            counts.clicks += arm.clicks;
        }
        counts
    }

    /// The events in the order of their times, made one at a time: only the tests of the present week
    /// are held, a byte per impression.
    #[must_use]
    pub fn events(&self, seed: Seed) -> Events<'_> {
        Events::new(&self.tests, seed)
    }
}

/// The test and the arm that the exposure called `id` is of; nothing when it is not of this data set.
#[must_use]
pub fn origin(id: &ExposureId) -> Option<(&str, usize)> {
    let rest = id.as_str().strip_prefix(PREFIX)?.strip_prefix('-')?;
    let mut parts = rest.rsplitn(3, '-');
    let (_number, arm, test) = (parts.next()?, parts.next()?, parts.next()?);
    Some((test, arm.parse().ok()?))
}
