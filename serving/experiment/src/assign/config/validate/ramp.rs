//! Ramps: in order, growing, and large enough for every variant.

use super::super::super::plan::realise;
use super::super::{ExperimentConfig, MAX_STEPS};
use super::{Checker, ROUNDING};

impl Checker {
    /// Checks the steps; with `can_compile` also that each gives every variant somebody.
    pub(super) fn ramp<P>(&mut self, path: &str, experiment: &ExperimentConfig<P>, can_compile: bool) {
        self.count(&format!("{path}.ramp"), experiment.ramp.len(), MAX_STEPS);
        let capacity = experiment.capacity();
        for (index, step) in experiment.ramp.iter().enumerate() {
            let path = format!("{path}.ramp[{index}]");
            if !self.fraction(&format!("{path}.share"), step.share) {
                continue;
            }
            if step.share > capacity + ROUNDING {
                let message = format!("must be at most the length of `range` {capacity}, got {}", step.share);
                self.add(&format!("{path}.share"), message);
            }
            let Some(before) = index.checked_sub(1).map(|before| experiment.ramp[before]) else { continue };
            if step.from <= before.from {
                let message = format!("must come after {}, got {}", before.from.as_millis(), step.from.as_millis());
                self.add(&format!("{path}.from"), message);
            }
            if step.share < before.share {
                let message = format!("must not shrink below {}, got {}", before.share, step.share);
                self.add(&format!("{path}.share"), message);
            }
        }
        if can_compile {
            self.everybody(path, experiment);
        }
    }

    /// A share can be so small that a variant has no bucket at all.
    fn everybody<P>(&mut self, path: &str, experiment: &ExperimentConfig<P>) {
        let weights: Vec<f64> = experiment.variants.iter().map(|variant| variant.weight).collect();
        for (index, step) in experiment.ramp.iter().enumerate() {
            if !(step.share > 0.0 && step.share <= experiment.capacity() + ROUNDING) {
                continue;
            }
            let buckets = realise(step.share / experiment.capacity(), &weights);
            if let Some(empty) = buckets.iter().position(|(start, end)| start >= end) {
                let id = &experiment.variants[empty].id;
                let message = format!("must give every variant a bucket, but `{id}` has none at {}", step.share);
                self.add(&format!("{path}.ramp[{index}].share"), message);
            }
        }
    }
}
