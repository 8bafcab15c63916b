//! What a store tells about units.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use plaudit_event::{Exposure, ExposureId, Signal, SignalKind, UnitId};

use super::{at, exposure, exposures, signal};
use crate::store::{Batch, Before, Drawn, EventStore, Measure, Of, Question, Rows, Shape, Standing, UnitEvents, What};

/// Longer than a week, in milliseconds.
const FORTNIGHT_MS: i64 = 14 * 86_400_000;

/// What `store` says of all units, each being in the one arm of a question.
pub(in crate::store) async fn units(store: &dyn EventStore) -> Vec<UnitEvents> {
    let measure = Measure {
        shape: Shape::Total,
        of: What::Signal(SignalKind::Custom("saved".into()), Of::Value),
        over: None,
        surface: None,
        attributes: BTreeMap::new(),
        final_after_days: None,
        before: Before::Attribute("app".into()),
        most: None,
    };
    let drawn = Drawn { variant: 0, phase: 0, weights: vec![1.0] };
    let question = Question {
        variants: vec!["only".to_owned()],
        shown: at(0)..at(4 * FORTNIGHT_MS),
        now: at(4 * FORTNIGHT_MS),
        standings: Arc::new(move |_| Standing { drawn: Some(drawn.clone()), ..Standing::default() }),
        measures: vec![measure],
        splits: Vec::new(),
    };
    let found = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&found);
    let visit = Arc::new(move |_, events| taken.lock().unwrap_or_else(PoisonError::into_inner).push(events));
    store.unit_events(&question, 0..=u64::MAX, visit).await.expect("units");
    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner).clone();
    found.sort_by_key(|events: &UnitEvents| events.hash);
    found
}

pub(super) async fn what_says_two_things_counts_for_the_first(store: &dyn EventStore) {
    store.apply(exposures(0, &["a", "b"])).await.expect("apply");
    let reaction = |from, signal: Signal| Batch {
        shard: 0,
        from,
        next: from + 1,
        mark: None,
        rows: Rows::Signals(vec![(from, signal)]),
    };
    store.apply(reaction(0, signal("s"))).await.expect("apply");
    let before = units(store).await;
    assert_eq!((before.len(), before[0].shown.len(), before[0].reactions.len()), (1, 2, 1));
    let mut other = Exposure { unit_id: UnitId::new("other").expect("an id"), ts: at(FORTNIGHT_MS), ..exposure("a") };
    other.slate[0].content = "something else".into();
    let rows = Rows::Exposures(vec![(2, other)]);
    store.apply(Batch { shard: 0, from: 2, next: 3, mark: None, rows }).await.expect("apply");
    let about = ExposureId::new("b").expect("an id");
    let other = Signal { exposure_id: about, value: Some(0.9), ts: at(FORTNIGHT_MS), ..signal("s") };
    store.apply(reaction(1, other)).await.expect("apply");
    assert_eq!(units(store).await, before);
}
