//! What every [`EventStore`] must do: one suite, run by every implementation.

mod answers;
mod kinds;
mod units;

use std::collections::BTreeMap;
use std::sync::Arc;

use plaudit_event::{
    Actor, Context, Example, Exposure, ExposureId, Impression, Label, Objective, PolicyId, Seed, Signal, SignalId,
    SignalKind, Surface, Timestamp, UnitId,
};

#[cfg(test)]
pub(super) use units::units;

use super::{Batch, Counts, Erased, EventStore, Mark, Place, Rows};
use crate::Error;
use crate::log::{Origin, Part, Stored, Topic};

const fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

const fn place(offset: u64) -> Place {
    Place { shard: 0, offset }
}

const fn part(topic: Topic) -> Part {
    Part { topic, shard: 0 }
}

fn exposure(id: &str) -> Exposure {
    Exposure {
        exposure_id: ExposureId::new(id).expect("an id"),
        unit_id: UnitId::new("unit").expect("an id"),
        session_id: None,
        surface: Surface::Chat,
        context: Context::of_user(format!("what is {id}?")),
        slate: vec![Impression {
            item_id: "answer".into(),
            position: 0,
            content: format!("{id} is a letter"),
            score: Some(0.1),
        }],
        chosen: 0,
        propensity: None,
        token_logprobs: None,
        policy_id: PolicyId::new("gen-1").expect("an id"),
        stage: None,
        assignments: Vec::new(),
        rewrite_applied: None,
        interleaving: None,
        attributes: serde_json::Map::new(),
        ts: at(1_000),
        unknown: serde_json::Map::from_iter([("app".to_owned(), "ios".into())]),
    }
}

/// Exposures called `ids`, from the offset `from` on.
#[must_use]
pub fn exposures(from: u64, ids: &[&str]) -> Batch {
    let rows = (from..).zip(ids.iter().map(|id| exposure(id)));
    Batch { shard: 0, from, next: from + ids.len() as u64, mark: None, rows: Rows::Exposures(rows.collect()) }
}

pub(in crate::store) fn signal(id: &str) -> Signal {
    Signal {
        signal_id: SignalId::new(id).expect("an id"),
        exposure_id: ExposureId::new("a").expect("an id"),
        item_id: None,
        kind: SignalKind::Custom("saved".into()),
        value: Some(0.3),
        text: None,
        spans: Vec::new(),
        stage: None,
        op: None,
        actor: Actor::User,
        ts: at(2_000),
        retracts: None,
        unknown: serde_json::Map::new(),
    }
}

pub(in crate::store) fn example(id: &str, revision: u32, exposure_ts: i64) -> Example {
    let label = Label { value: 1.0, weight: 0.5 };
    let exposure = exposure(id);
    Example {
        exposure_id: exposure.exposure_id,
        revision,
        unit_id: exposure.unit_id,
        surface: Surface::Chat,
        context: exposure.context,
        response: "yes".into(),
        item_id: "answer".into(),
        position: 0,
        policy_id: exposure.policy_id,
        propensity: None,
        assignments: Vec::new(),
        attributes: serde_json::Map::new(),
        labels: BTreeMap::from([(Objective::new("love"), label)]),
        replaced: Default::default(),
        remarks: Default::default(),
        exposure_ts: at(exposure_ts),
        ts: at(exposure_ts + 10),
    }
}

pub(in crate::store) fn examples(from: u64, rows: Vec<Example>) -> Batch {
    Batch {
        shard: 0,
        from,
        next: from + rows.len() as u64,
        mark: None,
        rows: Rows::Examples((from..).zip(rows).collect()),
    }
}

/// Runs every check, each on a fresh, empty store from `make`.
///
/// # Panics
/// Panics at the first check that fails.
pub async fn all<S: EventStore>(mut make: impl FnMut() -> Arc<S>) {
    an_empty_store_is_empty(&*make()).await;
    rows_come_back_as_they_went_in(&*make()).await;
    a_batch_takes_effect_once(&*make()).await;
    a_gap_is_refused(&*make()).await;
    the_mark_goes_with_the_position(&*make()).await;
    the_highest_revision_stays(&*make()).await;
    examples_are_found_by_time(&*make()).await;
    scans_go_on_where_they_ended(&*make()).await;
    kinds::prompts_are_distinct_and_repeatable(&*make()).await;
    kinds::dead_letters_are_counted_by_reason(&*make()).await;
    kinds::a_source_has_one_dead_letter(&*make()).await;
    shards_have_positions_of_their_own(&*make()).await;
    what_is_erased_stays_out(&*make()).await;
    answers::units_are_told_apart_by_variant(&*make()).await;
    answers::minutes_are_told_apart_by_variant(&*make()).await;
    answers::lineage_names_the_policies_of_a_stretch(&*make()).await;
    answers::a_conflict_stays_visible(&*make()).await;
    units::what_says_two_things_counts_for_the_first(&*make()).await;
    a_cleared_store_is_as_new(&*make()).await;
}

async fn an_empty_store_is_empty(store: &dyn EventStore) {
    assert_eq!(store.counts().await.expect("counts"), Counts::default());
    assert_eq!(store.positions().await.expect("positions"), BTreeMap::new());
    let prompts = store.prompts(3, Seed::new(1)).await;
    assert_eq!(prompts.expect("prompts"), []);
    let scanned = store.scan_examples(None, 10).await;
    assert_eq!(scanned.expect("scan"), []);
}

async fn rows_come_back_as_they_went_in(store: &dyn EventStore) {
    store.apply(exposures(0, &["a"])).await.expect("apply");
    let signals = Batch { shard: 0, from: 0, next: 1, mark: None, rows: Rows::Signals(vec![(0, signal("s"))]) };
    store.apply(signals).await.expect("apply");
    let batch = examples(0, vec![example("a", 0, 5)]);
    store.apply(batch).await.expect("apply");
    let exposures = store.scan_exposures(None, 9).await.expect("scan");
    assert_eq!(exposures, [(place(0), exposure("a"))]);
    let signals = store.scan_signals(None, 9).await.expect("scan");
    assert_eq!(signals, [(place(0), signal("s"))]);
    let examples = store.scan_examples(None, 9).await.expect("scan");
    assert_eq!(examples, [(place(0), example("a", 0, 5))]);
    let positions = store.positions().await.expect("positions");
    let ones = [Topic::Exposures, Topic::Signals, Topic::Examples].map(|topic| (part(topic), 1));
    assert_eq!(positions, BTreeMap::from(ones));
}

async fn a_batch_takes_effect_once(store: &dyn EventStore) {
    let first = store.apply(exposures(0, &["a", "b"])).await;
    assert_eq!(first.expect("apply"), 2);
    let again = store.apply(exposures(0, &["a", "b"])).await;
    assert_eq!(again.expect("apply"), 0);
    let overlapping = store.apply(exposures(1, &["b", "c"])).await;
    assert_eq!(overlapping.expect("apply"), 1);
    let same_id_later = store.apply(exposures(3, &["a"])).await;
    assert_eq!(same_id_later.expect("apply"), 0);
    assert_eq!(store.counts().await.expect("counts").exposures, 3);
    let positions = store.positions().await.expect("positions");
    assert_eq!(positions[&part(Topic::Exposures)], 4);
}

async fn a_gap_is_refused(store: &dyn EventStore) {
    let gap = store.apply(exposures(1, &["b"])).await;
    assert!(matches!(gap, Err(Error::Gap { expected: 0, .. })));
    assert_eq!(store.counts().await.expect("counts").exposures, 0);
}

async fn the_mark_goes_with_the_position(store: &dyn EventStore) {
    let origin = Origin::Checked;
    let record = |value: &[u8]| Stored { offset: 0, appended: at(1), key: "k".into(), value: value.to_vec(), origin };
    let [first, second] = [b"first", b"other"].map(|value| Some(Mark::of(&record(value))));
    assert_ne!(first, second);
    store.apply(Batch { mark: first, ..exposures(0, &["a"]) }).await.expect("apply");
    let mark = mark_of(store).await;
    assert_eq!(mark, first);
    store.apply(Batch { mark: second, ..exposures(0, &["a"]) }).await.expect("apply");
    let mark = mark_of(store).await;
    assert_eq!(mark, first, "a batch that changes nothing changes no mark");
    store.apply(Batch { mark: second, ..exposures(1, &["b"]) }).await.expect("apply");
    assert_eq!(mark_of(store).await, second);
    assert_eq!(store.ends().await.expect("ends").len(), 1);
}

async fn mark_of(store: &dyn EventStore) -> Option<Mark> {
    store.ends().await.expect("ends").get(&part(Topic::Exposures)).and_then(|end| end.mark)
}

async fn the_highest_revision_stays(store: &dyn EventStore) {
    let rows = vec![example("a", 0, 5), example("b", 0, 6), example("a", 2, 5), example("a", 1, 5)];
    store.apply(examples(0, rows)).await.expect("apply");
    assert_eq!(store.counts().await.expect("counts").examples, 2);
    let scanned = store.scan_examples(None, 9).await.expect("scan");
    let order: Vec<(u64, u32)> = scanned.iter().map(|(place, e)| (place.offset, e.revision)).collect();
    assert_eq!(order, [(1, 0), (2, 2)], "a corrected example moves to the end");
}

async fn examples_are_found_by_time(store: &dyn EventStore) {
    let rows = [("a", 30), ("b", 10), ("c", 20), ("d", 40)];
    let rows = rows.map(|(id, ts)| example(id, 0, ts)).to_vec();
    store.apply(examples(0, rows)).await.expect("apply");
    let found = store.examples(at(10)..at(40), 9).await.expect("examples");
    let ids: Vec<&str> = found.iter().map(|e| e.exposure_id.as_str()).collect();
    assert_eq!(ids, ["b", "c", "a"]);
    let limited = store.examples(at(10)..at(40), 2).await.expect("examples");
    assert_eq!(limited.len(), 2);
}

async fn scans_go_on_where_they_ended(store: &dyn EventStore) {
    let ids = ["a", "b", "c", "d", "e"];
    store.apply(exposures(0, &ids)).await.expect("apply");
    let mut after = None;
    let mut seen = Vec::new();
    loop {
        let page = store.scan_exposures(after, 2).await.expect("scan");
        let Some(last) = page.last() else { break };
        after = Some(last.0);
        seen.extend(page.into_iter().map(|(_, e)| e.exposure_id.to_string()));
    }
    assert_eq!(seen, ids);
}

async fn shards_have_positions_of_their_own(store: &dyn EventStore) {
    let of_shard = |shard, from, ids: &[&str]| Batch { shard, ..exposures(from, ids) };
    store.apply(of_shard(0, 0, &["a", "b"])).await.expect("apply");
    store.apply(of_shard(3, 0, &["c"])).await.expect("apply");
    let gap = store.apply(of_shard(3, 2, &["e"])).await;
    assert!(matches!(gap, Err(Error::Gap { part: Part { shard: 3, .. }, expected: 1, .. })));
    store.apply(of_shard(3, 1, &["a", "d"])).await.expect("apply");
    let positions = store.positions().await.expect("positions");
    let of_three = Part { topic: Topic::Exposures, shard: 3 };
    assert_eq!(positions, BTreeMap::from([(part(Topic::Exposures), 2), (of_three, 3)]));
    let mut after = None;
    let mut seen = Vec::new();
    while let Some((place, row)) = store.scan_exposures(after, 1).await.expect("scan").pop() {
        after = Some(place);
        seen.push((place.shard, place.offset, row.exposure_id.to_string()));
    }
    let expected = [(0, 0, "a"), (0, 1, "b"), (3, 0, "c"), (3, 2, "d")];
    assert_eq!(seen, expected.map(|(shard, offset, id)| (shard, offset, id.to_owned())), "each id once");
}

async fn a_cleared_store_is_as_new(store: &dyn EventStore) {
    store.apply(exposures(0, &["a", "b"])).await.expect("apply");
    store.apply(examples(0, vec![example("a", 0, 1)])).await.expect("apply");
    store.erase(&UnitId::new("unit").expect("an id")).await.expect("erase");
    for _ in 0..2 {
        store.clear().await.expect("clear");
        an_empty_store_is_empty(store).await;
    }
    assert_eq!(store.apply(exposures(0, &["a", "b"])).await.expect("apply"), 2, "nothing is remembered");
}

async fn what_is_erased_stays_out(store: &dyn EventStore) {
    let mut rows = vec![(0, exposure("a")), (1, exposure("b")), (2, exposure("c"))];
    rows[2].1.unit_id = UnitId::new("other").expect("an id");
    let batch = Batch { shard: 0, from: 0, next: 3, mark: None, rows: Rows::Exposures(rows) };
    store.apply(batch).await.expect("apply");
    let signals = Batch { shard: 0, from: 0, next: 1, mark: None, rows: Rows::Signals(vec![(0, signal("s"))]) };
    store.apply(signals).await.expect("apply");
    store.apply(examples(0, vec![example("a", 0, 5)])).await.expect("apply");
    let unit = UnitId::new("unit").expect("an id");
    let erased = store.erase(&unit).await.expect("erase");
    let ids = ["a", "b"].map(|id| ExposureId::new(id).expect("an id"));
    assert_eq!(erased, Erased { exposures: ids.to_vec(), signals: 1, examples: 1 });
    assert_eq!(store.erase(&unit).await.expect("erase"), Erased::default(), "nothing is left");
    let late = Batch { shard: 0, from: 1, next: 2, mark: None, rows: Rows::Signals(vec![(1, signal("late"))]) };
    store.apply(late).await.expect("apply");
    store.apply(examples(1, vec![example("b", 0, 6), example("d", 0, 7)])).await.expect("apply");
    store.apply(exposures(3, &["b", "d"])).await.expect("apply");
    let counts = store.counts().await.expect("counts");
    assert_eq!((counts.exposures, counts.signals, counts.examples), (2, 0, 1), "only the new ones");
}
