//! The decision itself.

use plaudit_event::LayerId;

use super::{Decision, Experiment, Holdout, Layer, Phase, Plan, Reason, Request};
use crate::assign::hash::{Hash, Salt};

/// Layers that are hashed together. The hash of one text waits for itself at each letter; several interleave.
const TOGETHER: usize = 4;
/// Most experiments of a layer that are all looked at: of more, halving finds the one sooner.
const SCANNED: usize = 16;

impl<P> Plan<P> {
    /// Decides for every layer, in the definition's order. Allocates nothing.
    pub fn assign<'a>(&'a self, request: Request<'a>) -> impl Iterator<Item = Decision<'a, P>> {
        let by_unit = self.layers.chunk_by(|one, next| one.unit == next.unit);
        let batches = by_unit.flat_map(|layers| layers.chunks(TOGETHER));
        batches.flat_map(move |layers| self.decide_all(layers, request).into_iter().flatten())
    }

    /// Decides for one layer; none when the plan does not have it. Allocates nothing.
    #[must_use]
    pub fn assign_in<'a>(&'a self, layer: &LayerId, request: Request<'_>) -> Option<Decision<'a, P>> {
        let layer = self.layers.iter().find(|candidate| candidate.id == *layer)?;
        Some(self.decide(layer, request))
    }

    /// Decides for up to [`TOGETHER`] layers of one kind of unit.
    fn decide_all<'a>(&'a self, layers: &'a [Layer<P>], request: Request<'_>) -> [Option<Decision<'a, P>>; TOGETHER] {
        match layers {
            [layer] => [Some(self.decide(layer, request)), None, None, None],
            [_, _] => self.decide_lanes::<2>(layers, request),
            [_, _, _] => self.decide_lanes::<3>(layers, request),
            _ => self.decide_lanes::<TOGETHER>(layers, request),
        }
    }

    /// Decides for N layers of one kind of unit, or fewer.
    fn decide_lanes<'a, const N: usize>(
        &'a self,
        layers: &'a [Layer<P>],
        request: Request<'_>,
    ) -> [Option<Decision<'a, P>>; TOGETHER] {
        let Some(unit) = layers.first().and_then(|layer| request.unit(&layer.unit)) else {
            return std::array::from_fn(|lane| layers.get(lane).map(|layer| self.decide(layer, request)));
        };
        let held_out = self.holdout.as_ref().filter(|holdout| holdout.unit == layers[0].unit);
        let salts: [Salt; N] = std::array::from_fn(|lane| layers.get(lane).map_or(Salt::NONE, |layer| layer.salt));
        let positions = Salt::hash_all(salts, unit).map(Hash::bucket);
        let is_held_out = self.is_held_out(held_out, None, request);
        let placed: [Option<Placed<'a, P>>; N] = std::array::from_fn(|lane| {
            let layer = layers.get(lane)?;
            Some(self.place(layer, (unit, request), is_held_out, || positions[lane]))
        });
        let seeds: [Salt; N] = std::array::from_fn(|lane| match placed[lane] {
            Some(Placed::In(_, experiment)) => experiment.seed,
            _ => Salt::NONE,
        });
        let buckets = Salt::hash_all(seeds, unit).map(Hash::bucket);
        std::array::from_fn(|lane| {
            placed.get(lane).copied().flatten().map(|placed| self.enrolled(placed, request, || buckets[lane]))
        })
    }

    fn decide<'a>(&'a self, layer: &'a Layer<P>, request: Request<'_>) -> Decision<'a, P> {
        let Some(unit) = request.unit(&layer.unit) else {
            let is_killed = self.killed || layer.killed;
            return layer.decision(if is_killed { Reason::Killed } else { Reason::NoUnit });
        };
        // One pass over the unit takes every hash that is likely to be needed.
        let held_out = self.holdout.as_ref().filter(|holdout| holdout.unit == layer.unit);
        let first = layer.experiments.first();
        let salts = [
            held_out.map_or(Salt::NONE, |holdout| holdout.salt),
            layer.salt,
            first.map_or(Salt::NONE, |experiment| experiment.seed),
        ];
        let hashes = Salt::hash_all(salts, unit);
        let is_held_out = self.is_held_out(held_out, Some(hashes[0]), request);
        let placed = self.place(layer, (unit, request), is_held_out, || hashes[1].bucket());
        let is_first = |experiment: &Experiment<P>| first.is_some_and(|first| std::ptr::eq(first, experiment));
        self.enrolled(placed, request, || match placed {
            Placed::In(_, experiment) if !is_first(experiment) => experiment.seed.bucket(unit),
            _ => hashes[2].bucket(),
        })
    }

    /// Whether the unit of the holdout is held out; its hash is `known` where it is the layer's, too.
    fn is_held_out(&self, held_out: Option<&Holdout>, known: Option<Hash>, request: Request<'_>) -> bool {
        match (held_out, known, &self.holdout) {
            (Some(holdout), Some(known), _) => known.bucket() < holdout.end,
            (_, _, Some(holdout)) => {
                request.unit(&holdout.unit).is_some_and(|unit| holdout.salt.bucket(unit) < holdout.end)
            }
            (_, _, None) => false,
        }
    }

    /// Finds the experiment that reserves the unit's position.
    fn place<'a>(
        &self,
        layer: &'a Layer<P>,
        (unit, request): (&str, Request<'_>),
        is_held_out: bool,
        position: impl FnOnce() -> u32,
    ) -> Placed<'a, P> {
        if self.killed || layer.killed {
            return Placed::Decided(layer.decision(Reason::Killed));
        }
        if let Some(forced) = layer.forced(unit, request) {
            return Placed::Decided(forced);
        }
        if is_held_out {
            return Placed::Decided(layer.decision(Reason::Holdout));
        }
        let position = position();
        if position >= layer.holdout {
            return Placed::Decided(layer.decision(Reason::LayerHoldout));
        }
        match layer.holder(position) {
            Some(index) => Placed::In(layer, &layer.experiments[index]),
            None => Placed::Decided(layer.decision(Reason::Unreserved)),
        }
    }

    fn enrolled<'a>(
        &self,
        placed: Placed<'a, P>,
        request: Request<'_>,
        bucket: impl FnOnce() -> u32,
    ) -> Decision<'a, P> {
        match placed {
            Placed::Decided(decision) => decision,
            Placed::In(layer, experiment) => {
                self.enrol(layer.decision_in(experiment, Reason::Split), experiment, request, bucket)
            }
        }
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
        let Some(mut index) = decision.phase.filter(|_| decision.reason == Reason::Split) else { return decision };
        let bucket = bucket();
        decision.bucket = Some(bucket);
        let within = |phase: &Phase| holder(phase.buckets.iter().copied(), bucket);
        if experiment.in_cohorts {
            index = experiment.phases[..=index].iter().position(|phase| within(phase).is_some()).unwrap_or(index);
            decision.phase = Some(index);
        }
        let phase = &experiment.phases[index];
        match within(phase) {
            Some(variant) if phase.weights[variant] > 0.0 => decision.variant = Some(variant),
            Some(_) => decision.reason = Reason::Unserved,
            None => decision.reason = Reason::Outside,
        }
        decision
    }
}

/// Index of the range that has `bucket`; ranges do not overlap. For few of them: looks at all of them: which one it is nobody can guess,
/// and a wrong guess takes longer than some comparisons.
fn holder(ranges: impl Iterator<Item = (u32, u32)>, bucket: u32) -> Option<usize> {
    let mut found = usize::MAX;
    for (index, (start, end)) in ranges.enumerate() {
        let has = (start <= bucket) & (bucket < end);
        found = if has { index } else { found };
    }
    (found != usize::MAX).then_some(found)
}

/// Where a unit stands in a layer.
enum Placed<'a, P> {
    Decided(Decision<'a, P>),
    In(&'a Layer<P>, &'a Experiment<P>),
}

impl<P> Clone for Placed<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Placed<'_, P> {}

impl<'a> Request<'a> {
    fn unit(&self, kind: &str) -> Option<&'a str> {
        let mut units = self.units.iter();
        units.find(|(name, id)| *name == kind && !id.is_empty()).map(|(_, id)| *id)
    }
}

impl<P> Layer<P> {
    /// Index of the experiment that reserves `position`.
    fn holder(&self, position: u32) -> Option<usize> {
        if self.experiments.len() <= SCANNED {
            return holder(self.experiments.iter().map(|experiment| experiment.range), position);
        }
        let after = self.experiments.partition_point(|experiment| experiment.range.0 <= position);
        let index = after.checked_sub(1)?;
        (position < self.experiments[index].range.1).then_some(index)
    }

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

#[cfg(test)]
mod tests;
