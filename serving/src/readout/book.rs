//! All experiments that are, or were lately, running.

use plaudit_event::{Example, ExperimentId};
use plaudit_experiment::delivery::Phase;
use plaudit_policy::tripwire::Tripwires;

use super::ReadoutConfig;
use super::answer::ExperimentReadout;
use super::compare::read;
use super::fold::{ExperimentFold, Folded};
use super::strata::Strata;
use crate::experiment::RunningExperiment;

/// Finished experiments whose last numbers are kept.
const MAX_FINISHED: usize = 64;

/// Folds examples into the experiments they belong to. State is a pure function of the experiments
/// tracked and the examples folded.
#[derive(Debug)]
pub struct Book {
    config: ReadoutConfig,
    tripwires: Tripwires,
    running: Vec<ExperimentFold>,
    finished: Vec<ExperimentFold>,
}

impl Book {
    /// A book without experiments.
    #[must_use]
    pub fn new(config: ReadoutConfig) -> Self {
        Self { config, tripwires: Tripwires::new(), running: Vec::new(), finished: Vec::new() }
    }

    /// From now on exactly `experiments` are running. Those that were running before keep what was folded
    /// into them; those that are gone keep their last numbers.
    pub fn track(&mut self, experiments: Vec<RunningExperiment>) {
        let mut before = std::mem::take(&mut self.running);
        for experiment in experiments {
            let known = before.iter().position(|fold| fold.experiment == experiment);
            let fold = match known {
                Some(index) => before.swap_remove(index),
                None => ExperimentFold::new(experiment, &self.config),
            };
            self.running.push(fold);
        }
        for mut fold in before {
            fold.freeze();
            self.finished.push(fold);
        }
        let surplus = self.finished.len().saturating_sub(MAX_FINISHED);
        self.finished.drain(..surplus);
    }

    /// Folds one example into every running experiment that it belongs to.
    pub fn fold(&mut self, example: &Example) -> Folded {
        let mut folded = Folded::Ignored;
        for experiment in &mut self.running {
            let here = experiment.fold(example, &self.tripwires, &self.config);
            if here != Folded::Ignored {
                folded = here;
            }
        }
        folded
    }

    /// The readouts of the running experiments, in the order of the configuration.
    #[must_use]
    pub fn readouts(&self) -> Vec<ExperimentReadout> {
        self.running.iter().map(|fold| read(fold, &self.config, true)).collect()
    }

    /// The last readouts of experiments that ended, oldest first.
    #[must_use]
    pub fn finished(&self) -> Vec<ExperimentReadout> {
        self.finished.iter().map(|fold| read(fold, &self.config, false)).collect()
    }

    /// What the delivery under test in the run `id` is judged by; nothing before the run enrols units.
    #[must_use]
    pub fn phases(&self, id: &ExperimentId) -> Vec<Phase> {
        let fold = self.running.iter().find(|fold| fold.experiment.id == *id);
        fold.and_then(|fold| fold.strata.as_ref()).map(Strata::phases).unwrap_or_default()
    }

    /// The readout of one experiment, running or lately finished.
    #[must_use]
    pub fn readout(&self, id: &ExperimentId) -> Option<ExperimentReadout> {
        let is_it = |fold: &&ExperimentFold| fold.experiment.id == *id;
        if let Some(fold) = self.running.iter().find(is_it) {
            return Some(read(fold, &self.config, true));
        }
        let finished = self.finished.iter().rev().find(is_it)?;
        Some(read(finished, &self.config, false))
    }
}

#[cfg(test)]
mod tests;
