//! The sums of an experiment: from the store, or by folding its units.

use std::ops::{Range, RangeInclusive};
use std::sync::{Arc, Mutex, PoisonError};

use plaudit_event::Timestamp;
use plaudit_experiment::metrics::{Aggregates, Alike, FoldPlan, Folded, Ignored, MergeError, MetricSet};
use plaudit_experiment::stats::RatioCovariateMoments;
use plaudit_ingest::store::{EventStore, Moments, PARTS, Question, UnitEvents, UnitSums};

use super::Subject;
use super::ask::Asked;
use crate::Error;

/// Units of an arm whose events are read where sums do not do: a fifth more than are kept, because the shares of
/// hashes vary.
const WANTED: f64 = 24_000.0;
/// Most units whose events are read then.
const MOST_SAMPLED: f64 = 400_000.0;
/// Of those, units read at once.
const AT_ONCE: f64 = 50_000.0;

/// The sums of `subject`, of exposures shown in a range, as of `now`.
///
/// # Errors
/// Fails when the store cannot be read.
pub async fn aggregates(
    store: &dyn EventStore,
    set: &MetricSet,
    subject: &Subject,
    (shown, now): (Range<Timestamp>, Timestamp),
) -> Result<Aggregates, Error> {
    let plan = FoldPlan { variants: subject.ordered(), set: set.clone(), now };
    let asked = Arc::new(Asked { subject: subject.clone(), plan });
    let question = asked.question(shown);
    let Some(sums) = store.unit_sums(&question).await? else {
        return visited(store, &asked, &question, vec![0..=u64::MAX]).await;
    };
    let mut aggregates = of_sums(&asked.plan, &sums)?;
    if aggregates.needs_samples() {
        let sample = visited(store, &asked, &question, sampled(&aggregates)).await?;
        aggregates.sample_from(&sample).map_err(internal)?;
    }
    Ok(aggregates)
}

/// The sums that the store has made.
fn of_sums(plan: &FoldPlan, sums: &UnitSums) -> Result<Aggregates, Error> {
    let mut aggregates = Aggregates::new(&plan.variants, &plan.set);
    for cell in &sums.cells {
        let moments: Vec<RatioCovariateMoments> = cell.measures.iter().map(moments).collect();
        let alike = Alike {
            phase: cell.arm.phase,
            weights: &cell.arm.weights,
            variant: cell.arm.variant,
            is_carried: cell.is_carried,
            segments: &cell.splits,
            units: cell.units,
            moments: &moments,
        };
        aggregates.alike(&alike).map_err(internal)?;
    }
    aggregates.multiple = sums.multiple;
    aggregates.first = sums.first;
    aggregates.ignored =
        Ignored { backwards: sums.backwards, unknown_variants: sums.unknown_variants, ..Ignored::default() };
    Ok(aggregates)
}

fn moments(moments: &Moments) -> RatioCovariateMoments {
    RatioCovariateMoments { units: moments.units, sums: moments.sums, products: moments.products }
}

/// The ranges of hashes, lowest first, that hold as many units of every arm as are kept.
fn sampled(aggregates: &Aggregates) -> Vec<RangeInclusive<u64>> {
    let arms = aggregates.strata.iter().flat_map(|stratum| &stratum.arms);
    let units: Vec<f64> = arms.map(|arm| arm.cells[0].units as f64).filter(|units| *units > 0.0).collect();
    let total: f64 = units.iter().sum();
    let needed = units.iter().map(|units| WANTED / units).fold(0.0, f64::max);
    let share = needed.min(MOST_SAMPLED / total.max(1.0)).min(1.0);
    let pieces = (share * total / AT_ONCE).ceil().max(1.0);
    // A float above the largest integer becomes that.
    let bound = |piece: f64| (share * piece / pieces * u64::MAX as f64) as u64;
    let mut ranges = Vec::new();
    let mut from = 0;
    let mut piece = 1.0;
    while piece <= pieces {
        let to = bound(piece);
        ranges.push(from..=to);
        from = to.saturating_add(1);
        piece += 1.0;
    }
    ranges
}

/// The sums of the units whose hashes are in `ranges`, by folding each.
async fn visited(
    store: &dyn EventStore,
    asked: &Arc<Asked>,
    question: &Question,
    ranges: Vec<RangeInclusive<u64>>,
) -> Result<Aggregates, Error> {
    let empty = || Mutex::new((Aggregates::new(&asked.plan.variants, &asked.plan.set), Ok(())));
    let folded: Arc<[_]> = (0..PARTS).map(|_| empty()).collect();
    for range in ranges {
        let (asked, folded) = (Arc::clone(asked), Arc::clone(&folded));
        let visit = move |part: usize, events: UnitEvents| {
            let (folded_unit, mut ignored) = asked.fold(&events).finish_hashed(events.hash);
            if folded_unit == Folded::Outside {
                // Nothing of it is of the experiment, but a draw that cannot be used.
                ignored = Ignored { unknown_variants: ignored.unknown_variants, ..Ignored::default() };
            }
            let mut sums = folded[part].lock().unwrap_or_else(PoisonError::into_inner);
            let added = sums.0.add((folded_unit, ignored));
            sums.1 = sums.1.and(added);
        };
        store.unit_events(question, range, Arc::new(visit)).await?;
    }
    let mut all = Aggregates::new(&asked.plan.variants, &asked.plan.set);
    for sums in folded.iter() {
        let sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.1.map_err(internal)?;
        all.merge(&sums.0).map_err(internal)?;
    }
    Ok(all)
}

/// Sums of this module fit the plan that they are made for.
fn internal(error: MergeError) -> Error {
    Error::Task { what: "adding up results", detail: error.to_string() }
}
