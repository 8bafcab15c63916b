//! How long a reaction takes from the close of its window to the weights that used it, and where the time goes.

use std::collections::VecDeque;

use plaudit_event::Timestamp;
use serde::Serialize;

use crate::metrics;

/// Most examples that wait for a publication; further ones are not timed.
const MOST_WAITING: usize = 65_536;
/// Most timed examples that the summary is over.
const MOST_TIMED: usize = 4_096;

/// The stages between the close of a window and the weights that serve.
pub(crate) const STAGES: [&str; 5] = ["attribution", "reading", "training", "publication", "total"];

/// When an example got where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moments {
    /// The window closed.
    pub(super) closed: Timestamp,
    /// Attribution had appended it to the log.
    pub(super) appended: Timestamp,
    /// Training had read it.
    pub(super) read: Timestamp,
}

/// Seconds of one stage over the newest examples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct StageSeconds {
    /// Half of the examples took at most this.
    pub p50: f64,
    /// 95 % took at most this.
    pub p95: f64,
    /// The slowest.
    pub max: f64,
}

/// How old reactions are when weights that used them begin to serve: from the close of the window on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Freshness {
    /// Examples timed: the newest whose windows closed since the start of the service.
    pub examples: usize,
    /// From the close of the window to the example in the log: watermark, poll and join of attribution.
    pub attribution: StageSeconds,
    /// From there until training has read it.
    pub reading: StageSeconds,
    /// From there until it was trained on, with the others that were read at once.
    pub training: StageSeconds,
    /// From there until the weights serve: snapshot and comparison with the champion, refusals included.
    pub publication: StageSeconds,
    /// All of it.
    pub total: StageSeconds,
}

/// Times examples.
#[derive(Debug)]
pub(super) struct Timer {
    started: Timestamp,
    /// Read, not trained on.
    read: Vec<Moments>,
    /// Trained on, at the second time, and not published.
    trained: Vec<(Moments, Timestamp)>,
    /// Seconds per stage of the newest.
    timed: VecDeque<[f64; STAGES.len()]>,
}

impl Timer {
    pub(super) const fn new(started: Timestamp) -> Self {
        Self { started, read: Vec::new(), trained: Vec::new(), timed: VecDeque::new() }
    }

    /// Notes an example that is being trained on. One that closed before the start has waited for the start, too, and
    /// says nothing.
    pub(super) fn note(&mut self, moments: Moments) {
        if moments.closed >= self.started && self.read.len() + self.trained.len() < MOST_WAITING {
            self.read.push(moments);
        }
    }

    /// Training has come past everything noted.
    pub(super) fn trained(&mut self, now: Timestamp) {
        self.trained.extend(self.read.drain(..).map(|moments| (moments, now)));
    }

    /// Weights that used everything noted serve from `now` on.
    pub(super) fn published(&mut self, now: Timestamp) {
        self.trained(now);
        for (moments, trained) in self.trained.drain(..) {
            let points = [moments.closed, moments.appended, moments.read, trained, now];
            let seconds = |from: Timestamp, to: Timestamp| to.millis_since(from).max(0) as f64 / 1_000.0;
            let mut stages = [0.0; STAGES.len()];
            for (stage, pair) in stages.iter_mut().zip(points.windows(2)) {
                *stage = seconds(pair[0], pair[1]);
            }
            stages[STAGES.len() - 1] = seconds(moments.closed, now);
            metrics::freshness(&stages);
            self.timed.push_back(stages);
        }
        self.timed.drain(..self.timed.len().saturating_sub(MOST_TIMED));
    }

    /// `None` before the first.
    pub(super) fn summary(&self) -> Option<Freshness> {
        let stage = |at: usize| {
            let mut seconds: Vec<f64> = self.timed.iter().map(|stages| stages[at]).collect();
            seconds.sort_by(f64::total_cmp);
            let quantile = |share: f64| seconds[(share * (seconds.len() - 1) as f64).round() as usize];
            StageSeconds { p50: quantile(0.5), p95: quantile(0.95), max: quantile(1.0) }
        };
        (!self.timed.is_empty()).then(|| Freshness {
            examples: self.timed.len(),
            attribution: stage(0),
            reading: stage(1),
            training: stage(2),
            publication: stage(3),
            total: stage(4),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_is_timed_and_what_closed_before_the_start_is_not() {
        let at = Timestamp::from_millis;
        let mut timer = Timer::new(at(10_000));
        timer.note(Moments { closed: at(9_999), appended: at(10_000), read: at(10_001) });
        assert_eq!(timer.summary(), None);
        timer.note(Moments { closed: at(10_000), appended: at(10_300), read: at(10_500) });
        timer.trained(at(10_600));
        timer.note(Moments { closed: at(11_000), appended: at(11_100), read: at(11_200) });
        timer.trained(at(11_300));
        timer.published(at(12_000));
        let told = timer.summary().unwrap();
        assert_eq!(told.examples, 2);
        let largest = [told.attribution, told.reading, told.training, told.publication, told.total].map(|s| s.max);
        assert_eq!(largest, [0.3, 0.2, 0.1, 1.4, 2.0]);
        timer.published(at(20_000));
        assert_eq!(timer.summary(), Some(told), "nothing is timed twice");
        for _ in 0..MOST_WAITING + 5 {
            timer.note(Moments { closed: at(11_000), appended: at(11_100), read: at(11_200) });
        }
        timer.published(at(20_000));
        assert_eq!(timer.summary().unwrap().examples, MOST_TIMED);
    }
}
