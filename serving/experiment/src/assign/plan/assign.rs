//! The decision itself.

use plaudit_event::LayerId;

use super::{Decision, Experiment, Layer, Plan, Reason, Request};
use crate::assign::hash::Salt;

impl<P> Plan<P> {
    /// Decides for every layer, in the definition's order. Allocates nothing.
    pub fn assign<'a>(&'a self, request: Request<'a>) -> impl Iterator<Item = Decision<'a, P>> {
        self.layers.iter().map(move |layer| self.decide(layer, request))
    }

    /// Decides for one layer; none when the plan does not have it. Allocates nothing.
    #[must_use]
    pub fn assign_in<'a>(&'a self, layer: &LayerId, request: Request<'_>) -> Option<Decision<'a, P>> {
        let layer = self.layers.iter().find(|candidate| candidate.id == *layer)?;
        Some(self.decide(layer, request))
    }

    fn decide<'a>(&'a self, layer: &'a Layer<P>, request: Request<'_>) -> Decision<'a, P> {
        if self.killed || layer.killed {
            return layer.decision(Reason::Killed);
        }
        let Some(unit) = request.unit(&layer.unit) else { return layer.decision(Reason::NoUnit) };
        if let Some(forced) = layer.forced(unit, request) {
            return forced;
        }
        // One pass over the unit takes every hash that is likely to be needed.
        let held_out = self.holdout.as_ref().filter(|holdout| holdout.unit == layer.unit);
        let first = layer.experiments.first().map_or(layer.salt, |experiment| experiment.seed);
        let holdout_salt = held_out.map_or(layer.salt, |holdout| holdout.salt);
        let hashes = Salt::hash_all([holdout_salt, layer.salt, first], unit);
        let is_held_out = match (held_out, &self.holdout) {
            (Some(holdout), _) => hashes[0].bucket() < holdout.end,
            (None, Some(holdout)) => {
                request.unit(&holdout.unit).is_some_and(|unit| holdout.salt.bucket(unit) < holdout.end)
            }
            (None, None) => false,
        };
        if is_held_out {
            return layer.decision(Reason::Holdout);
        }
        let position = hashes[1].bucket();
        if position >= layer.holdout {
            return layer.decision(Reason::LayerHoldout);
        }
        let found = layer.experiments.iter().position(|e| e.range.0 <= position && position < e.range.1);
        let Some(index) = found else { return layer.decision(Reason::Unreserved) };
        let experiment = &layer.experiments[index];
        let bucket = || if index == 0 { hashes[2].bucket() } else { experiment.seed.bucket(unit) };
        self.enrol(layer.decision_in(experiment, Reason::Split), experiment, request, bucket)
    }

    fn enrol<'a>(
        &self,
        mut decision: Decision<'a, P>,
        experiment: &'a Experiment<P>,
        request: Request<'_>,
        bucket: impl FnOnce() -> u32,
    ) -> Decision<'a, P> {
        decision.phase = experiment.phase_at(request.now);
        let is_meant = || {
            let targeting = experiment.targeting.as_ref();
            targeting.is_none_or(|condition| condition.holds(request.attributes, &self.groups))
        };
        decision.reason = if experiment.killed {
            Reason::Killed
        } else if !experiment.active {
            Reason::Inactive
        } else if decision.phase.is_none() {
            Reason::NotStarted
        } else if !is_meant() {
            Reason::NotTargeted
        } else {
            Reason::Split
        };
        let Some(phase) = decision.phase.filter(|_| decision.reason == Reason::Split) else { return decision };
        let phase = &experiment.phases[phase];
        let bucket = bucket();
        decision.bucket = Some(bucket);
        let variant = phase.buckets.iter().position(|(start, end)| *start <= bucket && bucket < *end);
        match variant {
            Some(variant) if phase.weights[variant] > 0.0 => decision.variant = Some(variant),
            Some(_) => decision.reason = Reason::Unserved,
            None => decision.reason = Reason::Outside,
        }
        decision
    }
}

impl<'a> Request<'a> {
    fn unit(&self, kind: &str) -> Option<&'a str> {
        let mut units = self.units.iter();
        units.find(|(name, id)| *name == kind && !id.is_empty()).map(|(_, id)| *id)
    }
}

impl<P> Layer<P> {
    fn decision(&self, reason: Reason) -> Decision<'_, P> {
        Decision { layer: self, experiment: None, phase: None, variant: None, bucket: None, reason }
    }

    fn decision_in<'a>(&'a self, experiment: &'a Experiment<P>, reason: Reason) -> Decision<'a, P> {
        Decision { experiment: Some(experiment), ..self.decision(reason) }
    }

    /// The variant that the definition gives `unit`, unless its experiment is killed.
    fn forced(&self, unit: &str, request: Request<'_>) -> Option<Decision<'_, P>> {
        if self.forced.is_empty() {
            return None;
        }
        let place = self.forced.binary_search_by(|(forced, _, _)| forced.as_str().cmp(unit)).ok()?;
        let (_, experiment, variant) = &self.forced[place];
        let experiment = &self.experiments[*experiment];
        let is_served = experiment.variants[*variant].is_served;
        let mut decision = self.decision_in(experiment, Reason::Forced);
        decision.phase = experiment.phase_at(request.now);
        if experiment.killed || !is_served {
            decision.reason = if experiment.killed { Reason::Killed } else { Reason::Unserved };
            return Some(decision);
        }
        decision.variant = Some(*variant);
        Some(decision)
    }
}
