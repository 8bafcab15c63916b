//! What a store answers about experiments, lineage and conflicts.

use std::collections::BTreeMap;

use plaudit_event::{
    Assignment, Example, ExperimentId, Exposure, Label, LayerId, Objective, PolicyId, Timestamp, UnitId, VariantId,
};

use super::{at, example, examples, exposure, part, place, signal};
use crate::log::Topic;
use crate::store::{Batch, Conflict, EventStore, LabelSum, Lineage, Rows, UnitMetrics, VariantMinute};

fn assignment(experiment: &str, variant: &str) -> Assignment {
    Assignment {
        layer: LayerId::new("layer").expect("an id"),
        experiment: ExperimentId::new(experiment).expect("an id"),
        variant: VariantId::new(variant).expect("an id"),
        draw: None,
    }
}

fn shown(id: &str, ts: i64, unit: &str, assignment: Assignment) -> Exposure {
    let unit_id = UnitId::new(unit).expect("an id");
    Exposure { unit_id, ts: at(ts), assignments: vec![assignment], ..exposure(id) }
}

fn learned(of: &Exposure, revision: u32, value: f32) -> Example {
    Example {
        unit_id: of.unit_id.clone(),
        assignments: of.assignments.clone(),
        labels: BTreeMap::from([(Objective::new("love"), Label { value, weight: 0.5 })]),
        ..example(of.exposure_id.as_str(), revision, of.ts.as_millis())
    }
}

fn batch(from: u64, rows: Vec<Exposure>) -> Batch {
    let next = from + rows.len() as u64;
    Batch { shard: 0, from, next, mark: None, rows: Rows::Exposures((from..).zip(rows).collect()) }
}

fn love(labels: u64, value: f64) -> BTreeMap<Objective, LabelSum> {
    let sum = LabelSum { labels, value, weight: 0.5 * labels as f64 };
    if labels == 0 { BTreeMap::new() } else { BTreeMap::from([(Objective::new("love"), sum)]) }
}

/// Three exposures in two variants of `x`, one in another experiment and one in none; some rows come twice, and one
/// example is corrected.
async fn fill(store: &dyn EventStore) {
    let t = |id, ts| shown(id, ts, "u1", assignment("x", "t"));
    let (a, b) = (t("a", 61_000), t("b", 119_999));
    let c = shown("c", 120_000, "u2", assignment("x", "c"));
    let other = shown("d", 61_000, "u1", assignment("y", "t"));
    let rows = vec![a.clone(), b, c.clone(), other, exposure("e"), a.clone()];
    store.apply(batch(0, rows.clone())).await.expect("apply");
    store.apply(batch(6, rows)).await.expect("apply");
    let rows = vec![learned(&a, 0, 1.0), learned(&c, 0, 0.0), learned(&a, 0, 1.0), learned(&a, 1, 0.25)];
    store.apply(examples(0, rows)).await.expect("apply");
}

fn x() -> ExperimentId {
    ExperimentId::new("x").expect("an id")
}

fn ever() -> std::ops::Range<Timestamp> {
    at(0)..at(1_000_000_000)
}

fn unit(variant: &str, unit: &str, exposures: u64, labels: BTreeMap<Objective, LabelSum>) -> UnitMetrics {
    let (variant, unit_id) = (VariantId::new(variant).expect("an id"), UnitId::new(unit).expect("an id"));
    UnitMetrics { variant, unit_id, exposures, examples: 1, labels }
}

pub(super) async fn units_are_told_apart_by_variant(store: &dyn EventStore) {
    fill(store).await;
    let of = [unit("c", "u2", 1, love(1, 0.0)), unit("t", "u1", 2, love(1, 0.25))];
    assert_eq!(store.unit_metrics(&x(), ever(), None, 9).await.expect("metrics"), of);
    let first = store.unit_metrics(&x(), ever(), None, 1).await.expect("metrics");
    assert_eq!(first, of[..1]);
    let after = Some((first[0].variant.clone(), first[0].unit_id.clone()));
    assert_eq!(store.unit_metrics(&x(), ever(), after, 9).await.expect("metrics"), of[1..]);
    let early = store.unit_metrics(&x(), at(0)..at(120_000), None, 9).await.expect("metrics");
    assert_eq!(early, of[1..], "the end is excluded");
    store.erase(&of[1].unit_id).await.expect("erase");
    assert_eq!(store.unit_metrics(&x(), ever(), None, 9).await.expect("metrics"), of[..1], "erased");
}

pub(super) async fn minutes_are_told_apart_by_variant(store: &dyn EventStore) {
    fill(store).await;
    let minute = |minute, name: &str, exposures, labels| {
        let variant = VariantId::new(name).expect("an id");
        VariantMinute { minute: at(minute), variant, exposures, examples: 1, labels }
    };
    let of = [minute(60_000, "t", 2, love(1, 0.25)), minute(120_000, "c", 1, love(1, 0.0))];
    assert_eq!(store.variant_minutes(&x(), ever(), 9).await.expect("metrics"), of);
    assert_eq!(store.variant_minutes(&x(), ever(), 1).await.expect("metrics"), of[..1]);
    assert_eq!(store.variant_minutes(&x(), at(119_999)..at(120_001), 9).await.expect("metrics").len(), 2);
    let unit = UnitId::new("u2").expect("an id");
    store.erase(&unit).await.expect("erase");
    assert_eq!(store.variant_minutes(&x(), ever(), 9).await.expect("metrics"), of[..1], "erased");
}

pub(super) async fn lineage_names_the_policies_of_a_stretch(store: &dyn EventStore) {
    let by = |id: &str, policy: &str, ts| {
        let policy_id = PolicyId::new(policy).expect("an id");
        Exposure { policy_id, ts: at(ts), ..exposure(id) }
    };
    let rows = vec![by("a", "p1", 10), by("b", "p2", 40), by("c", "p1", 30), by("d", "p1", 20), by("b", "p2", 40)];
    store.apply(batch(0, rows)).await.expect("apply");
    let of = |policy: &str, rows, first, last| {
        let policy_id = PolicyId::new(policy).expect("an id");
        Lineage { policy_id, rows, first: at(first), last: at(last) }
    };
    let lineage = store.lineage(part(Topic::Exposures), 1..5).await.expect("lineage");
    assert_eq!(lineage, [of("p1", 2, 20, 30), of("p2", 1, 40, 40)]);
    assert_eq!(store.lineage(part(Topic::Exposures), 4..9).await.expect("lineage"), [], "known before");
    let rows = vec![example("a", 0, 5), example("b", 0, 6), example("a", 1, 5)];
    store.apply(examples(0, rows)).await.expect("apply");
    let lineage = store.lineage(part(Topic::Examples), 0..2).await.expect("lineage");
    assert_eq!(lineage, [of("gen-1", 1, 6, 6)], "a corrected example counts where it was corrected");
}

pub(super) async fn a_conflict_stays_visible(store: &dyn EventStore) {
    let mut other = exposure("a");
    other.slate[0].content = "something else".into();
    let later = Exposure { ts: at(9_999), ..exposure("b") };
    let rows = vec![exposure("a"), exposure("b"), other.clone(), later, other];
    let num_new = store.apply(batch(0, rows)).await.expect("apply");
    assert_eq!(num_new, 2, "an id is new once, whatever it says");
    let signals = |from, rows: Vec<_>| Batch { next: from + 1, rows: Rows::Signals(rows), ..batch(from, Vec::new()) };
    store.apply(signals(0, vec![(0, signal("s"))])).await.expect("apply");
    let mut other = signal("s");
    other.value = Some(0.9);
    store.apply(signals(1, vec![(1, other)])).await.expect("apply");
    let counts = store.counts().await.expect("counts");
    assert_eq!((counts.exposures, counts.signals, counts.conflicts), (2, 1, 2));
    let of =
        |topic, id: &str, offsets: [u64; 2]| Conflict { topic, id: id.to_owned(), places: offsets.map(place).to_vec() };
    let expected = [of(Topic::Exposures, "a", [0, 2]), of(Topic::Signals, "s", [0, 1])];
    assert_eq!(store.conflicts(9).await.expect("conflicts"), expected);
    assert_eq!(store.conflicts(1).await.expect("conflicts"), expected[..1]);
    let kept = store.scan_exposures(None, 9).await.expect("scan");
    let kept: Vec<_> = kept.into_iter().map(|(place, row)| (place.offset, row.slate[0].content.clone())).collect();
    assert_eq!(kept, [(0, "a is a letter".to_owned()), (1, "b is a letter".to_owned())], "the first one counts");
    store.erase(&exposure("a").unit_id).await.expect("erase");
    assert_eq!(store.counts().await.expect("counts").conflicts, 0, "erased");
}
