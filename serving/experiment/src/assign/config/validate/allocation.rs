//! Allocation: settings that the library takes, and cohorts large enough for every variant.

use super::super::super::BUCKETS;
use super::super::{AllocationConfig, ExperimentConfig, MAX_STEPS};
use super::Checker;
use crate::Error;
use crate::adaptive::{Allocator, Goal};

impl Checker {
    /// Checks how weights follow what was seen; with `has_weights` also that every cohort has room for each variant.
    pub(super) fn allocation<P>(&mut self, path: &str, experiment: &ExperimentConfig<P>, has_weights: bool) {
        let Some(allocation) = &experiment.allocation else { return };
        if experiment.rolling {
            self.add(&format!("{path}.allocation"), "must be absent when `rolling`: `serving.delivery` has the steps");
        }
        if !experiment.ramp.is_empty() {
            self.add(&format!("{path}.ramp"), "must be empty with `allocation`, whose cohorts are the steps");
        }
        let path = format!("{path}.allocation");
        self.not_empty(&format!("{path}.metric"), &allocation.metric);
        if !(2..=MAX_STEPS as u32).contains(&allocation.cohorts) {
            let message = format!("must be between 2 and {MAX_STEPS}, got {}", allocation.cohorts);
            self.add(&format!("{path}.cohorts"), message);
            return;
        }
        if allocation.period_seconds == 0 {
            self.add(&format!("{path}.period_seconds"), "must be at least 1, got 0");
        }
        if !(allocation.delta > 0.0 && allocation.delta < 0.5) {
            self.add(&format!("{path}.delta"), format!("must be above 0 and below 0.5, got {}", allocation.delta));
        }
        match Allocator::new(experiment.variants.len().max(2), allocation.settings(Goal::Maximise)) {
            Err(Error::Value { field, value, range }) => {
                self.add(&format!("{path}.{field}"), format!("must be {range}, got {value}"));
            }
            Err(error) => self.add(&path, error.to_string()),
            Ok(_) if has_weights => self.room(&path, experiment, allocation),
            Ok(_) => {}
        }
    }

    fn room<P>(&mut self, path: &str, experiment: &ExperimentConfig<P>, allocation: &AllocationConfig) {
        let least = f64::from(allocation.cohorts) / f64::from(BUCKETS);
        if allocation.floor < least {
            let message =
                format!("must be at least {least} with {} cohorts, got {}", allocation.cohorts, allocation.floor);
            self.add(&format!("{path}.floor"), message);
        }
        for variant in experiment.variants.iter().filter(|variant| variant.weight < allocation.floor) {
            let message = format!(
                "variant `{}` must have at least the `floor` {}, got {}",
                variant.id, allocation.floor, variant.weight
            );
            self.add(path, message);
        }
    }
}
