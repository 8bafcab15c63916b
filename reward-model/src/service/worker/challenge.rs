//! Whether a newly trained model takes the place of the one that serves.

use std::sync::Arc;

use plaudit_event::Objective;
use plaudit_nn::checkpoint::{self, Manifest};
use plaudit_nn::describe;

use super::{Progress, Worker};
use crate::challenger::{Judge, OnAlarm, Record, RefusedChallenger};
use crate::{HashModel, Refusal, RewardModel, Trainer, metrics};

/// The model that serves, and what became of those that were to take its place.
pub(super) struct Standing {
    champion: Option<Arc<dyn RewardModel>>,
    judge: Judge,
    pub(super) record: Record,
}

impl Worker {
    /// The standing at the start. What was let through last is the champion, where it is another model than the one that
    /// training goes on from and belongs to the same log, configuration and seed.
    pub(super) fn standing(&self, saved: Option<&(u64, String)>) -> Standing {
        let config = &self.config;
        let mut record = Record::read(&self.dir);
        let newest = saved.map(|(_, id)| id);
        let champion = record.champion.as_ref().filter(|id| Some(*id) != newest).and_then(|id| self.load(id, saved));
        if champion.is_none() {
            record.in_a_row = 0;
            record.champion = record.champion.take().filter(|id| Some(id) == newest);
        }
        let judge = Judge::new(config.challenger.clone(), config.golden.objective.clone());
        Standing { champion, judge, record }
    }

    fn load(&self, id: &str, saved: Option<&(u64, String)>) -> Option<Arc<dyn RewardModel>> {
        let (position, _) = saved?;
        let is_own = |manifest: &Manifest| {
            manifest.config_hash == self.config.hash()
                && manifest.seed == self.seed.value()
                && manifest.log_position <= *position
        };
        let loaded = checkpoint::load(&self.dir.join(id)).ok().filter(|loaded| is_own(&loaded.manifest))?;
        let model = HashModel::from_checkpoint(&loaded);
        let refused = |error: &crate::Error| {
            tracing::warn!(checkpoint_id = id, error = describe(error), "champion's checkpoint refused");
        };
        Some(Arc::new(model.inspect_err(refused).ok()?))
    }

    /// Shows the champion of before the restart, so that somebody serves whatever becomes of the challenger.
    pub(super) fn reinstate(&self, progress: &Progress) {
        if let Some(champion) = &progress.standing.champion {
            self.shared.publish(Some(Arc::clone(champion)), progress.trainer.predictions(Objective::LOVE));
            tracing::info!(examples = champion.examples(), "the champion of before serves until a challenger passes");
        }
    }

    /// Puts the trainer's model in the place of the champion if it may; whether it did.
    pub(super) fn challenge(&self, progress: &mut Progress) -> bool {
        let challenger: Arc<dyn RewardModel> = match progress.trainer.try_snapshot() {
            Ok(challenger) => challenger,
            Err(error) => {
                tracing::error!(
                    error = describe(&error),
                    "no copy of the reward model to serve; the champion serves on"
                );
                return false;
            }
        };
        let examples = progress.trainer.examples();
        let Standing { champion, judge, record } = &mut progress.standing;
        let held_out = progress.trainer.held_out();
        let reasons = match champion {
            Some(champion) => {
                judge.refusals(&**champion, &*challenger, held_out, self.seed.derive("challenger", examples))
            }
            None => Vec::new(),
        };
        let love = progress.trainer.predictions(Objective::LOVE);
        if reasons.is_empty() {
            if let Err(error) = judge.accepted(&*challenger, held_out) {
                tracing::warn!(error = describe(&error), "champion not judged on golden slices");
            }
            self.shared.publish(Some(Arc::clone(&challenger)), love);
            *champion = Some(challenger);
            record.accepted += 1;
            if record.in_a_row > 0 {
                tracing::info!(examples, refused = record.in_a_row, "a challenger passed after refusals");
                record.in_a_row = 0;
                record.write(&self.dir);
            }
        } else {
            self.shared.publish(None, love);
            let champion_examples = champion.as_ref().and_then(|champion| champion.examples()).unwrap_or(0);
            record.refuse(RefusedChallenger {
                at: self.clock.now(),
                examples,
                champion_examples,
                reasons: reasons.clone(),
            });
            self.tell(record, examples, &reasons);
        }
        metrics::challenger(&reasons, &record.status(self.config.challenger.alarm_after));
        reasons.is_empty()
    }

    /// Reports a refusal: the first of a row, the one that raises the alarm, and ever fewer of the others, because with
    /// traffic there may be several a second.
    fn tell(&self, record: &Record, examples: u64, reasons: &[Refusal]) {
        let (in_a_row, alarm_after) = (record.in_a_row, self.config.challenger.alarm_after);
        let reason = reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        if in_a_row == alarm_after {
            tracing::error!(examples, in_a_row, reason, "reward models are refused again and again");
        } else if in_a_row.is_power_of_two() {
            tracing::warn!(examples, in_a_row, reason, "reward model refused, the champion serves on");
        } else {
            return;
        }
        record.write(&self.dir);
    }

    /// Goes back to the champion's checkpoint when there were as many refusals as raise the alarm and the configuration
    /// wants it.
    pub(super) fn return_if_due(&self, progress: &mut Progress) {
        let config = &self.config.challenger;
        let record = &progress.standing.record;
        if config.on_alarm != OnAlarm::Return || record.in_a_row < config.alarm_after {
            return;
        }
        let Some(id) = record.champion.clone() else { return };
        let loaded = checkpoint::load(&self.dir.join(&id)).map_err(crate::Error::from);
        let resumed = loaded.and_then(|loaded| Trainer::resume(&loaded, self.config.clone(), self.seed));
        let mut trainer = match resumed {
            Ok(trainer) => trainer,
            Err(error) => {
                tracing::error!(
                    checkpoint_id = id,
                    error = describe(&error),
                    "training cannot go back to the champion"
                );
                return;
            }
        };
        trainer.erase(&progress.erased);
        trainer.skip_to(&progress.trainer);
        tracing::warn!(checkpoint_id = id, position = progress.position, "training goes on from the champion");
        progress.published = Some(trainer.examples());
        progress.trainer = trainer;
        progress.standing.record.in_a_row = 0;
        progress.standing.record.write(&self.dir);
    }

    /// Writes down what became of challengers, and that the checkpoint `id` holds a model that was let through, if it
    /// does.
    pub(super) fn crown(&self, progress: &mut Progress, id: &str) {
        let is_champion = progress.standing.record.in_a_row == 0;
        if is_champion && progress.published == Some(progress.trainer.examples()) {
            progress.standing.record.champion = Some(id.to_owned());
        }
        progress.standing.record.write(&self.dir);
    }
}
