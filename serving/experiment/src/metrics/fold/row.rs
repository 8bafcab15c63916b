//! The end of a fold: the row of a unit.

use std::collections::BTreeMap;

use plaudit_event::Timestamp;
use sha2::{Digest, Sha256};

use super::super::config::{Cuped, Kind, MetricConfig, PerUnit, Source, Take, Winsorise};
use super::{Ignored, Seen, UnitFold};

pub(in crate::metrics) const DAY_MS: i64 = 86_400_000;

/// What one unit is worth by one metric.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UnitValue {
    /// Numerator and denominator since the first exposure; the denominator is 1 but for ratios.
    pub after: [f64; 2],
    /// The same before, or the covariate and 1.
    pub before: [f64; 2],
    /// The single values, ascending, for quantiles.
    pub events: Vec<f64>,
}

/// One unit of the experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitRow {
    /// Hash of its id: a random order of units that all shards share.
    pub hash: u64,
    /// Index of its variant.
    pub variant: usize,
    /// Number of the step of the ramp at its first exposure.
    pub phase: u32,
    /// Probability of each variant then.
    pub weights: Vec<f64>,
    /// When it entered.
    pub first: Timestamp,
    /// Whether another experiment of the layer had it earlier.
    pub is_carried: bool,
    /// By segment, the index of its value.
    pub segments: Vec<usize>,
    /// By metric; nothing where it has no value, or not yet a final one.
    pub values: Vec<Option<UnitValue>>,
}

/// What became of a unit.
#[derive(Debug, Clone, PartialEq)]
pub enum Folded {
    /// It was never in the experiment.
    Outside,
    /// It saw more than one variant and is part of none.
    Multiple,
    /// It counts.
    Row(Box<UnitRow>),
}

/// Something that happened: when its exposure was shown, when it was done, the exposure, its value.
struct Event<'a> {
    shown: Timestamp,
    done: Timestamp,
    exposure_id: &'a str,
    value: f64,
}

impl UnitFold<'_> {
    /// The unit called `unit_id`, and what of its events did not count.
    #[must_use]
    pub fn finish(self, unit_id: &str) -> (Folded, Ignored) {
        let digest = Sha256::digest(unit_id.as_bytes());
        self.finish_hashed(u64::from_be_bytes(std::array::from_fn(|index| digest[index])))
    }

    /// As [`finish`](Self::finish), for a unit of which only the hash is known: the first eight bytes of the SHA-256 of
    /// its id, most significant first.
    #[must_use]
    pub fn finish_hashed(mut self, hash: u64) -> (Folded, Ignored) {
        let folded = self.fold(hash);
        (folded, self.ignored)
    }

    fn fold(&mut self, hash: u64) -> Folded {
        self.drop_unusable();
        let assigned = self.exposures.values().filter_map(|seen| Some((seen, seen.assigned.as_ref()?)));
        let Some((first, (variant, phase, weights))) = assigned.clone().min_by_key(|(seen, given)| (seen.ts, given.1))
        else {
            return Folded::Outside;
        };
        let name = &self.plan.variants[*variant];
        let has_other = self.exposures.values().any(|seen| seen.undrawn.as_ref().is_some_and(|shown| shown != name));
        if has_other || assigned.into_iter().any(|(_, given)| given.0 != *variant) {
            return Folded::Multiple;
        }
        let is_earlier = |seen: &Seen| seen.is_elsewhere && seen.assigned.is_none() && seen.ts < first.ts;
        let metrics = self.plan.set.metrics.iter().enumerate();
        Folded::Row(Box::new(UnitRow {
            hash,
            variant: *variant,
            phase: *phase,
            weights: weights.clone(),
            first: first.ts,
            is_carried: self.exposures.values().any(is_earlier),
            segments: first.segments.clone(),
            values: metrics.map(|(index, metric)| self.value(index, metric, first)).collect(),
        }))
    }

    /// Drops reactions that were taken back, have no exposure or are older than it.
    fn drop_unusable(&mut self) {
        let (exposures, retracted, ignored) = (&self.exposures, &self.retracted, &mut self.ignored);
        self.reactions.retain(|id, reaction| {
            let Some(seen) = exposures.get(&reaction.exposure_id) else {
                ignored.orphans += 1;
                return false;
            };
            let is_backwards = reaction.ts < seen.ts;
            ignored.backwards += u64::from(is_backwards);
            !is_backwards && !retracted.contains(&format!("{}\n{id}", reaction.exposure_id))
        });
    }

    fn value(&self, index: usize, metric: &MetricConfig, first: &Seen) -> Option<UnitValue> {
        let final_ms = metric.final_after_days().map(|days| i64::from(days) * DAY_MS);
        if final_ms.is_some_and(|span| self.plan.now.millis_since(first.ts) < span) {
            return None;
        }
        let is_after = |event: &Event<'_>| {
            event.shown >= first.ts && final_ms.is_none_or(|span| event.done.millis_since(first.ts) < span)
        };
        let days_before = match metric.cuped {
            Some(Cuped::Days(days)) => i64::from(days) * DAY_MS,
            _ => 0,
        };
        let is_before = |event: &Event<'_>| {
            event.shown < first.ts && event.done < first.ts && first.ts.millis_since(event.shown) <= days_before
        };
        let numerators = self.events((index, 0), &metric.source, first.ts);
        let after: Vec<f64> = numerators.iter().filter(|event| is_after(event)).map(|event| event.value).collect();
        let before: Vec<f64> = numerators.iter().filter(|event| is_before(event)).map(|event| event.value).collect();
        let has = |values: &[f64]| f64::from(u8::from(values.iter().any(|value| *value > 0.0)));
        let mut value = UnitValue { after: [0.0, 1.0], before: [0.0, 1.0], events: Vec::new() };
        match metric.kind {
            Kind::Proportion => (value.after[0], value.before[0]) = (has(&after), has(&before)),
            Kind::Retention => value.after[0] = f64::from(u8::from(returned(&numerators, metric.days?, first.ts))),
            Kind::Mean if metric.per_unit == PerUnit::Average => {
                value.after[0] = mean(&after)?;
                value.before[0] = mean(&before).unwrap_or(0.0);
            }
            Kind::Mean => (value.after[0], value.before[0]) = (after.iter().sum(), before.iter().sum()),
            Kind::Ratio => {
                let below = self.events((index, 1), metric.denominator.as_ref()?, first.ts);
                let sum = |of: &dyn Fn(&Event<'_>) -> bool| below.iter().filter(|e| of(e)).map(|e| e.value).sum();
                value.after = [after.iter().sum(), sum(&is_after)];
                value.before = [before.iter().sum(), sum(&is_before)];
            }
            Kind::Quantile => {
                value.events = after;
                value.events.sort_unstable_by(f64::total_cmp);
            }
        }
        if let Some(Winsorise::Bound(bound)) = metric.winsorise {
            value.after[0] = value.after[0].min(bound);
            value.before[0] = value.before[0].min(bound);
        }
        if matches!(metric.cuped, Some(Cuped::Attribute(_))) {
            value.before = [first.covariates[index], 1.0];
        }
        (metric.kind != Kind::Quantile || !value.events.is_empty()).then_some(value)
    }

    /// All events of a source that pass the filters of metric `index`; `part` 0 is the numerator. The experiment begins
    /// at `start`.
    fn events(&self, (index, part): (usize, usize), source: &Source, start: Timestamp) -> Vec<Event<'_>> {
        let passing = self.exposures.iter().filter_map(|(id, seen)| Some((id, seen, seen.parts[index].as_ref()?)));
        match source {
            Source::Exposures | Source::ResponseWords | Source::Attribute(_) => passing
                .filter_map(|(id, seen, parts)| {
                    Some(Event { shown: seen.ts, done: seen.ts, exposure_id: id, value: parts[part]? })
                })
                .collect(),
            // A label stands for the time of its exposure, once it was told; before the experiment it must
            // have been told by then.
            Source::Label(_) => passing
                .filter_map(|(id, seen, _)| {
                    let worth = self.worths.get(id)?;
                    let value = worth.parts[index][part]?;
                    let is_told_late = seen.ts < start && worth.ts >= start;
                    (!is_told_late).then_some(Event { shown: seen.ts, done: seen.ts, exposure_id: id, value })
                })
                .collect(),
            Source::Signal(signal) => {
                let reactions = self.reactions.values().filter(|reaction| reaction.kind == signal.kind);
                let events = reactions.filter_map(|reaction| {
                    let seen = self.exposures.get(&reaction.exposure_id)?;
                    seen.parts[index].as_ref()?;
                    let value = if signal.take == Take::Sum { reaction.value? } else { 1.0 };
                    let exposure_id = reaction.exposure_id.as_str();
                    Some(Event { shown: seen.ts, done: reaction.ts, exposure_id, value })
                });
                if signal.take == Take::Presence { first_of_each(events) } else { events.collect() }
            }
        }
    }
}

/// The earliest event of each exposure.
fn first_of_each<'a>(events: impl Iterator<Item = Event<'a>>) -> Vec<Event<'a>> {
    let mut earliest: BTreeMap<&str, Event<'a>> = BTreeMap::new();
    for event in events {
        let is_earliest = earliest.get(event.exposure_id).is_none_or(|other| event.done < other.done);
        if is_earliest {
            earliest.insert(event.exposure_id, event);
        }
    }
    earliest.into_values().collect()
}

fn returned(events: &[Event<'_>], [first_day, last_day]: [u32; 2], start: Timestamp) -> bool {
    let days = i64::from(first_day)..=i64::from(last_day);
    events.iter().any(|event| event.value > 0.0 && days.contains(&event.done.millis_since(start).div_euclid(DAY_MS)))
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
