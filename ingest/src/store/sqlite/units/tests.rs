use plaudit_event::{ExposureId, Signal, SignalId, UnitId};

use super::*;
use crate::store::{Batch, EventStore, PARTS, Rows, SqliteStore, conformance};

#[tokio::test]
async fn a_large_store_is_visited_in_parts_and_each_unit_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&dir.path().join("store.db")).unwrap();
    let ids: Vec<String> = (0..12_000).map(|number| format!("e{number}")).collect();
    let names: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut batch = conformance::exposures(0, &names);
    let Rows::Exposures(rows) = &mut batch.rows else { panic!("exposures") };
    for (offset, row) in rows.iter_mut() {
        row.unit_id = UnitId::new(format!("it's{}", *offset * 7_919 % 400)).unwrap();
    }
    store.apply(batch).await.unwrap();
    let signals = (0..600).map(|number| Signal {
        signal_id: SignalId::new(format!("s{number}")).unwrap(),
        exposure_id: ExposureId::new(format!("e{}", number * 20)).unwrap(),
        ..conformance::signal("s")
    });
    let signals = Rows::Signals((0..).zip(signals).collect());
    store.apply(Batch { shard: 0, from: 0, next: 600, mark: None, rows: signals }).await.unwrap();

    let parts = store.inner.read(parts).unwrap().len();
    assert!((8..=PARTS).contains(&parts), "{parts}");
    let units = conformance::units(&store).await;
    let mut hashes: Vec<u64> = units.iter().map(|unit| unit.hash).collect();
    hashes.dedup();
    assert_eq!((units.len(), hashes.len()), (400, 400), "sorted by hash, each is there once");
    assert!(units.iter().all(|unit| unit.shown.len() == 30));
    assert_eq!(units.iter().map(|unit| unit.reactions.len()).sum::<usize>(), 600);
    assert_eq!(conformance::units(&store).await, units);
}
