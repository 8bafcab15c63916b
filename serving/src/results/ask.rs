//! From metrics to what the store is asked, and from its rows to what the fold takes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use plaudit_event::{Actor, Assignment, Timestamp};
use plaudit_experiment::metrics::{
    Cuped, ExampleView, ExposureView, FoldPlan, Kind, MetricConfig, PerUnit, SignalView, Source, Take, UnitFold,
    Winsorise,
};
use plaudit_ingest::store::{
    Before, Drawn, Measure, Of, Question, ReactionRow, Shape, ShownRow, Split, Standing, UnitEvents, What,
};

use super::Subject;

/// An experiment with the metrics that it is read by.
pub(super) struct Asked {
    pub(super) subject: Subject,
    pub(super) plan: FoldPlan,
}

impl Asked {
    /// What the store is asked.
    pub(super) fn question(self: &Arc<Self>, shown: Range<Timestamp>) -> Question {
        let (asked, set) = (Arc::clone(self), &self.plan.set);
        Question {
            variants: self.plan.variants.clone(),
            shown,
            now: self.plan.now,
            standings: Arc::new(move |assignments| asked.standing(assignments)),
            measures: set.metrics.iter().map(measure).collect(),
            splits: set
                .segments
                .iter()
                .map(|segment| Split { attribute: segment.attribute.clone(), values: segment.values.clone() })
                .collect(),
        }
    }

    /// The assignments with the weights in the order of the plan, where the control is first.
    fn ordered<'a>(&self, assignments: &'a [Assignment]) -> Cow<'a, [Assignment]> {
        if self.subject.control == 0 {
            return Cow::Borrowed(assignments);
        }
        let mut ordered = assignments.to_vec();
        let mine = ordered.iter_mut().filter(|one| one.experiment == self.subject.experiment);
        for draw in mine.filter_map(|one| one.draw.as_mut()) {
            if let Some(first) = draw.weights.get_mut(..=self.subject.control) {
                first.rotate_right(1);
            }
        }
        Cow::Owned(ordered)
    }

    fn standing(&self, assignments: &[Assignment]) -> Standing {
        let ordered = self.ordered(assignments);
        let none = serde_json::Map::new();
        let nothing = ExposureView {
            exposure_id: "",
            ts: Timestamp::from_millis(0),
            surface: plaudit_event::Surface::Chat,
            words: 0,
            attributes: &none,
            assigned: None,
            undrawn: None,
            is_elsewhere: false,
        };
        let view = nothing.assigned(&ordered, self.name());
        let drawn = view.assigned.and_then(|given| self.plan.drawn(&given));
        Standing {
            is_unknown: view.assigned.is_some() && drawn.is_none(),
            drawn: drawn.map(|(variant, phase, weights)| Drawn { variant, phase, weights }),
            undrawn: view.undrawn.map(str::to_owned),
            is_elsewhere: view.is_elsewhere,
        }
    }

    fn name(&self) -> (&str, &str) {
        (self.subject.layer.as_str(), self.subject.experiment.as_str())
    }

    /// Gives the events of a unit to a fold.
    pub(super) fn fold<'p>(&'p self, events: &UnitEvents) -> UnitFold<'p> {
        let mut fold = UnitFold::new(&self.plan);
        for row in &events.shown {
            let ordered = self.ordered(&row.assignments);
            let view = shown(row).assigned(&ordered, self.name());
            match &row.worth {
                None => fold.exposure(&view),
                Some(worth) => {
                    let (revision, ts) = (worth.revision, worth.told);
                    fold.example(&ExampleView { exposure: view, revision, labels: &worth.labels, ts });
                }
            }
        }
        for row in &events.reactions {
            fold.signal(&reaction(row));
        }
        fold
    }
}

fn shown(row: &ShownRow) -> ExposureView<'_> {
    ExposureView {
        exposure_id: &row.exposure_id,
        ts: row.ts,
        surface: row.surface,
        words: row.words,
        attributes: &row.attributes,
        assigned: None,
        undrawn: None,
        is_elsewhere: false,
    }
}

fn reaction(row: &ReactionRow) -> SignalView<'_> {
    SignalView {
        signal_id: &row.signal_id,
        exposure_id: &row.exposure_id,
        kind: &row.kind,
        value: row.value,
        ts: row.ts,
        retracts: row.retracts.as_deref(),
        actor: Actor::User,
    }
}

fn measure(metric: &MetricConfig) -> Measure {
    let shape = match (metric.kind, metric.per_unit, metric.days) {
        (Kind::Mean, PerUnit::Average, _) => Shape::Average,
        (Kind::Mean, PerUnit::Total, _) => Shape::Total,
        (Kind::Ratio, ..) => Shape::Ratio,
        (Kind::Quantile, ..) => Shape::Values,
        (Kind::Retention, _, Some([first, last])) => Shape::Return(first, last),
        (Kind::Proportion | Kind::Retention, ..) => Shape::Any,
    };
    let attributes: BTreeMap<_, _> = metric.attributes.clone();
    Measure {
        shape,
        of: what(&metric.source),
        over: metric.denominator.as_ref().map(what),
        surface: metric.surface,
        attributes,
        final_after_days: metric.final_after_days(),
        before: match &metric.cuped {
            None => Before::Nothing,
            Some(Cuped::Days(days)) => Before::Days(*days),
            Some(Cuped::Attribute(name)) => Before::Attribute(name.clone()),
        },
        most: match metric.winsorise {
            Some(Winsorise::Bound(bound)) => Some(bound),
            _ => None,
        },
    }
}

fn what(source: &Source) -> What {
    match source {
        Source::Exposures => What::Exposures,
        Source::ResponseWords => What::ResponseWords,
        Source::Label(objective) => What::Label(objective.clone()),
        Source::Attribute(name) => What::Attribute(name.clone()),
        Source::Signal(signal) => {
            let of = match signal.take {
                Take::Count => Of::Each,
                Take::Sum => Of::Value,
                Take::Presence => Of::Exposure,
            };
            What::Signal(signal.kind.clone(), of)
        }
    }
}
