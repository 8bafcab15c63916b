//! Attribution: which signals belong to which exposure, and what label that makes.
//!
//! The [`Joiner`] is a pure state machine: records go in, in the order of the log; [`Emission`]s come
//! out, in an order that is a function of the log alone. It holds a few dozen bytes per exposure, not
//! the exposure itself: whoever needs the text reads it again from the log, at the offset that the
//! emission names.
//!
//! ```text
//! appended ──────────────┬───────────────────────────────┬──────────────────────────┬────►
//!          early_slack   │        window + grace         │    correction_horizon    │
//! signals that come      │ are counted at the close      │ make a new revision      │ are late
//! here wait for it       exposure                        close: revision 0, for     forgotten
//!                                                        every exposure
//! ```
//!
//! Every exposure closes after the same time, whatever was said about it, so positives and negatives
//! reach training with the same delay. Until then it is *censored*: not an example yet. With `close_after` it closes
//! before its window ends, and what still happens within the window makes a new revision.

mod early;
mod emission;
mod labels;
mod remark;
mod shown;

use std::collections::{HashMap, VecDeque};

use plaudit_event::{Labels, Signal, Timestamp};

use crate::Config;
use crate::config::millis;
use crate::fingerprint::Fingerprint;
use early::Early;
use labels::Rules;
use shown::{Shown, Taken};

pub use emission::{Emission, Order, Phase};
pub use shown::ExposureHead;

/// What the joiner holds and has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JoinerStats {
    /// Exposures whose window is open.
    pub open: u64,
    /// Exposures remembered, open or closed.
    pub remembered: u64,
    /// Exposures that signals wait for.
    pub awaited: u64,
    /// Exposures seen a second time.
    pub duplicates: u64,
    /// Signals whose exposure never came.
    pub orphans: u64,
    /// Signals that came after the correction horizon.
    pub late: u64,
    /// Signals beyond the limit per exposure.
    pub over_limit: u64,
    /// Signals that happened outside the window of their kind.
    pub outside_window: u64,
    /// Signals about an item that was not the chosen one.
    pub other_item: u64,
}

impl JoinerStats {
    fn count(&mut self, taken: Taken) {
        match taken {
            Taken::Counts => {}
            Taken::OverLimit => self.over_limit += 1,
            Taken::OutsideWindow => self.outside_window += 1,
            Taken::OtherItem => self.other_item += 1,
        }
    }
}

/// Joins signals to exposures.
///
/// Feed records with [`exposure`](Self::exposure) and [`signal`](Self::signal) ordered by (appended,
/// exposures before signals, offset). Emissions are pushed to `out`. Sans-IO and synchronous; equal
/// inputs give equal outputs.
pub struct Joiner {
    rules: Rules,
    timing: Timing,
    shown: HashMap<Fingerprint, Shown>,
    /// Exposures in the order in which they close, which is that of their offsets.
    closing: VecDeque<Closing>,
    closed: u64,
    /// Exposures in the order in which they are forgotten; an entry whose time is not that of the
    /// exposure any more is void.
    forgetting: VecDeque<(Timestamp, Fingerprint)>,
    /// Signals without exposure.
    early: Early,
    stats: JoinerStats,
}

/// An exposure on its way to its close.
struct Closing {
    close: Timestamp,
    offset: u64,
    /// `None` for one that was known already: nothing is emitted for it.
    id: Option<Fingerprint>,
}

/// The durations of the configuration, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Timing {
    /// From the exposure to its close.
    open: i64,
    /// From the close to the last correction.
    correction: i64,
    /// From an early signal to its last chance.
    early: i64,
}

impl Timing {
    fn of(config: &Config) -> Self {
        Self {
            open: millis(config.close_after.unwrap_or(config.window)) + millis(config.grace),
            correction: millis(config.correction_horizon),
            early: millis(config.early_slack),
        }
    }

    const fn memory(self) -> i64 {
        self.open + self.correction
    }
}

/// How many milliseconds before an emission the log must be read again, so that every emission from
/// there on comes out as if it had been read from the start.
///
/// An exposure can still emit for `memory` = window + grace + correction horizon after it came. That
/// it came for the first time shows in the `memory` before it, and its early signals come at most
/// `early_slack` before it. Which of them there was no room for follows from the signals after them,
/// and whether those wait, too, shows in the `memory` before them.
#[must_use]
pub fn lookback_ms(config: &Config) -> i64 {
    let timing = Timing::of(config);
    2 * timing.memory() + timing.early + 1
}

impl Joiner {
    /// An empty joiner.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            rules: Rules::new(config),
            timing: Timing::of(config),
            shown: HashMap::new(),
            closing: VecDeque::new(),
            closed: 0,
            forgetting: VecDeque::new(),
            early: Early::new(config.max_early_exposures, config.max_signals_per_exposure),
            stats: JoinerStats::default(),
        }
    }

    /// Takes the exposure at `offset`. A second exposure with the same id is ignored, as long as the
    /// first is remembered.
    pub fn exposure(&mut self, appended: Timestamp, offset: u64, exposure: &ExposureHead, out: &mut Vec<Emission>) {
        self.advance(appended, out);
        let id = Fingerprint::of_id("exposure", &exposure.exposure_id);
        let close = appended.plus_millis(self.timing.open);
        let forget = appended.plus_millis(self.timing.memory());
        self.forgetting.push_back((forget, id));
        if let Some(known) = self.shown.get_mut(&id) {
            // Each sighting extends the memory: whether a record is a duplicate then depends only on
            // the records of one memory before it, however long the chain.
            known.forget = forget;
            self.stats.duplicates += 1;
            let id = None;
            self.closing.push_back(Closing { close, offset, id });
            return;
        }
        let mut shown = Shown::new(offset, exposure, close, forget);
        for reaction in self.early.take(id) {
            let taken = shown.take(&reaction, &self.rules);
            self.stats.count(taken);
        }
        self.shown.insert(id, shown);
        let id = Some(id);
        self.closing.push_back(Closing { close, offset, id });
        self.stats.open += 1;
    }

    /// Takes the signal at `offset`. Each signal counts once, whatever is sent again.
    pub fn signal(&mut self, appended: Timestamp, offset: u64, signal: &Signal, out: &mut Vec<Emission>) {
        self.advance(appended, out);
        let Some(reaction) = self.rules.reaction(signal) else {
            return;
        };
        let id = Fingerprint::of_id("exposure", signal.exposure_id.as_str());
        let Some(shown) = self.shown.get_mut(&id) else {
            let dropped = self.early.keep(appended, id, reaction);
            self.stats.orphans += dropped.orphans;
            self.stats.over_limit += dropped.over_limit;
            return;
        };
        if appended >= shown.close.plus_millis(self.timing.correction) {
            self.stats.late += 1;
            return;
        }
        let is_closed = appended >= shown.close;
        let before = is_closed.then(|| shown.worth(&self.rules));
        let taken = shown.take(&reaction, &self.rules);
        self.stats.count(taken);
        let Some(before) = before else { return };
        let after = shown.worth(&self.rules);
        if after != before {
            shown.revision += 1;
            let ((labels, remarks), (replaced, _)) = (after, before);
            out.push(Emission {
                order: Order { at: appended, phase: Phase::Correction, cause: offset },
                exposure_offset: shown.offset,
                revision: shown.revision,
                labels,
                replaced,
                remarks,
                closed: self.closed,
            });
        }
    }

    /// Declares that every later record is appended at or after `to`: closes what is due by then.
    pub fn advance(&mut self, to: Timestamp, out: &mut Vec<Emission>) {
        while let Some(due) = self.closing.pop_front_if(|closing| closing.close <= to) {
            self.closed = due.offset + 1;
            let Some(shown) = due.id.and_then(|id| self.shown.get(&id)) else {
                continue;
            };
            self.stats.open -= 1;
            let (labels, remarks) = shown.worth(&self.rules);
            out.push(Emission {
                order: Order { at: due.close, phase: Phase::Close, cause: due.offset },
                exposure_offset: shown.offset,
                revision: 0,
                labels,
                replaced: Labels::new(),
                remarks,
                closed: self.closed,
            });
        }
        while let Some((forget, id)) = self.forgetting.pop_front_if(|(forget, _)| *forget <= to) {
            if self.shown.get(&id).is_some_and(|s| s.forget == forget) {
                self.shown.remove(&id);
            }
        }
        self.stats.orphans += self.early.expire(to.plus_millis(-self.timing.early));
    }

    /// What the joiner holds and has seen.
    #[must_use]
    pub fn stats(&self) -> JoinerStats {
        JoinerStats { remembered: self.shown.len() as u64, awaited: self.early.num_exposures() as u64, ..self.stats }
    }
}
