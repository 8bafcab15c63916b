//! Prompts and dead letters.

use std::collections::{BTreeMap, BTreeSet};

use plaudit_event::{Context, Exposure, ExposureId, Seed, Surface};

use super::{at, exposure};
use crate::log::Topic;
use crate::outcome::{DeadLetter, Reason, Source};
use crate::store::{Batch, EventStore, Rows};

pub(super) async fn prompts_are_distinct_and_repeatable(store: &dyn EventStore) {
    let ids: Vec<String> = (0..40).map(|i| format!("x{}", i % 20)).collect();
    let mut rows: Vec<(u64, Exposure)> = Vec::new();
    for (offset, id) in (0..).zip(&ids) {
        let mut row = exposure(id);
        row.exposure_id = ExposureId::new(format!("e{offset}")).expect("an id");
        rows.push((offset, row));
    }
    let mut search = exposure("search");
    search.surface = Surface::Search;
    rows.push((40, search));
    let batch = Batch { shard: 0, from: 0, next: 41, mark: None, rows: Rows::Exposures(rows) };
    store.apply(batch).await.expect("apply");
    let all = store.prompts(100, Seed::new(1)).await.expect("prompts");
    let texts: BTreeSet<&str> = all.iter().map(Context::last_request).collect();
    assert_eq!((all.len(), texts.len()), (20, 20), "each chat context once");
    let some = store.prompts(4, Seed::new(1)).await.expect("prompts");
    assert_eq!(some.len(), 4);
    let again = store.prompts(4, Seed::new(1)).await.expect("prompts");
    assert_eq!(some, again);
    let other = store.prompts(20, Seed::new(2)).await.expect("prompts");
    let same_seed = store.prompts(20, Seed::new(1)).await.expect("prompts");
    assert_ne!(other, same_seed, "another seed, another order");
}

fn letter(reason: Reason) -> DeadLetter {
    DeadLetter {
        outcome: "rejected".into(),
        reason,
        field: String::new(),
        detail: String::new(),
        raw: "{".into(),
        raw_bytes: 1,
        received_ts: at(1),
        source: None,
        mends: None,
    }
}

pub(super) async fn dead_letters_are_counted_by_reason(store: &dyn EventStore) {
    let reasons = [Reason::Json, Reason::Conflict, Reason::Json];
    let rows = (0..).zip(reasons.map(letter)).collect();
    let batch = Batch { shard: 0, from: 0, next: 3, mark: None, rows: Rows::DeadLetters(rows) };
    store.apply(batch).await.expect("apply");
    let counts = store.counts().await.expect("counts").dead_letters;
    let expected = BTreeMap::from([(Reason::Json, 2), (Reason::Conflict, 1)]);
    assert_eq!(counts, expected);
}

pub(super) async fn a_source_has_one_dead_letter(store: &dyn EventStore) {
    let source = |offset| Some(Source { topic: Topic::Signals, shard: 2, offset });
    let rows = [source(7), source(8), source(7), None, None];
    let rows = rows.map(|source| DeadLetter { source, ..letter(Reason::Json) });
    let batch = Batch { shard: 1, from: 0, next: 5, mark: None, rows: Rows::DeadLetters((0..).zip(rows).collect()) };
    assert_eq!(store.apply(batch).await.expect("apply"), 4);
    let counts = store.counts().await.expect("counts").dead_letters;
    assert_eq!(counts, BTreeMap::from([(Reason::Json, 4)]));
}
