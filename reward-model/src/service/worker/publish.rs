//! What others see of the training.

use std::collections::BTreeMap;
use std::sync::Arc;

use plaudit_event::Objective;

use super::{Progress, Worker, saved_id};
use crate::{Drift, GoldenReport, LengthReport, Statistic, Trainer, metrics};

impl Worker {
    /// Publishes a scorer if one was learned since and passes, and says where training stands.
    pub(super) fn publish_if_new(&self, progress: &mut Progress) {
        let mut has_passed = false;
        if progress.published != Some(progress.trainer.examples()) {
            has_passed = self.challenge(progress);
            progress.published = Some(progress.trainer.examples());
            self.return_if_due(progress);
        } else if self.status.borrow().position == progress.position {
            return;
        }
        let now = self.clock.now();
        if has_passed {
            progress.timer.published(now);
        }
        let trainer = &progress.trainer;
        let objectives: BTreeMap<_, _> = trainer
            .objectives()
            .iter()
            .filter_map(|objective| Some((objective.clone(), trainer.quality(&objective.0)?)))
            .collect();
        for (objective, quality) in &objectives {
            metrics::quality(objective, quality);
        }
        let drift: BTreeMap<_, _> =
            trainer.objectives().iter().map(|objective| (objective.clone(), trainer.drift(&objective.0))).collect();
        for (objective, drift) in &drift {
            drift.iter().for_each(|(statistic, drift)| metrics::drift(objective, *statistic, drift));
        }
        let length = self.tell_lengths(trainer);
        metrics::suspects(trainer.suspects());
        let golden = self.golden(trainer);
        let challenger = progress.standing.record.status(self.config.challenger.alarm_after);
        let freshness = progress.timer.summary();
        self.status.send_modify(|status| {
            status.examples = trainer.examples();
            status.position = progress.position;
            status.love = objectives.get(Objective::LOVE).copied();
            status.objectives = objectives;
            status.drift = drift;
            status.length = length;
            status.suspects = trainer.suspects();
            status.golden = golden;
            status.challenger = challenger;
            status.freshness = freshness;
            if has_passed {
                status.closed_through = trainer.closed_through();
                status.published = Some(now);
            }
            status.checkpoint_id = saved_id(progress);
        });
    }

    /// What was forgotten; told again only when models were judged since.
    fn golden(&self, trainer: &Trainer) -> Option<Arc<GoldenReport>> {
        let known = self.status.borrow().golden.clone();
        let report = trainer.golden_measured();
        if report.slices.is_empty() || known.as_ref().is_some_and(|known| **known == report) {
            return known;
        }
        metrics::golden(&report);
        let is_new = report.alarm && !known.is_some_and(|known| known.alarm);
        if is_new {
            let forgetting = report.forgetting.unwrap_or_default();
            tracing::warn!(forgetting, "the reward model has forgotten more of its golden slices than it may");
        }
        Some(Arc::new(report))
    }
}

impl Worker {
    /// How rewards follow the length of responses; an alarm is told once, when it begins.
    fn tell_lengths(&self, trainer: &Trainer) -> BTreeMap<Objective, LengthReport> {
        let known = |objective: &Objective| Some((objective.clone(), trainer.length(&objective.0)?));
        let lengths: BTreeMap<_, _> = trainer.objectives().iter().filter_map(known).collect();
        let before = self.status.borrow();
        for (objective, length) in &lengths {
            metrics::length(objective, length);
            let was_on = before.length.get(objective).is_some_and(|before| before.alarm);
            if length.alarm && !was_on {
                let correlation = length.reward.unwrap_or(f64::NAN);
                tracing::warn!(%objective, correlation, "rewards follow the length of responses");
            }
        }
        lengths
    }
}

/// Reports the statistics that have changed within the newest `count` predictions.
pub(super) fn tell_changes(trainer: &Trainer, count: u64) {
    let is_new = |(_, drift): &(Statistic, Drift)| drift.changes > 0 && drift.since < count;
    for objective in trainer.objectives() {
        for (statistic, drift) in trainer.drift(&objective.0).into_iter().filter(is_new) {
            let (statistic, mean) = (statistic.as_str(), drift.mean);
            tracing::info!(%objective, statistic, mean, "a statistic of predictions has changed");
        }
    }
}
