//! What is in log and store, against what clients were promised.

mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plaudit_event::Example;
use plaudit_ingest::log::{self, EventLog};
use plaudit_ingest::service::examples_again;
use plaudit_ingest::store::EventStore;
use serde::Serialize;

use super::ledger::Ledger;
use read::{Kept, Logged};

/// What does not fit; all zero when all is well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Findings {
    /// Exposures that the log holds, each id once.
    pub(super) exposures: u64,
    /// Signals that the log holds, each id once.
    pub(super) signals: u64,
    /// Examples in the log, without corrections.
    pub(super) examples: u64,
    /// Corrections in the log.
    pub(super) corrections: u64,
    /// Further copies of events in the log.
    pub(super) log_copies: u64,
    /// Acknowledged ids that are not in the log.
    pub(super) lost_log: u64,
    /// Acknowledged ids that are not in the store.
    pub(super) lost_store: u64,
    /// Ids that the log has and the store has not, and the other way round.
    pub(super) store_differs: u64,
    /// Ids that the store gives twice.
    pub(super) stored_twice: u64,
    /// Exposures that did not close exactly once, or whose revisions do not count up.
    pub(super) closed_wrong: u64,
    /// Examples that an uninterrupted attribution of the same log makes otherwise.
    pub(super) examples_differ: u64,
    /// Examples whose label is not what the acknowledged signals say.
    pub(super) labels_wrong: u64,
}

impl Findings {
    /// What is wrong, in words.
    pub(super) fn problems(&self) -> Vec<String> {
        let counts = [
            (self.lost_log, "acknowledged events are not in the log"),
            (self.lost_store, "acknowledged events are not in the store"),
            (self.store_differs, "rows are in log or store only"),
            (self.stored_twice, "ids are in the store twice"),
            (self.closed_wrong, "exposures did not close exactly once"),
            (self.examples_differ, "examples are not those of an uninterrupted attribution"),
            (self.labels_wrong, "labels are not what the signals say"),
        ];
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect()
    }
}

/// Compares. `stores` hold the log together: one store, or one for each process.
pub(super) async fn check(
    log: &Arc<dyn EventLog>,
    stores: &[Arc<dyn EventStore>],
    config: &plaudit_ingest::Config,
    ledger: &Ledger,
) -> anyhow::Result<Findings> {
    let (mut found, logged) = compare(log, stores, ledger).await?;
    found.examples_differ = differences(log, &logged, config).await?;
    Ok(found)
}

/// What takes its time and is not there yet: exposures to be closed, and rows of the one store that all share.
pub(super) async fn lacking(
    log: &Arc<dyn EventLog>,
    stores: &[Arc<dyn EventStore>],
    ledger: &Ledger,
) -> anyhow::Result<Vec<String>> {
    let (mut found, _) = compare(log, stores, ledger).await?;
    if stores.is_empty() {
        (found.lost_store, found.store_differs) = (0, 0);
    }
    // Labels may change as long as corrections come.
    found.labels_wrong = 0;
    Ok(found.problems())
}

/// All but the attribution made again.
async fn compare(
    log: &Arc<dyn EventLog>,
    stores: &[Arc<dyn EventStore>],
    ledger: &Ledger,
) -> anyhow::Result<(Findings, Logged)> {
    let logged = Logged::read(log).await?;
    let mut kept = Kept::default();
    for store in stores {
        kept.add(&**store).await?;
    }
    let mut found = Findings {
        exposures: logged.exposures.len() as u64,
        signals: logged.signals.len() as u64,
        log_copies: copies(&logged.exposures) + copies(&logged.signals),
        stored_twice: kept.twice,
        ..Findings::default()
    };
    for (promised, logged, kept) in
        [(&ledger.exposures, &logged.exposures, &kept.exposures), (&ledger.signals, &logged.signals, &kept.signals)]
    {
        found.lost_log += promised.keys().filter(|id| !logged.contains_key(*id)).count() as u64;
        found.lost_store += promised.keys().filter(|id| !kept.contains(*id)).count() as u64;
        let in_log: BTreeSet<&String> = logged.keys().collect();
        found.store_differs += in_log.symmetric_difference(&kept.iter().collect()).count() as u64;
    }
    let revisions = revisions(&logged.examples);
    found.examples = logged.examples.iter().filter(|example| example.revision == 0).count() as u64;
    found.corrections = logged.examples.len() as u64 - found.examples;
    for id in logged.exposures.keys() {
        let known = revisions.get(id.as_str());
        if !known.is_some_and(|revisions| revisions.iter().copied().eq(0..revisions.len() as u32)) {
            found.closed_wrong += 1;
        }
    }
    found.store_differs += examples_not_kept(&logged.examples, &kept);
    found.labels_wrong = wrong_labels(&logged.examples, ledger);
    Ok((found, logged))
}

fn copies(counts: &BTreeMap<String, u32>) -> u64 {
    counts.values().map(|count| u64::from(count - 1)).sum()
}

/// Revisions by exposure, in the order of the log.
fn revisions(examples: &[Example]) -> BTreeMap<&str, Vec<u32>> {
    let mut revisions: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for example in examples {
        revisions.entry(example.exposure_id.as_str()).or_default().push(example.revision);
    }
    revisions
}

/// How many newest revisions the store does not have, and how many it has that are not the newest.
fn examples_not_kept(examples: &[Example], kept: &Kept) -> u64 {
    let newest: BTreeMap<&str, u32> =
        examples.iter().map(|example| (example.exposure_id.as_str(), example.revision)).collect();
    let missing = newest.iter().filter(|(id, revision)| kept.examples.get(**id) != Some(revision)).count();
    let more = kept.examples.keys().filter(|id| !newest.contains_key(id.as_str())).count();
    (missing + more) as u64
}

fn wrong_labels(examples: &[Example], ledger: &Ledger) -> u64 {
    let newest: BTreeMap<&str, &Example> =
        examples.iter().map(|example| (example.exposure_id.as_str(), example)).collect();
    let mut wrong = 0;
    for (id, is_loved) in &ledger.loved {
        let Some(example) = newest.get(id.as_str()) else { continue };
        let is_labelled = example.label("love").is_some_and(|label| label.value > 0.5);
        if is_labelled != *is_loved {
            wrong += 1;
        }
    }
    wrong
}

/// How many examples an uninterrupted attribution makes otherwise, shard by shard, each in its order.
async fn differences(log: &Arc<dyn EventLog>, logged: &Logged, config: &plaudit_ingest::Config) -> anyhow::Result<u64> {
    let mut differ = 0;
    for shard in 0..log.shards() {
        let again = examples_again(log::shard(log, shard), config).await?;
        let here = &logged.shards[shard as usize];
        let left: Vec<&Example> =
            logged.examples.iter().filter(|example| here.contains(example.exposure_id.as_str())).collect();
        // What is made now may reach further, since time has passed.
        differ += left.len().saturating_sub(again.len()) as u64;
        differ += left.iter().zip(&again).filter(|(left, again)| **left != *again).count() as u64;
    }
    Ok(differ)
}

#[cfg(test)]
mod tests {
    use plaudit_event::{Clock as _, Envelope, ManualClock, Timestamp};
    use plaudit_ingest::log::{MemoryLog, Record, Topic};
    use plaudit_ingest::service::{AttributionService, StoreSink};
    use plaudit_ingest::store::SqliteStore;
    use serde_json::json;

    use super::super::ledger::What;
    use super::*;

    struct World {
        log: Arc<dyn EventLog>,
        store: Arc<dyn EventStore>,
        config: plaudit_ingest::Config,
        clock: Arc<ManualClock>,
        ledger: Ledger,
    }

    fn record(event: &str, data: &serde_json::Value, key: &str) -> Record {
        let envelope = json!({"v": 1, "event": event, "data": data});
        let value = serde_json::to_vec(&envelope).unwrap();
        Envelope::decode(&value).unwrap();
        Record { key: key.to_owned(), value }
    }

    fn exposure(id: &str) -> Record {
        let data = json!({"exposure_id": id, "unit_id": "u", "surface": "chat", "policy_id": "p", "ts": 1_000,
            "context": {"messages": []}, "slate": [{"item_id": "response", "position": 0, "content": "hello"}]});
        record("exposure", &data, id)
    }

    /// Two exposures, one of them loved, acknowledged, attributed and stored.
    async fn world() -> World {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000)));
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(clock.clone()));
        let store: Arc<dyn EventStore> = Arc::new(SqliteStore::in_memory().unwrap());
        let mut world =
            World { log, store, config: plaudit_ingest::Config::default(), clock, ledger: Ledger::default() };
        world.log.append(Topic::Exposures, vec![exposure("e-1"), exposure("e-2")]).await.unwrap();
        let love = json!({"signal_id": "s-1", "exposure_id": "e-1", "kind": "love", "ts": 1_500});
        world.log.append(Topic::Signals, vec![record("signal", &love, "e-1")]).await.unwrap();
        world.clock.advance_to(world.clock.now().plus_millis(3_600_000));
        AttributionService::new(Arc::clone(&world.log), world.config.clone()).catch_up().await.unwrap();
        world.sink().await;
        for id in ["e-1", "e-2"] {
            world.ledger.note(What::Exposure, id, "accepted");
            world.ledger.loved.insert(id.to_owned(), id == "e-1");
        }
        world.ledger.note(What::Signal, "s-1", "accepted");
        world
    }

    impl World {
        async fn sink(&self) {
            StoreSink::new(Arc::clone(&self.log), Arc::clone(&self.store), &self.config).catch_up().await.unwrap();
        }

        async fn found(&self) -> Findings {
            check(&self.log, &[Arc::clone(&self.store)], &self.config, &self.ledger).await.unwrap()
        }
    }

    #[tokio::test]
    async fn all_is_well_when_nothing_was_broken() {
        let found = world().await.found().await;
        assert_eq!(found.problems(), Vec::<String>::new());
        assert_eq!((found.exposures, found.signals, found.examples, found.corrections), (2, 1, 2, 0));
    }

    #[tokio::test]
    async fn what_is_acknowledged_and_nowhere_is_lost() {
        let mut world = world().await;
        world.ledger.note(What::Signal, "s-2", "duplicate");
        let found = world.found().await;
        assert_eq!((found.lost_log, found.lost_store), (1, 1));
    }

    #[tokio::test]
    async fn what_the_store_has_not_copied_shows() {
        let world = world().await;
        world.log.append(Topic::Exposures, vec![exposure("e-3")]).await.unwrap();
        let found = world.found().await;
        assert_eq!((found.store_differs, found.closed_wrong), (1, 1), "not stored, not closed");
    }

    #[tokio::test]
    async fn copies_in_the_log_are_counted_and_a_second_close_is_wrong() {
        let world = world().await;
        world.log.append(Topic::Exposures, vec![exposure("e-1")]).await.unwrap();
        let first = world.log.read(Topic::Examples, 0, 1).await.unwrap().remove(0);
        world.log.append(Topic::Examples, vec![Record { key: first.key, value: first.value }]).await.unwrap();
        world.sink().await;
        let found = world.found().await;
        assert_eq!((found.log_copies, found.closed_wrong, found.stored_twice), (1, 1, 0));
        assert!(found.examples_differ > 0, "an uninterrupted attribution makes two examples: {found:?}");
    }

    #[tokio::test]
    async fn a_label_that_the_signals_do_not_make_is_wrong() {
        let mut world = world().await;
        world.ledger.loved.insert("e-2".to_owned(), true);
        assert_eq!(world.found().await.labels_wrong, 1);
    }
}
