//! From votes to labels.
//!
//! For each objective: s = Σ over kinds of vote · weight · trust, where a kind counts once however
//! often it was repeated (its latest signal stands), so that copying five times does not outvote a
//! thumb down. The label is 1 for s > 0 and 0 for s < 0, with weight min(|s|, 1). For s = 0, and
//! without any signal, it is what the objective says about silence: 0 with weight 1, or no label.

use std::collections::{BTreeMap, HashMap};

use plaudit_event::{Actor, Label, Labels, Objective, Signal, SignalKind, Surface};

use super::remark::{Remark, can_remark};
use super::shown::{Reaction, Says, Vote, item_hash};
use crate::config::millis;
use crate::fingerprint::Fingerprint;
use crate::{Config, Evidence, SignalSpec, Silence};

/// Sums closer to 0 than this are 0: what is left of them is rounding.
const TIE: f64 = 1e-9;

/// The configuration, ready for the hot path.
pub(super) struct Rules {
    numbers: HashMap<SignalKind, u16>,
    kinds: Vec<KindRule>,
    objectives: Vec<ObjectiveRule>,
    slack_ms: i64,
    pub(super) max_signals: usize,
}

struct KindRule {
    polarity: Evidence,
    /// Whether it makes labels; else it only remarks.
    has_objectives: bool,
    window_ms: i64,
}

struct ObjectiveRule {
    objective: Objective,
    silence: Silence,
    surfaces: Vec<Surface>,
    /// Weight · trust of each kind that bears on it.
    strengths: BTreeMap<u16, f64>,
}

impl Rules {
    pub(super) fn new(config: &Config) -> Self {
        let counts = |(kind, spec): &(&SignalKind, &SignalSpec)| {
            spec.enabled && (!spec.objectives.is_empty() || can_remark(kind))
        };
        let labelling = config.signals.iter().filter(counts);
        let mut numbers = HashMap::new();
        let mut kinds = Vec::new();
        let mut strengths: BTreeMap<&Objective, BTreeMap<u16, f64>> = BTreeMap::new();
        for (number, (kind, spec)) in (0_u16..).zip(labelling) {
            numbers.insert(kind.clone(), number);
            kinds.push(KindRule {
                polarity: spec.polarity,
                has_objectives: !spec.objectives.is_empty(),
                window_ms: millis(spec.window.unwrap_or(config.window)),
            });
            for objective in &spec.objectives {
                let of_objective = strengths.entry(objective).or_default();
                of_objective.insert(number, spec.weight * spec.trust);
            }
        }
        let objectives = config.objectives.iter().map(|(objective, spec)| ObjectiveRule {
            objective: objective.clone(),
            silence: spec.default,
            surfaces: spec.surfaces.clone(),
            strengths: strengths.remove(objective).unwrap_or_default(),
        });
        Self {
            objectives: objectives.collect(),
            numbers,
            kinds,
            slack_ms: millis(config.slack),
            max_signals: config.max_signals_per_exposure,
        }
    }

    /// What `signal` says; nothing when it can make no label and no remark: it is of a kind that bears
    /// on no objective and says nothing of parts or reasons, or comes from a shadow, not from a person.
    pub(super) fn reaction(&self, signal: &Signal) -> Option<Reaction> {
        if signal.actor == Actor::Shadow {
            return None;
        }
        if let Some(retracted) = &signal.retracts {
            return Some(Reaction {
                id: Fingerprint::of_id("signal", retracted.as_str()),
                ts: signal.ts,
                item: None,
                says: Says::Retract,
                remark: None,
            });
        }
        let kind = *self.numbers.get(&signal.kind)?;
        let remark = Remark::of(signal);
        if remark.is_none() && !self.kinds[usize::from(kind)].has_objectives {
            return None;
        }
        let vote = match self.kinds[usize::from(kind)].polarity {
            Evidence::Positive => 1.0,
            Evidence::Negative => -1.0,
            Evidence::Value => signal.value.map(|value| 2.0 * value.clamp(0.0, 1.0) - 1.0)?,
        };
        #[expect(clippy::cast_possible_truncation, reason = "seven digits of a rating suffice")]
        let vote = vote as f32;
        Some(Reaction {
            id: Fingerprint::of_id("signal", signal.signal_id.as_str()),
            ts: signal.ts,
            item: signal.item_id.as_deref().map(item_hash),
            says: Says::Vote { kind, vote },
            remark,
        })
    }

    /// Whether a signal of `kind` that happened `delay_ms` after the exposure counts.
    pub(super) fn is_in_window(&self, kind: u16, delay_ms: i64) -> bool {
        (-self.slack_ms..=self.kinds[usize::from(kind)].window_ms).contains(&delay_ms)
    }

    pub(super) fn labels(&self, surface: Surface, votes: &[Vote]) -> Labels {
        let mut standing: BTreeMap<u16, &Vote> = BTreeMap::new();
        for vote in votes.iter().filter(|vote| !vote.is_retracted) {
            let stands = standing.entry(vote.kind).or_insert(vote);
            if vote.is_later_than(stands) {
                *stands = vote;
            }
        }
        let mut labels = Labels::new();
        for rule in &self.objectives {
            if let Some(label) = rule.label(surface, &standing) {
                labels.insert(rule.objective.clone(), label);
            }
        }
        labels
    }
}

impl ObjectiveRule {
    fn label(&self, surface: Surface, standing: &BTreeMap<u16, &Vote>) -> Option<Label> {
        // In the order of the kinds, so that the sum does not depend on the order of arrival.
        let strength = |kind: &u16| self.strengths.get(kind).copied().unwrap_or(0.0);
        let sum: f64 = standing.iter().map(|(kind, vote)| strength(kind) * f64::from(vote.vote)).sum();
        if sum.abs() > TIE {
            #[expect(clippy::cast_possible_truncation, reason = "a weight of at most 1")]
            let weight = sum.abs().min(1.0) as f32;
            let value = if sum > 0.0 { 1.0 } else { 0.0 };
            return Some(Label { value, weight });
        }
        let is_here = self.surfaces.is_empty() || self.surfaces.contains(&surface);
        let silence = Label { value: 0.0, weight: 1.0 };
        (self.silence == Silence::Negative && is_here).then_some(silence)
    }
}
