//! Sample-ratio mismatch in finished tests, of which it is known when the randomisation was at fault.

use plaudit_datasets::upworthy::Test;
use plaudit_experiment::stats::srm_chi2;
use serde::Serialize;

/// Below this p-value a test raises an alarm. The tests are finished and looked at once, so the test for a fixed
/// moment is valid.
pub(super) const LEVEL: f64 = 1e-3;
/// Least share of alarms in the faulty period.
pub(super) const LEAST_FAULTY: f64 = 0.6;
/// Greatest share of alarms outside it: ten times what chance makes.
pub(super) const MOST_OTHER: f64 = 0.01;

/// Tests of one period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Period {
    pub(super) tests: u64,
    pub(super) alarms: u64,
}

impl Period {
    pub(super) fn share(self) -> f64 {
        if self.tests == 0 { 0.0 } else { self.alarms as f64 / self.tests as f64 }
    }
}

/// Alarms by period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Ratio {
    /// While the randomisation was at fault.
    pub(super) faulty: Period,
    /// Before and after.
    pub(super) other: Period,
}

impl Ratio {
    /// Asks of every test whether its arms were shown equally often. One that cannot be asked is left out.
    pub(super) fn of<'a>(tests: impl IntoIterator<Item = &'a Test>) -> Self {
        let mut ratio = Self::default();
        for test in tests {
            let shown: Vec<u64> = test.arms.iter().map(|arm| arm.impressions).collect();
            let Some(mismatch) = srm_chi2(&shown, &vec![1.0; shown.len()]) else { continue };
            let period = if test.randomisation_suspect { &mut ratio.faulty } else { &mut ratio.other };
            period.tests += 1;
            period.alarms += u64::from(mismatch.p < LEVEL);
        }
        ratio
    }

    /// Whether the alarms tell the faulty period from the others.
    pub(super) fn is_as_known(self) -> bool {
        let is_found = self.faulty.tests == 0 || self.faulty.share() >= LEAST_FAULTY;
        is_found && self.other.share() <= MOST_OTHER
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::PathBuf;

    use plaudit_datasets::Split;
    use plaudit_datasets::upworthy::{Upworthy, synthetic};
    use plaudit_event::Seed;

    use super::*;

    #[test]
    fn alarms_tell_a_leak_from_a_fair_split() {
        let data = tempfile::tempdir().unwrap();
        synthetic::write(data.path(), Split::Train, Seed::new(3), 1_000).unwrap();
        let set = Upworthy::open(data.path(), Split::Train).unwrap();
        let ratio = Ratio::of(set.tests());
        assert_eq!((ratio.faulty.tests, ratio.other.tests), (250, 750));
        assert!(ratio.faulty.share() > 0.99, "a threefold share cannot be missed: {ratio:?}");
        assert!(ratio.is_as_known(), "{ratio:?}");
        let mixed_up = Ratio { faulty: ratio.other, other: ratio.faulty };
        assert!(!mixed_up.is_as_known());
    }

    #[test]
    fn a_single_arm_cannot_be_asked() {
        let data = tempfile::tempdir().unwrap();
        synthetic::write(data.path(), Split::Train, Seed::new(3), 1).unwrap();
        let mut test = Upworthy::open(data.path(), Split::Train).unwrap().tests()[0].clone();
        test.arms.truncate(1);
        assert_eq!(Ratio::of([&test]), Ratio::default());
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "only the environment says where the real files are")]
    fn the_faulty_period_of_the_real_tests_is_found() {
        let Ok(data) = std::env::var("PLAUDIT_DATA").map(PathBuf::from) else {
            let why = "set PLAUDIT_DATA to the directory of the data sets";
            // Not with a macro: their output is hidden when a test passes.
            writeln!(std::io::stderr(), "SKIPPED the_faulty_period_of_the_real_tests_is_found: {why}").unwrap();
            return;
        };
        for split in [Split::Train, Split::Test] {
            let ratio = Ratio::of(Upworthy::open(&data, split).unwrap().tests());
            assert!(ratio.faulty.share() >= LEAST_FAULTY && ratio.other.share() <= MOST_OTHER, "{split:?}: {ratio:?}");
        }
    }
}
