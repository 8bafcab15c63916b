//! Against a real broker, named by `PLAUDIT_TEST_KAFKA`; without it they say that they are skipped.

use std::time::Duration;

use plaudit_event::ManualClock;

use super::*;
use crate::ErrorKind;
use crate::log::conformance::{self, Stamps};
use crate::log::{Origin, shard};

/// The brokers to test against, and a prefix that nobody else uses.
#[expect(clippy::disallowed_methods, reason = "the one thing that tests take from outside: where the broker is")]
fn brokers() -> Option<String> {
    match std::env::var("PLAUDIT_TEST_KAFKA") {
        Ok(uri) => Some(uri.strip_prefix("kafka://").expect("kafka://HOST:PORT").to_owned()),
        Err(_) => {
            let mut stderr = std::io::stderr();
            let said = std::io::Write::write_all(&mut stderr, b"SKIPPED: PLAUDIT_TEST_KAFKA is not set\n");
            said.expect("standard error");
            None
        }
    }
}

fn config(test: &str, shards: u32) -> KafkaConfig {
    let unique = plaudit_event::Seed::new(u64::from(std::process::id())).derive(test, 0);
    KafkaConfig {
        prefix: format!("test.{test}.{unique:?}.").replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', ""),
        shards,
        ..KafkaConfig::default()
    }
}

async fn open(brokers: &str, config: &KafkaConfig) -> Arc<dyn EventLog> {
    let clock = Arc::new(RealTime(tokio::time::Instant::now()));
    Arc::new(KafkaLog::open(brokers, config, clock).await.expect("a log"))
}

/// Real time from an arbitrary start: the log only measures spans with it.
struct RealTime(tokio::time::Instant);

impl Clock for RealTime {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(self.0.elapsed().as_millis()).expect("short"))
    }
}

fn record(text: &str) -> Record {
    Record { key: text.to_owned(), value: text.as_bytes().to_vec() }
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let Some(brokers) = brokers() else { return };
    let mut count = 0;
    conformance::all(Stamps::Others, async |_| {
        count += 1;
        open(&brokers, &config(&format!("conforms{count}"), 1)).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_records_of_a_key_are_in_one_shard() {
    let Some(brokers) = brokers() else { return };
    let log = open(&brokers, &config("keys", 3)).await;
    let keys: Vec<String> = (0..30).map(|number| format!("key {number}")).collect();
    for topic in [Topic::Exposures, Topic::Signals] {
        log.append(topic, keys.iter().map(|key| record(key)).collect()).await.expect("append");
    }
    let mut found = Vec::new();
    for number in 0..3 {
        let shard = shard(&log, number);
        let read = async |topic| {
            let stored = shard.read(topic, 0, 99).await.expect("read");
            stored.into_iter().map(|stored| stored.key).collect::<Vec<String>>()
        };
        let exposures = read(Topic::Exposures).await;
        assert_eq!(exposures, read(Topic::Signals).await, "a shard joins on its own");
        assert!(exposures.iter().all(|key| shard_of_key(key, 3) == number), "{number}: {exposures:?}");
        found.extend(exposures);
    }
    found.sort();
    let mut all = keys;
    all.sort();
    assert_eq!(found, all, "every record is in exactly one shard");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_took_over_fences_who_wrote_before() {
    let Some(brokers) = brokers() else { return };
    let config = config("fence", 2);
    let (old, new) = (open(&brokers, &config).await, open(&brokers, &config).await);
    let (old, new) = (shard(&old, 1), shard(&new, 1));
    assert_eq!(old.newest(Topic::Examples).await.expect("newest"), None);
    old.append(Topic::Examples, vec![record("a")]).await.expect("append");
    let other = shard(&new, 0);
    assert_eq!(other.newest(Topic::Examples).await.expect("newest"), None, "of this shard");
    other.append(Topic::Examples, vec![record("of the other shard")]).await.expect("append");
    let newest = new.newest(Topic::Examples).await.expect("newest").expect("of this shard");
    assert_eq!(newest.value, b"a");
    let late = old.append(Topic::Examples, vec![record("late")]).await.expect_err("fenced");
    assert!(matches!(late, Error::Fenced { shard: 1, .. }), "{late}");
    assert_eq!(late.kind(), ErrorKind::Unavailable);
    new.append(Topic::Examples, vec![record("b")]).await.expect("append");
    let values = new.read(Topic::Examples, 0, 9).await.expect("read").into_iter().map(|stored| stored.value);
    let values: Vec<Vec<u8>> = values.collect();
    assert_eq!(values, [b"a".to_vec(), b"of the other shard".to_vec(), b"b".to_vec()], "nothing late, nothing twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_example_behind_an_open_transaction_of_another_shard_is_waited_for() {
    use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
    let Some(brokers) = brokers() else { return };
    let config = config("open", 2);
    let log = open(&brokers, &config).await;
    let shard = shard(&log, 1);
    assert_eq!(shard.newest(Topic::Examples).await.expect("newest"), None);
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", &brokers).set("transactional.id", format!("{}other", config.prefix));
    let other: FutureProducer = settings.create().expect("a producer");
    other.init_transactions(Duration::from_secs(30)).expect("init");
    other.begin_transaction().expect("begin");
    let topic = topics::name(&config, Topic::Examples);
    other.send(FutureRecord::to(&topic).key("k").payload("v"), Duration::from_secs(5)).await.expect("sent");
    shard.append(Topic::Examples, vec![record("a")]).await.expect("append");
    let early = shard.newest(Topic::Examples).await.expect_err("readers do not see it yet");
    assert_eq!(early.kind(), ErrorKind::Unavailable, "tried again: {early}");
    other.abort_transaction(Duration::from_secs(30)).expect("abort");
    let newest = shard.newest(Topic::Examples).await.expect("newest").expect("there is one");
    assert_eq!(newest.value, b"a");
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_are_distributed_among_processes_and_taken_over() {
    let Some(brokers) = brokers() else { return };
    let config = config("members", 4);
    let first = open(&brokers, &config).await;
    let mut of_first = first.owned().expect("a member");
    of_first.wait_for(|owned| owned.len() == 4).await.expect("all shards for the only one");
    let second = open(&brokers, &config).await;
    let mut of_second = second.owned().expect("a member");
    let half = of_second.wait_for(|owned| owned.len() == 2).await.expect("half").clone();
    let rest = of_first.wait_for(|owned| owned.len() == 2).await.expect("half").clone();
    assert!(half.is_disjoint(&rest), "{half:?} {rest:?}");
    drop((second, of_second));
    of_first.wait_for(|owned| owned.len() == 4).await.expect("all again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_product_writes_is_told_apart() {
    use rdkafka::producer::{FutureProducer, FutureRecord};
    let Some(brokers) = brokers() else { return };
    let config = config("direct", 1);
    let log = open(&brokers, &config).await;
    log.append(Topic::Signals, vec![record("ours")]).await.expect("append");
    let product: FutureProducer = ClientConfig::new().set("bootstrap.servers", &brokers).create().expect("a producer");
    let topic = topics::name(&config, Topic::Signals);
    let theirs = FutureRecord::to(&topic).key("k").payload("theirs");
    product.send(theirs, Duration::from_secs(5)).await.expect("sent");
    log.horizon().await.expect("horizon");
    let stored = log.read(Topic::Signals, 0, 9).await.expect("read");
    let origins: Vec<Origin> = stored.iter().map(|stored| stored.origin).collect();
    assert_eq!(origins, [Origin::Checked, Origin::Direct, Origin::Tick]);
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_do_not_fit_are_refused() {
    let Some(brokers) = brokers() else { return };
    let three = config("fit", 3);
    open(&brokers, &three).await;
    let four = KafkaConfig { shards: 4, ..three };
    let clock = Arc::new(ManualClock::default());
    let refused = KafkaLog::open(&brokers, &four, clock).await.err().expect("refused");
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(refused.to_string().contains("has 3 partitions, but the configuration says 4"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_broker_is_an_error_that_can_be_retried() {
    let config = KafkaConfig { timeout: Duration::from_secs(1), ..KafkaConfig::default() };
    let refused =
        KafkaLog::open("127.0.0.1:1", &config, Arc::new(ManualClock::default())).await.err().expect("refused");
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
}

#[test]
fn a_partition_without_leader_is_waited_for_and_one_that_is_not_there_is_not() {
    use rdkafka::error::{KafkaError, RDKafkaErrorCode};

    let error = |code| KafkaError::MetadataFetch(code);
    for code in [RDKafkaErrorCode::NotLeaderForPartition, RDKafkaErrorCode::UnknownPartition] {
        assert!(super::reader::has_no_leader(&error(code)));
    }
    assert!(!super::reader::has_no_leader(&error(RDKafkaErrorCode::UnknownTopicOrPartition)));
}
