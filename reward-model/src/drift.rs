//! Noticing that the world has changed: detectors on the error of predictions, and on what is predicted from.
//!
//! The error is the one of the prediction that was made before its example was trained on. It grows when reactions
//! change; the other statistics tell what kind of change it was, and change also when the error does not. ADWIN decides;
//! the Page-Hinkley test is often earlier and less sure (on long streams it tells changes that are none), so it is only
//! counted.

mod adwin;
pub mod batch;
mod page_hinkley;

use serde::Serialize;

use adwin::Adwin;
use page_hinkley::PageHinkley;

/// How probable it may be, about, that ADWIN tells a change that is none.
const DELTA: f64 = 0.002;
/// How large a cumulated deviation the Page-Hinkley test takes for a change.
const THRESHOLD: f64 = 50.0;
/// The response length, in words, that counts one half.
const HALF_WORDS: f64 = 50.0;
/// Whole numbers that a monitor has beside those of its window.
const COUNTS: usize = 2;
/// Numbers of the Page-Hinkley test.
const SUMS: usize = 6;

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    /// Squared error of the prediction (its Brier score).
    Error,
    /// The prediction itself.
    Prediction,
    /// The label.
    Label,
    /// The length of the response, `w / (w + 50)` for w words.
    Length,
}

impl Statistic {
    /// All, in the order in which they are kept.
    pub const ALL: [Self; 4] = [Self::Error, Self::Prediction, Self::Label, Self::Length];

    /// Its name in metrics and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Prediction => "prediction",
            Self::Label => "label",
            Self::Length => "length",
        }
    }
}

/// What the detectors say of one statistic.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Drift {
    /// Changes that ADWIN has found.
    pub changes: u64,
    /// Changes that the Page-Hinkley test has found.
    pub page_hinkley_changes: u64,
    /// Predictions since the newest change that ADWIN has found; all when there was none.
    pub since: u64,
    /// The mean of the statistic over these.
    pub mean: f64,
}

/// One statistic under both detectors.
#[derive(Debug, Clone, Default, PartialEq)]
struct Monitor {
    adwin: Adwin,
    page_hinkley: PageHinkley,
    changes: u64,
    page_hinkley_changes: u64,
}

impl Monitor {
    /// Whether there was a change.
    fn update(&mut self, value: f64) -> bool {
        let is_change = self.adwin.update(value, DELTA);
        let is_far = self.page_hinkley.update(value, THRESHOLD);
        self.changes += u64::from(is_change);
        self.page_hinkley_changes += u64::from(is_far);
        is_change
    }

    fn told(&self) -> Drift {
        Drift {
            mean: self.adwin.mean(),
            changes: self.changes,
            page_hinkley_changes: self.page_hinkley_changes,
            since: self.adwin.width(),
        }
    }
}

/// What one prediction made the detectors say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Statistics that have changed.
    pub(crate) count: u64,
    /// Whether the error is one of them, and has grown.
    pub(crate) is_error_larger: bool,
}

/// The statistics of one objective.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Monitors([Monitor; Statistic::ALL.len()]);

impl Monitors {
    /// Takes a prediction `p`, what came of it, and the length of what it was about.
    pub(crate) fn update(&mut self, p: f64, label: f64, words: u32) -> Changes {
        let words = f64::from(words);
        let values = [(p - label).powi(2), p, label, words / (words + HALF_WORDS)];
        let mut changes = Changes::default();
        for ((statistic, monitor), value) in Statistic::ALL.into_iter().zip(&mut self.0).zip(values) {
            let before = monitor.adwin.mean();
            if monitor.update(value) {
                changes.count += 1;
                changes.is_error_larger |= statistic == Statistic::Error && monitor.adwin.mean() > before;
            }
        }
        changes
    }

    pub(crate) fn told(&self) -> impl Iterator<Item = (Statistic, Drift)> {
        Statistic::ALL.into_iter().zip(self.0.iter().map(Monitor::told))
    }

    /// Everything in numbers, by statistic: counts, and sums.
    pub(crate) fn to_columns(&self) -> impl Iterator<Item = (Statistic, Vec<u64>, Vec<f64>)> {
        Statistic::ALL.into_iter().zip(&self.0).map(|(statistic, monitor)| {
            let (window_counts, window_sums) = monitor.adwin.to_columns();
            let counts = [&[monitor.changes, monitor.page_hinkley_changes], &window_counts[..]].concat();
            let sums = [&monitor.page_hinkley.to_array(), &window_sums[..]].concat();
            (statistic, counts, sums)
        })
    }

    /// What [`Monitors::to_columns`] made of each statistic; nothing when it did not make it.
    pub(crate) fn of_columns(mut read: impl FnMut(Statistic) -> Option<(Vec<u64>, Vec<f64>)>) -> Option<Self> {
        let mut monitors = Self::default();
        for (statistic, monitor) in Statistic::ALL.into_iter().zip(&mut monitors.0) {
            let (counts, sums) = read(statistic)?;
            let ([changes, page_hinkley_changes], window_counts) = counts.split_first_chunk::<COUNTS>()?;
            let (page_hinkley, window_sums) = sums.split_first_chunk::<SUMS>()?;
            *monitor = Monitor {
                adwin: Adwin::of_columns(window_counts, window_sums)?,
                page_hinkley: PageHinkley::of_array(*page_hinkley),
                changes: *changes,
                page_hinkley_changes: *page_hinkley_changes,
            };
        }
        Some(monitors)
    }
}

#[cfg(test)]
mod tests;
